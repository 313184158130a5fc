"""A run of springtui, as of a probe, whose training also writes another tool's log: one run for the screens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..runs.directory import Run
from ..runs.files import PIECE
from ..runs.log import Bulk, EventLog, Points, Signature, Slice
from ..runs.records import CurveScalars, Event, Scalars
from .foreign import ForeignRun


class JoinedRun(Run):
    """A run directory with its own records, and the numbers of other tools' logs of the same training.

    Args:
        path: the run directory.
        others: what other tools logged of the training.
    """

    def __init__(self, path: Path, others: Sequence[ForeignRun]) -> None:
        super().__init__(path)
        self.others = list(others)

    def log(self) -> EventLog:
        """The records of the directory, with the others' numbers as columns beside them."""
        return JoinedLog(super().log(), self.others)

    def signature(self) -> tuple[int, ...]:
        """Differs once the directory or one of the others has changed."""
        return (*super().signature(), *(part for other in self.others for part in other.signature()))

    def last_events(self, count: int) -> list[Event]:
        """The newest records, and behind them the newest numbers of the others."""
        numbers = (event for other in self.others for event in other.last_events(0) if isinstance(event, Scalars))
        return [*super().last_events(count), *numbers]


class _JoinedNumbers:
    """The tags of several runs; one that an earlier run has too is left to that one."""

    def __init__(self, runs: Sequence[ForeignRun]) -> None:
        self._of = {tag: run for run in reversed(runs) for tag in run.columns.tags}

    @property
    def tags(self) -> list[str]:
        """All tags."""
        return list(self._of)

    def points(self, tag: str, start: int = 0) -> Points:
        """A tag's points from number ``start`` on."""
        return self._of[tag].columns.points(tag, start)

    def life(self, tag: str) -> int:
        """Differs once points of the tag have become void."""
        return self._of[tag].columns.life(tag)


class JoinedLog(EventLog):
    """A run directory's log; its offsets are of the records alone."""

    def __init__(self, own: EventLog, others: Sequence[ForeignRun]) -> None:
        self._own = own
        self._others = others

    def bulk(self) -> Bulk:
        """The others' numbers; the records are to be read as well."""
        parts = [other.bulk() for other in self._others]
        counts: dict[str, str] = {}
        axes: dict[str, str] = {}
        problems: dict[str, int] = {}
        for part in reversed(parts):
            counts |= part.counts
            axes |= part.axes
            problems |= part.problems
        return Bulk(
            version=sum(part.version for part in parts),
            numbers=_JoinedNumbers(self._others),
            counts=counts,
            axes=axes,
            events=[],
            marks=[step for part in parts for step in part.marks],
            read=min((part.read for part in parts), default=1.0),
            problems=problems,
            has_records=True,
        )

    def signature(self) -> Signature:
        """Of the records."""
        return self._own.signature()

    def read(self, offset: int, limit: int = PIECE) -> Slice:
        """The records from an offset on."""
        return self._own.read(offset, limit)

    def between(self, start: int, end: int) -> list[bytes]:
        """The records between two offsets."""
        return self._own.between(start, end)

    def last(self, count: int) -> list[bytes]:
        """The newest records."""
        return self._own.last(count)

    def sample(self, offsets: Iterable[int], limit: int) -> list[bytes]:
        """For each offset the first record that begins there or a little later."""
        return self._own.sample(offsets, limit)

    def decode(self, record: bytes) -> Event | None:
        """A record as an event."""
        return self._own.decode(record)

    def decode_scalars(self, record: bytes) -> Event | CurveScalars | None:
        """A record as an event; of a curve the scalars alone."""
        return self._own.decode_scalars(record)

    def decode_plain(self, record: bytes) -> dict[str, Any] | None:
        """A record as plain values."""
        return self._own.decode_plain(record)
