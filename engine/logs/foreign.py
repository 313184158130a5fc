"""A run that another tool logs, as screens take it: its columns, how it stands, and an ``EventLog`` of them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..runs.any_run import AnyRun, Printed
from ..runs.files import PIECE
from ..runs.label import NO_LABEL, Label
from ..runs.log import Bulk, EventLog, Signature, Slice
from ..runs.records import Event, Scalars, Started, encode, read_event
from ..runs.status import Observation, Status, ago
from ..settings.run import RunConfig
from .batch import Batch
from .columns import Columns
from .console.text import without_escapes
from .rows import Rows, ending, in_past, moment, note_of
from .series import Series

KIND = "log"
CONSOLE_BYTES = 1 << 16
"""Bytes of what the training printed that are kept, from the end."""
MARKS = 50
"""Most resumed steps that are marked, the newest ones."""
NOTES = 1000
"""Most remarks that are told, the newest ones."""
SILENCE = 120.0
"""Seconds without a record for which a run counts as running, at least."""
_LONG_SILENCE = 6 * 3600.0
_JUST_NOW = 5.0
_GAPS, _PATIENCE = 32, 5.0
"""The gaps between so many of the newest records tell how long a silence is usual: so many times the mean."""
_ROWS = 4096
"""Most points of one slice."""
_ENDS = {"finished": Status.FINISHED, "failed": Status.FAILED, "stopped": Status.STOPPED}


class ForeignRun(AnyRun):
    """A run of another tool. One thread hands over its batches, any thread reads it.

    Args:
        run_id: tells it from the others in a list.
        path: its directory.
        label: its format, as screens show it.
        habit: when its writer's records reach the disk, in words; empty where at once.
    """

    is_foreign = True

    def __init__(self, run_id: str, path: Path, label: str, habit: str = "") -> None:
        self._id = run_id
        self.path = path
        self.format = label
        self.habit = habit
        self.name = run_id
        """What ``springtui scalars`` calls it, with its format behind it where another run has that name."""
        self.is_piped = False
        """Whether it is read from what is piped in: points without a time get that at which they came."""
        self.columns = Columns()
        self.files: list[Path] = []
        self.own: Path | None = None
        """The run directory of springtui that holds the loads of the same training."""
        self._beside: list[ForeignRun] = []
        self._lock = threading.RLock()
        self._console = bytearray()
        self._printed = 0
        self._gone = self._input_ended = False
        self._anew = False
        self._seen = 0
        """Grows with whatever changes."""
        self._read = self._size = 0
        self._changed = 0.0
        self._more = True
        self._first, self._heard = math.inf, -math.inf
        self._newest: dict[str, tuple[int, float]] = {}
        self._notes: list[Event] = []
        """The notes, as far as they were made of the columns' remarks."""
        self._noted = 0

    # filling

    def take(self, batch: Batch, changed: float = 0.0) -> None:
        """Add a batch; ``changed`` is when a file of the run was last changed, in seconds since the epoch."""
        with self._lock:
            if self._anew:
                batch.anew, self._anew = True, False
            if batch.anew:
                self._first, self._heard, self._newest = math.inf, -math.inf, {}
                self._console.clear()
                self._notes, self._noted = [], 0
            if self.is_piped:
                _date(batch.points.values(), time.time())
            self.columns.take(batch)
            for tag in {**batch.cuts, **batch.points}:
                self._note_newest(tag)
            self._note_first(batch)
            if batch.console:
                self._console += batch.console
                del self._console[:-CONSOLE_BYTES]
                self._printed += len(batch.console)
            self._read, self._size, self._more = batch.read, batch.size, batch.more
            self._changed = max(self._changed, changed)
            self._seen += 1

    def _note_newest(self, tag: str) -> None:
        last = self.columns.points(tag, self.columns.count(tag) - 1)
        if not len(last):
            self._newest.pop(tag, None)
            return
        self._newest[tag] = int(last.step[0]), float(last.value[0])
        if math.isfinite(at := float(last.time[0])):
            self._heard = max(self._heard, at)

    def _note_first(self, batch: Batch) -> None:
        if math.isfinite(self._first):
            return
        times = [float(points.time[0]) for points in batch.points.values() if len(points)]
        self._first = min((at for at in times if math.isfinite(at)), default=math.inf)

    def begin_anew(self) -> None:
        """Take the next batch as the first: the process that reads was started again."""
        with self._lock:
            self._anew = True

    def set_files(self, files: list[Path], *, is_gone: bool = False) -> None:
        """Note which files the run is read from, and whether they were removed."""
        with self._lock:
            self.files, self._gone = files, is_gone
            self._seen += 1

    def set_beside(self, others: list[ForeignRun]) -> None:
        """Note which runs are not shown, since they are the same training: their settings are told here."""
        with self._lock:
            if others != self._beside:
                self._beside = others
                self._seen += 1

    def position(self) -> int:
        """Bytes of its log that were read."""
        return self._read

    def end_input(self) -> None:
        """Note that no more can come: it is read from what was piped in, which has ended."""
        with self._lock:
            self._input_ended = True
            self._seen += 1

    # what screens ask

    @property
    def id(self) -> str:
        """Its directory as the person named it, with the run's name behind ``#`` where a file holds several."""
        return self._id

    @property
    def kind(self) -> str:
        """``log``."""
        return KIND

    def config(self) -> RunConfig | None:
        """None: springtui did not make the run."""
        return None

    def label(self) -> Label:
        """The name that a person gave the run in the other tool."""
        return Label(name=self.columns.name) if self.columns.name else NO_LABEL

    def created(self) -> float:
        """When its first record was logged; where the log does not say, when its files were changed last."""
        return self.begun().time

    def log(self) -> EventLog:
        """The numbers, remarks and end of the run."""
        return ForeignLog(self)

    def signature(self) -> tuple[int, ...]:
        """Grows with every batch."""
        return (self._seen,)

    def observe(self) -> Observation:
        """How the run stands, by what its log says and by the time of its newest record."""
        with self._lock:
            last = self._heard if math.isfinite(self._heard) else self._changed or None
            ended, empty, gone = self.columns.ended, not self._newest, self._gone
        status = _ENDS.get(ended)
        if status is not None:
            text = f"its log says that it {in_past(ended)}"
            return Observation(status=status, text=text, since=last, last_record=last)
        if gone:
            text = "its files are gone; what was read is still shown"
            return Observation(status=Status.GONE, text=text, since=last, last_record=last)
        if self._input_ended:
            text = "the input has ended"
            return Observation(status=Status.FINISHED, text=text, since=last, last_record=last)
        if empty:
            return Observation(status=Status.WAITING, text=self._with_habit("no record yet"), last_record=None)
        if last is None:
            return Observation(status=Status.UNKNOWN, text=self._with_habit("its records have no time"))
        silent = time.time() - last
        text = f"last record {_ago(last)}"
        if silent < _LONG_SILENCE:  # later the writer's habit explains nothing
            text = self._with_habit(text)
        status = Status.RUNNING if silent <= self._patience() else Status.UNKNOWN
        return Observation(status=status, text=text, since=last, last_record=last)

    def _with_habit(self, text: str) -> str:
        return f"{text}; {self.habit}" if self.habit else text

    def _patience(self) -> float:
        """Seconds without a record that are usual in this run."""
        tag = max(self._newest, key=self.columns.count, default="")
        times = self.columns.points(tag, max(0, self.columns.count(tag) - _GAPS)).time
        gaps = np.diff(times[np.isfinite(times)])
        return max(SILENCE, _PATIENCE * float(gaps.mean()) if len(gaps) else 0.0)

    def is_gone(self) -> bool:
        """Whether its files were removed."""
        return self._gone

    def printed(self, known: object = None) -> Printed | None:
        """The end of what the training printed, where its log holds it."""
        with self._lock:
            if self._printed == (known or 0):
                return None
            lines = bytes(self._console).decode("utf-8", "replace").split("\n")
            mark, cut = self._printed, self._printed > len(self._console)
        shown = [without_escapes(line.rstrip("\r").rsplit("\r", 1)[-1]) for line in lines]
        return Printed(mark, shown[1:] if cut else shown)

    def size(self) -> int:
        """Bytes of its log."""
        return self._size

    def last_events(self, count: int) -> list[Event]:
        """What is known of the run, its newest notes, and the newest number of every tag in one record."""
        with self._lock:
            started, *others = self.events()
            newest = dict(self._newest)
            heard = self._heard if math.isfinite(self._heard) else self._changed
        if not newest:
            return [started, *others[-count:]]
        step = max(step for step, _ in newest.values())
        values = Scalars(
            step=max(0, step), time=max(0.0, heard), scalars={tag: value for tag, (_, value) in newest.items()}
        )
        return [started, values, *others[-count:]]

    def begun(self) -> Started:
        """What is known of the run: its settings, its format, its directory."""
        with self._lock:
            facts = {"format": self.format, "folder": str(self.path)}
            first = self._first if math.isfinite(self._first) else self._changed
            settings: dict[str, Any] = {}
            for run in (*reversed(self._beside), self):
                settings |= run.columns.settings
            return Started(
                pid=0, host="", settings=settings, layers=[], total=0, facts=facts, time=moment(first)
            )  # fmt: skip

    def events(self) -> list[Event]:
        """All records but those of numbers: what is known of the run first, its notes, and its end."""
        with self._lock:
            remarks, ended = self.columns.remarks, self.columns.ended
            for number in range(self._noted, len(remarks)):
                self._notes.append(note_of(remarks[number], number))
            self._noted = len(remarks)
            del self._notes[:-NOTES]
            events: list[Event] = [self.begun(), *self._notes]
            if ended in _ENDS:
                last = self._heard if math.isfinite(self._heard) else self._changed
                events.append(ending(ended, moment(last)))
            return events

    def bulk(self) -> Bulk:
        """The whole run at once."""
        with self._lock:
            read = 1.0 if not self._more or not self._size else min(1.0, self._read / self._size)
            columns = self.columns
            marks = [one.step for one in columns.remarks if one.kind == "resumed" and one.step is not None]
            return Bulk(
                version=self._seen,
                numbers=columns,
                counts=dict(columns.counts),
                axes=dict(columns.axes),
                events=self.events(),
                marks=marks[-MARKS:],
                read=read,
                problems=dict(columns.problems),
            )


