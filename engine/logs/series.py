"""The points of one scalar in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Points of one scalar in the order in which they were logged: 24 bytes a point."""

    step: Ints
    """[n]: what the log counts: optimiser steps, batches, epochs or samples."""
    value: Floats
    """[n]: NaN and infinities where the training logged them."""
    time: Floats
    """[n]: seconds since the epoch; NaN where the log does not say."""

    def __post_init__(self) -> None:
        if not len(self.step) == len(self.value) == len(self.time):
            raise ValueError(
                f"{len(self.step)} steps, {len(self.value)} values, {len(self.time)} times; give one each a point"
            )

    def __len__(self) -> int:
        return len(self.step)

    def first(self, count: int) -> Series:
        """The first ``count`` points, in the same memory."""
        return Series(self.step[:count], self.value[:count], self.time[:count])

    def behind(self, count: int) -> Series:
        """The points after the first ``count``, in the same memory."""
        return Series(self.step[count:], self.value[count:], self.time[count:])

    def before(self, step: int) -> Series:
        """The points at steps smaller than ``step``."""
        kept = self.step < step
        return Series(self.step[kept], self.value[kept], self.time[kept])

    def since(self, step: int) -> Series:
        """The points at ``step`` and later ones."""
        kept = self.step >= step
        return Series(self.step[kept], self.value[kept], self.time[kept])


def series_of(steps: Sequence[int], values: Sequence[float], times: Sequence[float] | float = np.nan) -> Series:
    """A series of plain numbers, one time for all or one a point.

    Raises:
        ValueError: the lengths differ.
    """
    time = np.full(len(steps), times) if isinstance(times, (int, float)) else np.array(times, dtype=np.float64)
    return Series(np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64), time)


def joined(parts: Sequence[Series]) -> Series:
    """The points of several series, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return series_of([], [])
    return Series(
        np.concatenate([part.step for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.time for part in parts]),
    )
