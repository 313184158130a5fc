"""Reading what a run recorded: one interface for springtui's own logs and for those of other tools.

A log is a sequence of records that only grows. It is read in place, in bounded slices, and nothing is ever written
beside it. An offset is a number of bytes where the log is one file; of other logs (several files, the rows of a
database) it is another number that is 0 at the front and grows along the log. Limits are in the same unit. Callers
may compare and subtract offsets, and read from any offset, also within a record.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from .files import PIECE, last_lines, open_plain, read_lines, read_lines_of
from .records import SERIES_LINES, CurveScalars, Event, decode_scalars, read_event

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ENOUGH = 16
"""Lines that are none of ``Series`` after which no more of the log is read to find others."""


class Signature(NamedTuple):
    """Differs from an earlier one of the same log once the log has grown or was replaced."""

    size: int
    """The offset at which the log ends now, an unfinished record included; 0 where it cannot be read."""
    changed: int
    """When it was last changed, in nanoseconds since the epoch; 0 where it cannot be read."""
    file: int
    """Which file it is: its inode number; 0 where it cannot be read."""


class Slice(NamedTuple):
    """Whole records that follow each other in a log."""

    start: int
    """The offset that was asked for; 0 where the log ends before it: it was replaced or cut."""
    records: list[bytes]
    """In the log's own encoding, for ``decode``; none is empty or white space alone."""
    starts: list[int]
    """The offset at which each of them begins."""
    end: int
    """The offset to read from next."""
    more: bool
    """Whether the log went on beyond ``end`` because the slice was bounded; not because a record is unfinished."""


class Points(Protocol):
    """Points of one scalar in the order in which they were logged."""

    @property
    def step(self) -> npt.NDArray[np.int64]:
        """[n]: what the log counts."""

    @property
    def value(self) -> npt.NDArray[np.float64]:
        """[n]: NaN and infinities where the training logged them."""

    @property
    def time(self) -> npt.NDArray[np.float64]:
        """[n]: seconds since the epoch; NaN where the log does not say."""


class Numbers(Protocol):
    """A log's numbers as columns, by tag. Threads may share it."""

    @property
    def tags(self) -> list[str]:
        """The tags in the order in which they first came."""

    def points(self, tag: str, start: int = 0) -> Points:
        """A tag's points from number ``start`` on."""

    def life(self, tag: str) -> int:
        """Differs once points of the tag that were given before have become void."""


class Bulk(NamedTuple):
    """A whole log, for those to whom a record at a time is too slow: its numbers as columns, and the rest."""

    version: int
    """Differs once the log has grown or was replaced."""
    numbers: Numbers
    counts: dict[str, str]
    """By tag: what its steps count, where not the optimiser's steps."""
    axes: dict[str, str]
    """By tag: the tag that the training declared to be its horizontal axis."""
    events: list[Event]
    """All other records, oldest first."""
    marks: list[int]
    """Steps from which on a resumed training logged again."""
    read: float
    """The fraction of the log that has been read, from 0 to 1."""
    problems: dict[str, int]
    """How often something was left out, by what it was, in words."""
    has_records: bool = False
    """Whether the log's records are to be read as well: the columns are of other logs of the same training."""


