"""A heat map: a coloured cell for every pair of values, with its number and a small load curve."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from springtui.terminal.text import ascii_only
from springtui.widgets.palette import Palette

from ..state.pictures import Grid
from .canvas import Canvas
from .ruler import draw

_LABEL, _LONGEST_LABEL = 6, 14
"""Columns of the rows' names, usual and most; names may be words."""
CHROME_ROWS = 2
"""Lines under the cells: the columns' values and the legend."""
UNCLEAR, UNCLEAR_PLAIN = "×", "x"
"""Mark of a cell whose load curve means nothing, in place of the curve."""
_Cell = tuple[str, Style]


class HeatMap(Canvas, can_focus=True):
    """A heat map with a cursor; numbers on the cells make it readable without colour."""

    EMPTY = "nothing here yet"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1, 0)", "Left", id="heat_map.left", show=False, tooltip="the cell at the left"),
        Binding(
            "right,l", "move(1, 0)", "Right", id="heat_map.right", show=False, tooltip="the cell at the right"
        ),
        Binding("up,k", "move(0, -1)", "Up", id="heat_map.up", show=False, tooltip="the cell above"),
        Binding("down,j", "move(0, 1)", "Down", id="heat_map.down", show=False, tooltip="the cell below"),
        Binding("enter", "open", "Open", id="heat_map.open", show=False, tooltip="open the cell in the lab"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor was moved to another cell."""

        heat_map: HeatMap
        cell: int

    @dataclass
    class Opened(Message):
        """A cell was chosen."""

        heat_map: HeatMap
        cell: int

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._grid: Grid | None = None
        self._palette = Palette(())
        self.cursor = 0
        self._label = _LABEL

    @property
    def grid(self) -> Grid | None:
        """The grid that is shown; None where there is none."""
        return self._grid

    def show(self, grid: Grid | None) -> None:
        """Draw a grid; None draws the empty text."""
        self._grid = grid
        if grid is not None:
            self.cursor = min(self.cursor, max(0, len(grid.values) - 1))  # another diagram may have fewer cells
            self._label = min(_LONGEST_LABEL, max(_LABEL, 1 + max(map(len, grid.rows), default=0)))
        self._lay_out()

    def point_at(self, cell: int) -> None:
        """Put the cursor on a cell; nothing is posted."""
        if cell != self.cursor:
            self.cursor = cell
            self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def action_move(self, columns: int, rows: int) -> None:
        """Move the cursor, and stop at the edges."""
        if self._grid is None:
            return
        row, column = divmod(self.cursor, len(self._grid.columns))
        row = min(len(self._grid.rows) - 1, max(0, row + rows))
        column = min(len(self._grid.columns) - 1, max(0, column + columns))
        self._go(row * len(self._grid.columns) + column)

    def action_open(self) -> None:
        """Choose the cell under the cursor."""
        if self._grid is not None:
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        spot = event.get_content_offset(self)
        if self._grid is None or spot is None:
            return
        wide, _ = self._cell_size(self._grid)
        ends = list(itertools.accumulate(self._heights(self._grid)))
        column, row = (spot.x - self._label) // wide, bisect.bisect_right(ends, spot.y)
        if 0 <= column < len(self._grid.columns) and 0 <= row < len(self._grid.rows):
            self._go(row * len(self._grid.columns) + column)
            if event.chain == 2:
                self.action_open()

    def _go(self, cell: int) -> None:
        if cell != self.cursor:
            self.cursor = cell
            self._lay_out()
            self.post_message(self.Moved(self, cell))

    def _cell_size(self, grid: Grid) -> tuple[int, int]:
        width, height = self.size.width - self._label, self.size.height - CHROME_ROWS
        return max(2, width // len(grid.columns)), max(1, height // len(grid.rows))

    def _heights(self, grid: Grid) -> list[int]:
        """Lines of each row; where rows have at least two lines, spare lines go to the first rows."""
        _, tall = self._cell_size(grid)
        over = self.size.height - CHROME_ROWS - tall * len(grid.rows) if tall > 1 else 0
        return [tall + (row < over) for row in range(len(grid.rows))]

    def _lay_out(self) -> None:
        grid = self._grid
        self._palette = Palette.of_theme(self.app.theme_variables)
        if grid is None or not grid.values or self.size.width <= self._label + 2 or self.size.height < 4:
            self.paint([])
            return
        wide, _ = self._cell_size(grid)
        lines = []
        for row, tall in enumerate(self._heights(grid)):
            cells = [self._cell(grid, row * len(grid.columns) + c, wide, tall) for c in range(len(grid.columns))]
            for y in range(tall):
                label = grid.rows[row] if y == 0 else ""
                lines.append(self._line(label, [cell[y] for cell in cells]))
        lines.append(self._names(grid, wide))
        lines.append(self._legend(grid))
        self.paint(lines[: self.size.height])

    def _line(self, label: str, cells: Sequence[Sequence[_Cell]]) -> Strip:
        base = self.rich_style
        segments = [Segment(label[: self._label - 1].rjust(self._label - 1) + " ", base + self._dim())]
        segments += [Segment(text, style) for cell in cells for text, style in cell]
        return Strip(segments)

    def _cell(self, grid: Grid, index: int, wide: int, tall: int) -> list[list[_Cell]]:
        """The lines of a cell: its number on the first, its curve over all."""
        value = grid.values[index]
        here = index == self.cursor
        palette = self._palette
        number = palette.level(value, grid.low, grid.high)
        style = self.rich_style
        if number is not None:
            ground, ink = palette.color(number).rich_color, palette.ink(number).rich_color
            style = style + Style(color=ink, bgcolor=ground, bold=here)
        mark = _mark() if _is_unclear(grid, index) else ""
        lines = self._picture(grid.curves[index], self._text(grid, index, value, wide), wide, tall, mark)
        if here:
            left, right = ("[", "]") if ascii_only() else ("▐", "▌")
            style = style + Style(reverse=True) if wide < 5 else style
            if wide >= 5:  # a number that fills its line keeps its sign
                lines = [
                    (line[0] if y == 0 and line[0] in "-+.0123456789" else left) + line[1:-1] + right
                    for y, line in enumerate(lines)
                ]
        return [[(line, style)] for line in lines]

    def _picture(self, curve: Sequence[float], text: str, wide: int, tall: int, mark: str = "") -> list[str]:
        """A cell's number, and its curve or mark below it or, where there is no room, beside it."""
        end = wide - 1 if len(text) < wide else wide
        across = end if tall > 1 else end - len(text)
        down = tall - 1 if tall > 2 else tall
        lines = [" " * wide] * tall
        if across >= 2 and len(curve) > 1 and (down > 1 or not ascii_only()):
            points = [(i / (len(curve) - 1), min(1.0, max(0.0, v))) for i, v in enumerate(curve)]
            lines[tall - down :] = [line.ljust(wide) for line in draw(points, across, down, plain=ascii_only())]
        if mark and text != mark and (tall > 1 or across >= 2):
            lines[-1] = f" {mark}".ljust(wide)[:wide]
        lines[0] = (lines[0][: end - len(text)] + text).ljust(wide)[:wide]
        return lines

    def _text(self, grid: Grid, index: int, value: float, wide: int) -> str:
        if grid.texts:
            return grid.texts[index]
        if not math.isfinite(value):
            return _mark() if _is_unclear(grid, index) else "·"
        text = f"{value:.{grid.digits}f}"
        text = text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
        if len(text) > wide:
            text = f"{value:.0f}"
        more = "" if grid.final[index] else "~" if ascii_only() else "…"
        return text + more if len(text) < wide else text

    def _names(self, grid: Grid, wide: int) -> Strip:
        """The line of the columns' values, as many as fit."""
        every = max(1, math.ceil((max(map(len, grid.columns)) + 1) / wide))
        cells = [
            (name[: wide * every - 1].ljust(wide * every) if i % every == 0 else "")
            for i, name in enumerate(grid.columns)
        ]
        line = " " * self._label + "".join(cells)
        return Strip([Segment(line.rstrip()[: self.size.width], self.rich_style + self._dim())])

    def _legend(self, grid: Grid) -> Strip:
        """The legend: colours and the numbers that they stand for."""
        base = self.rich_style
        if grid.absent and not any(map(math.isfinite, grid.values)):
            text = grid.absent[: max(0, self.size.width - self._label)]
            return Strip([Segment(" " * self._label + text, base)])
        low, high = f"{grid.low:.{grid.digits}f} ", f" {grid.high:.{grid.digits}f}"
        count = sum(map(bool, grid.unclear))
        note = f"  {_mark()} {count} unclear" if count else ""
        room = self.size.width - self._label - len(low) - len(high) - len(note)
        block = " " * min(2, max(1, room // len(self._palette.colors)))
        bars = [Segment(block, base + Style(bgcolor=each.rich_color)) for each in self._palette.colors]
        ends = Segment(" " * self._label + low, base + self._dim()), Segment(high + note, base + self._dim())
        return Strip([ends[0], *bars, ends[1]])

    def _dim(self) -> Style:
        return Style(color=self.app.theme_variables.get("secondary"))


def _mark() -> str:
    return UNCLEAR_PLAIN if ascii_only() else UNCLEAR


def _is_unclear(grid: Grid, index: int) -> bool:
    return bool(grid.unclear) and grid.unclear[index]
