"""A thin widget that lets plotext draw curves, and parses its drawing once per change of data."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from springtui.terminal.text import ascii_only
from springtui.widgets.ticks import Axis, even_axis, round_ticks

from ..state.pictures import Series
from .canvas import Canvas

_ROLES: dict[str, tuple[str, float]] = {
    "primary": ("primary", 1.0),
    "accent": ("accent", 1.0),
    "good": ("success", 1.0),
    "theory": ("theory", 1.0),
    "warn": ("warning", 1.0),
    "muted": ("secondary", 1.0),
    "initial": ("secondary", 0.6),
    "fade1": ("foreground", 0.45),
    "fade2": ("foreground", 0.3),
    "fade3": ("foreground", 0.2),
}
"""The theme's colour of each role, and how far it stands out from the background."""
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_SMALLEST = (12, 4)
FURNITURE = 3
"""Lines of a plot that its frame and the labels below it take."""


class Plot(Canvas):
    """Curves with axes, in braille where the terminal has it.

    ``show`` is cheap and only notes that the data changed; ``redraw`` draws, and its owner decides how often.
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._series: list[Series] = []
        self._drawn: object = None
        self._version = 0

    def show(self, series: Sequence[Series]) -> None:
        """Take data; the picture follows at the next ``redraw``."""
        series = list(series)
        if series != self._series:
            self._series = series
            self._version += 1

    def is_stale(self) -> bool:
        """Whether data, size or theme changed since it was drawn, and it can be seen."""
        width, height = self.size
        if not self.is_on_screen or width < _SMALLEST[0] or height < _SMALLEST[1]:
            return False
        return (self._version, self.size, self.app.theme) != self._drawn

    def _lay_out(self) -> None:
        if self.is_stale():
            self.redraw()

    def redraw(self) -> None:
        """Draw the data."""
        self._drawn = (self._version, self.size, self.app.theme)
        series = [s for s in (_finite(s) for s in self._series) if s.x]
        self.paint(self._draw(series, *self.size) if series else [])

    @property
    def is_on_screen(self) -> bool:
        """Whether any of it can be seen."""
        return self.display and self.is_attached and self.size.area > 0

    def _draw(self, series: list[Series], width: int, height: int) -> list[Strip]:
        import plotext  # costs 0.1 s, which the first frame need not wait for

        plotext.terminal.limit(False, False)
        figure = plotext.figure
        figure.clear()
        figure.plot_size(width, height)
        figure.theme("colorless")
        marker = "*" if ascii_only() else "braille"
        for one in series:
            pixel = plotext.pixel(self.color_of(one.role).rgb)
            signal = figure.signal(list(one.x), list(one.y), marker=plotext.marker(marker, pixel))
            if one.lines and len(one.x) > 1:
                signal.lines()
            figure.draw(signal)
        self._rulers(figure, series, width, height)
        text = figure.build().string()
        return _parse(text, self.rich_style, self.color_of("fade1"), self.color_of("muted"))

    def _rulers(self, figure: Any, series: list[Series], width: int, height: int) -> None:
        low, high = ends_of([y for s in series for y in s.y])
        up = even_axis(low, high, height - FURNITURE) or Axis(low, high, round_ticks(low, high, ticks_up(height)))
        set_axis(figure.ruler("y", "left"), up)
        left, right = min(min(s.x) for s in series), max(max(s.x) for s in series)
        whole = all(float(x).is_integer() for s in series for x in s.x)
        cells = columns_beside(up, width)
        along = even_axis(left, right, cells, least=4, whole=whole)
        ticks = round_ticks(left, right, max(2, (width - 6) // 4), whole=whole)
        set_axis(figure.ruler("x", "lower"), along or Axis(left, right, ticks))

    def color_of(self, role: str) -> Color:
        """What a role is drawn in."""
        name, strength = _ROLES.get(role, _ROLES["accent"])
        variables = self.app.theme_variables
        color = variables.get(name, variables["warning"])  # not every theme is ours
        return Color.parse(variables["background"]).blend(Color.parse(color), strength)


def ends_of(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest; what is all alike has room about it."""
    low, high = min(values), max(values)
    return (low, high) if high - low >= 1e-9 else (low - 0.5, high + 0.5)


def columns_beside(upright: Axis, width: int) -> int:
    """Columns of a plot that an upright axis with its labels leaves."""
    return width - 2 - max((len(label) for _, label in upright.ticks), default=0)


def ticks_up(height: int) -> int:
    """So many labels find lines of their own on an upright axis."""
    return max(2 if height < 8 else 3, (height - 2) // 2)


def set_axis(ruler: Any, axis: Axis) -> None:
    """Ends and labels of an axis; without labels it is left to plotext."""
    if axis.low < axis.high:
        ruler.lim(axis.low, axis.high)
    if axis.ticks:
        ruler.ticks([value for value, _ in axis.ticks], [label for _, label in axis.ticks])


def _finite(series: Series) -> Series:
    points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return series._replace(x=[p[0] for p in points], y=[p[1] for p in points])


def _parse(text: str, base: Style, frame: Color, label: Color) -> list[Strip]:
    """plotext's coloured text as strips, neighbours of one style merged; its backgrounds are left out."""
    plain, labels = base + Style(color=frame.rich_color), base + Style(color=label.rich_color)
    strips = []
    for line in text.split("\n"):
        segments: list[Segment] = []
        style = plain
        for i, part in enumerate(_SGR.split(line)):
            if i % 2:
                style = _style(part, style, plain, base)
            elif part and style is plain:  # the frame, and labels that are to be read
                segments += [
                    Segment(piece, labels if k % 2 == 0 else plain)
                    for k, piece in enumerate(_FRAME.split(part))
                    if piece
                ]
            elif part:
                segments.append(Segment(part, style))
        if ascii_only():
            segments = [segment._replace(text=_ascii(segment.text)) for segment in segments]
        strips.append(Strip(Segment.simplify(segments)))
    return strips


def _style(codes: str, now: Style, plain: Style, base: Style) -> Style:
    """The style after one escape sequence: 24-bit foregrounds count, all else is the frame's."""
    numbers = codes.split(";")
    if numbers[:2] == ["38", "2"] and len(numbers) >= 5:
        return base + Style(color="#{:02x}{:02x}{:02x}".format(*(int(n) for n in numbers[2:5])))
    return plain if codes in {"", "0"} or numbers[0] == "38" else now


_FRAME = re.compile("([─│┌┐└┘├┤┬┴┼ ]+)")
_BOX = str.maketrans({"─": "-", "│": "|", **dict.fromkeys("┌┐└┘├┤┬┴┼", "+")})


def _ascii(text: str) -> str:
    return text.translate(_BOX)
