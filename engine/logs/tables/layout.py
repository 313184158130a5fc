"""What the columns of a table mean: which one counts the steps, which one tells the time, which are scalars.

Everything follows from the header and the first row, so that a table that is read while it grows gives the same
columns as one that is read when it is finished.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from ..axis_names import COUNTS, STEPS, TIMES, plain
from .cells import is_absent, number_in

_MONITOR = re.compile(rb'#\{"t_start": (\d{1,12}(?:\.\d{1,12})?)[,}]')
_EARLIEST, _LATEST = 9e8, 4.2e9
"""Seconds since the epoch between which a number in a column of times is a date: the years 1998 to 2103."""
_SCALES = (1.0, 1e-3, 1e-6, 1e-9)
"""Seconds, milliseconds, microseconds, nanoseconds."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The meaning of a table's columns."""

    tags: tuple[str, ...]
    """By column: the scalar's name; empty where the column is none."""
    step: int
    """The column that counts the steps; -1 where the rows themselves are counted."""
    time: int
    """The column that tells when a row was written; -1 where none does."""
    scale: float
    """Seconds in one unit of the column of times."""
    start: float
    """Seconds since the epoch at which the column of times begins to count."""
    counts: str
    """What the steps count: epoch, batch, episode, timestep or line; empty for the optimiser's steps."""

    @property
    def epoch(self) -> int:
        """The column of epochs where they are not the steps; -1 where there is none."""
        return next((column for column, tag in enumerate(self.tags) if plain(tag) == "epoch"), -1)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.tags)

    @property
    def wanted(self) -> npt.NDArray[np.bool_]:
        """[columns]: which are read."""
        wanted = np.array([bool(tag) for tag in self.tags])
        wanted[[column for column in (self.step, self.time) if column >= 0]] = True
        return wanted

    @property
    def watched(self) -> int:
        """The column that holds no text in any row of numbers; -1 where there is no scalar."""
        if self.step >= 0:
            return self.step
        return next((column for column, tag in enumerate(self.tags) if tag), -1)


def names_of(cells: Sequence[bytes]) -> list[str]:
    """The names of columns, one that stands twice numbered."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for cell in cells:
        name = cell.decode("utf-8", "replace").replace('""', '"')
        seen[name] = count = seen.get(name, 0) + 1
        names.append(name if count == 1 or not name else f"{name}.{count}")
    return names


def is_header(cells: Sequence[bytes]) -> bool:
    """Whether cells name columns: at least two names, and no number among them but for blanks."""
    names = [cell for cell in cells if cell]
    return len(names) >= 2 and all(number_in(cell) is None for cell in names)


def step_names(cells: Sequence[bytes]) -> list[str]:
    """The names among a header's cells that count the training's progress, the surest first."""
    known = {plain(name) for name in names_of(cells)}
    return [name for name in STEPS if name in known]


def monitor_start(line: bytes) -> float | None:
    """The time, in seconds since the epoch, from which the ``Monitor`` of stable-baselines3 counts.

    It stands in the comment above the table of episodes, whose columns are ``r``, ``l`` and ``t``. None for any
    other line.
    """
    match = _MONITOR.match(line)
    return float(match[1]) if match else None


def layout_of(header: Sequence[bytes], row: Sequence[bytes], start: float | None = None) -> Layout | None:
    """What the columns mean by the header and the first row; None where the row holds no number.

    ``start``: the ``monitor_start`` told above the header.
    """
    names = names_of(header)
    cells = list(row[: len(names)]) + [b""] * (len(names) - len(row))
    numbers = [number_in(cell) for cell in cells]
    if all(number is None for number in numbers):
        return None
    step = _step_column(names, cells, numbers)
    time, scale = _time_column(names, cells, numbers)
    if start is not None and "t" in names:
        step, time, scale = -1, names.index("t"), 1.0
    tags = tuple(
        "" if column in (step, time) or (number is None and not is_absent(cell)) else name
        for column, (name, cell, number) in enumerate(zip(names, cells, numbers, strict=True))
    )
    rows_are = "line" if start is None else "episode"
    counts = rows_are if step < 0 else COUNTS.get(plain(names[step]), "")
    return Layout(tags, step, time, scale, start or 0.0, counts)


def _step_column(names: Sequence[str], cells: Sequence[bytes], numbers: Sequence[float | None]) -> int:
    known = [plain(name) for name in names]
    blank = -1
    for name in STEPS:
        if name not in known:
            continue
        column = known.index(name)
        number = numbers[column]
        if number is not None and number == number // 1 and abs(number) < 1 << 53:
            return column
        if blank < 0 and is_absent(cells[column]):
            blank = column
    return blank


def _time_column(
    names: Sequence[str], cells: Sequence[bytes], numbers: Sequence[float | None]
) -> tuple[int, float]:
    """The column of times and its unit in seconds; (-1, 1.0) where no column holds dates."""
    known = [plain(name) for name in names]
    for name in TIMES:
        if name not in known:
            continue
        column = known.index(name)
        number = numbers[column]
        if number is None:
            if seconds_of(cells[column]) is not None:
                return column, 1.0
            continue
        for scale in _SCALES:
            if _EARLIEST < number * scale < _LATEST:
                return column, scale
    return -1, 1.0


def seconds_of(cell: bytes) -> float | None:
    """Seconds since the epoch of a date as ISO 8601 writes it, in this machine's zone where it names none."""
    if not 10 <= len(cell) <= 40:
        return None
    try:
        return datetime.fromisoformat(cell.decode("ascii")).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
