"""A widget that draws curves with axes; the frame with its ticks and labels is plotext's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from springtui.terminal.text import ascii_only
from springtui.widgets.ticks import Axis, even_axis, round_ticks

from ..state.pictures import Series
from .canvas import Canvas
from .held_axis import HeldAxis

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
"""The theme's colour of each role, and its opacity over the background."""
_FRAME = ("fade1", "muted")
"""Roles of the frame and of its labels."""
_SMALLEST = (12, 4)
CHROME_ROWS = 3
"""Rows of a plot that the frame and the labels below it take."""


class Plot(Canvas):
    """Curves with axes, in braille where the terminal has it.

    ``show`` is cheap and only notes that the data changed; ``redraw`` draws, and its owner decides how often. The
    upright axis of a plot whose data change while they are watched grows at once and shrinks late: ``held_axis``.

    Args:
        clock: the time in seconds, for the upright axis.
    """

    def __init__(
        self, id: str | None = None, classes: str | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._held = HeldAxis(clock)
        self._about: object = None
        self._series: list[Series] = []
        self._drawn: object = None
        self._version = 0

    def show(self, series: Sequence[Series], about: object = None) -> None:
        """Set the data; they are drawn at the next ``redraw``.

        Args:
            series: the curves.
            about: what they are of, as a run and a measure: while it stays the same the upright axis is held; None
                makes it anew for each drawing.
        """
        series = list(series)
        if series != self._series or about != self._about:
            self._series, self._about = series, about
            self._version += 1

    def is_stale(self) -> bool:
        """Whether the plot is visible and its data, size, theme or axis changed since it was drawn."""
        width, height = self.size
        if not self.is_on_screen or width < _SMALLEST[0] or height < _SMALLEST[1]:
            return False
        return (self._version, self.size, self.app.theme) != self._drawn or self._held.is_due

    def _lay_out(self) -> None:
        if self.is_stale():
            self.redraw()

    def redraw(self) -> None:
        """Draw the data."""
        self._drawn = (self._version, self.size, self.app.theme)
        series = [s for s in (_without_gaps(s) for s in self._series) if s.x]
        if not series or self._about is None:
            self._held.forget()
        self.paint(self._draw(series, *self.size) if series else [])

    @property
    def is_on_screen(self) -> bool:
        """Whether any part of it is visible."""
        return self.display and self.is_attached and self.size.area > 0

    def _draw(self, series: list[Series], width: int, height: int) -> list[Strip]:
        from .frame import frame_of  # both need NumPy, which the first frame does not wait for
        from .raster import NOBODY, Curve, rasterise, to_strips

        upright, along = (_lengthened(axis) for axis in self._axes(series, width, height))
        plain = ascii_only()
        frame = frame_of(width, height, upright, along, ascii_only=plain)
        codes, kinds = frame.codes.copy(), frame.labels.astype("int16")
        dots, owners = rasterise(
            [Curve(one.x, one.y, one.lines) for one in series],
            (along.low, along.high),
            (upright.low, upright.high),
            frame.width,
            frame.height,
            ascii_only=plain,
        )
        canvas = slice(frame.top, frame.top + frame.height), slice(frame.left, frame.left + frame.width)
        drawn = owners != NOBODY
        codes[canvas][drawn], kinds[canvas][drawn] = dots[drawn], owners[drawn] + len(_FRAME)
        base = self.rich_style
        roles = [*_FRAME, *(one.role for one in series)]
        return to_strips(codes, kinds, [base + Style(color=self.color_of(role).rich_color) for role in roles])

    def _axes(self, series: list[Series], width: int, height: int) -> tuple[Axis, Axis]:
        """The upright axis and the horizontal one."""
        low, high = ends_of([y for s in series for y in s.y])
        up = self._held_upright(low, high, height)
        left, right = min(min(s.x) for s in series), max(max(s.x) for s in series)
        whole = all(float(x).is_integer() for s in series for x in s.x)
        cells = columns_beside(up, width)
        along = even_axis(left, right, cells, least=4, whole=whole, beside=True)
        ticks = round_ticks(left, right, max(2, (width - 6) // 4), whole=whole)
        return up, along or Axis(left, right, ticks)

    def _held_upright(self, low: float, high: float, height: int) -> Axis:
        """The upright axis for these data, held where they are of the same as before."""
        key = (self._about, height, *self._scale())
        return self._held.over(low, high, key, lambda low, high: self._upright(low, high, height))

    def _upright(self, low: float, high: float, height: int) -> Axis:
        """The upright axis made for these data."""
        axis = even_axis(low, high, height - CHROME_ROWS)
        return axis or Axis(low, high, round_ticks(low, high, ticks_up(height)))

    def _scale(self) -> tuple[object, ...]:
        """What a person chose of how the data are drawn; the axis is made anew where it changes."""
        return ()

    def color_of(self, role: str) -> Color:
        """The colour of a role in the present theme."""
        name, strength = _ROLES.get(role, _ROLES["accent"])
        variables = self.app.theme_variables
        color = variables.get(name, variables["warning"])  # not every theme is ours
        return Color.parse(variables["background"]).blend(Color.parse(color), strength)


def ends_of(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest value; where they coincide, half of the value below and above, 0.5 of zero."""
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low > 1e-9 * size:
        return low, high
    room = size / 2 or 0.5
    return low - room, high + room


def columns_beside(upright: Axis, width: int) -> int:
    """Columns that remain for the canvas beside the vertical axis and its labels."""
    return width - 2 - max((len(label) for _, label in upright.ticks), default=0)


def ticks_up(height: int) -> int:
    """The number of labels that fit on a vertical axis of this height."""
    return max(2 if height < 8 else 3, (height - 2) // 2)


def _lengthened(axis: Axis) -> Axis:
    """The axis, widened where its ends coincide, with the value in its middle."""
    room = max(0.5, 1e-9 * abs(axis.low))
    return axis if axis.low < axis.high else axis._replace(low=axis.low - room, high=axis.low + room)


def _without_gaps(series: Series) -> Series:
    if all(map(math.isfinite, series.x)) and all(map(math.isfinite, series.y)):
        return series
    points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return series._replace(x=[p[0] for p in points], y=[p[1] for p in points])
