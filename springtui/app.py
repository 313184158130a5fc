"""The app: one process that reads run directories and draws. It imports no torch, numba or scikit-learn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.errors import SpringtuiError
from engine.runs.directory import Run
from engine.twin.maps import TwinMap

from .alerts.ledger import AlertLedger
from .alerts.rules import Alert, Alerts, deliver
from .app_base import AppBase
from .dialogs import ChoiceScreen
from .export.screenshot import picture_of, save_picture, screen_name
from .follow.workers import Workers
from .lab.screen import LabScreen
from .phase.sweeps import SweepRuns
from .preferences.keymap import Bound, bound_in
from .preferences.last_place import NotesSession, load_last_session, save_last_session
from .preferences.memory import load_user_state, save_user_state
from .preferences.preferences import Effective
from .runs.trash import Trash
from .screen import Host
from .terminal.gc_pauses import SETTLED_SECONDS, release, settle
from .terminal.paced import pacer_of
from .terminal.text import plain_text

if TYPE_CHECKING:
    from .phase.screen import PhaseScreen
    from .runs.screen import RunsScreen

SAVE_SECONDS = 3.0
"""So often it is written down where the app is, should it be killed; unless nothing has changed."""
LEAVE_SECONDS = 2.0
"""A terminal that takes no more output must not keep a process that was told to leave."""
NO_LAB = "no lab is opened, as it would begin runs; q leaves"
WITH_BINDINGS = (
    "springtui.app",
    "springtui.app_base",
    "springtui.help.screen",
    "springtui.lab.screen",
    "springtui.phase.screen",
    "springtui.dialogs",
    "springtui.runs.screen",
    "springtui.help.tour",
    "springtui.watch.screen",
    "springtui.lab.choice",
    "springtui.widgets.curves_plot",
    "springtui.widgets.heat_map",
    "springtui.widgets.lines",
    "springtui.runs.table",
    "springtui.widgets.scroll",
    "springtui.lab.slider",
    "springtui.watch.time_bar",
)
"""Modules whose classes bind keys; a test sees that none is missing."""
_LEAVE_ON = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Opening:
    """What the app shows first."""

    screen: Literal["lab", "phase", "runs", "watch"] = "lab"
    run: Run | None = None
    """To watch."""
    read_only: bool = False
    """Of the whole app, for as long as it is open."""


def all_bound() -> list[Bound]:
    """Every binding of ours; imports all screens."""
    return bound_in(WITH_BINDINGS)


class SpringApp(AppBase):
    """The screens, one over the other, and what they share."""

    TITLE = "springtui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit_lab", "Quit", id="app.quit", tooltip="leave; asks what becomes of the runs that go on"),
        Binding("f", "open_phase", "Phase", id="app.phase", tooltip="from the lab: phase diagrams"),
        Binding("u", "open_runs", "Runs", id="app.runs", tooltip="from the lab: all runs, live and past"),
        Binding("d", "detach", "Detach", id="app.detach", tooltip="leave, and let the runs go on", show=False),
        Binding("question_mark", "help", "Help", id="app.help", key_display="?", tooltip="this help"),
        Binding(
            "ctrl+s", "save_screen", "Picture", id="app.save_screen", show=False, priority=True,
            tooltip="save the screen as SVG under the home directory",
        ),
    ]  # fmt: skip

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        effective: Effective | None = None,
        opening: Opening | None = None,
        twin: TwinMap | None = None,
        *,
        begin_runs: bool = True,
    ) -> None:
        """Without ``begin_runs`` the lab begins no runs and draws nothing by itself, for tests and pictures."""
        super().__init__(effective)
        self.home = home
        self.opening = opening
        """None opens where the app was left."""
        self.last_session = load_last_session(home)
        self._saved: object = self.last_session.key()
        self.settings = settings
        """Of the lab's network, where a person chose them."""
        self.twin = twin
        """The map that drives the chain, where a person chose one."""
        self.begin_runs = begin_runs
        self.read_only = opening is not None and opening.read_only
        """Whether nothing is asked of a worker and no run is made or changed, on any screen."""
        self.run_workers = Workers(home)
        self.sweeps = SweepRuns(home, self.run_workers, twin, read_only=self.read_only)
        self.trash = Trash(home)
        self.alerts = Alerts(tuple(self.preferences.alerts))
        self.alert_ledger = AlertLedger(home)

    def on_mount(self) -> None:
        self._leave_on_signals()
        self._open_first()
        self.set_interval(SAVE_SECONDS, self._save_session)
        self.tell_warnings()
        self._let_collections_begin()

    def _let_collections_begin(self) -> None:
        """In a real terminal once the start is over, else at once: tests go on in the same process."""
        if pacer_of(self) is None:
            release()
            return
        for seconds in SETTLED_SECONDS:
            self.set_timer(seconds, settle)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        own = {"Screenshot", "Picture"}  # a picture is taken once the palette is gone
        yield from (c for c in super().get_system_commands(screen) if c.title.split("  (")[0] not in own)
        yield SystemCommand("Tour", "What the lab shows, in a few cards", self.action_tour)
        yield SystemCommand("Save the screen", "As SVG, under the home directory", self._save_when_drawn)

    def all_bindings(self) -> list[Bound]:
        return all_bound()

    # screens

    def _open_first(self) -> None:
        """Where the app was left, or what was asked for."""
        opening = self.opening or self._remembered()
        if opening.screen == "lab":
            self.push_screen(self._lab_screen(self.settings))
        elif opening.screen == "phase":
            self.push_screen(self._phase_screen())
        elif opening.screen == "watch" and opening.run is not None:
            self.open_run(opening.run)
        else:
            self.push_screen(self._runs_screen())

    def _remembered(self) -> Opening:
        last = self.last_session
        run = Run(self.home / "runs" / Path(last.run).name)
        if self.settings is not None or last.screen not in {"phase", "runs", "watch"}:
            return Opening()
        if last.screen == "watch":
            return Opening("watch", run) if last.run and run.path.is_dir() else Opening("runs")
        return Opening("phase" if last.screen == "phase" else "runs")

    def _lab_screen(self, settings: Mapping[str, Any] | None, noise: str = "") -> LabScreen:
        return LabScreen(self.home, settings, self.last_session, self.twin, noise, begin_runs=self.begin_runs)

    def _phase_screen(self) -> PhaseScreen:
        from .phase.screen import PhaseScreen  # the lab's first frame need not wait for it

        return PhaseScreen(self.sweeps)

    def _runs_screen(self) -> RunsScreen:
        from .runs.screen import RunsScreen

        return RunsScreen(self.home, self.last_session, self.run_workers, self.trash)

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said; all that asks, makes or changes looks here."""
        if self.read_only:
            self.notify(f"read-only: {instead}", timeout=4, markup=False)
        return self.read_only

    async def action_open_lab(self) -> None:
        """The lab: the one that is open, or a new one; a read-only app has none, as it would begin runs."""
        if self.refuses(NO_LAB):
            return
        while len(self.screen_stack) > 2 and not isinstance(self.screen, LabScreen):
            await self.pop_screen()
        if not isinstance(self.screen, LabScreen):
            await self.switch_screen(self._lab_screen(self.settings))

    async def action_back(self) -> None:
        """The screen below; from the lowest, the runs, and from these the lab, where there is one."""
        from .runs.screen import RunsScreen

        if len(self.screen_stack) > 2:
            await self.pop_screen()
        elif isinstance(self.screen, RunsScreen):
            await self.action_open_lab()
        else:
            await self.switch_screen(self._runs_screen())

    def action_open_phase(self) -> None:
        """The phase diagrams, over the lab."""
        if self._is_plain():
            self.push_screen(self._phase_screen())

    def action_open_runs(self) -> None:
        """All runs, over what is shown."""
        if self._is_plain():
            self.push_screen(self._runs_screen())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Phase and Runs are opened from the lab; elsewhere the footer need not name them."""
        return self._is_plain() if action in {"open_phase", "open_runs"} else True

    def _is_plain(self) -> bool:
        """Whether another screen may be put over the present one."""
        return isinstance(self.screen, LabScreen)

    def open_run(self, run: Run, *, kind: str = "") -> None:
        """Watch a run, or see the diagram of a sweep."""
        if (kind or run.kind) == "sweep":
            from .phase.screen import PhaseScreen

            self.push_screen(PhaseScreen(self.sweeps, run))
            return
        from .watch.screen import WatchScreen

        self.push_screen(WatchScreen(run, self.last_session, process=self.run_workers.processes.get(run.id)))

    async def open_lab_with(self, settings: Mapping[str, Any], noise: str = "") -> None:
        """The lab anew, with a network of these settings and, of its kinds of noise, this one to move."""
        if self.refuses(NO_LAB):
            return
        while len(self.screen_stack) > 2 and not isinstance(self.screen, LabScreen):
            await self.pop_screen()
        old = self.screen
        if isinstance(old, LabScreen):
            await old.control.let_go()
        await self.switch_screen(self._lab_screen(settings, noise))

    def action_help(self) -> None:
        """Open the help, once."""
        from .help.screen import HelpScreen  # the lab's first frame need not wait for it

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def tell_alerts(
        self, run_id: str, state: str, values: Mapping[str, float | None], *, heard: float, new: bool = False
    ) -> None:
        """A screen knows a run anew: say what a person's rules say of it, ring, and start their commands."""
        fired = self.alerts.seen(run_id, state, values, heard=heard, new=new)
        for alert in fired:
            self.notify(plain_text(alert.text), title="alert", severity="warning", timeout=15, markup=False)
        if fired:
            threading.Thread(target=self._fire, args=(fired,), name="alerts", daemon=True).start()

    def forget_alerts(self, run_id: str) -> None:
        """Drop what the person's rules know of a run that was deleted."""
        self.alerts.forget(run_id)

    def _fire(self, fired: list[Alert]) -> None:
        """From a thread: what no other app over this home has fired."""
        deliver(self.alert_ledger.claim(fired), self._ring, self._complain)

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # the app is closed by then
            self.call_from_thread(self.bell)

    def _complain(self, text: str) -> None:
        """From a thread: an alert's command went wrong."""
        with contextlib.suppress(RuntimeError):  # the app is closed by then
            self.call_from_thread(self.notify, plain_text(text), severity="error", timeout=12, markup=False)

    # the tour

    def first_tour(self) -> None:
        """Show the tour where it was never seen; the lab's first frame has been drawn."""
        if self.preferences.tour and not load_user_state().tour_seen:
            self.action_tour()

    def action_tour(self) -> None:
        """Open the tour, over the lab."""
        from .help.tour import TourScreen

        if not isinstance(self.screen, TourScreen):
            self.push_screen(TourScreen(), self._tour_seen)

    def _tour_seen(self, _: None) -> None:
        self.run_worker(asyncio.to_thread(save_user_state, tour_seen=True), group="user-state")

    # leaving

    async def action_quit(self) -> None:
        """Textual's Ctrl+Q: the same."""
        await self.action_quit_lab()

    async def action_quit_lab(self) -> None:
        """Leave; what becomes of the runs that were begun here is asked, or a preference says it."""
        if isinstance(self.screen, ChoiceScreen):  # it is being asked
            return
        going = await asyncio.to_thread(self._going)
        choice = self.preferences.on_quit if going else "detach"
        if choice == "ask":
            words = f"{going} run{'s' if going > 1 else ''} begun here still go{'es' if going == 1 else ''} on."
            question = (
                f"{words} Stopped runs keep what they wrote; left alone they train on without this terminal."
            )
            choices = [("x", "stop them and leave"), ("d", "leave them running")]
            self.push_screen(ChoiceScreen("Quit", question, choices), self._quit_chosen)
        else:
            await self._quit_chosen("x" if choice == "stop" else "d")

    async def _quit_chosen(self, choice: str | None) -> None:
        if choice == "x":
            for screen in self.screen_stack:
                if isinstance(screen, LabScreen):
                    await screen.control.let_go()
            await asyncio.to_thread(self.run_workers.stop_all)
        if choice is not None:
            self.action_detach()

    def _going(self) -> int:
        """How many runs of the lab, and of ours besides, are under way."""
        sessions = [screen.session for screen in self.screen_stack if isinstance(screen, LabScreen)]
        return sum(session.going() for session in sessions) + self.run_workers.running()

    def action_detach(self) -> None:
        """Leave; the runs go on, and the next lab takes them up."""
        self._note_session()
        self.exit(0)

    def _note_session(self) -> None:
        """What is open now."""
        last = self.last_session
        for screen in self.screen_stack:
            if isinstance(screen, NotesSession):
                screen.note_session(last)

    async def _save_session(self) -> None:
        self._note_session()
        if (key := self.last_session.key()) != self._saved:
            self._saved = key
            await asyncio.to_thread(save_last_session, self.home, self.last_session)

    def on_unmount(self) -> None:
        save_last_session(self.home, self.last_session)
        self.trash.empty()

    async def action_save_screen(self) -> None:
        """Save the screen as SVG in ``exports`` under the home directory, and say where."""
        picture, name = picture_of(self), screen_name(self)
        try:
            path = await asyncio.to_thread(save_picture, self.home / "exports", name, picture)
        except (OSError, SpringtuiError) as error:
            self.notify(plain_text(f"cannot save the screen: {error}"), severity="error", timeout=8, markup=False)
        else:
            self.notify(plain_text(f"written: {path}"), timeout=6, markup=False)

    def _save_when_drawn(self) -> None:
        """The palette that asked for it is gone from the screen a moment later."""
        self.set_timer(0.2, self.action_save_screen)

    def _leave_on_signals(self) -> None:
        """Textual does not restore the terminal on SIGTERM and SIGHUP; leaving through ``exit`` does."""
        loop = asyncio.get_running_loop()
        for number in _LEAVE_ON:
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._leave, number)

    def _leave(self, number: int) -> None:
        self._note_session()
        self.exit(128 + number)
        last_resort = threading.Timer(LEAVE_SECONDS, os._exit, [128 + number])
        last_resort.daemon = True
        last_resort.start()


if TYPE_CHECKING:
    _is_a_host: type[Host] = SpringApp  # mypy sees that the app offers what screens ask of it


def run_app(
    home: Path,
    settings: Mapping[str, Any] | None = None,
    effective: Effective | None = None,
    opening: Opening | None = None,
    twin: TwinMap | None = None,
) -> int:
    """Open the app; the exit status of the process."""
    app = SpringApp(home, settings, effective, opening, twin)
    app.wear_terminal_colours()
    status = app.run(mouse=app.preferences.mouse)
    _let_go_of_the_terminal()
    return status if status is not None else app.return_code or 0


def _let_go_of_the_terminal() -> None:
    """After a lost terminal nothing may be flushed into it at exit: that would raise, or wait for ever."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if not os.isatty(stream):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
