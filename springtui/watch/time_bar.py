"""A time bar of a run: the replay's position and the changes of settings; set by keys and mouse."""

from __future__ import annotations

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

from ..widgets.canvas import Canvas

_PART = 50
"""An arrow key goes the run's length divided by this."""


class TimeBar(Canvas, can_focus=True):
    """A time bar of two lines: the track with its marks, and texts."""

    EMPTY = ""
    DEFAULT_CSS = """
    TimeBar { height: 2; padding: 0 1; }
    TimeBar:focus { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "scrub(-1)", "Back", id="time.back", tooltip="go back through the run", show=False),
        Binding("right", "scrub(1)", "Forward", id="time.forward", tooltip="go forward", show=False),
        Binding("pageup", "scrub(-5)", "Far back", id="time.far_back", tooltip="go far back", show=False),
        Binding(
            "pagedown", "scrub(5)", "Far forward", id="time.far_forward", tooltip="go far forward", show=False
        ),
        Binding("home", "start", "Start", id="time.start", tooltip="go to the first record", show=False),
    ]

    @dataclass
    class Scrubbed(Message):
        """Another position was chosen."""

        bar: TimeBar
        position: int

        @property
        def control(self) -> TimeBar:
            return self.bar

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.position = 0
        self.count = 0
        self._moves: list[int] = []
        self._left = self._right = ""
        self._dragging = False

    def show(self, position: int, count: int, moves: Sequence[int], left: str, right: str) -> None:
        """Show position and marks, as numbers of curves among ``count``, and the texts below the track."""
        self.position, self.count, self._moves = position, count, list(moves)
        self._left, self._right = left, right
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def on_focus(self) -> None:
        self.call_after_refresh(self._lay_out)  # after its style changed

    def on_blur(self) -> None:
        self.call_after_refresh(self._lay_out)

    def _column(self, position: int) -> int:
        last = max(1, self.count - 1)
        return round(min(1.0, max(0.0, position / last)) * (self.size.width - 1))

    def _lay_out(self) -> None:
        width = self.size.width
        if width < 10:
            return
        full, thumb, rest, mark = ("=", "O", "-", "^") if ascii_only() else ("━", "●", "─", "◆")
        at = self._column(self.position)
        cells = [(full, "primary") if i < at else (rest, "secondary") for i in range(width)]
        for move in self._moves:
            cells[self._column(move)] = (mark, "warning")
        if self.count:
            cells[at] = (thumb, "primary")
        styles = {name: self._style(name) for name in ("primary", "secondary", "warning")}
        track = Strip(Segment.simplify(Segment(char, styles[role]) for char, role in cells))
        gap = width - len(self._left) - len(self._right)
        words = f"{self._left}{' ' * gap}{self._right}" if gap > 1 else self._left[:width]
        self.paint([track, Strip([Segment(words, styles["secondary"])])])

    def _style(self, name: str) -> Style:
        return self.rich_style + Style(color=self.app.theme_variables.get(name))

    # keys and mouse

    def _go(self, position: int) -> None:
        if self.count:
            self.post_message(self.Scrubbed(self, min(self.count - 1, max(0, position))))

    def action_scrub(self, parts: int) -> None:
        """Go ``parts`` fiftieths of the run, each at least one curve."""
        self._go(self.position + parts * max(1, self.count // _PART))

    def action_start(self) -> None:
        """Go to the first curve."""
        self._go(0)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.focus()
        self.capture_mouse()
        self._dragging = True
        self._go_to(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragging:
            self._go_to(event)

    def on_mouse_up(self, _event: events.MouseUp) -> None:
        self._dragging = False
        self.release_mouse()

    def _go_to(self, event: events.MouseEvent) -> None:
        across = max(1, self.size.width - 1)
        self._go(round((event.x - self.gutter.left) / across * (self.count - 1)))
