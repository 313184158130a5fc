"""Tries other settings of a run and shows the progress on standard error: ``springtui twin RUN --try``."""

from __future__ import annotations

import sys
import time

from engine.errors import RunError
from engine.runs.directory import Run

from ..follow.trial import TrialProcess
from .output import print_message

_LOOK = 0.1
_LINE_EVERY = 5.0
"""Seconds between plain lines where standard error is no terminal."""


def try_settings(run: Run, seconds: float | None = None) -> None:
    """Have a process try other settings of a run, and wait until it has kept the result with the run.

    Ctrl-C cancels it, and nothing is kept.

    Args:
        run: a training of ours.
        seconds: to take at most on idle cores; 0: as long as it takes; None: the usual time.

    Raises:
        RunError: it failed; the text says why.
        WorkerError: the process could not be started.
    """
    trial = TrialProcess(run, seconds)
    try:
        view = _Bar() if sys.stderr.isatty() else _Lines()
        try:
            while not trial.wait(_LOOK):
                view.show(trial)
        finally:
            view.close()
    finally:
        if not trial.is_over:
            trial.cancel()
    if trial.error:
        raise RunError(trial.error)
    if trial.is_cancelled:
        raise RunError("the trial was ended from outside; nothing was kept")


class _Lines:
    """Prints the progress as a plain line every few seconds, for logs."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LINE_EVERY

    def show(self, trial: TrialProcess) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY
            print_message(f"trying settings: {trial.progress()}")

    def close(self) -> None:
        """Nothing is left to print."""


class _Bar:
    """Shows a progress bar, in a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=5,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._bar.start()

    def show(self, trial: TrialProcess) -> None:
        self._bar.update(
            self._task,
            total=trial.latest.total or None,
            completed=trial.latest.done,
            description=f"trying settings: {trial.progress()}",
        )

    def close(self) -> None:
        self._bar.stop()
