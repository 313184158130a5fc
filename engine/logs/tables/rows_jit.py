"""Rows of a table to columns of numbers, compiled: each byte is looked at about once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...jit import jit
from ..numbers_jit import ASK, EXACT, NOTHING, number_at

Bytes = npt.NDArray[np.uint8]
_LINE_FEED, _RETURN, _BLANK, _TAB, _QUOTE = 10, 13, 32, 9, 34
_EMPTY = 3
"""Kind of a cell beside those of ``number_at``."""


@jit
def _is_end(text: Bytes, at: int, separator: int) -> bool:
    """Whether a cell ends at ``at``: at a separator, or at the end of the line."""
    byte = text[at]
    return bool(byte in (separator, _LINE_FEED) or (byte == _RETURN and text[at + 1] == _LINE_FEED))


@jit
def _after_blanks(text: Bytes, at: int, separator: int) -> int:
    """Index of the first byte from ``at`` on that is no blank; a tab is one unless it separates cells."""
    while text[at] == _BLANK or (text[at] == _TAB and separator != _TAB):
        at += 1
    return at


@jit
def _closing(text: Bytes, at: int) -> int:
    """Index of the quote that closes a cell whose content begins at ``at``; the line's end where none does."""
    while text[at] != _LINE_FEED:
        if text[at] == _QUOTE:
            if text[at + 1] != _QUOTE:
                return at
            at += 1
        at += 1
    return at - 1 if text[at - 1] == _RETURN else at


@jit
def _end_of_cell(text: Bytes, at: int, separator: int) -> int:
    """Index behind the cell that begins at ``at``, its leading blanks passed over."""
    if text[at] == _QUOTE:
        at = _closing(text, at + 1)
    while not _is_end(text, at, separator):
        at += 1
    return at


@jit
def _quoted(text: Bytes, first: int, end: int, separator: int) -> tuple[float, int]:
    """(value, kind) of the cell from ``first``, a quote, to ``end``."""
    close = _closing(text, first + 1)
    if text[close] != _QUOTE or _after_blanks(text, close + 1, separator) != end:
        return 0.0, NOTHING
    inner = _after_blanks(text, first + 1, separator)
    if inner == close:
        return 0.0, _EMPTY
    value, last, kind = number_at(text, inner, close)
    if _after_blanks(text, last, separator) != close:
        return 0.0, NOTHING
    return value, kind


@jit
def _cell(text: Bytes, first: int, separator: int) -> tuple[float, int, int]:
    """(value, index behind it, kind) of the cell that begins at ``first``, its leading blanks passed over."""
    if _is_end(text, first, separator):
        return 0.0, first, _EMPTY
    value, last, kind = number_at(text, first, len(text))
    if kind != NOTHING:
        end = _after_blanks(text, last, separator)
        if _is_end(text, end, separator):
            return value, end, kind
    end = _end_of_cell(text, first, separator)
    if text[first] == _QUOTE:
        value, kind = _quoted(text, first, end, separator)
        return value, end, kind
    return 0.0, end, NOTHING


@jit
def read_rows(
    text: Bytes,
    start: int,
    separator: int,
    wanted: npt.NDArray[np.bool_],
    watched: int,
    values: npt.NDArray[np.float64],
    held: npt.NDArray[np.bool_],
    odd: npt.NDArray[np.int64],
    left_out: npt.NDArray[np.int64],
) -> tuple[int, int, int, bool]:
    """Read rows until there is no more room, no more text, or a line that is no row of numbers.

    ``text`` [n]: whole lines, the last one ended by a line feed. ``wanted`` [columns]: the columns to read.
    ``values``, ``held`` [columns, rows], written: the numbers, and which cells hold one. ``odd`` [m, 4], written:
    row, column, start and end of each wanted cell that is not empty and not a number whose value is known;
    ``held`` is False there. ``left_out`` [2], raised: by the lines skipped since they have too many cells, and by
    those taken as rows though they have too few. ``watched``: a line with a text in this column is no row of
    numbers.

    Returns (start of the first line not read, number of rows, number of odd cells, whether the line there is no
    row of numbers). At least one row is read where ``odd`` has room for one.
    """
    columns, room = values.shape
    rows, odds, at = 0, 0, start
    while at < len(text) and rows < room and odds + columns <= len(odd):
        if text[at] == _LINE_FEED or (text[at] == _RETURN and text[at + 1] == _LINE_FEED):
            at += 1 if text[at] == _LINE_FEED else 2
            continue
        line, first_odd, column, has_too_many = at, odds, 0, False
        while True:
            at = _after_blanks(text, at, separator)
            if column < columns and wanted[column]:
                first = at
                value, at, kind = _cell(text, first, separator)
                values[column, rows] = value
                held[column, rows] = kind == EXACT
                if kind == NOTHING and column == watched:
                    return line, rows, first_odd, True
                if kind in (NOTHING, ASK):
                    odd[odds, 0], odd[odds, 1], odd[odds, 2], odd[odds, 3] = rows, column, first, at
                    odds += 1
            else:
                # An empty cell behind the last column is only a separator at the end of the line.
                has_too_many = (
                    has_too_many or column > columns or (column == columns and not _is_end(text, at, separator))
                )
                at = _end_of_cell(text, at, separator)
            column += 1
            if text[at] != separator:
                break
            at += 1
        at += 2 if text[at] == _RETURN else 1
        if has_too_many:
            left_out[0] += 1
            odds = first_odd
            continue
        if column < columns:
            left_out[1] += 1
            held[column:, rows] = False
        rows += 1
    return at, rows, odds, False


def compile_all() -> None:
    """Compile the function for the arguments that tables give it."""
    text, wanted = np.frombuffer(b"1,2\n", np.uint8), np.ones(2, np.bool_)
    values, held = np.zeros((2, 1)), np.zeros((2, 1), np.bool_)
    read_rows(text, 0, 44, wanted, 0, values, held, np.zeros((2, 4), np.int64), np.zeros(2, np.int64))
