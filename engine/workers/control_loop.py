"""A worker's ear: takes what is asked in ``control.jsonl``, answers each request, and holds pause and stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from ..errors import ConfigError
from ..runs.controls import ControlReader
from ..runs.records import Acknowledged, Control
from ..runs.writer import RunWriter

_LOOK = 0.02
"""Seconds between looks at the control file while working: a slider is answered before the eye sees it."""
_REST = 0.03
"""Seconds between looks while paused."""
_SURE = 0.5
"""Seconds between looks whether the run's directory is still there."""

Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes settings on and returns the values now in force, or raises ConfigError and changes nothing."""
Hold = Callable[[int], bool]
"""Whether settings must wait at this step."""


def _never(_step: int) -> bool:
    return False


class Interrupted:
    """Turns SIGTERM into a request to stop; installed before anything slow is imported."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Hear SIGTERM, also one that was kept waiting (see ``launch``).

        Only the main thread of a process may hear signals; elsewhere this does nothing.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._hear)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True


class ControlLoop:
    """Polled between steps; ``step`` in every answer is the first step that the answer holds for."""

    def __init__(
        self,
        writer: RunWriter,
        controls: ControlReader,
        change: Change,
        interrupted: Interrupted | None = None,
        hold: Hold = _never,
    ) -> None:
        self.stopped = False
        self.paused_seconds = 0.0
        self._writer = writer
        self._controls = controls
        self._change = change
        self._interrupted = interrupted
        self._hold = hold
        self._held: list[Control] = []
        self._paused = False
        self._next = 0.0
        self._next_sure = 0.0

    @property
    def paused(self) -> bool:
        """Whether a pause is in force."""
        return self._paused

    def poll(self, step: int, *, now: bool = False) -> bool:
        """Take what was asked, and wait out a pause; whether to go on.

        Args:
            step: the first step that an answer given now holds for.
            now: look at the file even if the last look was a moment ago.

        Raises:
            RunDirectoryError: the run's directory was removed.
            DiskFullError: there is no room for an answer.
        """
        clock = time.monotonic()
        if self._interrupted is not None and self._interrupted.asked:
            self.stopped = True
        if not self.stopped and (now or clock >= self._next):
            self._next = clock + _LOOK
            self._take_all(step)
            while self._paused and not self.stopped:
                time.sleep(_REST)
                if self._interrupted is not None and self._interrupted.asked:
                    self.stopped = True
                self._take_all(step)
            if (waited := time.monotonic() - clock) > _REST:
                self.paused_seconds += waited
        return not self.stopped

    def _take_all(self, step: int) -> None:
        if (clock := time.monotonic()) >= self._next_sure:
            self._next_sure = clock + _SURE
            self._writer.require_still_ours()
        asked, self._held = [*self._held, *self._controls.new()], []
        for control in asked:
            if control.action == "set" and self._hold(step):
                self._held.append(control)
            else:
                self._take(control, step)

    def _take(self, control: Control, step: int) -> None:
        error, settings = "", {}
        try:
            if control.action == "set":
                settings = dict(self._change(control.settings))
            elif control.action in {"pause", "resume"}:
                self._paused = control.action == "pause"
            elif control.action == "stop":
                self.stopped = True
            else:
                error = f"unknown request {control.action!r}; allowed: set, pause, resume, stop"
        except ConfigError as refusal:
            error = str(refusal)
        self._writer.write(
            Acknowledged(control=control.seq, action=control.action, step=step, settings=settings, error=error)
        )
