"""Histories of a log's columns: extended by the new points alone, and read anew where a plot is zoomed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from engine.runs.log import Bulk, Numbers, Points

from .history import History

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]


MOMENTS = 1 << 16
"""Most steps that a replay can show; beyond them every second one is dropped."""


HOLES = 400
"""Most stretches of numbers that are not finite that are kept of a tag; beyond them neighbours are joined."""
Hole = tuple[float, float]
"""The first and the last place of a stretch of numbers that are not finite."""


@dataclass
class _Tag:
    """What is known of a tag."""

    life: int
    history: History = field(default_factory=History)
    count: int = 0
    """Points taken in, those included that are not finite."""
    missing: int = 0
    """Points that are not finite."""
    holes: list[Hole] = field(default_factory=list)
    """Where those points stand."""
    last: float = -math.inf
    """The newest step; points whose steps go back are sorted before they are drawn."""
    newest: float = math.nan
    at: int = 0
    """The step of the newest point."""
    first_time: float = math.nan
    last_time: float = math.nan
    """Of the earliest and of the latest point whose time the log tells, in seconds since the epoch."""


class Moments(NamedTuple):
    """The steps that a replay can show."""

    unit: str
    """What they count; empty for the optimiser's steps."""
    steps: Ints
    times: Floats
    """In seconds since the epoch; NaN where the log does not say."""


class Until(NamedTuple):
    """What had been logged at a moment."""

    step: int
    time: float
    histories: dict[str, tuple[list[float], list[float]]]
    newest: dict[str, float]
    holes: dict[str, list[Hole]]


