"""Whether a file begins as a table in which a training writes its numbers, and not as any table or a data set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ..axis_names import WEAK, plain
from ..metrics import has_metric
from .cells import MARK, cells_of, is_absent, number_in
from .layout import Layout, is_header, layout_of, monitor_start, names_of

_SEPARATORS = (b",", b"\t", b";")
_LINES = 64
"""Rows that are looked at: enough to tell order from chance, and soon done in a folder of a thousand tables."""


@dataclass(frozen=True, slots=True)
class Found:
    """A log's table by its first lines."""

    separator: bytes
    names: tuple[str, ...]
    """The names of its columns."""


def found_in(head: bytes) -> Found | None:
    """The table that a file with these first bytes is; None where it is no log, or holds no row yet."""
    if b"\n" not in head:
        return None
    lines = head[: head.rindex(b"\n")].removeprefix(MARK).split(b"\n", _LINES)[:_LINES]
    lines = [line for line in lines if line.strip()]
    start = next((found for line in lines[:1] if (found := monitor_start(line)) is not None), None)
    lines = list(itertools.dropwhile(lambda line: line.startswith(b"#"), lines))
    if len(lines) < 2 or b"\0" in lines[0]:
        return None
    for separator in _SEPARATORS:
        if separator not in lines[0] or not is_header(header := cells_of(lines[0], separator)):
            continue
        rows = [row for line in lines[1:] if (row := cells_of(line, separator)) != header]
        if _is_log(header, list(itertools.takewhile(lambda row: not is_header(row), rows)), start):
            return Found(separator, tuple(names_of(header)))
    return None


def _is_log(header: Sequence[bytes], rows: Sequence[Sequence[bytes]], start: float | None) -> bool:
    fitting = [row for row in rows if len(row) <= len(header) or not any(row[len(header) :])]
    if not fitting or len(fitting) < 0.8 * len(rows):
        return False
    layout = next((found for row in fitting if (found := layout_of(header, row, start)) is not None), None)
    if layout is None or not any(layout.tags):
        return False
    texts = [column for column in range(layout.width) if _is_text(fitting, column) and column != layout.time]
    named = has_metric(layout.tags)
    if layout.step < 0:
        return (named or start is not None) and not texts
    if _falls(layout, fitting) > len(fitting) / 3:
        return False
    if plain(names_of(header)[layout.step]) in WEAK and not named:
        return False
    return len(texts) <= 2 * layout.width / 3


def _is_text(rows: Sequence[Sequence[bytes]], column: int) -> bool:
    """Whether more cells of a column hold texts than numbers."""
    cells = [row[column] for row in rows if column < len(row) and not is_absent(row[column])]
    return 2 * sum(number_in(cell) is None for cell in cells) > len(cells)


def _falls(layout: Layout, rows: Sequence[Sequence[bytes]]) -> int:
    """How often a row's step is smaller than the one before: at every second row of a shuffled data set."""
    cells = [row[layout.step] for row in rows if layout.step < len(row)]
    steps = [number for cell in cells if (number := number_in(cell)) is not None]
    return sum(right < left for left, right in itertools.pairwise(steps))
