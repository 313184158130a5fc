"""An axis that does not jump as its data change: it grows at once, and shrinks only after some seconds of need."""

from __future__ import annotations

import time
from collections.abc import Callable

from springtui.widgets.ticks import Axis

HOLD_SECONDS = 4.0
"""Seconds for which the data must have needed a shorter axis without a break before it is taken."""
WELL_FILLED = 0.85
"""An axis is kept where the one made for the data alone would have at least this fraction of its length."""


class HeldAxis:
    """The axis drawn last, and since when a shorter one would do.

    Args:
        clock: the time in seconds; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Drop the axis: the next one is made for its data alone."""
        self._key: object = None
        self._axis: Axis | None = None
        self._data = (0.0, 0.0)
        """Least and largest value that the axis was made for or has shown since."""
        self._need: tuple[float, float] | None = None
        """Least and largest value since a shorter axis would do; None where it would not."""
        self._since = 0.0

    @property
    def is_due(self) -> bool:
        """Whether a shorter axis has been needed for long enough, so that it is taken at the next drawing."""
        return self._need is not None and self._clock() - self._since >= HOLD_SECONDS

    def over(self, low: float, high: float, key: object, make: Callable[[float, float], Axis]) -> Axis:
        """The axis for data from ``low`` to ``high``.

        Args:
            low, high: of the data now.
            key: what is drawn, and how; another key than the last one's forgets the axis.
            make: gives the axis for data between two values.
        """
        if self._axis is None or key != self._key:
            self.forget()
            self._key = key
            return self._take(low, high, make)
        data = min(low, self._data[0]), max(high, self._data[1])
        if low < self._axis.low or high > self._axis.high:
            return self._take(*data, make)
        self._data = data
        wanted = make(low, high)
        if wanted.high - wanted.low >= WELL_FILLED * (self._axis.high - self._axis.low):
            self._need = None
            return self._axis
        if self._need is None:
            self._since = self._clock()
            self._need = low, high
        self._need = min(low, self._need[0]), max(high, self._need[1])
        return self._take(*self._need, make) if self.is_due else self._axis

    def _take(self, low: float, high: float, make: Callable[[float, float], Axis]) -> Axis:
        self._data, self._need = (low, high), None
        self._axis = make(low, high)
        return self._axis