class EventLog(ABC):
    """What a run recorded. Reading never raises: what cannot be read is left out. Threads may share it."""

    @abstractmethod
    def signature(self) -> Signature:
        """The size of the log and what tells that it has changed; costs no more than a look at its files."""

    @abstractmethod
    def read(self, offset: int, limit: int = PIECE) -> Slice:
        """The whole records from an offset on, about ``limit`` of the log at once.

        Where a record begins at the offset, it is read whole, even if it is longer than ``limit``. Where the
        offset lies within a record, reading begins with the next one, and at most ``limit`` is read.
        """

    @abstractmethod
    def between(self, start: int, end: int) -> list[bytes]:
        """The records between two offsets at which records begin."""

    @abstractmethod
    def last(self, count: int) -> list[bytes]:
        """At most ``count`` of the newest records, oldest first; a long log costs no more than a short one."""

    @abstractmethod
    def decode(self, record: bytes) -> Event | None:
        """A record of this log as an event; None where it is damaged or of an unknown kind."""

    def bulk(self) -> Bulk | None:
        """The whole log with its numbers as columns, where it is kept so; None where there are records alone."""
        return None

    def decode_scalars(self, record: bytes) -> Event | CurveScalars | None:
        """As ``decode``; of a curve the scalars alone, where that is faster."""
        return self.decode(record)

    def decode_plain(self, record: bytes) -> dict[str, Any] | None:
        """A record as plain values, fields that springtui does not know included; None where it is damaged."""
        event = self.decode(record)
        return None if event is None else msgspec.to_builtins(event)

    def sample(self, offsets: Iterable[int], limit: int) -> list[bytes]:
        """For each offset, in order, the first record that begins there or within ``limit`` after it."""
        return [record for offset in offsets for record in self.read(offset, limit).records[:1]]

    def records(self, offset: int = 0) -> Iterator[bytes]:
        """All whole records from an offset to the present end of the log."""
        while (piece := self.read(offset)).end != offset:
            yield from piece.records
            offset = piece.end

    def events(self, offset: int = 0) -> Iterator[Event]:
        """The events on these records, those left out that cannot be decoded."""
        return (event for record in self.records(offset) if (event := self.decode(record)) is not None)


class RunLog(EventLog):
    """The log of a run directory: a file of JSON objects, one a line. Only lines ended by a newline count."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn: tuple[int, Signature] | None = None
        """The offset of an unfinished line, and the signature of the file that ended with it."""

    def signature(self) -> Signature:
        """The size, the time of change and the inode of the file."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return Signature(0, 0, 0)
        return Signature(found.st_size, found.st_mtime_ns, found.st_ino)

    def read(self, offset: int, limit: int = PIECE) -> Slice:
        """The whole lines from an offset in bytes on; a line longer than ``files.LINE_LIMIT`` is passed over."""
        found = self.signature()
        if self._torn == (offset, found):
            return Slice(offset, [], [], offset, more=False)
        piece = read_lines(self._path, offset, limit)
        if piece.end == piece.start < found.size:
            self._torn = (piece.end, found)
        first = piece.end - sum(map(len, piece.lines)) - len(piece.lines)
        starts = list(itertools.accumulate((len(line) + 1 for line in piece.lines[:-1]), initial=first))
        records = piece.lines
        if not all(map(bytes.strip, records)):
            pairs = [(line, start) for line, start in zip(records, starts, strict=True) if line.strip()]
            records, starts = [line for line, _ in pairs], [start for _, start in pairs]
        return Slice(piece.start, records, starts if records else [], piece.end, piece.more)

    def between(self, start: int, end: int) -> list[bytes]:
        """The lines between two offsets in bytes."""
        try:
            fd = open_plain(self._path, os.O_RDONLY)
        except OSError:
            return []
        try:
            return os.pread(fd, max(0, end - start), start).split(b"\n")
        except OSError:
            return []
        finally:
            os.close(fd)

    def last(self, count: int) -> list[bytes]:
        """At most ``count`` of the last lines."""
        return last_lines(self._path, count)

    def last_others(self, count: int) -> list[bytes]:
        """At most ``count`` of the last lines that are none of ``Series``, of the last MiB."""
        return last_lines(self._path, count, passing=SERIES_LINES, enough=_ENOUGH)

    def sample(self, offsets: Iterable[int], limit: int) -> list[bytes]:
        """For each offset the first line that begins there or a little later; the file is opened once."""
        try:
            fd = open_plain(self._path, os.O_RDONLY)
        except OSError:
            return []
        try:
            size = os.fstat(fd).st_size
            found = (read_lines_of(fd, size, offset, limit).lines[:1] for offset in offsets)
            return [line for lines in found for line in lines]
        except OSError:
            return []
        finally:
            os.close(fd)

    def decode(self, record: bytes) -> Event | None:
        """The record on a line."""
        return read_event(record)

    def decode_scalars(self, record: bytes) -> Event | CurveScalars | None:
        """The record on a line; the load curves of a curve are skipped, not decoded."""
        return decode_scalars(record)

    def decode_plain(self, record: bytes) -> dict[str, Any] | None:
        """The JSON object on a line, whatever its kind."""
        try:
            return msgspec.json.decode(record, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
