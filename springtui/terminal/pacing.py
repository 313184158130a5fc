"""When the next frame may be sent, from how fast the terminal draws those before it.

Writes that return at once say nothing about a slow link: ssh, the kernel and the network buffer seconds of output
before a write blocks. So each frame ends with a query that every terminal answers: the cursor's position. A frame
without an answer is still under way. While too many are, frames are skipped, not queued. The delay of answers
beyond the quickest one is time spent in queues; it is kept small by a window of frames under way that grows by one
and shrinks to one (as LEDBAT does, RFC 6817). A terminal that never answers is judged by its backlog of writes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

QUESTION = "\x1b[6n"
"""Query of the cursor's position; the answer is ESC [ row ; column R."""
QUEUED = 0.12
"""Seconds that output may wait in queues before frames are skipped."""
MOST_ASKED = 4
"""Frames under way at once, at most; more would gain nothing."""
NO_ANSWER = 2.0
"""Seconds without an answer to the first query after which the terminal is taken to answer none."""
STALLED = 5.0
"""Seconds without an answer after which one more frame is sent, in case answers were lost."""
URGENT = 0.3
"""Seconds after a key in which a frame may be sent while others are under way."""
URGENT_BYTES = 2048
"""Most characters under way for that."""
URGENT_WRITES = 8
"""Writes that may wait for the kernel then; at thirty, Textual's next write would block."""
AT_ONCE = 0.1
"""Seconds after a key, or a move of the mouse, in which a frame does not wait for Textual's next tick."""


class _Asked(NamedTuple):
    at: float
    size: int


class FramePacer:
    """Decides whether a frame may be sent, from the writes, answers and keys reported to it by any thread."""

    def __init__(self, frames_per_second: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = 1.0 / frames_per_second
        self.backlog: Callable[[], int] = lambda: 0
        """Number of writes handed to the writer thread and not yet taken by the kernel."""
        self.left_out = 0
        """Number of times that a frame had to wait."""
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

    # reports

    def wrote(self, size: int) -> None:
        """Count output, in characters, of the present frame."""
        self._written += size

    def ask(self) -> bool:
        """End the present frame; whether the query is to follow it, which is so if anything was written."""
        now = self._clock()
        with self._lock:
            size, self._written = self._written, 0
            if not size:
                return False
            self._drew = now
            if self._never_answers(now):
                return False
            self._asked.append(_Asked(now, size))
            return True

    def answered(self) -> None:
        """Note that the terminal has drawn the oldest frame under way."""
        now = self._clock()
        with self._lock:
            self._answers, self._heard = True, now
            if not self._asked:
                return  # an answer to a frame that was given up
            took = now - self._asked.popleft().at
            self._quickest = min(self._quickest, took)
            if took - self._quickest > QUEUED:
                self._window = 1
            elif len(self._asked) + 1 >= self._window:  # the whole window was used without delay
                self._window = min(MOST_ASKED, self._window + 1)
            if not self._asked:
                self._drained.notify_all()

    def pressed(self) -> None:
        """Note a key or an event of the mouse, whose effect is to be drawn at once."""
        self._pressed = self._clock()

    # queries

    def ready(self) -> bool:
        """Whether a frame may be sent now; else its changes are sent with a later one."""
        now = self._clock()
        urgent = now - self._pressed < URGENT
        with self._lock:
            may = self._may(now, urgent)
        self.left_out += not may
        return may

    def seconds_since_key(self) -> float:
        """Seconds since the last key or event of the mouse."""
        return self._clock() - self._pressed

    def is_behind(self) -> bool:
        """Whether the terminal is still drawing earlier frames, so that preparing another is wasted."""
        with self._lock:
            return not self._has_room(self._clock())

    def wait_drained(self, seconds: float) -> None:
        """Wait until every query is answered, at most some seconds: a later answer would be read by the shell."""
        with self._drained:
            if self._answers is not False:
                self._drained.wait_for(lambda: not self._asked, seconds)

    def _may(self, now: float, urgent: bool) -> bool:
        if urgent:  # writes not yet taken by the kernel count with those under way
            most, unanswered = (0, 0) if self._never_answers(now) else (URGENT_WRITES, self._unanswered())
            return self.backlog() <= most and unanswered <= URGENT_BYTES
        return now - self._drew >= self.interval and self._has_room(now)

    def _unanswered(self) -> int:
        return sum(each.size for each in self._asked)

    def _never_answers(self, now: float) -> bool:
        if self._answers is None and self._asked and now - self._asked[0].at > NO_ANSWER:
            self._answers = False
            self._asked.clear()
            self._drained.notify_all()
        return self._answers is False

    def _has_room(self, now: float) -> bool:
        if self.backlog() > 0:
            return False
        if self._never_answers(now) or not self._asked:
            return True
        if self._answers is None:
            return len(self._asked) < MOST_ASKED
        oldest = now - self._asked[0].at
        if oldest > STALLED:
            self._asked.clear()
            return True
        return oldest - self._quickest <= QUEUED and len(self._asked) < self._window
