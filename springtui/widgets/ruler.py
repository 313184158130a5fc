"""The chain as a folding ruler: one segment a spring, opened as far as the spring is stretched; drawn in dots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell, by row and column."""


def corners(points: Sequence[float], scale: float, length: float) -> list[tuple[float, float]]:
    """The ruler's hinges from the wall to the last point, x in units of ``scale`` and height in [0, 1].

    A segment of fixed length lies flat where it is fully open and stands where it is folded; hinges lie below and
    above in turn.
    """
    ends, scale = [0.0, *points], scale or 1.0
    rise = [math.sqrt(max(0.0, length**2 - min(length, abs(b - a)) ** 2)) for a, b in itertools.pairwise(ends)]
    tallest = max(length, 1e-12)
    hinges, height = [(0.0, 0.0)], 0.0
    for number, (end, step) in enumerate(zip(ends[1:], rise, strict=True)):
        height = step if number % 2 == 0 else max(0.0, height - step)
        hinges.append((min(1.0, max(0.0, end / scale)), min(1.0, height / tallest)))
    return hinges


def draw(hinges: Sequence[tuple[float, float]], width: int, height: int, *, plain: bool) -> list[str]:
    """Lines of text, ``height`` of them, ``width`` cells wide; ``plain`` keeps to ASCII."""
    across, down = (width, height) if plain else (2 * width, 4 * height)
    lit: set[tuple[int, int]] = set()
    pixels = [(round(x * (across - 1)), round((1.0 - y) * (down - 1))) for x, y in hinges]
    for (x0, y0), (x1, y1) in itertools.pairwise(pixels):
        count = max(abs(x1 - x0), abs(y1 - y0), 1)
        lit |= {(round(x0 + (x1 - x0) * k / count), round(y0 + (y1 - y0) * k / count)) for k in range(count + 1)}
    if plain:
        return ["".join("*" if (x, y) in lit else " " for x in range(width)) for y in range(height)]
    cells = [[0] * width for _ in range(height)]
    for x, y in lit:
        cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    return ["".join(chr(0x2800 + bits) if bits else " " for bits in row) for row in cells]
