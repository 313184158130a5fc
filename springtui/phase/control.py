"""Finds, makes, follows and asks the Phase screen's two sweeps."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from engine.runs.directory import Run
from engine.runs.records import Note
from engine.runs.status import Status
from engine.settings.sweep import SweepConfig
from engine.sweep.diagrams import DIAGRAMS
from engine.sweep.summary import Summary

from ..follow.watcher import Target, Watcher
from ..screen import Notifier, attempt
from ..state.cycling import next_of
from ..state.diagram import lacks_hessian
from ..state.run_state import RunState
from ..terminal.text import plain_text
from .sweeps import SweepRuns

RECIPES = tuple(name for name, diagram in DIAGRAMS.items() if diagram.system == "network")
SEEDS = 3


class PhaseView(Notifier, Target, Protocol):
    """What the control needs of the screen that holds it, and what it reports there."""

    @property
    def read_only(self) -> bool:
        """Whether no diagram may be made or resumed."""

    def runs_changed(self) -> None:
        """Another run was taken, or the state of a run changed."""


class PhaseControl:
    """Finds, makes, follows and asks a sweep of networks and, over the same axes, one of chains.

    The dictionaries have the two systems, ``network`` and ``chain``, as keys.
    """

    def __init__(self, sweeps: SweepRuns, first: Run | None, view: PhaseView) -> None:
        self.sweeps = sweeps
        self.recipe = RECIPES[0]
        """The chosen recipe; the diagram shown is of another one where none of this recipe was made."""
        self.runs: dict[str, Run] = {}
        self.configs: dict[str, SweepConfig] = {}
        self.states: dict[str, RunState] = {}
        self.watchers: dict[str, Watcher] = {}
        self.summaries: dict[str, list[Summary]] = {"network": [], "chain": []}
        """By system, a summary of each cell that has results; the screen updates it from the state."""
        self.chainless = False
        """Whether no map was fitted for the axes shown."""
        self._first = first
        """The run to show at the start; None is the newest."""
        self._view = view
        self._showing = asyncio.Lock()

    def close(self) -> None:
        """Stop following the runs; their workers go on."""
        for watcher in self.watchers.values():
            watcher.close()

    # which runs

    async def take_up(self) -> None:
        """Show the run that was asked for, else the newest diagram, if there is one."""
        async with self._showing:
            run = self._first or await asyncio.to_thread(self.sweeps.newest, "network")
            if run is not None:
                await self._show_run("network", run)

    async def _show_run(self, system: str, run: Run) -> None:
        """Follow a run in place of the system's present one; with a sweep of networks also the chain's."""
        config = (await asyncio.to_thread(run.config)).settings
        assert isinstance(config, SweepConfig)
        if (old := self.watchers.pop(system, None)) is not None:
            old.close()
        if system == "network" and config != self.configs.get("network"):
            self._drop_chain()
        self.runs[system], self.configs[system], self.states[system] = run, config, RunState(run.id)
        self.summaries[system] = []
        self.watchers[system] = Watcher(run, self._view, self.sweeps.run_workers.processes.get(run.id))
        self.watchers[system].start()
        self._view.runs_changed()
        if system == "network":
            if config.recipe in RECIPES:
                self.recipe = config.recipe
            chain = await asyncio.to_thread(self.sweeps.start_chain, config)
            if chain is not None:
                await self._show_run("chain", chain)
            else:
                self._drop_chain()
            self.chainless = chain is None
            self._view.runs_changed()

    def _drop_chain(self) -> None:
        """Stop following the chain's sweep, which belongs to other networks."""
        if (old := self.watchers.pop("chain", None)) is not None:
            old.close()
        self.configs.pop("chain", None)
        self.states.pop("chain", None)
        self.summaries["chain"], self.chainless = [], False

    async def show_recipe(self, recipe: str) -> None:
        """Show the newest diagram of a recipe if it is still the chosen one; where there is none, notify."""
        async with self._showing:  # one at a time, since a chain's sweep belongs to its networks'
            if recipe != self.recipe:  # another was chosen meanwhile
                return
            run = await attempt(self._view, self.sweeps.newest_of, recipe)
            about = DIAGRAMS[recipe].about
            if run is not None:
                self._view.notify(f"{recipe}: {about}", timeout=4, markup=False)
                if run.id != (self.runs["network"].id if "network" in self.runs else ""):
                    await self._show_run("network", run)
            elif self._view.read_only:
                self._view.notify(
                    f"read-only: there is no diagram {recipe}, and none is made", timeout=4, markup=False
                )
            else:
                self._view.notify(f"g makes {recipe}: {about}", timeout=4, markup=False)

    # what the watchers post

    def take_records(self, message: Watcher.RecordsRead) -> None:
        """Fold new records into the state of their run."""
        system = self._system_of(message.watcher)
        if system is not None:
            for event in message.events:
                self.states[system].fold(event)
            self._tell_losses(message, self.states[system])
            self._view.runs_changed()
        message.watcher.folded()

    def _tell_losses(self, message: Watcher.RecordsRead, state: RunState) -> None:
        """Notify of workers that the executor lost, unless the sweep is over by now."""
        texts = [event.text for event in message.events if isinstance(event, Note) and event.lost]
        if texts and not message.more and not state.is_over:
            self._view.notify(
                plain_text(texts[-1]), title="worker lost", severity="warning", timeout=12, markup=False
            )

    def take_status(self, message: Watcher.StatusSeen) -> None:
        """Update a run's state once its worker ended; the person is notified of a failure."""
        system = self._system_of(message.watcher)
        if system is None or message.alive:
            return
        state = self.states[system]
        state.worker_is_gone(message.observation.status)
        if state.status.went_wrong or state.status is Status.UNKNOWN:
            why = state.note or message.observation.text
            text = plain_text(f"{why}; press g to go on. {message.last_output()}".strip())
            self._view.notify(text, title=f"{system} diagram", severity="error", timeout=12, markup=False)
        self._view.runs_changed()

    def _system_of(self, watcher: Watcher) -> str | None:
        return next((system for system, known in self.watchers.items() if known is watcher), None)

    # what the person asks

    async def make(self, quantity: str) -> None:
        """Make the chosen diagram; resume the one shown where it is paused, stopped or broke off.

        ``quantity`` colours the cells; where it is ``hessian_trace`` a new diagram measures the Hessian.
        """
        state, config = self.states.get("network"), self.configs.get("network")
        if state is not None and config is not None and config.recipe == self.recipe:
            if not state.is_over:
                await self._ask("resume")
                return
            if state.status is not Status.FINISHED and not (self.lacks_quantity(quantity) and state.is_over):
                await attempt(self._view, self.sweeps.run_workers.resume, self.runs["network"])
                await self._show_run("network", self.runs["network"])
                return
        run = await attempt(self._view, self.sweeps.start, self.recipe, self._settings(quantity), SEEDS)
        if run is not None:
            await self._show_run("network", run)

    def lacks_quantity(self, quantity: str) -> bool:
        """Whether the quantity is the Hessian's trace, which the diagram shown does not measure."""
        config = self.configs.get("network")
        return quantity == "hessian_trace" and (config is None or lacks_hessian(config))

    def _settings(self, quantity: str) -> dict[str, Any]:
        """Settings of a new diagram: the data of the one shown, and the Hessian where it is the quantity."""
        config = self.configs.get("network")
        known = {} if config is None or config.recipe != self.recipe else config.settings
        data = {key: known[key] for key in ("dataset", "data_dir") if key in known}
        return data | ({"hessian": True} if quantity == "hessian_trace" else {})

    async def toggle_pause(self) -> None:
        """Pause the diagram, or let it go on."""
        state = self.states.get("network")
        if state is not None and not state.is_over:
            await self._ask("resume" if state.status is Status.PAUSED else "pause")

    async def stop(self) -> None:
        """Ask the worker to stop; finished cells are kept."""
        await self._ask("stop")

    async def _ask(self, action: str) -> None:
        if "network" in self.runs:
            await attempt(self._view, self.runs["network"].ask, action)

    def choose_next_recipe(self) -> None:
        """Choose the next recipe."""
        self.recipe = next_of(RECIPES, self.recipe)
