"""A trial of the lab's network in the background: its process, its progress, and its result."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import SpringtuiError
from engine.runs.directory import Run

from ..follow.trial import TrialProcess
from ..screen import Notifier
from ..state.run_state import RunState
from ..terminal.text import plain_text
from .session import LabSession, Panel

if TYPE_CHECKING:
    from engine.twin.trial import Trial


class LabTrial:
    """Holds at most one process, and the newest trial of the present run.

    ``begin``, ``cancel``, ``collect`` and ``load`` wait for files and processes: call them from a thread.
    """

    def __init__(self) -> None:
        self.trouble = ""
        """Why the last one failed; empty where it did not."""
        self._process: TrialProcess | None = None
        self._found: Trial | None = None
        self._run = ""
        """Id of the run that ``_found`` is of."""
        self._turn = threading.Lock()
        """Held while a process is started or ended, so that there is never a second one."""

    @property
    def is_running(self) -> bool:
        """Whether a trial is under way."""
        return self._process is not None

    def begin(self, run: Run) -> None:
        """Start a trial of a run, unless one is under way.

        Raises:
            SpringtuiError: the run cannot be tried, or no process could be started.
        """
        from engine.twin.trial import start_of  # no first frame waits for it

        with self._turn:
            if self._process is None:
                self.trouble = ""
                start_of(run)
                self._process = TrialProcess(run)

    def cancel(self) -> bool:
        """End the trial under way; whether there was one."""
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
        except SpringtuiError as error:
            self._found, self.trouble = None, plain_text(str(error))

    def forget(self) -> None:
        """Forget the run's trial; one that is under way goes on."""
        self._found, self._run, self.trouble = None, "", ""

    def let_go(self) -> None:
        """End the trial under way without waiting for its end."""
        process, self._process = self._process, None
        if process is not None:
            process.process.terminate()

    def result(self, run_id: str, settings: Mapping[str, Any]) -> Trial | None:
        """The trial of a run, as long as the settings in force are those that it was made for."""
        if self._found is None or run_id != self._run:
            return None
        from engine.twin.trial import is_for  # as in begin

        return self._found if is_for(self._found, settings) else None


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

    def result(self) -> Trial | None:
        """The trial that was made for the network's settings in force; None where there is none."""
        train = self._view.states.get("train")
        return None if train is None else self.trial.result(train.run_id, train.settings)

    def toggle(self) -> None:
        """Try other settings of the network; cancel that where it is under way."""
        run = self._view.session.runs.get("train")
        if self.trial.is_running:
            self.cancel()
        elif run is not None:
            self._in_thread(self.trial.begin, run)

    def cancel(self) -> None:
        """Cancel the trial under way, if there is one."""
        if self.trial.is_running:
            self._in_thread(self.trial.cancel)

    def take_up(self) -> None:
        """Look for a trial that was kept with the network's run."""
        if (run := self._view.session.runs.get("train")) is not None:
            self._in_thread(self.trial.load, run)

    def drop(self) -> None:
        """Forget the trial of a run that was dropped, and cancel the one under way."""
        self.trial.forget()
        self.cancel()

    async def follow(self) -> None:
        """Take up the result of a trial that has ended; called twice a second."""
        if not self.trial.is_running or not await asyncio.to_thread(self.trial.collect):
            return
        if not self.trial.trouble and self.result() is None and "train" in self._view.states:
            text = "the settings were changed meanwhile: the result is kept, and shown once they are as they were"
            self._view.notify(text, title="trial", timeout=8, markup=False)
        self._view.draw_words()

    def _in_thread(self, work: Callable[..., object], *arguments: object) -> None:
        """Do something in a thread, then draw the words; an error is shown as a notice."""

        async def then_draw() -> None:
            try:
                await asyncio.to_thread(work, *arguments)
            except SpringtuiError as error:
                text = plain_text(str(error))
                self._view.notify(text, title="trial", severity="warning", timeout=8, markup=False)
            self._view.draw_words()

        self._view.run_worker(then_draw(), group="trial")
