"""Begins, follows and asks the lab's two runs. A start that is cancelled leaves no worker behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Literal, Protocol

from engine.errors import SpringtuiError
from engine.runs.records import Started
from engine.runs.status import Status

from ..follow.watcher import Target, Watcher
from ..screen import Notifier
from ..state.cycling import next_of
from ..state.run_state import RunState
from ..terminal.text import plain_text
from .session import PANELS, SYSTEMS, LabSession, Panel
from .settings import CHAIN_NAMES, CHAINS, PULLINGS, ChainChoice, moved

How = Literal["left", "new", "resume"]


class LabView(Notifier, Target, Protocol):
    """What the control needs of the screen that holds it, and what it reports there."""

    def settings_of(self, panel: Panel) -> dict[str, Any]:
        """The settings of a panel's run at the sliders' values."""

    def start_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine; a running task of the same name is cancelled."""

    def cancel_task(self, name: str) -> None:
        """Cancel the task of this name, where there is one."""

    def check_alerts(self, state: RunState, *, new: bool = False) -> None:
        """Check alert rules against a run's state."""

    def run_dropped(self, panel: Panel) -> None:
        """A panel's run was dropped."""

    def run_failed(self, panel: Panel, text: str) -> None:
        """A panel's run failed or could not be begun or asked; ``text`` says why."""

    def run_caught_up(self, panel: Panel, *, ours: bool) -> None:
        """All records of a run were read for the first time; ``ours``: this lab started its worker."""

    def worker_came(self, panel: Panel) -> None:
        """A worker took a panel's run up; it has not been asked for the sliders' values yet."""

    def worker_went(self, panel: Panel) -> None:
        """The worker of a panel's run ended."""

    def records_folded(self, panel: Panel, *, first: bool) -> None:
        """A panel's state changed by new records; ``first`` where a worker came or no curve was known before."""


