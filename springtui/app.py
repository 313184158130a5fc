"""The app: one process that reads run directories and draws. It imports no torch, numba or scikit-learn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer

from engine.errors import SpringtuiError
from engine.runs.any_run import AnyRun
from engine.runs.directory import Run
from engine.runs.label import given_names, read_label
from engine.runs.records import Note
from engine.twin.maps import TwinMap

from .alerts.ledger import AlertLedger
from .alerts.rules import Alert, Alerts, Warned, deliver
from .app_base import AppBase
from .export.screenshot import picture_of, save_picture, screen_name
from .follow.workers import Workers
from .lab.screen import LabScreen
from .leaving import Leaving, say_what_goes_on
from .phase.sweeps import SweepRuns
from .preferences.keymap import Bound, bound_in
from .preferences.last_place import LastSession, NotesSession, load_last_session, save_last_session
from .preferences.memory import load_user_state, save_user_state
from .preferences.preferences import Effective
from .runs.trash import Trash
from .screen import BaseScreen, Host
from .terminal.gc_pauses import SETTLED_SECONDS, release, settle
from .terminal.paced import pacer_of
from .terminal.text import plain_text

if TYPE_CHECKING:
    from .phase.screen import PhaseScreen
    from .runs.catalogue import RunSource
    from .runs.screen import RunsScreen

SAVE_SECONDS = 3.0
"""Seconds between saves of what the app shows, so that it is known after a kill; saved only where it changed."""
WAIT_SECONDS = 0.3
"""Seconds between looks for the first of the runs that were named and that are not there yet."""
MOST_WARNINGS = 3
"""Notices of warnings that one look at a run shows."""
NO_LAB = "no lab is opened, as it would begin runs; q leaves"
WITH_BINDINGS = (
    "springtui.app",
    "springtui.app_base",
    "springtui.help.screen",
    "springtui.lab.screen",
    "springtui.phase.screen",
    "springtui.dialogs",
    "springtui.runs.comparison",
    "springtui.runs.screen",
    "springtui.help.tour",
    "springtui.watch.screen",
    "springtui.lab.choice",
    "springtui.widgets.curves_plot",
    "springtui.widgets.heat_map",
    "springtui.widgets.layer_map",
    "springtui.widgets.lines",
    "springtui.runs.table",
    "springtui.widgets.scroll",
    "springtui.widgets.table",
    "springtui.lab.slider",
    "springtui.watch.time_bar",
)
"""Modules whose classes bind keys; a test checks that none is missing."""


@dataclass(frozen=True)
class Opening:
    """The first screen of the app."""

    screen: Literal["lab", "phase", "runs", "watch", "last"] = "lab"
    """``last`` is the screen of the last session."""
    run: AnyRun | None = None
    """The run to watch."""
    read_only: bool = False
    """Whether the app stays read-only while it is open."""
    source: RunSource | None = None
    """The runs to list in place of those under the home; the app then remembers nothing of what it shows."""


def all_bound() -> list[Bound]:
    """Every binding of the app; imports all screens."""
    return bound_in(WITH_BINDINGS)


class SpringApp(AppBase):
    """The app: a stack of screens, and what they share."""

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
        self.opening = opening or Opening()
        self.last_session = load_last_session(home) if self.opening.source is None else LastSession()
        self._saved: object = self.last_session.key()
        self.settings = settings
        """Settings of the lab's network, where the person chose them."""
        self.twin = twin
        """The map that drives the chain, where the person chose one."""
        self.begin_runs = begin_runs
        self.read_only = opening is not None and opening.read_only
        """Whether no worker is asked and no run made or changed, on any screen."""
        self.run_workers = Workers(home)
        self.sweeps = SweepRuns(home, self.run_workers, twin, read_only=self.read_only)
        self.leaving = Leaving(self, self.run_workers, self._note_session)
        self.trash = Trash(home)
        self.alerts = Alerts(tuple(self.preferences.alerts))
        self.alert_ledger = AlertLedger(home)
        self._trouble = ""
        """What was last told of the source's trouble."""
        self._waiting: Timer | None = None
        """Looks for the first run, where none was there when the app was opened."""

    def on_mount(self) -> None:
        self.leaving.handle_signals()
        self._open_first()
        self.set_interval(SAVE_SECONDS, self._save_session)
        if self.opening.source is not None:
            self.set_interval(WAIT_SECONDS, self._tell_trouble)
        self.show_warnings()
        self._let_collections_begin()

    def _let_collections_begin(self) -> None:
        """Switch collections on: after the start in a real terminal, else at once: tests go on in the process."""
        if pacer_of(self) is None:
            release()
            return
        for seconds in SETTLED_SECONDS:
            self.set_timer(seconds, settle)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        own = {"Screenshot", "Picture"}  # the picture is taken once the palette is closed
        yield from (c for c in super().get_system_commands(screen) if c.title.split("  (")[0] not in own)
        if self.opening.source is None:
            yield SystemCommand("Tour", "What the lab shows, in a few cards", self.action_tour)
        yield SystemCommand("Save the screen", "As SVG, under the home directory", self._save_when_drawn)

    def all_bindings(self) -> list[Bound]:
        return all_bound()

    # screens

    def _open_first(self) -> None:
        """Open the screen that was asked for: by itself the lab."""
        opening = self._remembered() if self.opening.screen == "last" else self.opening
        if opening.screen == "lab":
            self.push_screen(self._lab_screen(self.settings))
        elif opening.screen == "phase":
            self.push_screen(self._phase_screen())
        elif opening.screen == "watch" and opening.run is not None:
            self.open_run(opening.run)
        else:
            self.push_screen(self._runs_screen())
            if opening.source is not None and not opening.source.runs():
                self._waiting = self.set_interval(WAIT_SECONDS, self._open_first_found)

    def _open_first_found(self) -> None:
        """Open the run that was waited for; of several the list stays."""
        source, waiting = self.opening.source, self._waiting
        if source is None or waiting is None or not (found := source.runs()):
            return
        waiting.stop()
        if len(found) == 1 and len(self.screen_stack) == 2:
            self.open_run(found[0])

    def _tell_trouble(self) -> None:
        """Tell once that the source reads nothing new any more."""
        if (trouble := self.trouble) != self._trouble:
            self._trouble = trouble
            if trouble:
                self.notify(plain_text(trouble), severity="error", timeout=30, markup=False)

    @property
    def trouble(self) -> str:
        """Why nothing new is read of the runs that were named, in words; empty while all is well."""
        return self.opening.source.trouble if self.opening.source is not None else ""

    def _remembered(self) -> Opening:
        last = self.last_session
        run = Run(self.home / "runs" / Path(last.run).name)
        if last.screen not in {"phase", "runs", "watch"}:
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
        from .runs.screen import RunsScreen  # as above

        return RunsScreen(self.home, self.last_session, self.run_workers, self.trash, self.opening.source)

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only; then the person is notified. ``instead`` says what is not done."""
        if self.read_only:
            self.notify(f"read-only: {instead}", timeout=4, markup=False)
        return self.read_only

    async def action_open_lab(self) -> None:
        """Show the lab that is open, or a new one; refused where the app is read-only, since a lab begins runs."""
        if self.opening.source is not None:
            self.notify("this is the first screen; q leaves", timeout=4, markup=False)
            return
        if self.refuses(NO_LAB):
            return
        while len(self.screen_stack) > 2 and not isinstance(self.screen, LabScreen):
            await self.pop_screen()
        if not isinstance(self.screen, LabScreen):
            await self.switch_screen(self._lab_screen(self.settings))

    async def action_back(self) -> None:
        """Go to the screen below; from the lowest screen to the runs, and from the runs to the lab."""
        from .runs.screen import RunsScreen  # the lab's first frame need not wait for it

        if len(self.screen_stack) > 2:
            await self.pop_screen()
        elif isinstance(self.screen, RunsScreen):
            await self.action_open_lab()
        else:
            self._note_session()  # the list begins at the run that is left; its screen is closed only later
            await self.switch_screen(self._runs_screen())

    def action_open_phase(self) -> None:
        """Open the phase diagrams over the lab."""
        if self._is_plain():
            self.push_screen(self._phase_screen())

    def action_open_runs(self) -> None:
        """Open the list of runs over the lab."""
        if self._is_plain():
            self.push_screen(self._runs_screen())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether an action can be used here: Phase and Runs can be opened only from the lab."""
        if action == "back" and isinstance(self.screen, BaseScreen):
            return self.screen.offers("app.back")
        return self._is_plain() if action in {"open_phase", "open_runs"} else True

    def _is_plain(self) -> bool:
        """Whether Phase and Runs can be opened over the present screen."""
        return isinstance(self.screen, LabScreen)

    def open_run(self, run: AnyRun, *, kind: str = "") -> None:
        """Open the Watch screen of a run, or the diagram of a sweep."""
        if isinstance(run, Run) and (kind or run.kind) == "sweep":
            from .phase.screen import PhaseScreen  # the lab's first frame need not wait for it

            self.push_screen(PhaseScreen(self.sweeps, run))
            return
        from .watch.screen import WatchScreen  # likewise

        self.push_screen(WatchScreen(run, self.last_session, process=self.run_workers.processes.get(run.id)))

    async def open_lab_with(self, settings: Mapping[str, Any], noise: str = "") -> None:
        """Open a new lab with these settings of its network; ``noise`` is the setting of its second slider."""
        if self.refuses(NO_LAB):
            return
        while len(self.screen_stack) > 2 and not isinstance(self.screen, LabScreen):
            await self.pop_screen()
        old = self.screen
        if isinstance(old, LabScreen):
            await old.control.let_go()
        await self.switch_screen(self._lab_screen(settings, noise))

    def action_help(self) -> None:
        """Open the help, if it is not open."""
        from .help.screen import HelpScreen  # the lab's first frame need not wait for it

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def check_alerts(
        self,
        run_id: str,
        state: str,
        values: Mapping[str, float | None],
        *,
        heard: float,
        warnings: Sequence[Note] = (),
        new: bool = False,
    ) -> None:
        """Check the person's alert rules against a run's state; those that fire show, ring and run commands.

        Warnings among the run's records that are new are shown, with or without a rule on them.
        """
        fired = self.alerts.seen(run_id, state, values, heard=heard, new=new)
        for alert in fired:
            text = self._name_of(run_id) + alert.text.removeprefix(run_id)
            self.notify(plain_text(text), title="alert", severity="warning", timeout=15, markup=False)
        told = [Warned(note.seq, note.time, note.text) for note in warnings]
        fresh, more = self.alerts.warned(run_id, told, new=new)
        self._show_warnings(run_id, [warning.text for warning in fresh])
        fired += more
        if fired:
            threading.Thread(target=self._fire, args=(fired,), name="alerts", daemon=True).start()

    def _show_warnings(self, run_id: str, texts: Sequence[str]) -> None:
        """Show warnings of a run; of many at once the first few, and how many more there are."""
        name = self._name_of(run_id) if texts else ""
        shown = [f"{name}: {text}" for text in texts[:MOST_WARNINGS]]
        if len(texts) > MOST_WARNINGS:
            shown.append(f"{name}: {len(texts) - MOST_WARNINGS} more warnings, in the log that Watch shows")
        for text in shown:
            self.notify(plain_text(text), title="warning", severity="warning", timeout=15, markup=False)

    def _name_of(self, run_id: str) -> str:
        """What a person calls a run, read from its directory; its id where nobody gave a name."""
        if self.opening.source is not None:
            return run_id
        run = Run(self.home / "runs" / run_id)
        try:
            settings = run.config().settings
        except (SpringtuiError, OSError):
            settings = None
        return next(iter(given_names(read_label(run.path), settings)), run_id)

    def forget_alerts(self, run_id: str) -> None:
        """Drop what alert rules keep of a deleted run."""
        self.alerts.forget(run_id)

    def _fire(self, fired: list[Alert]) -> None:
        """Deliver those alerts that no other app over this home has delivered; called in a thread."""
        deliver(self.alert_ledger.claim(fired), self._ring, self._complain)

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # the app is closed already
            self.call_from_thread(self.bell)

    def _complain(self, text: str) -> None:
        """Show the error of an alert's command; called in a thread."""
        with contextlib.suppress(RuntimeError):  # the app is closed already
            self.call_from_thread(self.notify, plain_text(text), severity="error", timeout=12, markup=False)

    # the tour

    def first_tour(self) -> None:
        """Show the tour if it was never seen; called after the lab's first frame."""
        if self.preferences.tour and not load_user_state().tour_seen:
            self.call_later(self.action_tour)

    async def action_tour(self) -> None:
        """Open the tour over the lab, which is opened where it is not; refused where the app is read-only."""
        from .help.tour import TourScreen  # the lab's first frame need not wait for it

        if isinstance(self.screen, TourScreen):
            return
        if not isinstance(self.screen, LabScreen):
            await self.action_open_lab()
        if isinstance(lab := self.screen, LabScreen):
            self.push_screen(TourScreen(lab.demonstration), self._tour_seen)

    def _tour_seen(self, _: None) -> None:
        self.run_worker(asyncio.to_thread(save_user_state, tour_seen=True), group="user-state")

    # leaving

    async def action_quit(self) -> None:
        """Leave as ``action_quit_lab`` does; Textual binds this to Ctrl+Q."""
        await self.action_quit_lab()

    async def action_quit_lab(self) -> None:
        """Leave; a dialog or a preference decides whether runs that were begun here are stopped."""
        await self.leaving.ask(self.preferences.on_quit)

    def action_detach(self) -> None:
        """Leave; the runs go on, and the next lab takes its own over."""
        self.leaving.detach()

    def _note_session(self) -> None:
        """Have the screens write what they show into the session."""
        last = self.last_session
        for screen in self.screen_stack:
            if isinstance(screen, NotesSession):
                screen.note_session(last)

    async def _save_session(self) -> None:
        self._note_session()
        if self.opening.source is None and (key := self.last_session.key()) != self._saved:
            self._saved = key
            await asyncio.to_thread(save_last_session, self.home, self.last_session)

    def on_unmount(self) -> None:
        if self.opening.source is None:
            save_last_session(self.home, self.last_session)
        self.trash.empty()

    async def action_save_screen(self) -> None:
        """Save the screen as SVG in ``exports`` under the home directory; a notice gives the path."""
        picture, name = picture_of(self), screen_name(self)
        try:
            path = await asyncio.to_thread(save_picture, self.home / "exports", name, picture)
        except (OSError, SpringtuiError) as error:
            self.notify(plain_text(f"cannot save the screen: {error}"), severity="error", timeout=8, markup=False)
        else:
            self.notify(plain_text(f"written: {path}"), timeout=6, markup=False)

    def _save_when_drawn(self) -> None:
        """Save the screen a moment later, once the palette is closed."""
        self.set_timer(0.2, self.action_save_screen)


if TYPE_CHECKING:
    _is_a_host: type[Host] = SpringApp  # mypy checks that the app offers what screens call


def run_app(
    home: Path,
    settings: Mapping[str, Any] | None = None,
    effective: Effective | None = None,
    opening: Opening | None = None,
    twin: TwinMap | None = None,
) -> int:
    """Run the app; returns the exit status of the process."""
    app = SpringApp(home, settings, effective, opening, twin)
    app.wear_terminal_colours()
    status = app.run(mouse=app.preferences.mouse)
    say_what_goes_on(home, named_home=app.effective.origins["home"] == "--home")
    _let_go_of_the_terminal()
    return status if status is not None else app.return_code or 0


def _let_go_of_the_terminal() -> None:
    """Redirect standard streams whose terminal is lost: flushing them at exit would raise, or wait for ever."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if not os.isatty(stream):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
