"""How fast the terminal takes what is drawn, and so when the next picture may go out.

A program's writes say nothing of a slow link: ssh, the kernel and the network take seconds of output before a
write waits. So each picture ends with a question that every terminal answers, where the cursor is. What is not
answered is still on its way, and while much of it is, nothing new is drawn: pictures are left out, and none waits
in a line. The delay of answers beyond the quickest is what waits in queues; it is kept small by a window that
grows by one and shrinks at once (the idea of LEDBAT, RFC 6817). A deaf terminal is judged by its writes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

QUESTION = "\x1b[6n"
"""Report the cursor's position; answered by ESC [ row ; column R."""
QUEUED = 0.12
"""Seconds that output may wait in queues before pictures are left out."""
MOST_ASKED = 4
"""Pictures on their way at once; more would gain nothing."""
DEAF = 2.0
"""A terminal that has not answered its first question in this many seconds never will."""
STALLED = 5.0
"""Seconds without an answer after which one more picture is risked, should answers have been lost."""
URGENT = 0.3
"""Seconds after a key in which its effect may go out before what is on its way was answered …"""
URGENT_BYTES = 2048
"""… unless more than this is on its way."""
URGENT_WRITES = 8
"""Writes that may wait for the kernel then: far from the thirty at which Textual's next one would wait itself."""
AT_ONCE = 0.1
"""Seconds after a key, or a move of the mouse, in which a picture does not wait for the next tick."""


class _Asked(NamedTuple):
    at: float
    size: int


class Pace:
    """Told of writes, answers and keys, from any thread; asked whether to draw."""

    def __init__(self, frames_per_second: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = 1.0 / frames_per_second
        self.backlog: Callable[[], int] = lambda: 0
        """Writes handed over and not yet taken by the kernel."""
        self.left_out = 0
        """Times that a picture had to wait."""
        self._clock = clock
        self._lock = threading.Lock()
        self._drained = threading.Condition(self._lock)
        self._asked: deque[_Asked] = deque()
        self._written = 0
        self._answers: bool | None = None
        self._quickest = float("inf")
        self._window = 1
        self._drew = self._heard = float("-inf")
        self._pressed = float("-inf")

    # told

    def wrote(self, size: int) -> None:
        """Output that belongs to the present picture."""
        self._written += size

    def ask(self) -> bool:
        """A picture ends, if anything was drawn; whether to put the question behind it."""
        now = self._clock()
        with self._lock:
            size, self._written = self._written, 0
            if not size:
                return False
            self._drew = now
            if self._is_deaf(now):
                return False
            self._asked.append(_Asked(now, size))
            return True

    def answered(self) -> None:
        """The terminal has drawn the oldest picture on its way."""
        now = self._clock()
        with self._lock:
            self._answers, self._heard = True, now
            if not self._asked:
                return  # one that was given up
            took = now - self._asked.popleft().at
            self._quickest = min(self._quickest, took)
            if took - self._quickest > QUEUED:
                self._window = 1
            elif len(self._asked) + 1 >= self._window:  # all of it was used, and did no harm
                self._window = min(MOST_ASKED, self._window + 1)
            if not self._asked:
                self._drained.notify_all()

    def pressed(self) -> None:
        """A key or the mouse: what it does is to be seen at once."""
        self._pressed = self._clock()

    # asked

    def ready(self) -> bool:
        """Whether a picture may go out now; else it waits, and what changes meanwhile goes with it."""
        now = self._clock()
        urgent = now - self._pressed < URGENT
        with self._lock:
            may = self._may(now, urgent)
        self.left_out += not may
        return may

    def seconds_since_key(self) -> float:
        """Since a key or the mouse was last touched."""
        return self._clock() - self._pressed

    def is_behind(self) -> bool:
        """Whether there is no point in drawing more, as the terminal has not taken the last."""
        with self._lock:
            return not self._has_room(self._clock())

    def seconds_behind(self) -> float:
        """How long the oldest picture on its way has been."""
        with self._lock:
            return self._clock() - self._asked[0].at if self._asked else 0.0

    def wait_drained(self, seconds: float) -> None:
        """Until everything is answered, or a time has passed: an answer after the end would reach the shell."""
        with self._drained:
            if self._answers is not False:
                self._drained.wait_for(lambda: not self._asked, seconds)

    def _may(self, now: float, urgent: bool) -> bool:
        if urgent:  # a write that was handed over a moment ago is on its way like others, and counted with them
            most, unanswered = (0, 0) if self._is_deaf(now) else (URGENT_WRITES, self._unanswered())
            return self.backlog() <= most and unanswered <= URGENT_BYTES
        return now - self._drew >= self.interval and self._has_room(now)

    def _unanswered(self) -> int:
        return sum(each.size for each in self._asked)

    def _is_deaf(self, now: float) -> bool:
        if self._answers is None and self._asked and now - self._asked[0].at > DEAF:
            self._answers = False
            self._asked.clear()
            self._drained.notify_all()
        return self._answers is False

    def _has_room(self, now: float) -> bool:
        if self.backlog() > 0:
            return False
        if self._is_deaf(now) or not self._asked:
            return True
        if self._answers is None:
            return len(self._asked) < MOST_ASKED
        oldest = now - self._asked[0].at
        if oldest > STALLED:
            self._asked.clear()
            return True
        return oldest - self._quickest <= QUEUED and len(self._asked) < self._window
