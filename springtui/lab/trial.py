"""A trial of the lab's network in the background: its process, its progress, and its result."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from textual.notifications import SeverityLevel

from engine.errors import SpringtuiError
from engine.measures.registry import DEFAULT_MEASURE
from engine.runs.directory import Run

from ..follow.trial import TrialProcess
from ..screen import Notifier
from ..state.run_state import RunState
from ..state.trial import in_force, of_another_epoch
from ..state.wording import shape_of
from ..terminal.text import plain_text
from .session import LabSession, Panel

if TYPE_CHECKING:
    from engine.twin.trial import Trial


_SECONDS = 30
"""What a trial of the lab's network takes on two idle cores, with the start of its process."""
_SHOWN = 20.0
"""Seconds for which a notice with a sentence of advice is shown."""
_BEGUN = f"trying other settings in the background, about {_SECONDS} s; T cancels"

_CHANGED = "The settings were changed meanwhile: the result is kept, and shown once they are as they were."


class LabTrial:
    """Holds at most one process, and the newest trial of the present run.

    ``begin``, ``cancel``, ``collect`` and ``load`` wait for files and processes: call them from a thread.
    """

    def __init__(self) -> None:
        self.trouble = ""
        """Why the last one failed; empty where it did not."""
        self._process: TrialProcess | None = None
        self._is_beginning = False
        """Whether a process is being started."""
        self._found: Trial | None = None
        self._run = ""
        """Id of the run that ``_found`` is of."""
        self._turn = threading.Lock()
        """Held while a process is started or ended, so that there is never a second one."""

    @property
    def is_running(self) -> bool:
        """Whether a trial is under way, or about to begin."""
        return self._process is not None or self._is_beginning

    def begin(self, run: Run, called_off: threading.Event) -> bool:
        """Start a trial of a run, unless one is under way or ``called_off`` is set; whether it goes on.

        Raises:
            SpringtuiError: the run cannot be tried, or no process could be started.
        """
        from engine.twin.trial import start_of  # no first frame waits for it

        with self._turn:
            if self._process is not None or called_off.is_set():
                return False
            self._is_beginning, self.trouble = True, ""
            try:
                start_of(run)
                process = self._process = TrialProcess(run)
            finally:
                self._is_beginning = False
            if called_off.is_set():  # whoever set it may have looked for a process before there was one
                self._process = None
                process.cancel()
                return False
        return True

    def cancel(self) -> bool:
        """End the trial under way; whether there was one.

        Raises:
            WorkerError: its process does not end.
        """
        with self._turn:
            process, self._process = self._process, None
            if process is not None:
                process.cancel()
        return process is not None

    def collect(self) -> bool:
        """Take up the result of a trial that has ended; whether one has."""
        with self._turn:
            process = self._process
            if process is None or not process.is_over:
                return False
            self._process = None
            self.trouble = plain_text(process.error)
            if not process.error:
                self._load(process.run)
        return True

    def load(self, run: Run) -> None:
        """Take up the trial that was kept with a run, if there is one that can be read."""
        with self._turn:
            self._load(run)

    def words(self) -> str:
        """What is said of the trial under way, or of the last one that failed; empty where there is neither."""
        process = self._process
        if process is not None:
            return f"Trying settings: {plain_text(process.progress())}. T or Esc cancels."
        return f"The trial failed: {self.trouble}." if self.trouble else ""

    def _load(self, run: Run) -> None:
        from engine.twin.trial import trial_of  # as in begin

        try:
            self._found, self._run = trial_of(run), run.id
        except (SpringtuiError, OSError) as error:
            self._found, self.trouble = None, plain_text(str(error))

    def forget(self) -> None:
        """Forget the run's trial; one that is under way goes on."""
        self._found, self._run, self.trouble = None, "", ""

    def let_go(self) -> None:
        """End the trial under way without waiting for its end."""
        process, self._process = self._process, None
        if process is not None:
            process.process.terminate()

    def kept(self, run_id: str) -> Trial | None:
        """The trial that was made of a run, whatever its settings and epoch are now."""
        return self._found if run_id == self._run else None


