"""The cells that the terminal shows, and an encoder that writes only those that change, in few bytes.

Textual rewrites whole widgets, and gives each piece its full style and a reset, which is too much for a link of
8 kB/s. Here each update is compared with the cells shown, and those that differ are written with the shortest
changes of style and of the cursor's position.

Cells are written style by style, each from the top down: a move costs 4 to 8 bytes, a 24-bit colour up to 19.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import Strip

from .sgr import PLAIN, Sgr, sgr_of, shortest_change

Cell: TypeAlias = "tuple[str, Sgr]"
"""A character and its style, of a blank only what is visible; the second half of a wide character is empty."""
JUMP = 4
"""Bytes of a move to the right; unchanged cells between changed ones are rewritten where that costs no more."""
_IS_NARROW = re.compile("[ -~\u2500-\u259f\u2800-\u28ff]*").fullmatch
"""Characters that every terminal draws in one cell: ASCII, lines, blocks, braille."""
_STYLE = operator.itemgetter(1)


class ScreenDiff:
    """The cells that the terminal shows."""

    def __init__(self) -> None:
        self._size = Size(0, 0)
        self._lines: list[list[Cell | None]] = []

    def forget(self) -> None:
        """Forget the cells: the next update is written whole."""
        self._size = Size(0, 0)

    def output(self, update: CompositorUpdate, size: Size, console: Console) -> str | None:
        """The output that makes the terminal show the update; it begins and ends without any style.

        None for an update of an unknown kind.
        """
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
        encoder = Encoder()
        for y, x, strip in pieces:
            if y < size.height:
                line = self._lines[y]
                new = _cells(strip, system)[: max(0, len(line) - x)]
                old = line[x : x + len(new)]
                if new != old:
                    line[x : x + len(new)] = new
                    for start, end in _stretches(old, new):
                        encoder.write(y, x + start, new[start:end])
        return encoder.finish()


class Encoder:
    """Encodes cells as a terminal's output."""

    def __init__(self) -> None:
        self._pieces: dict[Sgr, list[tuple[int, int, str]]] = {}
        """Line, column and text of each run of cells, by style."""

    def write(self, line: int, column: int, cells: Iterable[Cell]) -> None:
        """Add cells from a line and column on, both counted from 0."""
        style, start, text = PLAIN, column, ""
        for wanted, run in itertools.groupby(cells, _STYLE):
            chars = [char for char, _ in run]
            more = "".join(chars)
            if wanted is not style and not _blanks_fit(more, wanted, style):
                if not _blanks_fit(text, style, wanted):
                    self._pieces.setdefault(style, []).append((line, start, text))
                    start, text = column, ""
                style = wanted
            text += more
            column += len(chars)
        if text:
            self._pieces.setdefault(style, []).append((line, start, text))

    def finish(self) -> str:
        """The output for all cells added; it begins and ends without any style."""
        out: list[str] = []
        now = PLAIN
        at_line = at_column = -1  # the cursor; -1 where it depends on the terminal
        for style in sorted(self._pieces, key=_by_background):
            for line, column, text in self._pieces[style]:
                right = column - at_column
                if line != at_line or right < 0:
                    out.append(f"\x1b[{line + 1};{column + 1}H" if column else f"\x1b[{line + 1}H")
                elif right:
                    out.append(f"\x1b[{right}C" if right > 1 else "\x1b[C")
                if style is not now:
                    change, now = shortest_change(now, style, blank=text.isspace())
                    out.append(change)
                out.append(text)
                narrow = _IS_NARROW(text)
                at_line, at_column = line if narrow else -1, column + len(text)
        out.append(shortest_change(now, PLAIN)[0])
        self._pieces.clear()
        return "".join(out)


def _blanks_fit(text: str, style: Sgr, other: Sgr) -> bool:
    """Whether a text is empty, or blanks that look the same in both styles."""
    return not text.strip(" ") and (
        not text or (style.background == other.background and not (style.shows_on_blanks or other.shows_on_blanks))
    )


def _by_background(style: Sgr) -> tuple[str, list[str]]:
    return style.background, sorted(style.attributes)


def _of_chops(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Line, column and strip of each part of a partial update."""
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


def _cells(strip: Strip, system: ColorSystem) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        sgr, blank = sgr_of(style, system) if style is not None else (PLAIN, PLAIN)
        if not _IS_NARROW(text):
            for char in text:
                width = cell_len(char)
                cells += [(char, blank if char == " " else sgr), ("", sgr)][:width]
        elif sgr is blank or " " not in text:
            cells += zip(text, itertools.repeat(sgr))
        else:
            cells += [(char, blank if char == " " else sgr) for char in text]
    return cells


def _stretches(old: Sequence[Cell | None], new: Sequence[Cell]) -> list[tuple[int, int]]:
    """First and one-past-last column of each run of changed cells; wide characters stay whole."""
    found: list[tuple[int, int]] = []
    for column, (a, b) in enumerate(zip(old, new, strict=True)):
        if a == b:
            continue
        start = column - 1 if b[0] == "" and column else column
        if found and (start <= found[-1][1] or _is_written(new[found[-1][1] - 1 : start])):
            found[-1] = found[-1][0], column + 1
        else:
            found.append((start, column + 1))
    return [(start, end + 1 if end < len(new) and new[end][0] == "" else end) for start, end in found]


def _is_written(cells: Sequence[Cell]) -> bool:
    """Whether rewriting these unchanged cells, all but the first, costs no more bytes than a move over them."""
    style = cells[0][1]
    return (
        len(cells) <= JUMP + 1
        and all(own is style or _blanks_fit(char, own, style) for char, own in cells)
        and len("".join([char for char, _ in cells[1:]]).encode()) <= JUMP
    )


class Changes(CompositorUpdate):
    """Textual's update, reduced to the cells that change."""

    def __init__(self, update: CompositorUpdate, diff: ScreenDiff, size: Size) -> None:
        self.update, self.diff, self.size = update, diff, size

    def render_segments(self, console: Console) -> str:
        """The output to write."""
        output = self.diff.output(self.update, self.size, console)
        return self.update.render_segments(console) if output is None else output
