"""Prints results on standard output and messages on standard error.

Text goes through ``plain_text`` first and JSON is ASCII, so that no content of a file reaches the terminal as a
control sequence.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..terminal.text import plain_text


def print_json(value: Any) -> None:
    """Print a value as JSON on one line; numbers that are not finite become null."""
    print_line(json.dumps(_finite_json(value), allow_nan=False).replace("\x7f", "\\u007f"), plain=False)


def _finite_json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite_json(inner) for key, inner in value.items()}
    return [_finite_json(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def print_line(text: str, *, plain: bool = True) -> None:
    """Print one line of a result; ``plain`` removes control characters."""
    sys.stdout.write(f"{plain_text(text) if plain else text}\n")


def print_message(text: str) -> None:
    """Print a message on standard error, line by line."""
    for line in text.splitlines() or [""]:
        sys.stderr.write(f"{plain_text(line)}\n")
    sys.stderr.flush()


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with columns as wide as their widest cells."""
    cells = [[plain_text(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print_line(line.rstrip(), plain=False)
