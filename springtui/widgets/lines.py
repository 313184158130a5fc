"""The last lines of a log file; and rows of bars of recent values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip

from springtui.terminal.text import ascii_only, plain_text

from .canvas import Canvas

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=#"


class Console(Canvas, can_focus=True):
    """Shows lines of plain text and follows the end, except where it is scrolled up. Long lines are folded."""

    EMPTY = "the worker has printed nothing"
    DEFAULT_CSS = "Console:focus { border: round $primary; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll(1)", "Up", id="console.up", tooltip="earlier lines of the log", show=False),
        Binding("down", "scroll(-1)", "Down", id="console.down", tooltip="later lines of the log", show=False),
        Binding("pageup", "scroll(10)", "Page up", id="console.page_up", tooltip="much earlier lines", show=False),
        Binding("pagedown", "scroll(-10)", "Page down", id="console.page_down", tooltip="much later", show=False),
    ]

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[str] = []
        self._up = 0

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines, oldest first."""
        if list(lines) != self._lines:
            self._lines = list(lines)
            self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def action_scroll(self, lines: int) -> None:
        """Scroll by ``lines``, up or down."""
        self._up = min(max(0, self._up + lines), max(0, len(self._folded()) - self.size.height))
        self._lay_out()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_scroll(3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_scroll(-3)

    def _folded(self) -> list[str]:
        return [part for line in self._lines for part in fold(plain_text(line), self.size.width)]

    def _lay_out(self) -> None:
        width, height = self.size
        if width < 1 or height < 1:
            return
        folded = self._folded()
        end = len(folded) - self._up
        shown = folded[max(0, end - height) : end]
        self.paint([Strip([Segment(line, self.rich_style)], cell_len(line)) for line in shown])


def fold(text: str, width: int) -> list[str]:
    """A line in pieces of at most ``width`` cells, broken at spaces where possible."""
    pieces = []
    while cell_len(text) > width > 0:
        piece = set_cell_size(text, width).rstrip()
        cut = piece.rfind(" ")
        if cut > width // 2 and not text[len(piece) : len(piece) + 1].isspace():
            piece = piece[:cut]
        piece = piece or text[:1]
        pieces.append(piece)
        text = text[len(piece) :].lstrip()
    return [*pieces, text]


def bars(values: Sequence[float | None], width: int, highest: float) -> str:
    """The newest values as a row of bars in eighths of a cell, from 0 to ``highest``; None is left blank."""
    signs = _PLAIN_BARS if ascii_only() else _BARS
    out = []
    for value in list(values)[-width:]:
        part = None if value is None else min(1.0, max(0.0, value / highest)) if highest > 0 else 0.0
        out.append(" " if part is None else signs[round(part * (len(signs) - 1))])
    return "".join(out).rjust(width)
