"""Curves that can be looked into: a cursor that reads all of them out, zoom, logarithmic axes, smoothing."""

from __future__ import annotations

import bisect
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from springtui.state.wording import number
from springtui.terminal.text import plain_text
from springtui.widgets.ticks import Axis, even_axis, log_axis, log_ticks, round_ticks

from ..state.cycling import next_of
from ..state.pictures import Series
from .plot import CHROME_ROWS, Plot, columns_beside, ends_of, ticks_up

SMOOTHING = (1, 5, 21, 81)
"""Points that a moving mean is taken over."""
Finer = Callable[[str, float, float], tuple[list[float], list[float]] | None]
"""By a curve's name, its points in a window, finer than those that were set; None where there are none."""
_ZOOM = 1.5
_STEPS = 100
"""Steps of the cursor from edge to edge, where there are more points than that."""


class CurvesPlot(Plot, can_focus=True):
    """Takes raw curves with ``show_curves``; what is drawn is their part in the window, smoothed and scaled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "right", "move(1)", "Cursor", id="curves.right", tooltip="move the cursor that reads out", show=False
        ),
        Binding(
            "left", "move(-1)", "Cursor", id="curves.left", tooltip="move the cursor that reads out", show=False
        ),
        Binding("plus,equals_sign", "zoom(1)", "Zoom in", id="curves.zoom_in", tooltip="zoom in at the cursor"),
        Binding("minus", "zoom(-1)", "Zoom out", id="curves.zoom_out", tooltip="zoom out"),
        Binding("shift+right", "pan(1)", "Pan", id="curves.pan_right", tooltip="move the window", show=False),
        Binding("shift+left", "pan(-1)", "Pan", id="curves.pan_left", tooltip="move the window", show=False),
        Binding(
            "0", "whole", "Whole", id="curves.whole", tooltip="show the whole, without the cursor", show=False
        ),
        Binding("Y", "toggle_log_y", "Log y", id="curves.log_y", tooltip="logarithmic values"),
        Binding(
            "X", "toggle_log_x", "Log x", id="curves.log_x", tooltip="logarithmic horizontal axis", show=False
        ),
        Binding("z", "smooth", "Smooth", id="curves.smooth", tooltip="moving mean over more points"),
    ]
    DEFAULT_CSS = "CurvesPlot:focus { border: round $primary; }"

    @dataclass
    class ReadOut(Message):
        """The cursor was moved, or what it stands on changed."""

        plot: CurvesPlot

        @property
        def control(self) -> CurvesPlot:
            return self.plot

    def __init__(
        self,
        id: str | None = None,
        classes: str | None = None,
        *,
        heading: str = "",
        legend: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(id=id, classes=classes, clock=clock)
        self.heading = heading
        self.legend = legend
        """Markup shown below the plot while there is no cursor."""
        self.axis = ""
        """The unit of the horizontal axis, such as epoch or step."""
        self.cursor: float | None = None
        self.log_x = self.log_y = False
        self.is_fraction = False
        """Whether values lie in [0, 1], which a constant curve's axis then shows."""
        self.smoothing = SMOOTHING[0]
        self._raw: list[Series] = []
        self._of: object = None
        self._finer: Finer | None = None
        self._marks: Sequence[float] = ()
        self._holes: Mapping[str, Sequence[tuple[float, float]]] = {}
        self._shaped: list[Series] = []
        self._window: tuple[float, float] | None = None
        self._margin = 0
        self._along: Axis | None = None
        """The horizontal axis as it was drawn."""
        self._border_texts: tuple[str, str] | None = None

    def show_curves(
        self,
        series: Sequence[Series],
        about: object = None,
        finer: Finer | None = None,
        marks: Sequence[float] = (),
        holes: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ) -> None:
        """Set the curves, each sorted along x; they are drawn at the next ``redraw``.

        Args:
            series: the curves, perhaps thinned.
            about: as of ``show``.
            finer: reads a named curve's points anew where a person has zoomed in.
            marks: places along x where upright lines are drawn, behind the curves.
            holes: by a curve's name, stretches of x where its values are not finite: they interrupt the curve, and
                are marked at the upper edge.
        """
        self._raw, self._of, self._finer, self._marks = list(series), about, finer, marks
        self._holes = holes or {}
        self._apply()

    @property
    def curves(self) -> list[Series]:
        """The curves as they were set."""
        return self._raw

    def readout(self) -> list[tuple[str, float]]:
        """Name and value of every named curve at the cursor; NaN where the curve does not extend to it."""
        if self.cursor is None:
            return []
        both = zip(self._raw, self._shaped, strict=True)
        return [(one.name, _value_at(one, self.cursor, whole)) for whole, one in both if one.name]

    # what is drawn

    def _apply(self) -> None:
        self._shaped = [self._shape(one) for one in self._raw]
        drawn = [self._scaled(piece) for one in self._shaped for piece in self._pieces(one)]
        values = [y for one in drawn for y in one.y if math.isfinite(y)]
        if values:
            ends = [min(values), max(values)]
            ends = ends if ends[0] < ends[1] else [ends[0] - 0.5, ends[1] + 0.5]
            low, high = self._window or self._ends() or (math.inf, -math.inf)
            marks = [self._x(x) for x in self._marks if low <= x <= high]
            drawn[:0] = [Series([x, x], ends, "", "fade2") for x in marks]
            for each in dict.fromkeys(hole for one in self._raw for hole in self._holes.get(one.name, ())):
                if each[1] >= low and each[0] <= high:
                    stretch = [self._x(min(max(x, low), high)) for x in each]
                    drawn.append(Series(stretch, [ends[1], ends[1]], "", "warn"))
            if self.cursor is not None:
                x = self._x(self.cursor)
                drawn.append(Series([x, x], ends, "", "muted"))
        self.show(drawn, self._of)
        self._say()

    def _shape(self, one: Series) -> Series:
        """The curve smoothed and clipped to the window."""
        if self._window is not None and (found := self._anew(one, *self._window)) is not None:
            return one._replace(x=found[0], y=_smoothed(found[1], self.smoothing))
        xs, ys = list(one.x), _smoothed(one.y, self.smoothing)
        if self._window is not None:
            low, high = bisect.bisect_left(xs, self._window[0]), bisect.bisect_right(xs, self._window[1])
            xs, ys = xs[low:high], ys[low:high]
        return one._replace(x=xs, y=ys)

    def _pieces(self, one: Series) -> list[Series]:
        """The parts of a curve between places where its values are not finite."""
        cuts = [bisect.bisect_left(one.x, low) for low, _ in self._holes.get(one.name, ())] if one.name else []
        ends = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(one.x)), len(one.x)]
        return [one._replace(x=one.x[a:b], y=one.y[a:b]) for a, b in itertools.pairwise(ends)]

    def _anew(self, one: Series, low: float, high: float) -> tuple[list[float], list[float]] | None:
        return self._finer(one.name, low, high) if self._finer is not None and one.name else None

    def _within(self, low: float, high: float) -> int:
        """Number of points in a window."""
        found = (self._anew(one, low, high) or (one.x, one.y) for one in self._raw)
        return sum(low <= x <= high for xs, _ in found for x in xs)

    def _scaled(self, one: Series) -> Series:
        """The curve on the present axes; a logarithmic axis omits values that are not positive."""
        if not (self.log_x or self.log_y):
            return one
        nan = math.nan
        ys = [(math.log10(y) if y > 0 else nan) for y in one.y] if self.log_y else one.y
        return one._replace(x=[self._x(x) for x in one.x], y=ys)

    def _x(self, x: float) -> float:
        if not self.log_x:
            return x
        return math.log10(x) if x > 0 else math.nan

    def _say(self) -> None:
        """Show the title and the read-out on the border; markup in names from files has no effect."""
        notes = [self.heading, "log x" if self.log_x else "", "log y" if self.log_y else ""]
        notes.append(f"mean of {self.smoothing}" if self.smoothing > 1 else "")
        notes.append("zoomed" if self._window else "")
        title = " · ".join(note for note in notes if note)
        subtitle = ""
        if self.cursor is not None:
            parts = [f"{plain_text(name)} {number(value, 4)}" for name, value in self.readout()]
            room, shown = max(0, self.size.width - 4), f"{self.axis} {_place(self.cursor)}".strip()
            while parts and len(shown) + 3 + len(parts[0]) <= room:
                shown += " · " + parts.pop(0)
            subtitle = shown + (" …" if parts else "")
        if (title, subtitle) != self._border_texts:  # setting either repaints the whole
            self._border_texts = (title, subtitle)
            self.border_title = Content(title)
            self.border_subtitle = Content(subtitle) if subtitle else self.legend
            self.post_message(self.ReadOut(self))

    def _axes(self, series: list[Series], width: int, height: int) -> tuple[Axis, Axis]:
        values = [y for s in series for y in s.y]
        low, high = ends_of(values)
        if self.is_fraction and not self.log_y and min(values) == max(values):
            low, high = 0.0, 1.0
        up = self._held_upright(low, high, height)
        left, right = min(min(s.x) for s in series), max(max(s.x) for s in series)
        cells, most = columns_beside(up, width), max(2, (width - 6) // 6)
        whole = all(float(x).is_integer() for s in self._shaped for x in s.x)
        if self.log_x:
            along = Axis(left, right, log_ticks(left, right, most))
        else:
            along = even_axis(left, right, cells, least=6, whole=whole, beside=True) or Axis(
                left, right, round_ticks(left, right, most, whole=whole)
            )
        self._margin, self._along = width - 1 - cells, along
        return up, along

    def _upright(self, low: float, high: float, height: int) -> Axis:
        if self.log_y:
            return log_axis(low, high, height - CHROME_ROWS) or Axis(
                low, high, log_ticks(low, high, ticks_up(height))
            )
        return super()._upright(low, high, height)

    def _scale(self) -> tuple[object, ...]:
        return self._window, self.log_x, self.log_y, self.smoothing

    # keys and mouse

    def _places(self) -> list[float]:
        """The positions that the cursor can take."""
        return sorted({x for one in self._shaped for x in one.x if math.isfinite(x)})

    def action_move(self, step: int) -> None:
        """Move the cursor; the first time it appears in the middle."""
        places = self._places()
        if not places:
            return
        if self.cursor is None:
            index = len(places) // 2
        else:
            index = bisect.bisect_left(places, self.cursor) + step * max(1, len(places) // _STEPS)
        self.cursor = places[min(len(places) - 1, max(0, index))]
        self._apply()

    def action_zoom(self, direction: int) -> None:
        """Narrow the window about the cursor, or its middle; or widen it."""
        ends = self._ends()
        if ends is None:
            return
        low, high = self._window or ends
        middle = self.cursor if self.cursor is not None and low <= self.cursor <= high else (low + high) / 2
        factor = 1 / _ZOOM if direction > 0 else _ZOOM
        new = (middle - (middle - low) * factor, middle + (high - middle) * factor)
        if direction > 0 and self._within(*new) < 3:
            return
        self._window = (
            None if new[0] <= ends[0] and new[1] >= ends[1] else (max(new[0], ends[0]), min(new[1], ends[1]))
        )
        self._apply()

    def action_pan(self, direction: int) -> None:
        """Move the window by a quarter of itself, as far as there is something to see."""
        ends = self._ends()
        if self._window is None or ends is None:
            return
        low, high = self._window
        shift = direction * (high - low) / 4
        shift = min(max(shift, ends[0] - low), ends[1] - high)
        self._window = (low + shift, high + shift)
        self._apply()

    def action_whole(self) -> None:
        """Show the whole of the curves, without a cursor."""
        self._window = self.cursor = None
        self._apply()

    def action_toggle_log_y(self) -> None:
        """Switch the vertical axis between logarithmic and linear."""
        self.log_y = not self.log_y
        self._apply()

    def action_toggle_log_x(self) -> None:
        """Switch the horizontal axis between logarithmic and linear."""
        self.log_x = not self.log_x
        self._apply()

    def action_smooth(self) -> None:
        """Smooth by a moving mean over the next number of points; after the largest, over one."""
        self.smoothing = next_of(SMOOTHING, self.smoothing)
        self._apply()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        places, column = self._places(), event.get_content_offset(self)
        if not places or column is None:
            return
        across = max(1, self.size.width - self._margin - 2)
        part = min(1.0, max(0.0, (column.x - self._margin) / across))
        if self._along is None or not (math.isfinite(self._along.low) and math.isfinite(self._along.high)):
            return
        x = self._along.low + part * (self._along.high - self._along.low)
        wanted = 10.0**x if self.log_x else x
        self.cursor = min(places, key=lambda place: abs(place - wanted))
        self._apply()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_zoom(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_zoom(-1)

    def _ends(self) -> tuple[float, float] | None:
        known = [x for one in self._raw if one.x for x in (one.x[0], one.x[-1])]
        known += [x for one in self._raw if one.x for hole in self._holes.get(one.name, ()) for x in hole]
        return (min(known), max(known)) if known and max(known) > min(known) else None


def _place(x: float) -> str:
    """Where the cursor stands, in words; a whole number with all its digits."""
    return f"{x:.0f}" if float(x).is_integer() and abs(x) < 1e15 else number(x, 6)


def _smoothed(values: Sequence[float], over: int) -> list[float]:
    """A centred moving mean; at the ends over as many as there are. Gaps stay gaps."""
    if over <= 1 or not values:
        return list(values)
    known = [v if math.isfinite(v) else 0.0 for v in values]
    sums = [0.0, *itertools.accumulate(known)]
    counts = [0, *itertools.accumulate(int(math.isfinite(v)) for v in values)]
    half, last = over // 2, len(values)
    out = []
    for i in range(last):
        a, b = max(0, i - half), min(last, i + half + 1)
        n = counts[b] - counts[a]
        out.append((sums[b] - sums[a]) / n if n and math.isfinite(values[i]) else math.nan)
    return out


def _value_at(one: Series, x: float, whole: Series) -> float:
    """The value of the nearest point; NaN before the first and beyond the last point of the whole curve."""
    if not one.x or not whole.x[0] <= x <= whole.x[-1]:
        return math.nan
    right = min(len(one.x) - 1, bisect.bisect_left(one.x, x))
    left = max(0, right - 1)
    return one.y[left] if abs(one.x[left] - x) < abs(one.x[right] - x) else one.y[right]
