"""The lab's runs: begun, taken up, pulled anew, paused, stopped. No start that is called off leaves a worker."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Literal

from engine.errors import SpringtuiError
from engine.runs.status import Status

from ..follow.watcher import Watcher
from ..screen import BaseScreen
from ..state.run_state import RunState
from ..terminal.text import plain_text
from .session import PANELS, SYSTEMS, Laboratory, Panel
from .settings import PULLINGS

How = Literal["left", "new", "resume"]


class LabRuns(BaseScreen[None]):
    """The half of the lab that asks; its other half shows."""

    laboratory: Laboratory

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[Panel, RunState] = {}
        self.watchers: dict[Panel, Watcher] = {}
        self.trouble: dict[Panel, str] = {}
        self.pulling = PULLINGS[0]
        self._stale = False
        self._called_off: dict[Panel, threading.Event] = {}
        """Set once a panel's start is not wanted any more; its thread may be at work all the same."""

    def settings_of(self, panel: Panel) -> dict[str, Any]:
        """What the sliders ask of a panel."""
        raise NotImplementedError

    def draw_words(self) -> None:
        """Say how the runs stand."""
        raise NotImplementedError

    def begin(self, panel: Panel, *, how: How) -> None:
        """Have a panel a run with a worker; a start of the same panel that is under way is called off.

        ``how``: the run that an earlier lab left, or a new one where there is none; a new one in the place of the
        last; or the panel's own again, from its checkpoint.
        """
        self._call_off(panel)
        off = self._called_off[panel] = threading.Event()
        self.run_worker(self._begin(panel, off, how), exclusive=True, group=f"begin-{panel}")

    async def _begin(self, panel: Panel, off: threading.Event, how: How) -> None:
        try:
            await asyncio.to_thread(self._have_run, panel, off, self.settings_of(panel), how)
        except SpringtuiError as error:
            self.say_trouble(panel, str(error))
        except OSError as error:
            self.say_trouble(panel, f"cannot start a run: {error.strerror}; is the disk full?")
        else:
            self._go_on(panel) if how == "resume" else self._watch(panel)

    def _have_run(self, panel: Panel, off: threading.Event, settings: dict[str, Any], how: How) -> None:
        """From a thread."""
        if how == "resume":
            self.laboratory.resume(panel, off)
        elif how == "new" or not self.laboratory.reattach(panel, off):
            self.laboratory.start(panel, settings, off)

    def _watch(self, panel: Panel) -> None:
        run = self.laboratory.runs.get(panel)
        if run is None:  # it was stopped before it was seen
            return
        self._forget(panel)
        self.states[panel] = RunState(run.id)
        watcher = Watcher(run, self, self.laboratory.processes.get(panel))
        self.watchers[panel] = watcher
        watcher.start()
        self._stale = True

    def _go_on(self, panel: Panel) -> None:
        """Its run has a new worker: what was seen of it stays."""
        if (watcher := self.watchers.get(panel)) is None:
            self._watch(panel)
        else:
            watcher.process = self.laboratory.processes.get(panel)

    def _forget(self, panel: Panel) -> None:
        """Let go of what was seen of a panel's run."""
        if (watcher := self.watchers.pop(panel, None)) is not None:
            watcher.close()
        self.states.pop(panel, None)
        self.trouble.pop(panel, None)
        self._stale = True

    def stop_runs(self) -> None:
        """Ask both workers to stop; from a thread."""
        for panel in PANELS:
            self.laboratory.stop(panel)

    async def let_go(self) -> None:
        """Start nothing more, and ask the workers to stop."""
        for panel in PANELS:
            self._call_off(panel)
        await asyncio.to_thread(self.stop_runs)

    def _call_off(self, panel: Panel) -> None:
        if (off := self._called_off.get(panel)) is not None:
            off.set()
        self.workers.cancel_group(self, f"begin-{panel}")

    def on_unmount(self) -> None:
        for watcher in self.watchers.values():
            watcher.close()
        self.watchers.clear()

    def say_trouble(self, panel: Panel, text: str) -> None:
        """Something is wrong with a panel's run."""
        self.trouble[panel] = plain_text(text)
        self._stale = True
        title = f"{SYSTEMS[panel]} run"
        self.notify(self.trouble[panel], title=title, severity="error", timeout=12, markup=False)
        self.draw_words()

    async def put(self, action: str, panel: Panel, **settings: Any) -> None:
        """Ask a panel's worker for something."""
        try:
            await asyncio.to_thread(self.laboratory.ask, action, panel, **settings)
        except (SpringtuiError, OSError) as error:
            self.say_trouble(panel, f"cannot ask the {SYSTEMS[panel]}'s run: {error}")

    # actions

    async def action_toggle_pause(self) -> None:
        """Pause both runs, or let both go on."""
        paused = any(state.status is Status.PAUSED for state in self.states.values())
        for panel in PANELS:
            await self.put("resume" if paused else "pause", panel)

    def action_restart(self) -> None:
        """Stop both runs and start new ones with what the sliders ask for."""
        self.app.clear_notifications()
        for panel in PANELS:
            self._forget(panel)
            self.begin(panel, how="new")

    def action_resume(self) -> None:
        """Let new workers go on with the runs that broke off, each from its checkpoint."""
        broken = [panel for panel, state in self.states.items() if state.status.is_resumable]
        for panel in broken:
            self.begin(panel, how="resume")
        if not broken:
            self.notify("no run was broken off here; r starts anew", timeout=4, markup=False)

    def action_next_pulling(self) -> None:
        """Pull the chain anew, in the next way."""
        self.pulling = PULLINGS[(PULLINGS.index(self.pulling) + 1) % len(PULLINGS)]
        self.notify(f"pulled {self.pulling.replace('_', ' ')}", title="chain", timeout=3, markup=False)
        self._forget("chain")
        self.begin("chain", how="new")
