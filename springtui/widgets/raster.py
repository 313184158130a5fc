"""Curves rasterised to braille dots in character cells with NumPy, and cells turned into strips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from engine.arrays import Floats

Codes: TypeAlias = npt.NDArray[np.uint32]
"""Unicode code points of cells, lines × columns."""
Owners: TypeAlias = npt.NDArray[np.int16]
"""An index per cell, lines × columns: of a curve or of a style."""

NOBODY = -1
"""The index of a cell without a dot."""
BLANK = ord(" ")
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint32)
"""Bits of a braille cell, by row and column (Unicode, block 2800)."""
_BRAILLE = 0x2800
_INSET = 0.5016585662, 0.501516152
"""Cells from the canvas's edges to the first and the last value: half a cell and a little, as in plotext."""


class Curve(NamedTuple):
    """Points of one curve, all finite; ``lines`` joins neighbours."""

    x: Sequence[float]
    y: Sequence[float]
    lines: bool = True


def rasterise(
    curves: Sequence[Curve],
    x_ends: tuple[float, float],
    y_ends: tuple[float, float],
    width: int,
    height: int,
    *,
    ascii_only: bool = False,
) -> tuple[Codes, Owners]:
    """The cells' code points, and the index of the last curve with a dot in each cell, or NOBODY; [height, width].

    The first and last value of an axis lie in the middle of its first and last cell. Points beyond are clipped; a
    line to a point more than one axis length beyond changes direction.

    Args:
        curves: drawn in this order, later ones on top.
        x_ends, y_ends: the values in the first and last column, and in the lowest and highest line.
        width, height: of the canvas, in cells.
        ascii_only: draw a star in every cell that a curve passes, in place of 2 × 4 braille dots.
    """
    codes = np.full(height * width, BLANK, np.uint32)
    owners = np.full(height * width, NOBODY, np.int16)
    lengths = [len(curve.x) for curve in curves]
    if not any(lengths):
        return codes.reshape(height, width), owners.reshape(height, width)
    across, down = (1, 1) if ascii_only else (2, 4)
    x = across * _places(np.concatenate([curve.x for curve in curves]), *x_ends, width)
    y = down * _places(np.concatenate([curve.y for curve in curves]), y_ends[1], y_ends[0], height)
    step_x, step_y = np.diff(x, append=x[-1]), np.diff(y, append=y[-1])
    steps = np.maximum(np.abs(np.diff(x.astype(int), append=0)), np.abs(np.diff(y.astype(int), append=0)))
    steps[~np.repeat([curve.lines for curve in curves], lengths)] = 1
    steps[np.cumsum(lengths) - 1] = 1  # a curve's last point is joined to nothing
    np.maximum(steps, 1, out=steps)
    start = np.repeat(np.arange(len(x)), steps)
    part = (np.arange(len(start)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[start]
    x, y = x[start] + step_x[start] * part, y[start] + step_y[start] * part
    inside = (x >= 0) & (x < across * width) & (y >= 0) & (y < down * height)
    column, line = x[inside].astype(int), y[inside].astype(int)
    cells = line // down * width + column // across
    owners[cells] = np.repeat(np.arange(len(curves)), lengths)[start][inside]  # of equal indices the last counts
    if ascii_only:
        codes[cells] = ord("*")
    else:
        codes[cells] = _BRAILLE
        np.bitwise_or.at(codes, cells, _DOTS[line % down, column % across])
    return codes.reshape(height, width), owners.reshape(height, width)


def _places(values: Floats, first: float, last: float, cells: int) -> Floats:
    """Positions on an axis in cells from its beginning, [N]; in the middle where the axis has no length."""
    span = last / 2 - first / 2  # halves do not overflow
    parts = (values / 2 - first / 2) / span if span else np.full(len(values), 0.5)
    return np.clip(
        _INSET[0] + (cells - sum(_INSET)) * parts, -cells - 1, 2 * cells + 1
    )  # bounds the number of steps


def to_strips(codes: Codes, kinds: Owners, styles: Sequence[Style]) -> list[Strip]:
    """One strip a line; ``kinds``, [height, width], indexes ``styles``. Every character is one cell wide."""
    height, width = codes.shape
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    changes = kinds[:, 1:] != kinds[:, :-1]
    strips = []
    for line in range(height):
        offset, begin = line * width, 0
        segments = []
        for end in [*(np.flatnonzero(changes[line]) + 1).tolist(), width]:
            segments.append(Segment(text[offset + begin : offset + end], styles[kinds[line, begin]]))
            begin = end
        strips.append(Strip(segments, width))
    return strips
