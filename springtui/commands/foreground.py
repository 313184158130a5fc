"""Runs a worker in this process and shows its progress on standard error.

The worker works as when detached: it fills the run's directory and obeys its control file. A second thread follows
the directory, as another program would, and Ctrl-C writes a ``stop`` into the control file.
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
from engine.runs.records import Ended, Note
from engine.runs.status import Status

from ..state.run_state import RunState
from ..state.wording import duration, lost_workers
from ..terminal.text import plain_text
from .output import print_message

Work = Callable[[Run], Ended]
_POLL_SECONDS = 0.1
_LINE_EVERY = 10.0
"""Seconds between plain lines where standard error is no terminal."""


def run_here(run: Run, work: Work, unit: str, *, new: bool = True) -> RunState:
    """Let ``work`` fill the run to its end, and return the run's state.

    Raises:
        InputError: the input is wrong; the directory of a ``new`` run without records is removed.
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
        _write_ended(run, Ended(reason=Status.STOPPED, text="broken off"))
        raise
    except Exception as error:
        _write_ended(run, Ended(reason=Status.FAILED, text=f"{type(error).__name__}: {error}"))
        raise
    return follower.state


def _write_ended(run: Run, ended: Ended) -> None:
    """Write the last record where the worker did not, unless another worker has the run."""
    with contextlib.suppress(SpringtuiError, OSError):
        writer = run.writer()
        try:
            writer.write(ended)
        finally:
            writer.release(ended.reason, ended.text)


@contextlib.contextmanager
def stopped_by_signals(run: Run) -> Iterator[None]:
    """On the first SIGINT or SIGTERM ask the worker to stop; a second one has its usual effect."""
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
        print_message("springtui: stopping; once more to break off")

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()


class _Follower:
    """Reads the run's records in a thread and shows its progress."""

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
        while not self._done.wait(_POLL_SECONDS):
            if self._read():
                self._view.show(self.state)

    def _read(self) -> bool:
        """Fold new records into the state; whether there were any."""
        before = self._offset
        while (piece := self._log.read(self._offset)).end != self._offset:
            self._offset = piece.end
            for record in piece.records:
                if (event := self._log.decode(record)) is not None:
                    self.state.fold(event)
                    if isinstance(event, Note) and event.level != "info":
                        self._view.warn(event.text)
        return self._offset != before


def summary(state: RunState, unit: str) -> str:
    """The run's progress in one line."""
    if not state.total:
        return "  ".join(filter(None, (state.status, state.note)))
    parts = [f"{unit} {state.at}/{state.total}"]
    for name, label in (("train_loss", "loss"), ("test_accuracy", "test accuracy")):
        value = state.latest.scalars.get(name) if state.latest else None
        if value is not None:
            parts.append(f"{label} {value:.4g}")
    if rate := state.cells_per_second:
        parts.append(f"{rate:.2g}/s  left {duration((state.total - state.at) / rate)}")
    if state.lost:
        parts.append(lost_workers(state.lost))
    if state.status is Status.RUNNING and state.note:
        parts.append(state.note)
    return "  ".join(parts)


class _Lines:
    """Prints the progress as a plain line every 10 s, for logs."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._next = time.monotonic()

    def show(self, state: RunState) -> None:
        if state.at and time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY
            print_message(summary(state, self._unit))

    def warn(self, text: str) -> None:
        print_message(f"springtui: {text}")

    def close(self, state: RunState) -> None:
        if state.at:
            print_message(summary(state, self._unit))


class _Bar:
    """Shows a progress bar with the time left, in a terminal."""

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

    def warn(self, text: str) -> None:
        self._bar.console.print(plain_text(f"springtui: {text}"), markup=False, highlight=False, soft_wrap=True)

    def close(self, state: RunState) -> None:
        self.show(state)
        self._bar.stop()
