"""The colours of a diagram: cividis, which people with colour-vision deficiencies read as others do.

Quantised to 16 levels, since every new colour costs a slow link some forty bytes. Colours after Nuñez, Anderton &
Renslow, PLoS ONE 13 (2018).
"""

from __future__ import annotations

import math

from textual.color import Color

LEVELS = 16
_ANCHORS = ((0, 34, 78), (33, 59, 110), (76, 85, 108), (108, 110, 114), (142, 137, 120), (177, 166, 112),
            (214, 197, 95), (254, 232, 56))  # fmt: skip


def level(value: float, low: float, high: float) -> int | None:
    """0 … 15 for a value within the range; None for what is no number."""
    if not math.isfinite(value):
        return None
    if high <= low:
        return LEVELS // 2
    return min(LEVELS - 1, max(0, int((value - low) / (high - low) * LEVELS)))


def color(number: int) -> Color:
    """A level's colour."""
    place = number / (LEVELS - 1) * (len(_ANCHORS) - 1)
    left = min(int(place), len(_ANCHORS) - 2)
    part = place - left
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(_ANCHORS[left], _ANCHORS[left + 1], strict=True))
    return Color(red, green, blue)


def ink(background: Color) -> Color:
    """Black or white, whichever is legible."""
    return Color(0, 0, 0) if background.brightness > 0.5 else Color(255, 255, 255)
