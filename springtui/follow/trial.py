"""The process of a trial, followed from a thread: its progress, its end, and its cancellation."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading

import msgspec

from engine.runs.directory import Run
from engine.runs.launch import CANCELLED, TrialLine, launch_trial
from engine.runs.status import exit_in_words

from ..state.wording import duration

_LINE_LIMIT = 1 << 16
_PATIENCE = 5.0
"""Seconds that a cancelled process may take to end before it is killed."""


class TrialProcess:
    """A process that tries other settings of one run; it begins at once.

    Args:
        run: the run.
        seconds: as of ``launch_trial``.

    Raises:
        WorkerError: it could not be started.
    """

    def __init__(self, run: Run, seconds: float | None = None) -> None:
        self.run = run
        self.latest = TrialLine()
        """The newest line."""
        self.error = ""
        """Why it failed, once it has ended; empty where it did not."""
        self.is_cancelled = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
        self.process = launch_trial(run, seconds=seconds, errors=self._errors.fileno())
        self._thread = threading.Thread(target=self._follow, name=f"trial-{run.id}", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the process has ended and all that it printed was read."""
        return not self._thread.is_alive()

    def progress(self) -> str:
        """How far it has come, in words."""
        line = self.latest
        if not line.total:
            return line.text or "starting"
        return f"{line.done} of {line.total} networks, {duration(line.left)} left"

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; False where it has not come after ``seconds``."""
        self._thread.join(seconds)
        return self.is_over

    def cancel(self) -> None:
        """End the process; it keeps nothing, unless all was measured already. Waits for its end."""
        self.is_cancelled = True
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_PATIENCE)

    def _follow(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            while line := lines.readline(_LINE_LIMIT):
                with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    self.latest = msgspec.json.decode(line, type=TrialLine)
        status = self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.latest.error:
            self.error = self.latest.error
        elif status == CANCELLED:
            self.is_cancelled = True
        elif status and not self.is_cancelled:
            self.error = f"the trial's process {exit_in_words(status)}{self._last_words()}"
        self._errors.close()

    def _last_words(self) -> str:
        """The last line that the process wrote to its standard error, after a colon; empty where there is none."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _LINE_LIMIT))
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
