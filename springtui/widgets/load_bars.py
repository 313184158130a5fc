"""Each layer's load as a bar."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from springtui.terminal import ascii_only, plain_text

_EIGHTHS = " ▏▎▍▌▋▊▉█"


class LoadBars(Widget):
    """One line a layer: name, bar, value. Negative loads (the layer mixes the classes) have another colour."""

    DEFAULT_CSS = "LoadBars { color: $foreground; }"

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._loads: list[float] = []
        self._names: list[str] = []
        self._shown: list[str] = []

    def show(self, loads: Sequence[float], names: Sequence[str]) -> None:
        """Draw these loads, [L]; nothing is repainted where no cell changes."""
        self._loads = list(loads)
        self._names = [plain_text(name) for name in names]
        if (text := self._text()) != self._shown:
            self._shown = text
            self.refresh()

    def on_resize(self) -> None:
        self._shown = self._text()

    def _text(self) -> list[str]:
        return [self._bar_of(load) + self._value_of(load) for load in self._loads]

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if not self._loads:
            text = "waiting for the first measurement" if y == self.size.height // 2 else ""
            return Strip([Segment(text.center(width)[:width], base + self._color("secondary"))])
        if y >= len(self._loads):
            return Strip.blank(width, base)
        if y == self.size.height - 1 and y < len(self._loads) - 1:
            more = f"… {len(self._loads) - y} more layers"
            return Strip([Segment(more, base + self._color("secondary"))]).adjust_cell_length(width, base)
        load = self._loads[y]
        color = self._color("primary" if load >= 0 else "error")
        segments = [
            Segment(self._names[y][: self._name_width()].ljust(self._name_width() + 1), base),
            Segment(self._bar_of(load), base + color),
            Segment(self._value_of(load), base + self._color("secondary")),
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _name_width(self) -> int:
        return min(12, max((len(name) for name in self._names), default=0))

    def _bar_of(self, load: float) -> str:
        room = max(1, self.size.width - self._name_width() - 9)
        largest = max((abs(d) for d in self._loads if math.isfinite(d)), default=0.0)
        if not math.isfinite(load) or largest == 0.0:
            return " " * room
        eighths = round(8 * room * abs(load) / largest)
        if ascii_only():
            return ("#" * round(eighths / 8)).ljust(room)
        whole, part = divmod(eighths, 8)
        return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(room)

    def _value_of(self, load: float) -> str:
        return f"{load:8.3f}" if math.isfinite(load) else "       -"

    def _color(self, name: str) -> Style:
        return Style(color=self.app.theme_variables.get(name))