class NumberHistories:
    """The histories of all tags of one log."""

    def __init__(self) -> None:
        self._tags: dict[str, _Tag] = {}
        self._numbers: Numbers | None = None
        self._moments: Moments | None = None
        self._merged: dict[str, tuple[int, int]] = {}
        """Life and number of points of the tags whose steps are among those below."""
        self._steps: Ints
        self._times: Floats
        """The steps that a replay can show, rising, and when the first number at each was logged."""
        self.units: dict[str, str] = {}
        """By tag: what its horizontal axis counts, or which tag is its axis, where not the optimiser's steps."""
        self._axes: dict[str, str] = {}
        self._counts: dict[str, str] = {}

    def take(self, bulk: Bulk) -> None:
        """Add the points that have come since the last call."""
        self._numbers, tags = bulk.numbers, bulk.numbers.tags
        self._counts = bulk.counts
        self._axes = {tag: axis for tag, axis in bulk.axes.items() if axis in tags and axis != tag}
        self.units = bulk.counts | self._axes
        self._tags = {tag: known for tag in tags if (known := self._taken(tag, bulk.numbers)) is not None}

    def _taken(self, tag: str, numbers: Numbers) -> _Tag | None:
        import numpy as np  # no first frame waits for it

        life = numbers.life(tag)
        known = self._tags.get(tag)
        if known is None or known.life != life:
            known = _Tag(life)
        points = numbers.points(tag, known.count)
        if not len(points.step):
            return known if known.count else None
        if tag in self._axes or points.step[0] < known.last or bool((np.diff(points.step) < 0).any()):
            known = _Tag(life)
            points = numbers.points(tag)
        known.count += len(points.step)
        was_bad = known.missing > 0 and not math.isfinite(known.newest)
        known.newest, known.at = float(points.value[-1]), int(points.step[-1])
        known.last = float(points.step.max())
        times = points.time[np.isfinite(points.time)]
        if len(times):
            known.first_time = float(np.fmin(known.first_time, times.min()))
            known.last_time = float(np.fmax(known.last_time, times.max()))
        along = self._along(tag, points)
        x, y = _finite(along, points.value)
        bad = ~np.isfinite(points.value)
        known.missing += int(bad.sum())
        if bad.any():
            known.holes = _holes(known.holes, along, bad, goes_on=was_bad)
        known.history.extend(x, y)
        return known

    def _along(self, tag: str, points: Points) -> Floats:
        """Where points stand on their horizontal axis, [n]; NaN before the tag that is the axis has a number."""
        import numpy as np  # as above

        if tag not in self._axes or self._numbers is None:
            return points.step.astype(np.float64)
        axis = self._numbers.points(self._axes[tag])
        order = np.argsort(axis.step, kind="stable")
        at = np.searchsorted(axis.step[order], points.step, "right") - 1
        return np.where(at < 0, np.nan, axis.value[order][np.maximum(at, 0)])

    @property
    def points(self) -> int:
        """Number of points of all tags."""
        return sum(known.count for known in self._tags.values())

    @property
    def newest(self) -> dict[str, float]:
        """The newest number of every tag, perhaps not finite."""
        return {tag: known.newest for tag, known in self._tags.items()}

    @property
    def step(self) -> int:
        """The largest step of those that are optimiser's steps; of all where there is none."""
        steps = [known.last for tag, known in self._tags.items() if not self.units.get(tag)]
        return int(max(steps or [known.last for known in self._tags.values()], default=0))

    @property
    def histories(self) -> dict[str, History]:
        """The history of every tag; empty where none of its numbers is finite."""
        return {tag: known.history for tag, known in self._tags.items()}

    @property
    def missing(self) -> dict[str, int]:
        """By tag, how many of its numbers are not finite; those with none left out."""
        return {tag: known.missing for tag, known in self._tags.items() if known.missing}

    @property
    def holes(self) -> dict[str, list[Hole]]:
        """By tag, where its numbers are not finite; tags without such numbers are left out."""
        return {tag: known.holes for tag, known in self._tags.items() if known.holes}

    @property
    def places(self) -> dict[str, int]:
        """By tag, the step of its newest number."""
        return {tag: known.at for tag, known in self._tags.items()}

    @property
    def times(self) -> tuple[float, float]:
        """The earliest and the latest time of a number, in seconds since the epoch; NaN where none is told."""
        first = [known.first_time for known in self._tags.values() if math.isfinite(known.first_time)]
        last = [known.last_time for known in self._tags.values() if math.isfinite(known.last_time)]
        return min(first, default=math.nan), max(last, default=math.nan)

    def moments(self) -> Moments:
        """The steps that a replay can show: all that were logged and count alike, thinned where they are many."""
        longest = max(self._tags, key=lambda tag: (not self._unit(tag), self._tags[tag].count), default="")
        unit = self._unit(longest)
        known = {tag: (one.life, one.count) for tag, one in self._tags.items() if self._unit(tag) == unit}
        if self._moments is None or self._moments.unit != unit or self._merged != known:
            self._merge(known, anew=self._moments is None or self._moments.unit != unit)
            while len(self._steps) > MOMENTS:  # the newest one stays
                self._steps, self._times = self._steps[::-2][::-1].copy(), self._times[::-2][::-1].copy()
            self._moments = Moments(unit, self._steps, self._times)
        return self._moments

    def _merge(self, known: dict[str, tuple[int, int]], *, anew: bool) -> None:
        """Add the steps that have come to those that were known, or gather them anew where some became void."""
        import numpy as np  # as above

        before = self._merged
        grew = all(tag in known and known[tag][0] == life for tag, (life, _) in before.items())
        if anew or not grew:
            before, self._steps, self._times = {}, np.empty(0, np.int64), np.empty(0)
        self._merged = known
        if self._numbers is None:
            return
        new = [self._numbers.points(tag, before.get(tag, (0, 0))[1]) for tag in known]
        new.sort(key=lambda points: -len(points.step))
        # the steps of all tags are often the same
        new = new[:1] + [one for one in new[1:] if not np.array_equal(one.step, new[0].step)]
        came = np.concatenate([np.empty(0, np.int64), *(one.step for one in new)])
        steps, first = np.unique(came, return_index=True)
        times = np.concatenate([np.empty(0), *(one.time for one in new)])[first]
        if len(steps) and len(self._steps) and steps[0] <= self._steps[-1]:
            steps, first = np.unique(np.concatenate([self._steps, steps]), return_index=True)
            self._steps, self._times = steps, np.concatenate([self._times, times])[first]
        else:
            self._steps, self._times = np.concatenate([self._steps, steps]), np.concatenate([self._times, times])

    def _unit(self, tag: str) -> str:
        """What a tag's steps count; empty for the optimiser's steps."""
        return self._counts.get(tag, "")

    def until(self, moment: int) -> Until:
        """What had been logged at a replay's moment: by its step or, of tags that count otherwise, by its time."""
        import numpy as np  # as above

        found = self.moments()
        step, time = int(found.steps[moment]), float(found.times[moment])
        histories, newest, holes = {}, {}, {}
        for tag, known in self._tags.items():
            if self._numbers is None:
                continue
            points = self._numbers.points(tag)
            in_steps = self._unit(tag) == found.unit
            came = points.step <= step if in_steps else ~(points.time > time)  # all, where no times are known
            along = self._along(tag, points)[came]
            along = along[np.isfinite(along)]
            end = float(along[-1]) if len(along) else -math.inf
            histories[tag] = known.history.until(end)
            holes[tag] = [(low, min(high, end)) for low, high in known.holes if low <= end]
            if came.any():
                newest[tag] = float(points.value[came][-1])
        return Until(step, time, histories, newest, holes)

    def between(self, tag: str, low: float, high: float) -> tuple[list[float], list[float]] | None:
        """A tag's true points in a window of steps, or their extremes where they are many; None: no such tag.

        Args:
            tag: as logged.
            low: the first step.
            high: the last step.
        """
        if self._numbers is None or tag not in self._tags:
            return None
        points = self._numbers.points(tag)
        x, y = _finite(self._along(tag, points), points.value)
        start, end = x.searchsorted(low, "left"), x.searchsorted(high, "right")
        history = History()
        history.extend(x[start:end], y[start:end])
        return history.points()


def _holes(known: list[Hole], along: Floats, bad: Bools, *, goes_on: bool) -> list[Hole]:
    """The stretches that were known, and those of new points, the first of which may go on with the last one."""
    import numpy as np  # as above

    places = np.flatnonzero(bad & np.isfinite(along))
    if not len(places):
        return known
    edges = np.flatnonzero(np.diff(places) > 1)
    first, last = places[np.r_[0, edges + 1]], places[np.r_[edges, len(places) - 1]]
    new = list(zip(along[first].tolist(), along[last].tolist(), strict=True))
    if goes_on and known and first[0] == 0 and known[-1][1] <= new[0][1]:
        known, new = known[:-1], [(known[-1][0], new[0][1]), *new[1:]]
    found = sorted(known + new)
    while len(found) > HOLES:
        found = [
            (pair[0][0], max(high for _, high in pair))
            for pair in (found[i : i + 2] for i in range(0, len(found), 2))
        ]
    return found


def _finite(along: Floats, value: Floats) -> tuple[Floats, Floats]:
    """The points whose value is finite, in the order of the horizontal axis."""
    import numpy as np  # as above

    known = np.isfinite(value) & np.isfinite(along)
    x, y = (along, value) if known.all() else (along[known], value[known])
    if bool((np.diff(x) < 0).any()):
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    return x, y
