"""Logs of other tools in tests: read by one format, and compared with what is known to have been logged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.logs.columns import Columns
from engine.logs.folder import Folder
from engine.logs.reader import PIECE, Claim, Format, Reader

from .paths import SHARED

CASES = SHARED / "cases" / "logs"
"""Small real logs, each with TRUTH.json: runs -> tag -> [step, value, time]."""


def drained(reader: Reader, limit: int = PIECE) -> Columns:
    """All that a reader gives up to the present end of its log."""
    columns = Columns()
    for _ in range(1_000_000):
        batch = reader.poll(limit)
        columns.take(batch)
        if not batch.more:
            return columns
    raise AssertionError("the reader never comes to the end")


def claims_under(a_format: Format, path: Path) -> Iterator[Claim]:
    """The runs of one format in a folder and all below it; of a file, those in that file."""
    if path.is_file():
        yield from a_format.claims(Folder(path.parent, frozenset({path.name})))
        return
    folder = Folder(path)
    yield from a_format.claims(folder)
    for name in folder.folders:
        yield from claims_under(a_format, path / name)


def read_all(a_format: Format, path: Path, limit: int = PIECE) -> dict[str, Columns]:
    """What one format reads under a path, by run: its directory relative to the path, ``#NAME`` appended."""
    found = {}
    for claim in claims_under(a_format, path):
        name = claim.folder.relative_to(path).as_posix() if path.is_dir() else "."
        reader = a_format.reader(claim)
        found[f"{name}#{claim.run}" if claim.run else name] = drained(reader, limit)
        reader.close()
    return found


def truth(case: str) -> dict[str, dict[str, list[list[Any]]]]:
    """By run and tag what was logged: [step, value, time]; values that are not finite as floats."""
    found = json.loads((CASES / case / "TRUTH.json").read_text())["runs"]
    return {
        run: {tag: [[step, float(value), time] for step, value, time in points] for tag, points in tags.items()}
        for run, tags in found.items()
    }


def is_same(left: float, right: float, relative: float = 0.0) -> bool:
    """Whether two values are equal, NaN and infinities included, within a relative tolerance."""
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or abs(left - right) <= relative * max(abs(left), abs(right))
