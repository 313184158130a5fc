"""The terminal sizes that screens need, and their text where the terminal is smaller."""

from __future__ import annotations

import os
import shutil

WIDE = (110, 34)
"""Columns and rows from which all panels are shown at once."""
SMALLEST = (72, 20)
"""Columns and rows below which nothing useful fits."""


def size_of(descriptor: int) -> tuple[int, int]:
    """Columns and rows of the terminal behind a descriptor; 0 where neither it nor the environment tells them.

    The terminal goes before the variables COLUMNS and LINES, which nobody changes when it is resized: where
    readline is loaded in a process, as in Python's own prompt, all that it starts inherits them.
    """
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        columns = rows = 0
    return (columns, rows) if columns and rows else shutil.get_terminal_size((0, 0))


def is_small(columns: int, rows: int) -> bool:
    """Whether nothing useful fits."""
    return columns < SMALLEST[0] or rows < SMALLEST[1]


def is_wide(columns: int, rows: int) -> bool:
    """Whether all panels are shown at once, without tabs."""
    return columns >= WIDE[0] and rows >= WIDE[1]


def too_small(what: str, columns: int, rows: int) -> str:
    """The text in place of a screen that does not fit."""
    return (
        f"{what} needs {SMALLEST[0]}×{SMALLEST[1]}; this terminal is {columns}×{rows}. "
        f"Make it larger, or press q to quit."
    )