class LabControl:
    """Begins, follows and asks the lab's two runs, and tells its screen what happened to them."""

    def __init__(self, session: LabSession, view: LabView) -> None:
        self.session = session
        self.states: dict[Panel, RunState] = {}
        self.watchers: dict[Panel, Watcher] = {}
        self.trouble: dict[Panel, str] = {}
        self.chain = ChainChoice()
        self.going_on = False
        """Whether network and friction chain go on beyond the time at which they are held."""
        self._view = view
        self._asked: dict[str, dict[str, Any]] = {}
        """By run, the settings last asked of its worker, which may not be in force yet."""
        self._caught_up: set[str] = set()
        """Runs whose records have all been read once."""
        self._called_off: dict[Panel, threading.Event] = {}
        """By panel: set once its start is cancelled, for the thread that may still be starting it."""

    # begin and end

    def begin(self, panel: Panel, *, how: How) -> None:
        """Give a panel a run with a worker; a start of the same panel that is under way is cancelled.

        ``how``: ``left`` takes the run that an earlier lab left, or a new one where there is none; ``new``
        replaces the panel's run by a new one; ``resume`` continues the panel's run from its checkpoint.
        """
        self._call_off(panel)
        off = self._called_off[panel] = threading.Event()
        self._view.start_task(self._begin(panel, off, how), f"begin-{panel}")

    async def _begin(self, panel: Panel, off: threading.Event, how: How) -> None:
        try:
            await asyncio.to_thread(self._have_run, panel, off, self._view.settings_of(panel), how)
        except SpringtuiError as error:
            self._fail(panel, str(error))
        except OSError as error:
            self._fail(panel, f"cannot start a run: {error.strerror}; is the disk full?")
        else:
            self._go_on(panel) if how == "resume" else self._watch(panel)

    def _have_run(self, panel: Panel, off: threading.Event, settings: dict[str, Any], how: How) -> None:
        """Resume, take over or start a panel's run; called in a thread."""
        if how == "resume":
            self.session.resume(panel, off)
        elif how == "new" or not self.session.reattach(panel, off):
            self.session.start(panel, settings, off)

    def _watch(self, panel: Panel) -> None:
        run = self.session.runs.get(panel)
        if run is None:  # it was stopped before it was seen
            return
        self._forget(panel)
        self.states[panel] = RunState(run.id)
        watcher = Watcher(run, self._view, self.session.processes.get(panel))
        self.watchers[panel] = watcher
        watcher.start()

    def _go_on(self, panel: Panel) -> None:
        """Follow a panel's resumed run; the records read so far are kept."""
        if (watcher := self.watchers.get(panel)) is None:
            self._watch(panel)
        else:
            watcher.process = self.session.processes.get(panel)

    def _forget(self, panel: Panel) -> None:
        """Stop following a panel's run and drop its state."""
        if (watcher := self.watchers.pop(panel, None)) is not None:
            watcher.close()
        self.states.pop(panel, None)
        self.trouble.pop(panel, None)
        self._view.run_dropped(panel)

    def _fail(self, panel: Panel, text: str) -> None:
        self.trouble[panel] = plain_text(text)
        self._view.run_failed(panel, self.trouble[panel])

    def stop_runs(self) -> None:
        """Ask both workers to stop; to be called in a thread."""
        for panel in PANELS:
            self.session.stop(panel)

    async def let_go(self) -> None:
        """Cancel starts that are under way, and ask both workers to stop."""
        for panel in PANELS:
            self._call_off(panel)
        await asyncio.to_thread(self.stop_runs)

    def _call_off(self, panel: Panel) -> None:
        if (off := self._called_off.get(panel)) is not None:
            off.set()
        self._view.cancel_task(f"begin-{panel}")

    def close(self) -> None:
        """Stop following the runs; their workers go on."""
        for watcher in self.watchers.values():
            watcher.close()
        self.watchers.clear()

    # what the person asks

    async def put(self, action: str, panel: Panel, **settings: Any) -> None:
        """Ask a panel's worker for something."""
        try:
            await asyncio.to_thread(self.session.ask, action, panel, **settings)
        except (SpringtuiError, OSError) as error:
            self._fail(panel, f"cannot ask the {SYSTEMS[panel]}'s run: {error}")

    async def adjust(self) -> None:
        """Ask each worker for those settings in which the sliders differ from what was asked for or is in force.

        A chain that has come to its last step is pulled anew, so that it does not stay behind the network.
        """
        for panel in PANELS:
            state = self.states.get(panel)
            if state is None:
                continue
            asked = self._asked.setdefault(state.run_id, {})
            changed = moved(self._view.settings_of(panel), state.settings | asked)
            if not changed:
                continue
            if not state.is_over:
                asked |= changed
                await self.put("set", panel, **changed)
            elif panel == "chain" and state.status is Status.FINISHED:
                self._forget(panel)
                self.begin(panel, how="new")

    async def toggle_pause(self) -> None:
        """Pause both runs, or let both go on."""
        paused = any(state.status is Status.PAUSED for state in self.states.values())
        for panel in PANELS:
            await self.put("resume" if paused else "pause", panel)

    def restart(self) -> None:
        """Stop both runs and start new ones with what the sliders ask for."""
        for panel in PANELS:
            self._forget(panel)
            self.begin(panel, how="new")

    def resume(self) -> None:
        """Start new workers for the runs that broke off; each continues from its checkpoint."""
        broken = [panel for panel, state in self.states.items() if state.status.is_resumable]
        for panel in broken:
            self.trouble.pop(panel, None)
            self.begin(panel, how="resume")
        if broken:
            self._view.notify(
                "resuming: " + ", ".join(SYSTEMS[panel] for panel in broken), timeout=4, markup=False
            )
        else:
            self._view.notify("no run was broken off here; r starts anew", timeout=4, markup=False)

    def pull_next(self) -> None:
        """Start a new friction chain, pulled in the next of ``PULLINGS``."""
        self.chain.hands, self.chain.pulling = "output", next_of(PULLINGS, self.chain.pulling)
        self._begin_chain(f"friction, pulled {self.chain.pulling.replace('_', ' ')}")

    def next_chain(self) -> None:
        """Start the other chain: between two hands, or the paper's with friction."""
        self.chain.hands = next_of(CHAINS, self.chain.hands)
        self._begin_chain(CHAIN_NAMES[self.chain.hands])

    def _begin_chain(self, words: str) -> None:
        self._view.notify(words, title="chain", timeout=3, markup=False)
        self._forget("chain")
        self.begin("chain", how="new")

    async def make_ready(self) -> None:
        """Let both runs follow the sliders up to the time of the map: not paused, not going on, not over."""
        if any(state.is_over for state in self.states.values()):
            self.restart()
        if any(state.status is Status.PAUSED for state in self.states.values()):
            await self.toggle_pause()
        if self.going_on:
            self.going_on = False
            await self.adjust()

    async def toggle_going_on(self) -> None:
        """Let network and friction chain go on beyond the time at which they are held, or begin both anew."""
        self.going_on = not self.going_on
        words = "going on, beyond what the map is for" if self.going_on else "held at the map's time again"
        self._view.notify(words, timeout=4, markup=False)
        await self.adjust()

    # what the watchers post

    def take_records(self, message: Watcher.RecordsRead) -> None:
        """Fold new records into the state of their run."""
        panel = self._panel_of(message.watcher)
        if panel is not None:
            state = self.states[panel]
            first = state.latest is None
            for event in message.events:
                state.fold(event)
                if isinstance(event, Started):
                    self._asked.pop(state.run_id, None)
                    self._worker_came(panel, state)
                    first = True
            if not message.more and state.run_id not in self._caught_up:
                self._catch_up(panel, state)
            if state.run_id in self._caught_up:
                self._view.check_alerts(state, new=self._is_ours(panel))
            self._view.records_folded(panel, first=first)
        message.watcher.folded()

    def _worker_came(self, panel: Panel, state: RunState) -> None:
        """Drop the panel's failure, and have the worker asked for the sliders' values."""
        self.trouble.pop(panel, None)
        if self._is_ours(panel) or state.run_id in self._caught_up:
            self._view.worker_came(panel)

    def take_status(self, message: Watcher.StatusSeen) -> None:
        """Update a run's state by what was seen of its worker, and report why the worker ended."""
        panel = self._panel_of(message.watcher)
        if panel is None:
            return
        state = self.states[panel]
        if state.run_id not in self._caught_up and (state.records or not message.alive):
            self._catch_up(panel, state)  # not before the first record, which holds the settings in force
        if message.alive:
            state.worker_is_seen()
            return
        state.worker_is_gone(message.observation.status)
        self._view.check_alerts(state, new=self._is_ours(panel))
        if state.status is Status.DIVERGED:
            self._view.notify(
                plain_text(state.note), title=str(Status.DIVERGED), severity="error", timeout=12, markup=False
            )
        elif state.status.went_wrong or state.status is Status.UNKNOWN:
            why = (state.ended and state.ended.text) or message.observation.text
            ways = f"press g to resume it (as springtui resume {state.run_id} does) or r to restart"
            self._fail(panel, f"{why}; {ways}. {message.last_output()}".strip())
        self._view.worker_went(panel)

    def _catch_up(self, panel: Panel, state: RunState) -> None:
        self._caught_up.add(state.run_id)
        if not self._is_ours(panel) and state.settings:
            self._adopt(panel, state.settings)
        self._view.run_caught_up(panel, ours=self._is_ours(panel))

    def _adopt(self, panel: Panel, settings: Mapping[str, Any]) -> None:
        """Take over which chain an earlier lab left, and whether its network, and so both, were going on."""
        if panel == "train":
            self.going_on = not settings.get("hold")
        else:
            hands = settings.get("hands")
            self.chain.hands = next((known for known in CHAINS if known == hands), "output")
            self.chain.pulling = next((way for way in PULLINGS if way == settings.get("pulling")), PULLINGS[0])

    def _is_ours(self, panel: Panel) -> bool:
        """Whether this lab started the worker of a panel's run; else an earlier lab left it."""
        return panel in self.session.processes

    def _panel_of(self, watcher: Watcher) -> Panel | None:
        return next((panel for panel, known in self.watchers.items() if known is watcher), None)
