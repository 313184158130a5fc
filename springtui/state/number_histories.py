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


MOMENTS = 4000
"""Most steps that a replay can show."""


@dataclass
class _Tag:
    """What is known of a tag."""

    life: int
    history: History = field(default_factory=History)
    count: int = 0
    """Points taken in, those included that are not finite."""
    missing: int = 0
    """Points that are not finite."""
    last: float = -math.inf
    """The newest step; points whose steps go back are sorted before they are drawn."""
    newest: float = math.nan


class Moments(NamedTuple):
    """The steps that a replay can show."""

    key: tuple[str, int, int]
    """The tag whose steps they are, and what tells that it has changed."""
    steps: list[int]
    times: list[float]
    """In seconds since the epoch; NaN where the log does not say."""


class Until(NamedTuple):
    """What had been logged at a moment."""

    step: int
    time: float
    histories: dict[str, tuple[list[float], list[float]]]
    newest: dict[str, float]


class NumberHistories:
    """The histories of all tags of one log."""

    def __init__(self) -> None:
        self._tags: dict[str, _Tag] = {}
        self._numbers: Numbers | None = None
        self._moments: Moments | None = None
        self.units: dict[str, str] = {}
        """By tag: what its horizontal axis counts, or which tag is its axis, where not the optimiser's steps."""
        self._axes: dict[str, str] = {}

    def take(self, bulk: Bulk) -> None:
        """Add the points that have come since the last call."""
        self._numbers, tags = bulk.numbers, bulk.numbers.tags
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
        known.newest, known.last = float(points.value[-1]), float(points.step.max())
        x, y = _finite(self._along(tag, points), points.value)
        known.missing += int((~np.isfinite(points.value)).sum())
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

    def moments(self) -> Moments:
        """The steps that a replay can show: those of the tag with the most points, thinned where they are many."""
        import numpy as np  # as above

        longest = max(self._tags, key=lambda tag: (not self.units.get(tag), self._tags[tag].count), default="")
        known = self._tags.get(longest)
        if self._numbers is None or known is None:
            return Moments(("", 0, 0), [], [])
        if self._moments is None or self._moments.key != (longest, known.life, known.count):
            points = self._numbers.points(longest)
            steps, first = np.unique(points.step, return_index=True)
            chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOMENTS)).round().astype(int))
            key = longest, known.life, known.count
            self._moments = Moments(key, steps[chosen].tolist(), points.time[first[chosen]].tolist())
        return self._moments

    def until(self, moment: int) -> Until:
        """What had been logged at a replay's moment: by its step or, of tags that count otherwise, by its time."""
        found = self.moments()
        step, time = found.steps[moment], found.times[moment]
        unit = self.units.get(found.key[0], "")
        histories, newest = {}, {}
        for tag, known in self._tags.items():
            end = float(step) if self.units.get(tag, "") == unit else self._step_at(tag, time)
            histories[tag] = points = known.history.until(end)
            if points[1]:
                newest[tag] = points[1][-1]
        return Until(step, time, histories, newest)

    def _step_at(self, tag: str, time: float) -> float:
        """Where on its horizontal axis a tag had come at a time; infinite where that is not known."""
        points = self._numbers.points(tag) if self._numbers is not None else None
        if points is None or not math.isfinite(time) or not math.isfinite(float(points.time[-1])):
            return math.inf
        before = self._along(tag, points)[points.time <= time]
        return float(before[-1]) if len(before) else -math.inf

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


def _finite(along: Floats, value: Floats) -> tuple[Floats, Floats]:
    """The points whose value is finite, in the order of the horizontal axis."""
    import numpy as np  # as above

    known = np.isfinite(value) & np.isfinite(along)
    x, y = (along, value) if known.all() else (along[known], value[known])
    if bool((np.diff(x) < 0).any()):
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    return x, y
