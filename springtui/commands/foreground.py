"""Runs a worker here, in this process, and tells how it goes on standard error.

The worker does what it does when detached: it fills the run's directory and obeys its control file. A second
thread follows the directory, as any other watcher would, and Ctrl-C is a ``stop`` in the control file.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from engine.errors import InputError, SpringtuiError
from engine.runs.directory import Run
from engine.runs.records import Ended
from engine.runs.status import Status

from ..state.run_state import RunState
from ..state.wording import duration
from .output import say

Work = Callable[[Run], Ended]
_LOOK = 0.1
_LINE_EVERY = 10.0
"""Seconds between plain lines where standard error is no terminal."""


def run_here(run: Run, work: Work, unit: str, *, new: bool = True) -> RunState:
    """Let ``work`` fill the run to its end; what is known of the run then.

    Raises:
        InputError: the input was found wrong before anything ran; the directory of a ``new`` run is gone again.
    """
    follower = _Follower(run, unit)
    try:
        with stopped_by_signals(run), follower:
            work(run)
    except InputError:
        if new and not follower.state.records:
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    except KeyboardInterrupt:
        _last_word(run, Ended(reason=Status.STOPPED, text="broken off"))
        raise
    except Exception as error:
        _last_word(run, Ended(reason=Status.FAILED, text=f"{type(error).__name__}: {error}"))
        raise
    return follower.state


def _last_word(run: Run, ended: Ended) -> None:
    """Say how it ended where the worker could not, unless another worker has the run."""
    with contextlib.suppress(SpringtuiError, OSError):
        writer = run.writer()
        try:
            writer.write(ended)
        finally:
            writer.release(ended.reason, ended.text)


@contextlib.contextmanager
def stopped_by_signals(run: Run) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the worker to stop; a second one does what it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        restore()
        run.ask("stop")
        say("springtui: stopping; once more to break off")

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()


class _Follower:
    """Folds the run's records in a thread and shows them."""

    def __init__(self, run: Run, unit: str) -> None:
        self.state = RunState(run.id)
        self._log, self._offset = run.log(), 0
        self._view: _Bar | _Lines = _Bar(unit) if sys.stderr.isatty() else _Lines(unit)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"follow-{run.id}", daemon=True)

    def __enter__(self) -> _Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._read()
        self._view.close(self.state)

    def _follow(self) -> None:
        while not self._done.wait(_LOOK):
            if self._read():
                self._view.show(self.state)

    def _read(self) -> bool:
        """Fold what has come; whether anything has."""
        before = self._offset
        while (piece := self._log.read(self._offset)).end != self._offset:
            self._offset = piece.end
            for record in piece.records:
                if (event := self._log.decode(record)) is not None:
                    self.state.fold(event)
        return self._offset != before


def summary(state: RunState, unit: str) -> str:
    """One line on where the run stands."""
    if not state.total:
        return "  ".join(filter(None, (state.status, state.note)))
    parts = [f"{unit} {state.at}/{state.total}"]
    for name, label in (("train_loss", "loss"), ("test_accuracy", "test accuracy")):
        value = state.latest.scalars.get(name) if state.latest else None
        if value is not None:
            parts.append(f"{label} {value:.4g}")
    if rate := state.cells_per_second:
        parts.append(f"{rate:.2g}/s  left {duration((state.total - state.at) / rate)}")
    if state.status is Status.RUNNING and state.note:
        parts.append(state.note)
    return "  ".join(parts)


class _Lines:
    """A plain line now and then, for logs."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._next = time.monotonic()

    def show(self, state: RunState) -> None:
        if state.at and time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY
            say(summary(state, self._unit))

    def close(self, state: RunState) -> None:
        if state.at:
            say(summary(state, self._unit))


class _Bar:
    """A progress bar with the time left, for a terminal."""

    def __init__(self, unit: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._unit = unit
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=5,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._bar.start()

    def show(self, state: RunState) -> None:
        self._bar.update(
            self._task, total=state.total or None, completed=state.at, description=summary(state, self._unit)
        )

    def close(self, state: RunState) -> None:
        self.show(state)
        self._bar.stop()
