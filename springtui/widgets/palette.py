"""The colours of a diagram: few levels between a theme's anchor colours.

Every new colour costs a slow link some forty bytes, so there are at most 32, and 16 where a theme does not say.
The default is cividis, which people with colour-vision deficiencies read as others do: Nuñez, Anderton & Renslow,
PLoS ONE 13 (2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from textual.color import Color

LEVELS = 16
MOST_LEVELS = 32
SIDE = 8
"""Levels on either side of 0 of a diverging palette."""
_VARIABLE = "heat-level-"
_CIVIDIS = ((0, 34, 78), (33, 59, 110), (76, 85, 108), (108, 110, 114), (142, 137, 120), (177, 166, 112),
            (214, 197, 95), (254, 232, 56))  # fmt: skip


class Palette:
    """Colours from low to high."""

    def __init__(self, colors: Sequence[Color]) -> None:
        self.colors = tuple(colors)
        self._inks = tuple(_ink(each) for each in self.colors)

    @classmethod
    def between(cls, anchors: Sequence[Color], levels: int = LEVELS) -> Palette:
        """``levels`` colours at even distances along the anchors."""
        return cls([_along(anchors, number / (levels - 1)) for number in range(levels)])

    @classmethod
    def of_theme(cls, variables: Mapping[str, str]) -> Palette:
        """The palette among a theme's variables; cividis where it has none."""
        found = [variables[name] for n in range(MOST_LEVELS) if (name := f"{_VARIABLE}{n}") in variables]
        return cls([Color.parse(each) for each in found]) if len(found) > 1 else CIVIDIS

    @classmethod
    def diverging(cls, variables: Mapping[str, str]) -> Palette:
        """Colours from a theme's ``error`` over a neutral one, for 0 alone, to its ``primary``."""
        names = ("error", "background", "primary", "foreground")
        low, ground, high, fore = (Color.parse(variables[name]) for name in names)
        middle = ground.blend(fore, 0.12)
        sides = [middle.blend(end, n / SIDE) for end in (low, high) for n in range(1, SIDE + 1)]
        return cls([*sides[SIDE - 1 :: -1], middle, *sides[SIDE:]])

    def as_variables(self) -> dict[str, str]:
        """As a theme's variables."""
        return {f"{_VARIABLE}{n}": each.hex for n, each in enumerate(self.colors)}

    def level(self, value: float, low: float, high: float) -> int | None:
        """0 … levels - 1 for a value within the range; None for what is no number."""
        if not math.isfinite(value):
            return None
        levels = len(self.colors)
        if high <= low:
            return levels // 2
        return min(levels - 1, max(0, int((value - low) / (high - low) * levels)))

    def color(self, number: int) -> Color:
        """A level's colour."""
        return self.colors[number]

    def ink(self, number: int) -> Color:
        """A text colour that is legible on a level's colour."""
        return self._inks[number]


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of two colours, 1 … 21 (WCAG 2.2, relative luminance of sRGB)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    parts = [part / 255 for part in color.rgb]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _ink(background: Color) -> Color:
    black, white = Color(0, 0, 0), Color(255, 255, 255)
    return black if contrast(black, background) >= contrast(white, background) else white


def _along(anchors: Sequence[Color], part: float) -> Color:
    place = part * (len(anchors) - 1)
    left = min(int(place), len(anchors) - 2)
    return anchors[left].blend(anchors[left + 1], place - left)


CIVIDIS = Palette.between([Color(*rgb) for rgb in _CIVIDIS])


def level(value: float, low: float, high: float) -> int | None:
    """A value's level in the default palette."""
    return CIVIDIS.level(value, low, high)


def color(number: int) -> Color:
    """A level's colour in the default palette."""
    return CIVIDIS.color(number)


def ink(background: Color) -> Color:
    """Black or white, whichever has more contrast to the background."""
    return _ink(background)
