"""Reads requests from a run's control file while its worker computes, acts on them and acknowledges each."""

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

_POLL_SECONDS = 0.02
"""Seconds between reads of the control file while computing: short enough to feel immediate at a slider."""
_PAUSED_POLL_SECONDS = 0.03
"""Seconds between reads while paused."""
_CHECK_SECONDS = 0.5
"""Seconds between checks that the run's directory still exists."""

Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Applies settings and returns the values now in force, or raises ConfigError and changes nothing."""
Hold = Callable[[int], bool]
"""Whether changes of settings must wait at this step."""


def _never(_step: int) -> bool:
    return False


class Interrupted:
    """Sets ``asked`` on SIGTERM; installed before slow imports, so that an early signal is not lost."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Handle SIGTERM, including one blocked since the process began (see ``runs.launch``).

        Does nothing outside the main thread, which alone may handle signals.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handle)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True


class ControlLoop:
    """Applies requests between steps; each is acknowledged with the first step that it affects."""

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
        self._deferred: list[Control] = []
        self._paused = False
        self._next = 0.0
        self._next_check = 0.0

    @property
    def paused(self) -> bool:
        """Whether a pause is in force."""
        return self._paused

    def poll(self, step: int, *, now: bool = False) -> bool:
        """Apply new requests; while paused, block. Returns False once stopped.

        Args:
            step: the first step that a request applied now affects.
            now: read the file even if it was read less than 20 ms ago.

        Raises:
            RunDirectoryError: the run's directory was removed.
            DiskFullError: there is no room for an acknowledgement.
        """
        clock = time.monotonic()
        if self._interrupted is not None and self._interrupted.asked:
            self.stopped = True
        if not self.stopped and (now or clock >= self._next):
            self._next = clock + _POLL_SECONDS
            self._apply_new(step)
            while self._paused and not self.stopped:
                time.sleep(_PAUSED_POLL_SECONDS)
                if self._interrupted is not None and self._interrupted.asked:
                    self.stopped = True
                self._apply_new(step)
            if (waited := time.monotonic() - clock) > _PAUSED_POLL_SECONDS:
                self.paused_seconds += waited
        return not self.stopped

    def _apply_new(self, step: int) -> None:
        if (clock := time.monotonic()) >= self._next_check:
            self._next_check = clock + _CHECK_SECONDS
            self._writer.require_still_ours()
        requests, self._deferred = [*self._deferred, *self._controls.new()], []
        for control in requests:
            if control.action == "set" and self._hold(step):
                self._deferred.append(control)
            else:
                self._apply(control, step)

    def _apply(self, control: Control, step: int) -> None:
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


class Stopwatch:
    """Counts the seconds that all workers have spent on a run, without pauses."""

    def __init__(self, loop: ControlLoop, earlier: float = 0.0) -> None:
        """``earlier``: seconds that earlier workers spent, up to the checkpoint."""
        self._loop = loop
        self._earlier = earlier
        self._began = time.monotonic()

    def seconds(self) -> float:
        """The seconds so far."""
        return self._earlier + time.monotonic() - self._began - self._loop.paused_seconds
