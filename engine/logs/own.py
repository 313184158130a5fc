"""Which run directory of springtui holds the loads of a training that another tool's log is of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..runs.directory import parse_id
from ..runs.names import CONFIG, EVENTS

_APART = 60.0
"""Seconds that a probe may be made before the other tool's first record, or go on after its last."""


class OtherRun(NamedTuple):
    """What is compared of a run of another tool."""

    folder: Path
    since: float
    """When its first point was logged, in seconds since the epoch; infinite where it is not known."""
    until: float
    """When its files were last changed."""


def joined_to(runs: Sequence[OtherRun], own: Sequence[Path]) -> list[Path | None]:
    """For each run, the run directory of springtui with which it is one training; None where there is none.

    The directory is the run's folder, or one lies in the other, and both were written at the same time. Of
    several, the nearest in the tree of folders is taken, then the one that shares the most time; none is given
    twice.
    """
    pairs = [
        (_steps_between(run.folder, path), -shared, number, path)
        for path in own
        for number, run in enumerate(runs)
        if run.folder.is_relative_to(path) or path.is_relative_to(run.folder)
        if (shared := _shared(run, path)) > 0
    ]
    given: dict[int, Path] = {}
    for _, _, number, path in sorted(pairs):
        if number not in given and path not in given.values():
            given[number] = path
    return [given.get(number) for number in range(len(runs))]


def _steps_between(folder: Path, path: Path) -> int:
    return abs(len(folder.parts) - len(path.parts))


def _shared(run: OtherRun, path: Path) -> float:
    """Seconds that a run and a run directory were both written, give or take a minute; not above 0 where none."""
    try:
        until = (path / EVENTS).stat().st_mtime
        made = parse_id(path.name)
        since = (path / CONFIG).stat().st_mtime if made is None else made[0]
    except OSError:
        return 0.0
    first = run.since if math.isfinite(run.since) else run.until
    return min(until, run.until) + _APART - max(since - _APART, min(first, run.until))
