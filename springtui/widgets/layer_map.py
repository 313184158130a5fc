"""A heat map of a quantity of every layer over steps: a line a layer, the deepest at the bottom."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from springtui.terminal.text import ascii_only, plain_text

from ..state.layer_times import LayerTimes
from ..state.layers import short_names
from ..state.wording import number
from .canvas import Canvas
from .palette import Palette
from .table import beginning, ending
from .ticks import round_ticks

if TYPE_CHECKING:
    from .layer_cells import Cells, Scale

CHROME_ROWS = 2
"""Lines under the cells: the steps and the legend."""
_LONGEST_LABEL = 24
_LEAST_UNIT = 10
"""Cells that a unit needs at least to be shown."""
_SMALLEST = (24, 4)
UNKNOWN, UNKNOWN_PLAIN = "░", "?"
"""Texture of a cell whose value is not known."""
_SHADES = " .:-=+*#%@"
"""Characters of the levels, from low to high, where only ASCII can be drawn."""
_SIGNED_SHADES = "NMVWwvn- .:+*o%#@"
"""Those of the levels of values with a sign: letters below 0, a blank at 0."""


class LayerMap(Canvas, can_focus=True):
    """Layers over steps, one of them selected. ``show`` notes what is to be drawn, ``redraw`` draws it."""

    DEFAULT_CSS = "LayerMap { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Layer", id="layer_map.up", key_display="↑↓", tooltip="the layer above"),
        Binding("down,j", "move(1)", "Down", id="layer_map.down", show=False, tooltip="the layer below"),
        Binding("pageup", "move(-10)", "Page up", id="layer_map.page_up", show=False, tooltip="ten layers up"),
        Binding(
            "pagedown", "move(10)", "Page down", id="layer_map.page_down", show=False, tooltip="ten layers down"
        ),
        Binding(
            "left,h", "along(-1)", "Step", id="layer_map.left", key_display="←→", tooltip="read out earlier steps"
        ),
        Binding("right,l", "along(1)", "Right", id="layer_map.right", show=False, tooltip="read out later steps"),
    ]

    @dataclass
    class Selected(Message):
        """Another layer was selected, or another step read out."""

        layer_map: LayerMap
        layer: str

        @property
        def control(self) -> LayerMap:
            return self.layer_map

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._times: LayerTimes | None = None
        self._moment: float | None = None
        self._index = 0
        self._step: float | None = None
        """The step that is read out; None reads the one that a replay shows, else the newest."""
        self._cells: Cells | None = None
        self._palette = Palette(())
        self._drawn: object = None
        self._version = 0
        self._texts = ("", "", "")
        self._border_texts = ("", "")

    # what is shown

    def show(self, times: LayerTimes | None, layer: str = "", moment: float | None = None) -> None:
        """Set the table, the selected layer, and the step that a replay shows; drawn at the next ``redraw``."""
        if moment != self._moment:  # the mark follows a replay that goes on
            self._step = None
        if times is not self._times or moment != self._moment:
            self._times, self._moment = times, moment
            self._version += 1
        self.select(layer)

    def select(self, layer: str) -> None:
        """Select a layer by its name; the selection stays where there is none of this name."""
        names = self._times.layers if self._times is not None else []
        index = names.index(layer) if layer in names else min(self._index, max(0, len(names) - 1))
        if index != self._index:
            self._index = index
            self._version += 1

    @property
    def is_log(self) -> bool:
        """Whether the colours are on a logarithmic scale."""
        from .layer_cells import scale_of  # needs NumPy, which no first frame waits for

        times = self._times
        return times is not None and not times.is_signed and scale_of(times.values).log

    @property
    def times(self) -> LayerTimes | None:
        """The table that is shown; None where there is none."""
        return self._times

    @property
    def selected(self) -> str:
        """Name of the selected layer; empty where there is none."""
        return self._times.layers[self._index] if self._times is not None and self._times.layers else ""

    def readout(self) -> tuple[float, float] | None:
        """Step and value of the selected layer at the cursor, else the newest; None where there is nothing."""
        if self._times is None or not len(self._times.steps):
            return None
        at = self._read_at(self._times)
        return float(self._times.steps[at]), float(self._times.values[self._index, at])

    def _read_at(self, times: LayerTimes) -> int:
        """The place among the steps of the one that is read out: the last that is not after the cursor's."""
        step = self._moment if self._step is None else self._step
        return len(times.steps) - 1 if step is None else max(0, bisect.bisect_right(times.steps, step) - 1)

    def say(self, title: str, unit: str, below: str) -> None:
        """Show texts on the border, the unit as far as there is room; markup in names from files has no effect."""
        self._texts = plain_text(title), unit, plain_text(below)
        self._draw_border()

    def _draw_border(self) -> None:
        title, unit, below = self._texts
        room = self.size.width - cell_len(title) - 3
        title = f"{title} · {beginning(unit, room)}" if unit and room >= _LEAST_UNIT else title
        if (title, below) != self._border_texts:  # setting either repaints the whole
            self._border_texts = title, below
            self.border_title, self.border_subtitle = Content(title), Content(below)

    def is_stale(self) -> bool:
        """Whether it is visible, and what it shows, its size or the theme changed since it was drawn."""
        if not (self.display and self.is_attached and self.size.area > 0):
            return False
        return (self._version, self.size, self.app.theme) != self._drawn

    def _lay_out(self) -> None:
        if self.is_stale():
            self.redraw()

    def redraw(self) -> None:
        """Draw the table."""
        self._draw_border()
        self._drawn = (self._version, self.size, self.app.theme)
        times, (width, height) = self._times, self.size
        variables = self.app.theme_variables
        is_signed = times is not None and times.is_signed
        self._palette = Palette.diverging(variables) if is_signed else Palette.of_theme(variables)
        self._cells = None
        is_empty = times is None or not len(times.steps) or not times.layers
        if times is None or is_empty or width < _SMALLEST[0] or height < _SMALLEST[1]:
            self.paint([])
            return
        from .layer_cells import joined, signed_scale_of  # need NumPy, which no first frame waits for

        label, scale = self._label_width(), None
        if times.is_signed:
            scale = signed_scale_of(times.values, times.values[:-1] if times.has_logits else times.values)
        self._cells = cells = joined(times.steps, times.values, height - CHROME_ROWS, width - label, scale)
        self.paint([*self._lines(times, cells, label), self._axis(times, label), self._legend(times, cells)])

    def _label_width(self) -> int:
        """Columns of the layers' names, with the mark of the selected one before and a blank behind them."""
        names = short_names(self._times.layers if self._times is not None else [])
        lines = min(len(names), max(1, self.size.height - CHROME_ROWS))
        starts = [line * len(names) // lines for line in range(lines)] + [len(names)]
        shown = [_name_of(names, starts[line], starts[line + 1]) for line in range(lines)]
        longest = max(map(cell_len, shown), default=0)
        return 3 + min(_LONGEST_LABEL, self.size.width // 3, max(longest, len("step")))

    def _tall(self, cells: Cells) -> list[int]:
        """Screen lines of each line of the table; where there is room to spare, the first have one more."""
        room = self.size.height - CHROME_ROWS
        tall, over = divmod(room, len(cells.rows))
        return [tall + (row < over) for row in range(len(cells.rows))]

    def _lines(self, times: LayerTimes, cells: Cells, label: int) -> list[Strip]:
        from .layer_cells import levels

        base, plain = self.rich_style, ascii_only()
        count = len(self._palette.colors)
        found = levels(cells.places, cells.scale, count)
        styles = [*self._shades(), base + self._dim()]
        signs = self._signs(cells.scale)
        signs.append(UNKNOWN_PLAIN if plain else UNKNOWN)
        names = short_names(times.layers)
        ends = [*cells.rows[1:].tolist(), len(times.layers)]
        strips: list[Strip] = []
        for row, tall in enumerate(self._tall(cells)):
            first, end = int(cells.rows[row]), ends[row]
            chosen = first <= self._index < end
            name = self._label_of(names, first, end, label - 3)
            segments: list[Segment] = []
            line = found[row].tolist()
            begin = 0
            for at in range(1, len(line) + 1):
                if at == len(line) or line[at] != line[begin]:
                    segments.append(Segment(signs[line[begin]] * (at - begin), styles[line[begin]]))
                    begin = at
            for y in range(tall):
                text = name if y == 0 else ""
                mark = (">" if plain else "▶") if chosen and y == 0 else " "
                style = base + (Style(bold=True) + self._color("accent") if chosen else self._dim())
                strips.append(Strip([Segment(f"{mark} {text:<{label - 3}} ", style), *segments]))
        return strips

    def _label_of(self, names: Sequence[str], first: int, end: int, room: int) -> str:
        """The name of a line's layer; of several those of the first and the last, cut where there is no room."""
        text = _name_of(names, first, end)
        if cell_len(text) > room and end - first > 1:
            each = max(1, (room - 1) // 2)
            text = f"{ending(plain_text(names[first]), each)}-{ending(plain_text(names[end - 1]), each)}"
        text = ending(text, room)
        return text + " " * max(0, room - cell_len(text))

    def _axis(self, times: LayerTimes, label: int) -> Strip:
        """The line of steps, with a mark at the cursor, else at the step that a replay shows."""
        width = self.size.width - label
        low, high = float(times.steps[0]), float(times.steps[-1])
        cells = [" "] * width
        last = number(high, 9)
        if high > low and 2 * len(last) < width:  # the last step always has its label
            cells[width - len(last) :] = last
        for value, text in round_ticks(low, high, max(2, width // 12), whole=True):
            at = self._column_of(value, width)
            if at + len(text) <= width and not "".join(cells[max(0, at - 1) : at + len(text) + 1]).strip():
                cells[at : at + len(text)] = text
        mark = None
        if self._step is not None or self._moment is not None:
            mark = self._column_of(float(times.steps[self._read_at(times)]), width)
        if mark is not None:  # no label under the mark
            begin = "".join(cells[:mark]).rfind(" ") + 1
            end = next((i for i in range(mark, width) if cells[i] == " "), width)
            cells[begin:end] = [" "] * (end - begin)
        line = "".join(cells)
        base, dim = self.rich_style, self.rich_style + self._dim()
        head = Segment("  step".ljust(label)[:label], dim)
        if mark is None or not 0 <= mark < width:
            return Strip([head, Segment(line, dim)])
        sign = Segment("^" if ascii_only() else "▲", base + self._color("accent") + Style(bold=True))
        return Strip([head, Segment(line[:mark], dim), sign, Segment(line[mark + 1 :], dim)])

    def _column_of(self, step: float, width: int) -> int:
        times = self._times
        if times is None or not times.steps[-1] > times.steps[0]:
            return 0
        part = (step - float(times.steps[0])) / float(times.steps[-1] - times.steps[0])
        return min(width - 1, max(0, int(part * width)))

    def _legend(self, times: LayerTimes, cells: Cells) -> Strip:
        """Colours with the values at their ends, and how layers share lines."""
        from .layer_cells import levels

        dim, scale, plain = self.rich_style + self._dim(), cells.scale, ascii_only()
        low, high = _ends(scale)
        count = len(self._palette.colors)
        more = []
        if bool((levels(cells.places, scale, count) == count).any()):
            more.append(f"{UNKNOWN_PLAIN if plain else UNKNOWN} not known")
        if scale.log:
            more.append("log scale")
        if scale.even_to and scale.high > 2.0:
            more.append(f"log beyond {'+-' if plain else '±'}{number(scale.even_to, 2)}")
        if len(times.layers) > len(cells.rows):
            more.append("a-b: layers a to b, the extreme shown")
        if times.stride > 1:
            more.append(f"one of {times.stride} records")
        block = 2 if self.size.width >= 100 else 1
        bars = [
            Segment(sign * block, style) for sign, style in zip(self._signs(scale), self._shades(), strict=True)
        ]
        if scale.even_to:  # the middle is labelled
            bars[count // 2] = Segment("0".center(block + 2), bars[count // 2].style)
        room = self.size.width - 2 - len(low) - len(high) - 2 - sum(len(bar.text) for bar in bars)
        text = ""
        for part in more:
            if len(text) + 3 + len(part) <= room:
                text += f" · {part}" if text else f"  {part}"
        return Strip([Segment(f"  {low} ", dim), *bars, Segment(f" {high}{text}", dim)])

    def _signs(self, scale: Scale) -> list[str]:
        """The characters of the levels, from low to high: blanks, which colours fill, where there are any."""
        count = len(self._palette.colors)
        shades = (_SIGNED_SHADES if scale.even_to else _SHADES) if ascii_only() else " "
        return [shades[n * len(shades) // count] for n in range(count)]

    def _shades(self) -> list[Style]:
        """The styles of the levels, from low to high."""
        base, palette = self.rich_style, self._palette
        colors = zip(palette.colors, map(palette.ink, range(len(palette.colors))), strict=True)
        return [base + Style(color=ink.rich_color, bgcolor=color.rich_color) for color, ink in colors]

    def _color(self, name: str) -> Style:
        return Style(color=self.app.theme_variables.get(name))

    def _dim(self) -> Style:
        return self._color("secondary")

    # keys and mouse

    def action_move(self, step: int) -> None:
        """Select the layer ``step`` below, and stop at the edges."""
        if self._times is not None and self._times.layers:
            self._go(min(len(self._times.layers) - 1, max(0, self._index + step)), self._step)

    def action_along(self, step: int) -> None:
        """Read out the step that was recorded ``step`` later; beyond the last the newest one is followed again."""
        times = self._times
        if times is None or not len(times.steps):
            return
        last = len(times.steps) - 1
        at = min(last, max(0, self._read_at(times) + step))
        follows = at == last and step > 0 and self._moment is None
        self._go(self._index, None if follows else float(times.steps[at]))

    def _go(self, layer: int, step: float | None) -> None:
        if (layer, step) != (self._index, self._step):
            self._index, self._step = layer, step
            self._version += 1
            self.post_message(self.Selected(self, self.selected))

    def on_click(self, event: events.Click) -> None:
        """Select the layer whose value the cell under the mouse shows, and read it out."""
        spot = event.get_content_offset(self)
        cells, times = self._cells, self._times
        if spot is None or cells is None or times is None or spot.y >= self.size.height - CHROME_ROWS:
            return
        row, left = 0, spot.y
        for row, tall in enumerate(self._tall(cells)):  # noqa: B007
            if left < tall:
                break
            left -= tall
        column = spot.x - self._label_width()
        if 0 <= column < len(cells.columns):
            self._go(int(cells.owners[row, column]), float(times.steps[cells.columns[column]]))
        elif column < 0:
            self._go(int(cells.rows[row]), self._step)


def _name_of(names: Sequence[str], first: int, end: int) -> str:
    """The name of one layer, or those of the first and the last of several, as 6-7."""
    ends = [plain_text(names[first]), *([plain_text(names[end - 1])] if end - first > 1 else [])]
    return "-".join(ends)


def _ends(scale: Scale) -> tuple[str, str]:
    """The values at the ends of a scale, with a sign where values lie beyond."""
    plain = ascii_only()
    below, above = ("<= ", ">= ") if plain else ("≤ ", "≥ ")
    low, high = (number(scale.value(end)) for end in (scale.low, scale.high))
    return (below if scale.below else "") + low, (above if scale.above else "") + high
