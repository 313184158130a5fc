"""A table that draws only the lines in view."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from springtui.terminal.text import ascii_only, plain_text

from .canvas import Canvas

_TWICE = 0.5
"""Most seconds between the two clicks that open a line."""


class Column(NamedTuple):
    """A column: key, head, width in cells, and the table's width from which it is shown."""

    key: str
    title: str
    width: int
    right: bool = False
    shown_from: int = 0
    cut_left: bool = False
    """Whether a long text loses its beginning: names of layers differ at their ends."""
    colored: bool = False
    """Whether its text has the line's colour."""


class Line(NamedTuple):
    """The texts of a line by column, and a colour of the theme."""

    cells: dict[str, str]
    color: str = "foreground"
    marked: bool = False
    pinned: bool = False
    rest: str = ""
    """A text in place of all columns but the first, as wide as they are together."""
    heading: bool = False
    """Whether it is the heading of the lines below, which the cursor passes over."""


class Table(Canvas, can_focus=True):
    """A table of lines, each known by an id; it calls ``line_of`` only for lines in view."""

    EMPTY = "nothing here yet"
    DEFAULT_CSS = "Table { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", id="table.up", tooltip="the line above", show=False),
        Binding("down,j", "move(1)", "Down", id="table.down", tooltip="the line below", show=False),
        Binding("pageup", "page(-1)", "Page up", id="table.page_up", tooltip="a page up", show=False),
        Binding("pagedown", "page(1)", "Page down", id="table.page_down", tooltip="a page down", show=False),
        Binding("home", "edge(0)", "First", id="table.first", tooltip="the first line", show=False),
        Binding("end", "edge(1)", "Last", id="table.last", tooltip="the last line", show=False),
    ]

    @dataclass
    class Opened(Message):
        """A line was chosen."""

        table: Table
        line: str

        @property
        def control(self) -> Table:
            return self.table

    @dataclass
    class Moved(Message):
        """The cursor was moved, or other lines are in view."""

        table: Table

        @property
        def control(self) -> Table:
            return self.table

    @dataclass
    class HeadClicked(Message):
        """A column's head was clicked."""

        table: Table
        column: str

        @property
        def control(self) -> Table:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        line_of: Callable[[str], Line],
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.columns = columns
        self.ids: list[str] = []
        self.cursor = 0
        self.top = 0
        self.sort: tuple[str, bool] | None = None
        """The column that the lines are sorted by, and whether in reverse; None where they are not."""
        self._line_of = line_of
        self._clicked = 0.0

    @property
    def current(self) -> str | None:
        """The line under the cursor."""
        return self.ids[self.cursor] if self.ids else None

    @property
    def in_view(self) -> list[str]:
        """The lines in view."""
        return self.ids[self.top : self.top + self._rows()]

    def show(self, ids: Sequence[str], sort: tuple[str, bool] | None = None, at: str | None = None) -> None:
        """Show these lines in this order; the cursor stays on its line, or goes to that of ``at``."""
        current = self.current if at is None else at
        self.ids, self.sort = list(ids), sort
        if current is not None and current in self.ids:
            self.cursor = self.ids.index(current)
        self.cursor = min(self.cursor, max(0, len(self.ids) - 1))
        if self.ids and self._line_of(self.ids[self.cursor]).heading:
            self.cursor = self._below_headings(self.cursor, 1)
        self.draw()

    def point_at(self, line: str) -> None:
        """Put the cursor on a line."""
        if line in self.ids:
            self.cursor = self.ids.index(line)
            self.draw()

    def on_resize(self) -> None:
        self.draw()
        self.post_message(self.Moved(self))

    def on_focus(self) -> None:
        self.call_after_refresh(self.draw)  # after its style changed

    def on_blur(self) -> None:
        self.call_after_refresh(self.draw)

    def _lay_out(self) -> None:
        self.draw()

    def _rows(self) -> int:
        return max(1, self.size.height - 1)

    def draw(self) -> None:
        """Paint the lines in view."""
        if self.size.area == 0:
            return
        rows = self._rows()
        self.top = min(max(0, self.cursor - rows + 1, min(self.top, self.cursor)), max(0, len(self.ids) - rows))
        if self.top and self.cursor == self.top and self._line_of(self.ids[self.top - 1]).heading:
            self.top -= 1  # so that the first line's heading is seen
        if not self.ids:
            self.paint([])
            return
        shown = self._shown()
        strips = [self._head(shown)]
        for number, line in enumerate(self.in_view, self.top):
            strips.append(self._strip(self._line_of(line), shown, number == self.cursor))
        self.paint(strips)

    def _shown(self) -> list[tuple[Column, int]]:
        """The columns that fit, with their widths; the first one takes the rest."""
        width = self.size.width - 2
        columns = [column for column in self.columns if width >= column.shown_from]
        rest = sum(column.width + 2 for column in columns[1:])
        return [(columns[0], max(8, width - rest)), *((column, column.width) for column in columns[1:])]

    def _head(self, shown: list[tuple[Column, int]]) -> Strip:
        by, reverse = self.sort or ("", False)
        arrow = ("v" if reverse else "^") if ascii_only() else ("▼" if reverse else "▲")
        text = "  " + "  ".join(
            _fit(f"{column.title}{arrow if column.key == by else ''}", width, right=column.right)
            for column, width in shown
        )
        return Strip([Segment(text, self.rich_style + self._color("secondary") + Style(bold=True))])

    def _strip(self, line: Line, shown: list[tuple[Column, int]], current: bool) -> Strip:
        base = self.rich_style
        if line.heading:
            base += self._color("secondary") + Style(bold=True)
        elif current:
            base += Style(reverse=self.has_focus, bold=True)
        signs = ("*", "^") if ascii_only() else ("●", "▲")
        mark = signs[0] if line.marked else " "
        pin = signs[1] if line.pinned else " "
        reversed_ = current and self.has_focus  # on reversed cells a colour would be a patch
        segments = [Segment(mark + pin, base if reversed_ else base + self._color("accent"))]
        first, *others = shown
        if line.heading:  # over the whole line
            others = []
            first = first[0]._replace(cut_left=False), self.size.width - 2
        segments.append(Segment(_cell(line, *first), base))
        if line.rest and others:
            room = sum(width + 2 for _, width in others) - 2
            segments.append(Segment("  " + _fit(line.rest, room, right=False), base))
        else:
            for column, width in others:
                style = base + self._color(line.color) if column.colored and not reversed_ else base
                segments.append(Segment("  " + _cell(line, column, width), style))
        text = sum(cell_len(segment.text) for segment in segments)
        segments.append(Segment(" " * max(0, self.size.width - text), base))
        return Strip(segments, max(text, self.size.width))

    def _color(self, name: str) -> Style:
        return Style(color=self.app.theme_variables.get(name))

    # keys and mouse

    def _go(self, index: int, step: int = 1) -> None:
        if self.ids:
            self.cursor = self._below_headings(min(len(self.ids) - 1, max(0, index)), step)
            self.draw()
            self.post_message(self.Moved(self))

    def _below_headings(self, index: int, step: int) -> int:
        """The nearest line that is no heading, from ``index`` on in one direction or else in the other."""
        ways = (range(index, len(self.ids)), range(index, -1, -1))
        for way in ways if step > 0 else ways[::-1]:
            for i in way:
                if not self._line_of(self.ids[i]).heading:
                    return i
        return index

    def action_move(self, step: int) -> None:
        """Move the cursor by ``step`` lines."""
        self._go(self.cursor + step, step)

    def action_page(self, step: int) -> None:
        """Move the cursor by ``step`` pages."""
        self._go(self.cursor + step * self._rows(), step)

    def action_edge(self, end: int) -> None:
        """Move the cursor to the first line (0) or the last (1)."""
        self._go(len(self.ids) - 1 if end else 0, -1 if end else 1)

    def action_open(self) -> None:
        """Choose the line under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self, self.current))

    def on_click(self, event: events.Click) -> None:
        """A click on a line moves the cursor there, and a second one opens it."""
        place = event.get_content_offset(self)
        if place is None:
            return
        if place.y == 0:
            self._click_head(place.x)
            return
        index = self.top + place.y - 1
        if index >= len(self.ids):
            return
        twice = index == self.cursor and time.monotonic() - self._clicked < _TWICE
        self._clicked = time.monotonic()
        self._go(index)
        if twice:
            self.action_open()

    def _click_head(self, x: int) -> None:
        edge = 2
        for column, width in self._shown():
            edge += width + 2
            if x < edge:
                self.post_message(self.HeadClicked(self, column.key))
                return

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)


def _cell(line: Line, column: Column, width: int) -> str:
    return _fit(line.cells.get(column.key, ""), width, right=column.right, cut_left=column.cut_left)


def _fit(text: str, width: int, *, right: bool, cut_left: bool = False) -> str:
    """The text padded or cut to ``width`` cells; a cut text ends, or begins, with an ellipsis."""
    text = plain_text(text)
    if cell_len(text) > width:
        text = ending(text, width) if cut_left else beginning(text, width)
    space = " " * max(0, width - cell_len(text))
    return space + text if right else text + space


def beginning(text: str, width: int) -> str:
    """The beginning of a text in ``width`` cells, with an ellipsis where it was cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + _dots()


def ending(text: str, width: int) -> str:
    """The end of a text in ``width`` cells, after an ellipsis where it was cut."""
    if cell_len(text) <= width:
        return text
    kept = text
    while kept and (over := cell_len(kept) - width + 1) > 0:
        kept = kept[max(1, over // 2) :]  # a character is one or two cells wide
    return _dots() + kept


def _dots() -> str:
    return "~" if ascii_only() else "…"
