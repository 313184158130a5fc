"""A quantity over epochs or steps in bounded memory; thinning keeps extremes."""

from __future__ import annotations

import bisect
import copy
import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

HISTORY_POINTS = 1200
"""A history holds no more points than this; a plot is at most some 200 cells of 2 dots wide."""
_BUCKETS = (HISTORY_POINTS - 2) // 2


class _Bucket(NamedTuple):
    """The smallest and the largest of neighbouring points."""

    low_x: float
    low: float
    high_x: float
    high: float


class History:
    """Points of a quantity; buckets of neighbours keep the smallest and the largest, so that no spike is lost.

    Where there are too many buckets, each two are joined. The first and the newest point are always kept.
    """

    def __init__(self) -> None:
        self.seen = 0
        """Points taken in."""
        self.stride = 1
        """Points that share a bucket."""
        self._buckets: list[_Bucket] = []
        self._first = self._newest = (0.0, 0.0)
        self._points: tuple[list[float], list[float]] | None = None

    def add(self, x: float, y: float) -> None:
        """Add a point; ``x`` should not decrease.

        Raises:
            OverflowError: a number too large for a float.
        """
        x, y = float(x), float(y)
        if not self.seen:
            self._first = (x, y)
        if self.seen % self.stride == 0:
            self._buckets.append(_Bucket(x, y, x, y))
        else:
            last = self._buckets[-1]
            if y < last.low:
                self._buckets[-1] = last._replace(low_x=x, low=y)
            elif y > last.high:
                self._buckets[-1] = last._replace(high_x=x, high=y)
        self._newest = (x, y)
        self.seen += 1
        if len(self._buckets) > _BUCKETS:
            self._join()
        self._points = None

    def extend(self, x: Floats, y: Floats) -> None:
        """Add many points at once, with the same result as one after the other; ``x`` should not decrease.

        Args:
            x: [n].
            y: [n], finite.
        """
        if not len(x):
            return
        if not self.seen:
            self._first = float(x[0]), float(y[0])
        stride = self.stride
        while -(-(self.seen + len(x)) // stride) > _BUCKETS:
            stride *= 2
        while self.stride < stride:
            self._join()
        if rest := -self.seen % self.stride:  # the last bucket became a part of a larger one
            self._complete(x[:rest], y[:rest])
        self._buckets += _bucketed(x[rest:], y[rest:], self.stride)
        self._newest = float(x[-1]), float(y[-1])
        self.seen += len(x)
        self._points = None

    def _complete(self, x: Floats, y: Floats) -> None:
        """Add points to the last bucket."""
        self._buckets[-1] = _joined(self._buckets[-1], _bucketed(x, y, max(1, len(x)))[0])

    def _join(self) -> None:
        """Join each two buckets; the last one stays half full where it has no partner."""
        pairs = zip(self._buckets[::2], self._buckets[1::2], strict=False)
        alone = self._buckets[-1:] if len(self._buckets) % 2 else []
        self._buckets = [_joined(a, b) for a, b in pairs] + alone
        self.stride *= 2

    @property
    def x(self) -> list[float]:
        """x of the points that are kept."""
        return self.points()[0]

    @property
    def y(self) -> list[float]:
        """y of the points that are kept."""
        return self.points()[1]

    def points(self) -> tuple[list[float], list[float]]:
        """x and y of the points that are kept, in order; at most ``HISTORY_POINTS``."""
        if self._points is None:
            found = [self._first] if self.seen else []
            for bucket in self._buckets:
                ends = [(bucket.low_x, bucket.low), (bucket.high_x, bucket.high)]
                found += sorted(ends) if ends[0] != ends[1] else ends[:1]
            found += [self._newest] if self.seen else []
            kept = [point for i, point in enumerate(found) if i == 0 or point != found[i - 1]]
            self._points = [x for x, _ in kept], [y for _, y in kept]
        return self._points

    def copy(self) -> History:
        """A history with the same points, which stays as it is when this one grows."""
        same = copy.copy(self)
        same._buckets = list(self._buckets)
        return same

    def until(self, x: float) -> tuple[list[float], list[float]]:
        """x and y of the kept points up to this x."""
        xs, ys = self.points()
        end = bisect.bisect_right(xs, x)
        return xs[:end], ys[:end]


def _joined(a: _Bucket, b: _Bucket) -> _Bucket:
    low = (a.low_x, a.low) if a.low <= b.low else (b.low_x, b.low)
    high = (a.high_x, a.high) if a.high >= b.high else (b.high_x, b.high)
    return _Bucket(*low, *high)


def _bucketed(x: Floats, y: Floats, stride: int) -> list[_Bucket]:
    """The buckets of ``stride`` neighbouring points each, the last one perhaps of fewer."""
    import numpy as np  # no first frame waits for it

    whole = len(y) // stride * stride
    parts = [(x[:whole].reshape(-1, stride), y[:whole].reshape(-1, stride))] if whole else []
    if whole < len(y):
        parts.append((x[None, whole:], y[None, whole:]))
    found: list[_Bucket] = []
    for xs, ys in parts:
        rows = np.arange(len(ys))
        low, high = ys.argmin(axis=1), ys.argmax(axis=1)
        columns = xs[rows, low], ys[rows, low], xs[rows, high], ys[rows, high]
        found += itertools.starmap(_Bucket, zip(*(column.tolist() for column in columns), strict=True))
    return found
