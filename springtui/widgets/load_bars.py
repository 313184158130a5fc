"""Each layer's load as a bar."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from springtui.terminal.text import ascii_only, plain_text

from ..state.layers import LOGITS
from .canvas import Canvas
from .table import ending

_EIGHTHS = " ▏▎▍▌▋▊▉█"
HATCH, HATCH_PLAIN = "╱", "/"
"""Characters of the bars of negative loads."""


class LoadBars(Canvas):
    """A line for each layer: name, bar, value. Negative loads (the layer mixes the classes) are hatched."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._loads: list[float] = []
        self._names: list[str] = []

    def show(self, loads: Sequence[float], names: Sequence[str]) -> None:
        """Draw these loads, [L]; nothing is repainted where no cell changes."""
        self._loads = list(loads)
        self._names = [plain_text(name) for name in names]
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        height = self.size.height
        lines = [self._line(y) for y in range(min(height, len(self._loads)))]
        if 0 < height < len(self._loads):
            lines[-1] = Strip(
                [Segment(f"… {len(self._loads) - height + 1} more layers", self._style("secondary"))]
            )
        self.paint(lines)

    def _line(self, y: int) -> Strip:
        load = self._loads[y]
        # names of a user's layers differ at their ends: encoder.layer.0, encoder.layer.1
        width = self._name_width()
        name = ending(self._names[y], width)
        name += " " * (width + 1 - cell_len(name))
        return Strip(
            [
                Segment(name, self.rich_style),
                Segment(self._bar_of(load), self._style("primary" if load >= 0 else "error")),
                Segment(self._value_of(load), self._style("secondary")),
            ]
        )

    def _name_width(self) -> int:
        return min(max(12, self.size.width // 4), max((cell_len(name) for name in self._names), default=0))

    def _bar_of(self, load: float) -> str:
        room = max(1, self.size.width - self._name_width() - 9)
        largest = self._largest()
        if not math.isfinite(load) or largest == 0.0:
            return " " * room
        if abs(load) > largest:  # that of the logits, which may be longer than there is room
            sign = (HATCH_PLAIN if ascii_only() else HATCH) if load < 0 else "#" if ascii_only() else "█"
            return sign * (room - 1) + (">" if ascii_only() else "≫")
        eighths = round(8 * room * abs(load) / largest)
        if load < 0:  # to be distinguished without colour
            return ((HATCH_PLAIN if ascii_only() else HATCH) * max(1, round(eighths / 8))).ljust(room)
        if ascii_only():
            return ("#" * round(eighths / 8)).ljust(room)
        whole, part = divmod(eighths, 8)
        return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(room)

    def _largest(self) -> float:
        """The load of the longest bar, without that of the logits where any other is known and not 0."""
        sizes = [abs(load) if math.isfinite(load) else 0.0 for load in self._loads]
        inner = sizes[:-1] if self._names[-1:] in LOGITS else sizes
        return max(inner, default=0.0) or max(sizes, default=0.0)

    def _value_of(self, load: float) -> str:
        return f"{load:z8.3f}" if math.isfinite(load) else "       -"

    def _style(self, name: str) -> Style:
        return self.rich_style + Style(color=self.app.theme_variables.get(name))
