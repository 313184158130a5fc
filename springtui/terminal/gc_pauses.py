"""Python's collector of garbage, kept out of the way of keys.

A full collection looks at every object there is, and this app with its libraries has so many that one takes
60 ms: a key that falls into it is answered late. So full collections are made at moments when nobody types. The
small ones, of a millisecond or two, go on by themselves.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

QUIET = 1.0
"""Seconds without a key after which a collection disturbs nobody."""
SOONEST = 20.0
"""Seconds from one to the next at least: it costs 0.3 % of a core then."""
LONGEST = 120.0
"""Seconds after which one that is due is made in any case: memory is bounded also for those who never rest."""
DUE = 10
"""Collections of the middle generation after which Python itself would think of a full one."""
LOOK_SECONDS = 2.0
"""So often it is looked whether the moment is good."""
_NEVER = 1 << 30


class Collector:
    """Full collections by moment, not by number of objects; for the whole process, until ``close``."""

    def __init__(
        self, seconds_since_key: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds_since_key = seconds_since_key
        self._clock = clock
        self._last = clock()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*self._thresholds[:2], _NEVER)

    def look(self) -> bool:
        """Collect, if it is due, and the moment is good or it was put off for long; whether it was done."""
        waited = self._clock() - self._last
        if gc.get_count()[2] < DUE or waited < SOONEST:
            return False
        if self._seconds_since_key() < QUIET and waited < LONGEST:
            return False
        gc.collect()
        self._last = self._clock()
        return True

    def close(self) -> None:
        """Python's own way again."""
        gc.set_threshold(*self._thresholds)
