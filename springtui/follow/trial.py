"""The process of a trial, followed from a thread: its progress, its end, and its cancellation."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading

import msgspec

from engine.errors import WorkerError
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
        try:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
        except OSError as error:
            raise WorkerError(
                f"cannot start a trial of {run.id}: no temporary file can be made ({error.strerror or error}); "
                "free space, or set TMPDIR to a directory that can be written"
            ) from error
        try:
            self.process = launch_trial(run, seconds=seconds, errors=self._errors.fileno())
        except BaseException:
            self._errors.close()
            raise
        self._thread = threading.Thread(target=self._follow, name=f"trial-{run.id}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._give_up()
            raise WorkerError(f"cannot follow a trial of {run.id}: {error}") from error

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
        """End the process; it keeps nothing, unless all was measured already. Waits for its end.

        Raises:
            WorkerError: it was killed, and still has not ended.
        """
        self.is_cancelled = True
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self._wait_for_killed()

    def _wait_for_killed(self) -> None:
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise WorkerError(
                f"the trial of {self.run.id} was killed and has not ended after {_PATIENCE:g} s (process "
                f"{self.process.pid}): it waits for a disk or a network that does not answer"
            ) from error

    def _give_up(self) -> None:
        """Kill a process that cannot be followed, and close what it was connected to."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

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
