"""Python's collector of garbage, kept out of the way of keys.

A full collection looks at every object there is, and this app with its libraries has so many that one takes
60 ms: a key that falls into it is answered late. So what stands once the app is open is put where no collection
looks, and full collections are made at moments when nobody types.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

QUIET = 1.0
"""Seconds without a key after which a collection disturbs nobody."""
LONGEST = 60.0
"""Seconds after which one is made in any case: memory is bounded also for those who never rest."""
DUE = 10
"""Collections of the middle generation, after which Python itself would make a full one: less is not worth it."""
LOOK_SECONDS = 2.0
"""So often it is looked whether the moment is good."""
_NEVER = 1 << 30


class Collector:
    """Full collections by moment, not by number of objects; the small ones, of a millisecond, go on as ever."""

    def __init__(
        self, seconds_since_key: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds_since_key = seconds_since_key
        self._clock = clock
        self._last = clock()
        self._frozen = False
        gc.set_threshold(*gc.get_threshold()[:2], _NEVER)

    def look(self) -> bool:
        """Collect, if it is due, and the moment is good or it was put off for long; whether it was done."""
        if self._frozen and gc.get_count()[2] < DUE:
            return False
        waited = self._clock() - self._last
        if self._seconds_since_key() < QUIET and waited < LONGEST:
            return False
        gc.collect()
        if not self._frozen:
            self._frozen = True
            gc.freeze()
        self._last = self._clock()
        return True
