"""Points of many tags as the records of a log: the numbers of one step together, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from ..runs.log import Points
from ..runs.records import Ended, Event, Note, Scalars
from .batch import Batch, Remark

_LATEST = 1e11
"""The latest time that a record can have, in seconds since the epoch."""


class Rows:
    """Points in the order in which they were logged, as far as their times tell; where they do not, by step.

    A record holds neighbours of one step. A tag that stands at a step twice begins another record, so that no
    number is lost.
    """

    def __init__(self, points: Mapping[str, Points], counts: Mapping[str, str]) -> None:
        self._tags = list(points)
        self._counts = [counts.get(tag, "") for tag in self._tags]
        lengths = [len(one.step) for one in points.values()]
        tag = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        empty = [np.empty(0)]
        step = np.concatenate([one.step for one in points.values()] or empty).astype(np.int64)
        value = np.concatenate([one.value for one in points.values()] or empty)
        time = np.concatenate([one.time for one in points.values()] or empty)
        again = _repetitions(tag, step)
        known = bool(np.isfinite(time).all())
        order = np.lexsort((again, step, time) if known else (again, step))
        self._tag, self._step, self._value, self._time = tag[order], step[order], value[order], time[order]

    def __len__(self) -> int:
        """Number of points."""
        return len(self._tag)

    def records(self, start: int, end: int) -> Iterator[tuple[int, int, Scalars]]:
        """The records that begin with one of the points ``start`` … ``end - 1``.

        Each comes behind the numbers of its first point and of the first one after it.
        """
        while start < min(end, len(self)):
            first, values = start, dict[str, float]()
            while True:
                values[self._tags[self._tag[start]]] = float(self._value[start])
                start += 1
                if start >= len(self) or not self._follows(start) or self._tags[self._tag[start]] in values:
                    break
            step, time = max(0, int(self._step[first])), moment(float(self._time[start - 1]))
            yield first, start, Scalars(step=step, time=time, scalars=values)

    def _follows(self, number: int) -> bool:
        """Whether a point belongs to the step of the point before, counted in the same unit."""
        same = self._counts[self._tag[number]] == self._counts[self._tag[number - 1]]
        return same and bool(self._step[number] == self._step[number - 1])


def _repetitions(tag: npt.NDArray[np.int32], step: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of each point, how many points before it in a row have its tag and step."""
    number = np.arange(len(tag))
    is_other = np.ones(len(tag), dtype=bool)
    is_other[1:] = (tag[1:] != tag[:-1]) | (step[1:] != step[:-1])
    return number - np.maximum.accumulate(np.where(is_other, number, 0))


def records_of(batch: Batch, counts: Mapping[str, str], ended_at: float = 0.0) -> Iterator[Event]:
    """The news of a run as records: its numbers, remarks and end.

    Args:
        batch: the news.
        counts: what steps count, by tag; also of what came earlier.
        ended_at: when the run ended, if it did, in seconds since the epoch.
    """
    rows = Rows(batch.points, counts)
    for _, _, record in rows.records(0, len(rows)):
        yield record
    for remark in batch.remarks:
        yield note_of(remark)
    if batch.ended:
        yield ending(batch.ended, ended_at)


def note_of(remark: Remark, number: int = 0) -> Note:
    """A remark as a record of this number."""
    level = "warning" if remark.kind == "warning" else "info"
    step = "" if remark.step is None else f"step {remark.step}: "
    return Note(seq=number, time=moment(remark.time), text=step + remark.text, level=level)


def ending(ended: str, time: float = 0.0) -> Ended:
    """The record of the end of a training, which is finished, failed or stopped, at a time."""
    return Ended(reason=ended, time=time, text=f"the run {in_past(ended)}")


def in_past(ended: str) -> str:
    """How a training ended, in words."""
    return "was stopped" if ended == "stopped" else ended


def moment(seconds: float) -> float:
    """A time as records have it: in seconds since the epoch; 0 where it is not known or cannot be."""
    return seconds if 0.0 <= seconds <= _LATEST else 0.0
