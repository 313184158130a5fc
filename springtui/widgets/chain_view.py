"""Draws a chain: wall, springs, numbered blocks, and target."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from ..state.run_state import RunState
from ..terminal.text import ascii_only
from .canvas import Canvas
from .ruler import corners, draw

_Cell = tuple[str, str]
"""A character and its role, which gives its colour."""


class ChainView(Canvas):
    """A chain as blocks and springs, or as a folding ruler."""

    EMPTY = "waiting for the chain"

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._positions: list[float] = []
        self._target = 1.0
        self._held = 1.0
        self._as_ruler = False

    def show(self, positions: Sequence[float], target: float, held: float | None = None) -> None:
        """Draw blocks at x_1 … x_L between wall and target; ``held`` is the present end of the last spring."""
        self._positions, self._target = list(positions), target
        self._held = target if held is None else held
        self._lay_out()

    def toggle_ruler(self) -> bool:
        """Change between blocks and springs and the folding ruler; returns whether it is the ruler."""
        self._as_ruler = not self._as_ruler
        self._lay_out()
        return self._as_ruler

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        if not self._positions or self.size.width <= 8:
            self.paint([])
            return
        base = self.rich_style
        if self._as_ruler:
            self.paint(self._ruler(base))
            return
        styles: dict[str, Style] = {}
        lines = []
        for cells in self._picture():
            for _, role in cells:
                if role not in styles:
                    styles[role] = base + self._role(role)
            lines.append(Strip(Segment.simplify(Segment(char, styles[role]) for char, role in cells)))
        above = [Strip.blank(self.size.width, base)] * max(0, (self.size.height - len(lines)) // 2)
        self.paint([*above, *lines])

    def _ruler(self, base: Style) -> list[Strip]:
        """The ruler; segments are longer than evenly shared springs by the golden ratio, so they stay folded."""
        if not all(math.isfinite(x) for x in self._positions):
            return []
        length = 1.618 * abs(self._target) / (len(self._positions) + 1)
        hinges = corners([*self._positions, self._held], self._target, length)
        lines = draw(hinges, self.size.width, max(1, self.size.height), plain=ascii_only())
        style = base + self._role("even")
        return [Strip([Segment(line, style)]) for line in lines]

    def _picture(self) -> list[list[_Cell]]:
        """The picture's lines: springs and numbered blocks, the floor, and each spring's extension below it."""
        width = self.size.width
        plain = ascii_only()
        wall, post, body, floor = ("|", ">", "#", "-") if plain else ("▌", "▶", "█", "▔")
        columns = [self._column(x) for x in [0.0, *self._positions, self._held]]
        upper: list[_Cell] = [(" ", "")] * width
        middle: list[_Cell] = [(" ", "")] * width
        lower: list[_Cell] = [(" ", "")] * width
        points = [0.0, *self._positions, self._held]
        mean = self._held / (len(points) - 1)
        for i in range(1, len(points)):
            self._spring(middle, columns[i - 1], columns[i], self._heat(points[i] - points[i - 1], mean), plain)
            self._extension(lower, columns[i - 1], columns[i], points[i] - points[i - 1])
        for number, column in enumerate(columns[1:-1], 1):
            _put(upper, column, str(number), "block")
            _put(middle, column, body, "block")
        for line in (upper, middle):
            _put(line, columns[0], wall, "wall")
            _put(line, columns[-1], post, "target")
        ground: list[_Cell] = [(floor, "calm")] * width
        return [upper, middle, ground, lower]

    def _column(self, x: float) -> int:
        """The column of a position; positions beyond wall or target are drawn at the edge."""
        if not math.isfinite(x) or self._target == 0.0:
            return 0
        part = min(1.0, max(0.0, x / self._target))
        return round(part * (self.size.width - 1))

    def _spring(self, line: list[_Cell], left: int, right: int, role: str, plain: bool) -> None:
        """Write a zigzag into ``line``; the more it is stretched, the fewer turns it has in a cell."""
        signs = "/\\" if plain else "╱╲"
        gap = right - left - 1
        straight = "-" if plain else "─"
        period = max(1, gap // 6)
        for k in range(max(0, gap)):
            turn = k % (period + 1) == 0 or period == 1
            line[left + 1 + k] = (signs[(k // period) % 2] if turn else straight, role)

    def _extension(self, line: list[_Cell], left: int, right: int, extension: float) -> None:
        text = f"{extension:.2f}".replace("0.", ".", 1)
        if right - left > len(text):
            _put(line, left + (right - left + 1 - len(text)) // 2, text, "calm")

    def _heat(self, extension: float, mean: float) -> str:
        if not mean or not math.isfinite(extension):
            return "calm"
        ratio = extension / mean
        return "hot" if ratio > 1.25 else "slack" if ratio < 0.75 else "even"

    def _role(self, role: str) -> Style:
        names = {
            "block": "primary", "wall": "secondary", "target": "warning", "calm": "secondary",
            "hot": "error", "slack": "secondary", "even": "accent",
        }  # fmt: skip
        if role not in names:
            return Style()
        return Style(color=Color.parse(self.app.theme_variables[names[role]]).rich_color, bold=role == "block")


def _put(line: list[_Cell], column: int, text: str, role: str) -> None:
    for k, char in enumerate(text):
        if 0 <= column + k < len(line):
            line[column + k] = (char, role)


def show_chain(view: ChainView, state: RunState) -> None:
    """Draw a state's chain: the first replica where it was recorded, else the mean."""
    curve = state.latest
    if curve is not None and curve.positions is not None:
        view.show(curve.positions, float(state.settings.get("target", 1.0)), curve.scalars.get("target"))
