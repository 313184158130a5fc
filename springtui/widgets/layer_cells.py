"""A table of layers over steps made as large as a screen: layers and steps that share a cell are joined.

A cell shows the value of the joined ones that is farthest from the median of the whole table, or from 0 where
values have a sign, so that no spike and no dead layer is lost where layers or steps share a cell.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.arrays import Floats

DECADES = 2.0
"""Decades that positive values span from which their scale is logarithmic."""
_SHARE = 0.01
"""Part of the values that may lie beyond either end of the scale, where the scale would be flat else."""
_FLAT = 0.5
"""A scale is cut where what is left of it is less than this part of the whole."""
_LEAST_EVEN = 100.0
"""The end of a signed scale is at most so many times the size up to which it is linear."""
_ENOUGH = 20_000
"""Values that quantiles are taken of."""
Indices = npt.NDArray[np.intp]


class Scale(NamedTuple):
    """The values at the ends of a scale of colours."""

    low: float
    high: float
    log: bool = False
    """Whether low and high are decimal logarithms of values."""
    below: bool = False
    above: bool = False
    """Whether some values lie below, or above."""
    even_to: float = 0.0
    """Of a signed scale, whose middle is 0, the size of values up to which it is about linear; 0 of any other."""

    def value(self, place: float) -> float:
        """The value at a place between ``low`` and ``high``."""
        if self.even_to:
            return self.even_to * math.sinh(place)
        return float(10.0**place) if self.log else place

    def places(self, values: Floats) -> Floats:
        """Values as places on this scale; zero is infinitely low on a logarithmic one."""
        if self.even_to:
            found: Floats = np.arcsinh(values / self.even_to)
            return found
        return places_on(values, log=self.log)


class Cells(NamedTuple):
    """A table joined to lines and columns."""

    places: Floats
    """On the scale, [lines, columns]; NaN where no value is known."""
    scale: Scale
    rows: Indices
    """First layer of each line, [lines]."""
    owners: Indices
    """The layer whose value a cell shows, [lines, columns]."""
    columns: Indices
    """The last step, by its number, that a column shows, [columns]."""


def scale_of(values: Floats) -> Scale:
    """The scale for these values: logarithmic where none is negative and they span decades."""
    known = values[np.isfinite(values)]
    positive = known[known > 0]
    if not known.size:
        return Scale(0.0, 1.0)
    log = bool(positive.size > known.size / 2 and known.min() >= 0 and _decades(positive) >= DECADES)
    places = np.log10(positive) if log else known
    low, high = float(places.min()), float(places.max())
    inner = _inner(places)
    if inner[1] - inner[0] < _FLAT * (high - low) and inner[1] > inner[0]:
        low, high = inner
    every = places_on(values, log=log)
    with np.errstate(invalid="ignore"):
        return Scale(low, high, log, bool(np.any(every < low)), bool(np.any(every > high)))


def signed_scale_of(values: Floats, setting: Floats) -> Scale:
    """The scale for values with a sign: its middle is 0, both ends are as far, and small ones keep their colours.

    A value v is at the place arsinh(v / s), which is linear in v up to s and logarithmic beyond. s is the median
    size, but at least a hundredth of the size at the ends, so that what is nearly 0 looks so.

    Args:
        values: all values, [L, T].
        setting: those that the ends are set by; others may lie beyond.
    """
    sizes = np.abs(setting[np.isfinite(setting)])
    if not sizes.size:
        sizes = np.abs(values[np.isfinite(values)])
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return Scale(-1.0, 1.0, even_to=1.0)
    end, inner = float(sizes.max()), float(np.quantile(_some(sizes), 1.0 - _SHARE))
    end = inner if inner < _FLAT * end else end
    even_to = max(float(np.median(_some(sizes))), end / _LEAST_EVEN)
    place = math.asinh(end / even_to)
    with np.errstate(invalid="ignore"):
        return Scale(-place, place, False, bool(np.any(values < -end)), bool(np.any(values > end)), even_to)


def _some(values: Floats) -> Floats:
    """At most ``_ENOUGH`` of the values, at even distances: quantiles of all would take longer than drawing."""
    return values[:: -(-len(values) // _ENOUGH)]


def _decades(positive: Floats) -> float:
    low, high = _inner(np.log10(positive))
    return high - low


def _inner(places: Floats) -> tuple[float, float]:
    """The ends of all values but a small share at either side."""
    low, high = np.quantile(_some(places), [_SHARE, 1.0 - _SHARE])
    return float(low), float(high)


def places_on(values: Floats, *, log: bool) -> Floats:
    """Values as places on a scale; zero is infinitely low on a logarithmic one."""
    if not log:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.log10(values)
    return found


def joined(steps: Floats, values: Floats, lines: int, columns: int, scale: Scale | None = None) -> Cells:
    """The table in at most ``lines`` lines and exactly ``columns`` columns.

    A column that no step lies in shows the step before it.

    Args:
        steps: not decreasing, [T], T at least 1.
        values: [L, T], L at least 1; NaN where unknown.
        lines, columns: at least 1.
        scale: of the colours; None takes that of ``scale_of``.
    """
    scale = scale_of(values) if scale is None else scale
    places = scale.places(values)
    known = places[np.isfinite(places)]
    middle = float(np.median(_some(known))) if known.size and not scale.even_to else 0.0
    starts, held = _columns(steps, columns)
    low, high = np.fmin.reduceat(places, starts, axis=1), np.fmax.reduceat(places, starts, axis=1)
    extremes = _farthest(low, high, middle)
    count = min(lines, len(values))
    rows = np.arange(count) * len(values) // count
    far = np.abs(extremes - middle)
    far[np.isnan(far)] = -1.0
    owners = np.stack(
        [first + far[first:end].argmax(axis=0) for first, end in zip(rows, [*rows[1:], len(values)], strict=True)]
    )
    cells = np.take_along_axis(extremes, owners, axis=0)
    ends = np.append(starts[1:], len(steps)) - 1
    return Cells(cells[:, held], scale, rows, owners[:, held], ends[held])


def _columns(steps: Floats, columns: int) -> tuple[Indices, Indices]:
    """The first step of each group of steps that share a column, and by column the group that it shows."""
    span = steps[-1] - steps[0]
    at = np.zeros(len(steps), dtype=np.intp)
    if span > 0:
        at = np.minimum(((steps - steps[0]) / span * columns).astype(np.intp), columns - 1)
    starts = np.flatnonzero(np.diff(at, prepend=-1))
    return starts, np.searchsorted(at[starts], np.arange(columns), side="right") - 1


def _farthest(low: Floats, high: Floats, middle: float) -> Floats:
    """Of two values the one farther from the middle; NaN where both are."""
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(high - middle >= middle - low, high, low)
    return found


def levels(cells: Floats, scale: Scale, count: int) -> Indices:
    """The level of each cell, 0 … count - 1, and count where no value is known."""
    span = scale.high - scale.low
    unknown = np.isnan(cells)
    if span > 0:
        parts = np.clip((np.where(unknown, scale.low, cells) - scale.low) / span, 0.0, 1.0)
        found = np.minimum((parts * count).astype(np.intp), count - 1)
    else:
        found = np.full(cells.shape, count // 2, dtype=np.intp)
    found[unknown] = count
    return found
