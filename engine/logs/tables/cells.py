"""The cells of one line of a table, in plain Python, by the rules that the compiled code follows too."""

from __future__ import annotations

import re

NUMBER = re.compile(rb"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE)
"""What ``float`` takes for a number, without blanks around and underscores within."""
_ABSENT = frozenset((b"", b"na", b"n/a", b"none", b"null", b"-", b"--"))
QUOTE = b'"'
MARK = b"\xef\xbb\xbf"
"""What some programs put at the beginning of a text in UTF-8."""


def is_absent(cell: bytes) -> bool:
    """Whether a cell says that there is no value: it is blank, or a word such as NA, which Keras writes."""
    return cell.lower() in _ABSENT


def number_in(cell: bytes) -> float | None:
    """The number that a cell holds; None where it holds none."""
    return float(cell) if NUMBER.fullmatch(cell) else None


def cell_spans(line: bytes, separator: bytes) -> list[tuple[int, int]]:
    """Where each cell of a line without its end starts, leading blanks passed over, and where it ends.

    A quoted cell ends at the latest with its line, so that a stray quote spoils one row and not the rest of the
    file.
    """
    if QUOTE not in line:
        spans, at = [], 0
        for cell in line.split(separator):
            spans.append((at + len(cell) - len(cell.lstrip(_blanks(separator))), at + len(cell)))
            at += len(cell) + 1
        return spans
    spans, at = [], 0
    while True:
        at = _after_blanks(line, at, separator)
        end = line.find(separator, _closing(line, at + 1) if line[at : at + 1] == QUOTE else at)
        if end < 0:
            return [*spans, (at, len(line))]
        spans.append((at, end))
        at = end + 1


def content(cell: bytes, separator: bytes) -> bytes:
    """A cell without the blanks around it and, where quotes enclose all of it, without them and the blanks inside.

    A quote inside the quotes, written twice, stays written twice.
    """
    cell = cell.strip(_blanks(separator))
    if cell.startswith(QUOTE) and len(cell) >= 2 and _closing(cell, 1) == len(cell) - 1:
        return cell[1:-1].strip(_blanks(separator))
    return cell


def cells_of(line: bytes, separator: bytes) -> list[bytes]:
    """The contents of a line's cells."""
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if QUOTE not in line:
        blanks = _blanks(separator)
        return [cell.strip(blanks) for cell in line.split(separator)]
    return [content(line[start:end], separator) for start, end in cell_spans(line, separator)]


def _blanks(separator: bytes) -> bytes:
    """What counts as a blank: a tab too, unless it separates cells."""
    return b" " if separator == b"\t" else b" \t"


def _after_blanks(line: bytes, at: int, separator: bytes) -> int:
    blanks = _blanks(separator)
    while at < len(line) and line[at] in blanks:
        at += 1
    return at


def _closing(line: bytes, at: int) -> int:
    """Index of the quote that closes a cell whose content begins at ``at``; the line's end where none does."""
    while (at := line.find(QUOTE, at)) >= 0:
        if line[at + 1 : at + 2] != QUOTE:
            return at
        at += 2
    return len(line)
