"""What the Phase screen has running: two sweeps that it finds, makes, follows, holds and stops."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.errors import SpringtuiError
from engine.runs.directory import Run
from engine.runs.status import Status
from engine.settings.sweep import SweepConfig
from engine.sweep.diagrams import DIAGRAMS
from engine.sweep.summary import Summary

from ..follow.watcher import Watcher
from ..screen import NOTHING_ASKED, BaseScreen
from ..state.diagram import Colour, lacks_hessian
from ..state.run_state import RunState
from ..terminal.text import plain_text
from .sweeps import SweepRuns

RECIPES = tuple(name for name, diagram in DIAGRAMS.items() if diagram.system == "network")
SEEDS = 3


class PhaseRuns(BaseScreen[None]):
    """The half of the screen that owns the runs; its other half shows them."""

    sweeps: SweepRuns
    first: Run | None
    recipe: str
    colour: Colour
    runs: dict[str, Run]
    configs: dict[str, SweepConfig]
    states: dict[str, RunState]
    watchers: dict[str, Watcher]
    summaries: dict[str, list[Summary]]
    _stale: bool
    _chainless: bool
    _showing: asyncio.Lock

    async def _take_up(self) -> None:
        """Show the newest diagram there is."""
        async with self._showing:
            run = self.first or await asyncio.to_thread(self.sweeps.newest, "network")
            if run is not None:
                await self._show_run("network", run)

    async def _show_run(self, system: str, run: Run) -> None:
        """Follow a run in the place of the one shown, and with a diagram of networks the chain's."""
        config = (await asyncio.to_thread(run.config)).settings
        assert isinstance(config, SweepConfig)
        if (old := self.watchers.pop(system, None)) is not None:
            old.close()
        if system == "network" and config != self.configs.get("network"):
            self._drop_chain()
        self.runs[system], self.configs[system], self.states[system] = run, config, RunState(run.id)
        self.summaries[system] = []
        self.watchers[system] = Watcher(run, self, self.sweeps.run_workers.processes.get(run.id))
        self.watchers[system].start()
        self._stale = True
        if system == "network":
            if config.recipe in RECIPES:
                self.recipe = config.recipe
            chain = await asyncio.to_thread(self.sweeps.start_chain, config)
            if chain is not None:
                await self._show_run("chain", chain)
            else:
                self._drop_chain()
            self._chainless, self._stale = chain is None, True

    def _drop_chain(self) -> None:
        """What is shown of the chain belongs to other networks."""
        if (old := self.watchers.pop("chain", None)) is not None:
            old.close()
        self.configs.pop("chain", None)
        self.states.pop("chain", None)
        self.summaries["chain"], self._chainless = [], False

    def on_watcher_records_read(self, message: Watcher.RecordsRead) -> None:
        system = self._system_of(message.watcher)
        if system is not None:
            for event in message.events:
                self.states[system].fold(event)
            self._stale = True
        message.watcher.folded()

    def on_watcher_status_seen(self, message: Watcher.StatusSeen) -> None:
        system = self._system_of(message.watcher)
        if system is None or message.alive:
            return
        state = self.states[system]
        state.worker_is_gone(message.found.status)
        if state.status.went_wrong or state.status is Status.UNKNOWN:
            log = " | ".join(line.strip() for line in message.log[-3:] if line.strip())
            text = plain_text(f"{state.note or message.found.text}; press g to go on. {log}")
            self.notify(text, title=f"{system} diagram", severity="error", timeout=12, markup=False)
        self._stale = True

    def _system_of(self, watcher: Watcher) -> str | None:
        return next((system for system, known in self.watchers.items() if known is watcher), None)

    # actions

    async def action_go(self) -> None:
        """Make the chosen diagram, or go on with the one that was left."""
        if self.refuses("no diagram is made or gone on with"):
            return
        state, config = self.states.get("network"), self.configs.get("network")
        if state is not None and config is not None and config.recipe == self.recipe:
            if not state.is_over:
                await self._ask("resume")
                return
            if state.status is not Status.FINISHED and not (self._wants_hessian() and state.is_over):
                await self._guarded(self.sweeps.run_workers.resume, self.runs["network"])
                await self._show_run("network", self.runs["network"])
                return
        run = await self._guarded(self.sweeps.start, self.recipe, self._settings(), SEEDS)
        if isinstance(run, Run):
            await self._show_run("network", run)

    def _wants_hessian(self) -> bool:
        """Whether the diagram is looked at for a Hessian that it does not measure."""
        config = self.configs.get("network")
        return self.colour.key == "hessian_trace" and (config is None or lacks_hessian(config))

    def _settings(self) -> dict[str, Any]:
        """What a new diagram shares with the one shown: its data; the Hessian where it is looked at."""
        config = self.configs.get("network")
        known = {} if config is None or config.recipe != self.recipe else config.settings
        data = {key: known[key] for key in ("dataset", "data_dir") if key in known}
        return data | ({"hessian": True} if self.colour.key == "hessian_trace" else {})

    async def action_toggle_pause(self) -> None:
        """Hold the diagram, or go on."""
        state = self.states.get("network")
        if not self.refuses(NOTHING_ASKED) and state is not None and not state.is_over:
            await self._ask("resume" if state.status is Status.PAUSED else "pause")

    async def action_stop(self) -> None:
        """Stop; finished cells are kept."""
        if not self.refuses(NOTHING_ASKED):
            await self._ask("stop")

    async def _ask(self, action: str) -> None:
        if "network" in self.runs:
            await self._guarded(self.runs["network"].ask, action)

    async def _guarded(self, call: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(call, *arguments)
        except (SpringtuiError, OSError) as error:
            self.notify(plain_text(str(error)), severity="error", timeout=10, markup=False)
            return None

    def action_next_recipe(self) -> None:
        """Choose another diagram: the newest of its kind is shown; where there is none, g makes it."""
        self.recipe = RECIPES[(RECIPES.index(self.recipe) + 1) % len(RECIPES)]
        self._stale = True
        self.run_worker(self._show_recipe(self.recipe), group="recipe")

    async def _show_recipe(self, recipe: str) -> None:
        async with self._showing:  # one after the other: a chain belongs to its networks
            if recipe != self.recipe:  # another was chosen meanwhile
                return
            run = await self._guarded(self.sweeps.newest_of, recipe)
            about = DIAGRAMS[recipe].about
            if isinstance(run, Run):
                self.notify(f"{recipe}: {about}", timeout=4, markup=False)
                if run.id != (self.runs["network"].id if "network" in self.runs else ""):
                    await self._show_run("network", run)
            elif self.read_only:
                self.notify(f"read-only: there is no diagram {recipe}, and none is made", timeout=4, markup=False)
            else:
                self.notify(f"g makes {recipe}: {about}", timeout=4, markup=False)
