"""What the terminal shows, cell by cell, so that only cells that changed go out.

Textual sends a changed stretch of a line from the start of its widget on, and every widget that was touched whole.
A link of 8 kB/s has no room for that. Here each picture is compared with the last one sent.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import Strip

_Cell: TypeAlias = "tuple[str, str] | None"
"""A character and its style's codes; the second half of a wide character has no text. None is not known."""
NEAR = 5
"""Cells alike between two that differ, fewer than which are written rather than jumped over."""


class Shown:
    """The picture sent last."""

    def __init__(self) -> None:
        self._size = Size(0, 0)
        self._lines: list[list[_Cell]] = []

    def forget(self) -> None:
        """The terminal may show anything."""
        self._size = Size(0, 0)

    def output(self, update: CompositorUpdate, size: Size, console: Console) -> str | None:
        """What to write so that the terminal shows the update; None where it is of a kind not known here."""
        if size != self._size:
            self._size = size
            self._lines = [[None] * size.width for _ in range(size.height)]
        if isinstance(update, ChopsUpdate):
            pieces = _of_chops(update)
        elif isinstance(update, LayoutUpdate):
            pieces = _of_layout(update)
        else:
            return None
        system = console._color_system or ColorSystem.TRUECOLOR
        return "".join(
            out for y, x, strip in pieces if y < size.height for out in self._changes(y, x, strip, system)
        )

    def _changes(self, y: int, x: int, strip: Strip, system: ColorSystem) -> Iterator[str]:
        """Moves and texts for the cells of a piece that are new."""
        line = self._lines[y]
        new = list(_cells(strip, system))[: max(0, len(line) - x)]
        old = line[x : x + len(new)]
        if new == old:
            return
        line[x : x + len(new)] = new
        for start, end in _stretches(old, new):
            yield f"\x1b[{y + 1};{x + start + 1}H"
            yield from _texts(new[start:end])


def _of_chops(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Line, column and piece of what is to be drawn of a partial update."""
    for y, start, end in update.spans:
        for chop_end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < end and chop_end > start:
                left = max(0, start - x)
                yield y, x + left, strip.crop(left, min(end, chop_end) - x)


def _of_layout(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, strips in enumerate(update.strips, update.region.y):
        x = update.region.x
        for strip in strips:
            yield y, x, strip
            x += strip.cell_length


def _cells(strip: Strip, system: ColorSystem) -> Iterator[_Cell]:
    for text, style, control in strip:
        if control:
            continue
        codes = _codes(style, system) if style is not None else ""
        if text.isascii():
            yield from ((char, codes) for char in text)
            continue
        for char in text:
            width = cell_len(char)
            if width:
                yield char, codes
            if width == 2:
                yield "", codes


@functools.lru_cache(4096)
def _codes(style: Style, system: ColorSystem) -> str:
    """The numbers of a style's escape sequence."""
    return style.render("x", color_system=system).partition("x")[0].removeprefix("\x1b[").removesuffix("m")


def _stretches(old: list[_Cell], new: list[_Cell]) -> list[tuple[int, int]]:
    """First and one-past-last column of what differs; no wide character is cut in half."""
    found: list[tuple[int, int]] = []
    for column, (a, b) in enumerate(zip(old, new, strict=True)):
        if a == b:
            continue
        start = column - 1 if b is not None and b[0] == "" and column else column
        if found and start - found[-1][1] < NEAR:
            found[-1] = found[-1][0], column + 1
        else:
            found.append((start, column + 1))
    return [(start, end + 1 if end < len(new) and _is_half(new[end]) else end) for start, end in found]


def _is_half(cell: _Cell) -> bool:
    return cell is not None and cell[0] == ""


def _texts(cells: Iterable[_Cell]) -> Iterator[str]:
    """Neighbours of one style together."""
    text, codes = "", ""
    for cell in cells:
        char, now = cell or (" ", "")
        if now != codes and text:
            yield f"\x1b[{codes}m{text}\x1b[0m" if codes else text
            text = ""
        text, codes = text + char, now
    if text:
        yield f"\x1b[{codes}m{text}\x1b[0m" if codes else text


class Changes(CompositorUpdate):
    """An update of Textual's, of which only what is new is written."""

    def __init__(self, update: CompositorUpdate, shown: Shown, size: Size) -> None:
        self.update, self.shown, self.size = update, shown, size

    def render_segments(self, console: Console) -> str:
        """What to write."""
        output = self.shown.output(self.update, self.size, console)
        return self.update.render_segments(console) if output is None else output
