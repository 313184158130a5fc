"""A widget of prepared lines that repaints only the cells that changed, since a slow link has few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat, zip_longest
from textwrap import wrap

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget

from springtui.state.empty import WAITING
from springtui.terminal.text import plain_text

GAP = 10
"""Unchanged cells between two changed runs; with fewer, the runs are repainted as one."""
_Cells = list[tuple[str, Style | None]]


class Canvas(Widget):
    """Subclasses give whole pictures to ``paint``, which repaints the cells that differ from the last."""

    DEFAULT_CSS = "Canvas { color: $foreground; }"
    EMPTY = WAITING
    """Text shown while there is no picture."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._strips: list[Strip] = []

    def say_empty(self, text: str) -> None:
        """Set the text shown while there is no picture: why, and what can be done."""
        text = plain_text(text)
        if text != self.EMPTY:
            self.EMPTY = text
            if not self._strips:
                self.refresh()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)

    def _theme_changed(self, _: Theme) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        """Draw the present data in the theme's colours."""

    def paint(self, strips: Sequence[Strip]) -> None:
        """Show these lines from the top; only the cells that differ are repainted."""
        width, height = self.size
        base = self.rich_style
        new = [strip.adjust_cell_length(width, base) for strip in strips[:height]]
        old, self._strips = self._strips, new
        if not old or not new:
            self.refresh()
            return
        blank = Strip.blank(width, base)
        regions = [
            Region(start, y, end - start, 1)
            for y, (before, after) in enumerate(zip_longest(old, new, fillvalue=blank))
            if before is not after
            for start, end in _changed(before, after)
        ]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y < len(self._strips) and self._strips[y].cell_length == width:
            return self._strips[y]
        base = self.rich_style
        if y < len(self._strips):
            return self._strips[y].adjust_cell_length(width, base)
        words = wrap(self.EMPTY, max(1, width - 2)) if not self._strips else []
        line = y - max(0, (self.size.height + 1 - len(words)) // 2)
        if 0 <= line < len(words):
            dim = base + Style(color=self.app.theme_variables.get("secondary"))
            return Strip([Segment(words[line].center(width)[:width], dim)])
        return Strip.blank(width, base)


def _changed(before: Strip, after: Strip) -> list[tuple[int, int]]:
    """First and one-past-last column of each changed run. Every character is one cell wide."""
    if before == after:
        return []
    old, new = _cells(before), _cells(after)
    if len(old) != len(new):
        return [(0, max(len(old), len(new)))]
    stretches: list[tuple[int, int]] = []
    for column, (a, b) in enumerate(zip(old, new, strict=True)):
        if a != b:
            if stretches and column - stretches[-1][1] < GAP:
                stretches[-1] = stretches[-1][0], column + 1
            else:
                stretches.append((column, column + 1))
    return stretches


def _cells(strip: Strip) -> _Cells:
    cells: _Cells = []
    for text, style, _ in strip:
        cells += zip(text, repeat(style))
    return cells
