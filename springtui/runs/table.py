"""A table of runs that draws only the lines in view."""

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

from ..widgets.canvas import Canvas

_TWICE = 0.5
"""Most seconds between the two clicks that open a run."""


class Column(NamedTuple):
    """A column: key, head, width in cells, and the table's width from which it is shown."""

    key: str
    title: str
    width: int
    right: bool = False
    shown_from: int = 0


class Line(NamedTuple):
    """A run's texts by column, and the theme's colour of its state."""

    cells: dict[str, str]
    color: str = "foreground"
    marked: bool = False
    pinned: bool = False


class RunTable(Canvas, can_focus=True):
    """A table over the ids of runs; it calls ``line_of`` only for lines in view."""

    EMPTY = "no runs"
    DEFAULT_CSS = "RunTable { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", id="table.up", tooltip="the run above", show=False),
        Binding("down,j", "move(1)", "Down", id="table.down", tooltip="the run below", show=False),
        Binding("pageup", "page(-1)", "Page up", id="table.page_up", tooltip="a page up", show=False),
        Binding("pagedown", "page(1)", "Page down", id="table.page_down", tooltip="a page down", show=False),
        Binding("home", "edge(0)", "First", id="table.first", tooltip="the first run", show=False),
        Binding("end", "edge(1)", "Last", id="table.last", tooltip="the last run", show=False),
        Binding("enter", "open", "Open", id="table.open", tooltip="watch the run, or see a sweep's diagram"),
    ]

    @dataclass
    class Opened(Message):
        """A run was chosen."""

        run_id: str

    @dataclass
    class Moved(Message):
        """The cursor was moved, or other runs are in view."""

    @dataclass
    class HeadClicked(Message):
        """A column's head was clicked."""

        column: str

    def __init__(self, columns: Sequence[Column], line_of: Callable[[str], Line], id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.ids: list[str] = []
        self.cursor = 0
        self.top = 0
        self.sort = ("age", False)
        self._line_of = line_of
        self._clicked = 0.0

    @property
    def current(self) -> str | None:
        """The run under the cursor."""
        return self.ids[self.cursor] if self.ids else None

    @property
    def in_view(self) -> list[str]:
        """The runs in view."""
        return self.ids[self.top : self.top + self._rows()]

    def show(self, ids: Sequence[str], sort: tuple[str, bool]) -> None:
        """Show these runs in this order; the cursor stays on its run."""
        current = self.current
        self.ids, self.sort = list(ids), sort
        if current is not None and current in self.ids:
            self.cursor = self.ids.index(current)
        self.cursor = min(self.cursor, max(0, len(self.ids) - 1))
        self.draw()

    def point_at(self, run_id: str) -> None:
        """Put the cursor on a run."""
        if run_id in self.ids:
            self.cursor = self.ids.index(run_id)
            self.draw()

    def on_resize(self) -> None:
        self.draw()
        self.post_message(self.Moved())

    def on_focus(self) -> None:
        self.call_after_refresh(self.draw)  # after its style changed

    def on_blur(self) -> None:
        self.call_after_refresh(self.draw)

    def _rows(self) -> int:
        return max(1, self.size.height - 1)

    def draw(self) -> None:
        """Paint the lines in view."""
        if self.size.area == 0:
            return
        rows = self._rows()
        self.top = min(max(0, self.cursor - rows + 1, min(self.top, self.cursor)), max(0, len(self.ids) - rows))
        if not self.ids:
            self.paint([])
            return
        shown = self._shown()
        strips = [self._head(shown)]
        for number, run_id in enumerate(self.in_view, self.top):
            strips.append(self._strip(self._line_of(run_id), shown, number == self.cursor))
        self.paint(strips)

    def _shown(self) -> list[tuple[Column, int]]:
        """The columns that fit, with their widths; the first one takes the rest."""
        width = self.size.width - 2
        columns = [column for column in self.columns if width >= column.shown_from]
        rest = sum(column.width + 2 for column in columns[1:])
        return [(columns[0], max(8, width - rest)), *((column, column.width) for column in columns[1:])]

    def _head(self, shown: list[tuple[Column, int]]) -> Strip:
        arrow = ("v" if self.sort[1] else "^") if ascii_only() else ("▼" if self.sort[1] else "▲")
        text = "  " + "  ".join(
            _fit(f"{column.title}{arrow if column.key == self.sort[0] else ''}", width, right=column.right)
            for column, width in shown
        )
        return Strip([Segment(text, self.rich_style + self._color("secondary") + Style(bold=True))])

    def _strip(self, line: Line, shown: list[tuple[Column, int]], current: bool) -> Strip:
        base = self.rich_style
        if current:
            base += Style(reverse=self.has_focus, bold=True)
        signs = ("*", "^") if ascii_only() else ("●", "▲")
        mark = signs[0] if line.marked else " "
        pin = signs[1] if line.pinned else " "
        reversed_ = current and self.has_focus  # on reversed cells a colour would be a patch
        segments = [Segment(mark + pin, base if reversed_ else base + self._color("accent"))]
        for i, (column, width) in enumerate(shown):
            coloured = column.key == "state" and not reversed_
            style = base + self._color(line.color) if coloured else base
            gap = "" if i == 0 else "  "
            segments.append(Segment(gap + _fit(line.cells.get(column.key, ""), width, right=column.right), style))
        text = sum(cell_len(segment.text) for segment in segments)
        segments.append(Segment(" " * max(0, self.size.width - text), base))
        return Strip(segments, max(text, self.size.width))

    def _color(self, name: str) -> Style:
        return Style(color=self.app.theme_variables.get(name))

    # keys and mouse

    def _go(self, index: int) -> None:
        if self.ids:
            self.cursor = min(len(self.ids) - 1, max(0, index))
            self.draw()
            self.post_message(self.Moved())

    def action_move(self, step: int) -> None:
        """Move the cursor by ``step`` runs."""
        self._go(self.cursor + step)

    def action_page(self, step: int) -> None:
        """Move the cursor by ``step`` pages."""
        self._go(self.cursor + step * self._rows())

    def action_edge(self, end: int) -> None:
        """Move the cursor to the first run (0) or the last (1)."""
        self._go(len(self.ids) - 1 if end else 0)

    def action_open(self) -> None:
        """Open the run under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current))

    def on_click(self, event: events.Click) -> None:
        """A click on the head sorts; one on a line moves the cursor there, and a second one opens the run."""
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
                self.post_message(self.HeadClicked(column.key))
                return

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)


def _fit(text: str, width: int, *, right: bool) -> str:
    """The text padded or cut to ``width`` cells; a cut text ends with an ellipsis."""
    text = plain_text(text)
    if cell_len(text) > width:
        dots = "~" if ascii_only() else "…"
        text = set_cell_size(text, max(0, width - 1)).rstrip() + dots
    space = " " * max(0, width - cell_len(text))
    return space + text if right else text + space
