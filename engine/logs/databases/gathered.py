"""What became known of one run since its last batch."""

from __future__ import annotations

from array import array

import numpy as np

from ..batch import Batch
from ..series import Series


class Gathered:
    """Points and the rest of one run, kept in 24 bytes a point until they are taken."""

    def __init__(self) -> None:
        self.batch = Batch()
        """All but the points."""
        self._points: dict[str, tuple[array[int], array[float], array[float]]] = {}

    def add(self, tag: str, step: int, value: float, when: float) -> None:
        """Keep one point; ``when`` in seconds since the epoch, NaN where it is not known.

        Raises:
            TypeError: the step is no whole number.
            OverflowError: the step has more than 64 bits.
        """
        columns = self._points.get(tag)
        if columns is None:
            columns = array("q"), array("d"), array("d")
        columns[0].append(step)
        columns[1].append(value)
        columns[2].append(when)
        self._points[tag] = columns

    def extend(self, tag: str, points: Series) -> None:
        """Keep points of one tag."""
        columns = self._points.setdefault(tag, (array("q"), array("d"), array("d")))
        columns[0].frombytes(points.step.tobytes())
        columns[1].frombytes(points.value.tobytes())
        columns[2].frombytes(points.time.tobytes())

    def taken(self) -> Batch:
        """All that was kept."""
        for tag, (step, value, when) in self._points.items():
            self.batch.points[tag] = Series(
                np.frombuffer(step, np.int64), np.frombuffer(value, np.float64), np.frombuffer(when, np.float64)
            )
        return self.batch