def _date(given: Iterable[Series], moment: float) -> None:
    """Give points that tell no time this one."""
    for points in given:
        points.time[np.isnan(points.time)] = moment


def _ago(moment: float) -> str:
    """The time since a moment in words that seldom change, since a screen is drawn anew where they do."""
    seconds = time.time() - moment
    if seconds < _JUST_NOW:
        return "just now"
    each = 5.0 if seconds < 60.0 else 10.0
    return f"{each * (seconds // each):.0f} s ago" if seconds < 120.0 else f"{ago(moment)} ago"


class ForeignLog(EventLog):
    """A foreign run's records. An offset is a number of points, in the order in which they were logged.

    What is known of the run stands before the first point, its notes and its end behind the last one.
    """

    def __init__(self, run: ForeignRun) -> None:
        self._run = run
        self._rows: tuple[int, Rows] | None = None
        """The columns' version, and their points in order."""

    def bulk(self) -> Bulk:
        """The columns and the other records."""
        return self._run.bulk()

    def signature(self) -> Signature:
        """The number of points, and what changes with every batch."""
        columns = self._run.columns
        lives = sum(columns.life(tag) for tag in columns.tags)
        return Signature(len(columns) + 2, columns.version, lives)

    def _ordered(self) -> Rows:
        columns = self._run.columns
        if self._rows is None or self._rows[0] != columns.version:
            version = columns.version
            points: dict[str, Any] = {tag: columns.points(tag) for tag in columns.tags}
            self._rows = version, Rows(points, dict(columns.counts))
        return self._rows[1]

    def read(self, offset: int, limit: int = PIECE) -> Slice:
        """The records from a point on; the records without numbers have offsets of their own before and behind."""
        rows = self._ordered()
        first, *others = self._run.events()
        last = len(rows) + 1
        if offset > last + len(others):
            return Slice(0, [], [], 0, more=True)
        records, starts = ([encode(first)], [0]) if offset <= 0 else ([], [])
        end = max(1, offset)
        for start, after, record in rows.records(end - 1, end - 1 + min(limit, _ROWS)):
            records.append(encode(record))
            starts.append(start + 1)
            end = after + 1
        if end >= last:
            for number in range(max(0, offset - last), len(others)):
                records.append(encode(others[number]))
                starts.append(last + number)
            return Slice(offset, records, starts, last + len(others), more=False)
        return Slice(offset, records, starts, end, more=True)

    def between(self, start: int, end: int) -> list[bytes]:
        """The records between two offsets."""
        found: list[bytes] = []
        while start < end:
            piece = self.read(start, end - start)
            found += [record for record, at in zip(piece.records, piece.starts, strict=True) if at < end]
            if piece.end <= start:
                break
            start = piece.end
        return found

    def last(self, count: int) -> list[bytes]:
        """At most ``count`` of the newest records."""
        events = self._run.last_events(count)
        return [encode(event) for event in events][-count:]

    def decode(self, record: bytes) -> Event | None:
        """The record, which is written as springtui's own are."""
        return read_event(record)