class TrialView(Notifier, Protocol):
    """What the trial needs of the lab that shows it."""

    @property
    def session(self) -> LabSession:
        """The lab's runs."""

    @property
    def states(self) -> dict[Panel, RunState]:
        """By panel, the state of its run."""

    def draw_words(self) -> None:
        """Show the words of the trial, among others."""

    def run_worker(self, work: Coroutine[Any, Any, None], *, group: str) -> object:
        """Run a coroutine as a task."""


class TrialControl:
    """Begins, follows and cancels the lab's trial, and has its words drawn; called by the screen alone."""

    def __init__(self, view: TrialView) -> None:
        self.trial = LabTrial()
        self._view = view
        self._called_off = threading.Event()
        """Set once a trial that was asked for is no longer wanted; a new one for each."""

    def result(self) -> Trial | None:
        """The trial that was made for the network as it is now; None where there is none."""
        train = self._view.states.get("train")
        return None if train is None else in_force(self.trial.kept(train.run_id), train)

    def offer(self) -> str:
        """What T would do, without a full stop."""
        other = self._of_another_epoch()
        return f"{other}: T makes it anew" if other else "T tries each setting"

    def _of_another_epoch(self) -> str:
        train = self._view.states.get("train")
        return "" if train is None else of_another_epoch(self.trial.kept(train.run_id), train)

    def toggle(self) -> None:
        """Try other settings of the network; cancel that where it is under way; say what is known already."""
        run = self._view.session.runs.get("train")
        if self.trial.is_running:
            self.cancel()
        elif (sentence := self._sentence()) is not None:
            self._notify(f"{sentence} (Tried already, with these settings.)", seconds=_SHOWN)
        elif run is not None:
            self._in_thread(self.trial.begin, run, self._called_off, said=_BEGUN)

    def cancel(self) -> None:
        """Cancel the trial under way, if there is one."""
        if self.trial.is_running:
            self._call_off()
            self._in_thread(self.trial.cancel, said="cancelled; nothing was kept")

    def take_up(self) -> None:
        """Look for a trial that was kept with the network's run."""
        if (run := self._view.session.runs.get("train")) is not None:
            self._in_thread(self.trial.load, run)

    def drop(self) -> None:
        """Forget the trial of a run that was dropped, and cancel the one under way or about to begin."""
        self._call_off()
        self.trial.forget()
        self._in_thread(self.trial.cancel, said="cancelled, since its run was dropped")

    def let_go(self) -> None:
        """End the trial under way, or about to begin, without waiting for its end."""
        self._called_off.set()
        self.trial.let_go()

    def _call_off(self) -> None:
        self._called_off.set()
        self._called_off = threading.Event()

    async def follow(self) -> None:
        """Take up the result of a trial that has ended, and say it; called twice a second."""
        if not self.trial.is_running or not await asyncio.to_thread(self.trial.collect):
            return
        if self.trial.trouble:
            self._notify(f"The trial failed: {self.trial.trouble}", severity="warning", seconds=_SHOWN)
        elif "train" in self._view.states:
            other = f"{self.offer()}." if self._of_another_epoch() else _CHANGED
            self._notify(self._sentence() or other, seconds=_SHOWN)
        self._view.draw_words()

    def _sentence(self) -> str | None:
        """What the trial of the network as it is now says; None where there is none."""
        train, trial = self._view.states.get("train"), self.result()
        shape = shape_of(train, DEFAULT_MEASURE)
        if trial is None or shape is None:
            return None
        from engine.twin.advice import advise  # no first frame waits for it

        return advise(shape, trial=trial).sentence

    def _notify(self, text: str, *, seconds: float = 8.0, severity: SeverityLevel = "information") -> None:
        self._view.notify(plain_text(text), title="trial", severity=severity, timeout=seconds, markup=False)

    def _in_thread(self, work: Callable[..., object], *arguments: object, said: str = "") -> None:
        """Do something in a thread, then draw the words; ``said`` is a notice for where it returned True.

        Errors are shown as notices, those of the operating system too: the app goes on.
        """

        async def then_draw() -> None:
            try:
                if await asyncio.to_thread(work, *arguments) and said:
                    self._notify(said)
            except (SpringtuiError, OSError) as error:
                self._notify(str(error), severity="warning", seconds=_SHOWN)
            self._view.draw_words()

        self._view.run_worker(then_draw(), group="trial")
