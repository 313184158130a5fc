"""One database, read once for all the runs in it."""

from __future__ import annotations

import math
import sqlite3
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..batch import Batch, Remark
from .gathered import Gathered
from .quiet import UNREADABLE, QuietDatabase, State, lenient

WINDOW = 5000
"""Rows of one question; fewer where a writer keeps getting in between."""
SMALLEST_WINDOW = 64
TRIES = 5
"""Questions in one call that a writer may spoil."""
TOGETHER = 64
"""Rows that are fetched at once."""
LARGEST_ANSWER = 1 << 23
"""Bytes from which an answer is cut short."""
SAME_LOOK = 0.05
"""Seconds for which readers of one database share a look at its files."""
MANY_RUNS = 500
"""Runs from which their list is asked for once a second at most, unless a new one wrote."""

Row = tuple[Any, ...]


class Found(NamedTuple):
    """A run in a database."""

    id: str
    name: str
    """What tells it from others for a person."""
    title: str
    """The name that it was given."""
    is_deleted: bool = False
    ended: str = ""
    """finished, failed or stopped, where it has ended."""
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """A table whose rows are read in the order in which they were inserted."""

    table: str
    query: str
    """Gives rows that begin with (row id, run id), for two parameters: the last known row id, how many rows."""
    fold: Callable[[list[Row]], None]
    last: int = 0
    """The row id up to which it has been read."""
    damage: frozenset[int] = frozenset()
    """Row ids behind which a part that cannot be read has been counted."""


@dataclass(slots=True)
class Answer:
    """What one question to a database found."""

    schema: int
    streams: list[Stream]
    """Where they stand once ``rows`` are folded."""
    runs: list[Row] | None = None
    """None where they were not asked for."""
    rows: list[list[Row]] = field(default_factory=list)
    """The new rows of each stream."""
    size: int = 0
    """Bytes of the rows, about."""
    is_all: bool = True
    is_same: bool = True
    """Whether the rows that were read before are still those of the database."""
    damaged: int = 0
    """Parts of tables that could not be read."""


class Hub(ABC):
    """Asks a database what is new, a window of rows at a time, and keeps it by run until its reader takes it.

    So a database of thousands of runs costs one look at its files a round, and a question where something changed.
    """

    is_list_told = True
    """Whether the list of the runs tells more than that there are new ones: how they ended."""

    def __init__(self, path: Path) -> None:
        self.runs: dict[str, Found] = {}
        """By run id, in the order in which they were made; those that were deleted included."""
        self.joined: set[str] = set()
        """Ids of the runs that a reader has been made for."""
        self._database = QuietDatabase(path)
        self._rows: list[Row] = []
        """The rows that these were found in."""
        self._names: dict[str, str] = {}
        """By run id: the name that the run is called by, which stays and is no other's."""
        self._ids: dict[str, str] = {}
        """The reverse of it."""
        self._left: set[str] = set()
        """Runs whose readers were closed."""
        self._gathered: dict[str, Gathered] = {}
        self._streams: list[Stream] = []
        self._schema = -1
        self._done: State | None = None
        """The state in which all was read."""
        self._listed: State | None = None
        """The state in which the runs were last listed, ..."""
        self._listed_at = -math.inf
        """... and when (monotonic seconds)."""
        self._file = 0
        self._window = WINDOW
        self._looks = 0
        self._looked_at = -math.inf
        self._more = True
        self._is_anew = False
        """Whether the last list of runs had all rows be read again."""

    # What the tools differ in.

    @abstractmethod
    def streams(self, connection: sqlite3.Connection) -> list[Stream]:
        """The tables to be read, as this version of the tool makes them."""

    @abstractmethod
    def list_runs(self, connection: sqlite3.Connection) -> list[Row]:
        """Rows of the runs, in the order in which they were made."""

    @abstractmethod
    def found(self, row: Row) -> Found:
        """The run that such a row tells of."""

    @abstractmethod
    def is_same(self, connection: sqlite3.Connection, answer: Answer) -> bool:
        """Whether the rows that were read before are still those of the database."""

    @abstractmethod
    def forget(self) -> None:
        """Forget what was noted of rows: all of them come again."""

    def of(self, run: str) -> Gathered | None:
        """What is kept for a run until it is taken; None for one that is not wanted."""
        gathered = self._gathered.get(run)
        if gathered is None and run in self.runs and run not in self._left and not self.runs[run].is_deleted:
            gathered = self._gathered[run] = Gathered()
        return gathered

    # What formats and readers ask for.

    def named(self) -> list[str]:
        """The names of the runs: the first of several of one name keeps it, the others add some of their id."""
        return [self._names[run.id] for run in self.runs.values() if not run.is_deleted]

    def id_of(self, name: str) -> str:
        """The id of the run that is called so; empty where there is none."""
        return self._ids.get(name, "")

    def waiting(self) -> list[str]:
        """The names of the runs of which something is kept."""
        return [self._names[run] for run in self._gathered]

    def leave(self, run: str) -> None:
        """A run's reader was closed: what is new of it is not kept any more."""
        self._left.add(run)
        self._gathered.pop(run, None)
        if self._left >= self.joined:
            self._database.close()

    def refresh(self) -> None:
        """Bring the list of runs up to date; the old one stays where the database cannot be read.

        The first list is waited for, some seconds at most, while a writer is at it.
        """
        state = self._database.state()
        if state is None or state == self._listed or not self._is_list_old():
            return
        try:
            found = (
                self._database.read(self.list_runs) if self.runs else self._database.read_patiently(self.list_runs)
            )
        except UNREADABLE:
            return
        if found is not None:
            self._take_runs(*found)

    def poll(self, run: str, seen: int, limit: int) -> tuple[Batch, int]:
        """News of a run from about ``limit`` bytes, and the number of the look that they are from.

        ``seen`` is that which this run's reader was given last: a look that it had no part in yet is shared by it
        where it is of just now.
        """
        has_some = run in self._gathered
        if seen == self._looks or time.monotonic() - self._looked_at > SAME_LOOK:
            self._looks += 1
            self._looked_at = time.monotonic()
            if not has_some:
                self._pump(limit)
        batch = self._gathered.pop(run).taken() if run in self._gathered else Batch()
        # What was kept is given before there is a look at what came since.
        batch.more = self._more or has_some
        batch.size = self._done.size if self._done else 0
        batch.read = 0 if self._more else batch.size
        return batch, self._looks

    # Reading.

    def _pump(self, limit: int) -> None:
        """Read on, about ``limit`` bytes."""
        spoiled = spent = 0
        self._more = True
        while spent < limit and spoiled < TRIES:
            state = self._database.state()
            if state is None or (state == self._done and not self._is_list_due(state)):
                self._more = False
                return
            if self._file not in (0, state.file):
                self._begin_anew()
            self._file = state.file
            try:
                found = self._database.read(self._ask)
            except UNREADABLE:
                self._tell_all("damaged database")
                self._done = self._listed = state
                continue
            if found is None:
                spoiled += 1
                self._window = max(self._window // 4, SMALLEST_WINDOW)
                time.sleep(0.001)
                continue
            answer, at = found
            if at.file != self._file or not answer.is_same:
                self._begin_anew()
                continue
            self._window = min(self._window * 2, WINDOW)
            self._fold(answer, at)
            spent += max(answer.size, 1)

    def _is_list_due(self, state: State) -> bool:
        return self.is_list_told and state != self._listed and self._is_list_old()

    def _is_list_old(self) -> bool:
        if len(self.runs) < MANY_RUNS:
            return True
        # Where it tells no more than that there are new ones, their rows tell it as well.
        return time.monotonic() - self._listed_at > (1.0 if self.is_list_told else 10.0)

    def _ask(self, connection: sqlite3.Connection) -> Answer:
        """The next rows of every stream; changes nothing."""
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        streams = self._streams
        if schema != self._schema:
            known = {stream.table: stream for stream in self._streams}
            streams = [
                replace(stream, last=known[stream.table].last, damage=known[stream.table].damage)
                if stream.table in known else stream
                for stream in self.streams(connection)
            ]  # fmt: skip
        answer = Answer(schema, [])
        if self._listed is None or (self.is_list_told and self._is_list_old()):
            answer.runs = self.list_runs(connection)
        for stream in streams:
            self._ask_for(connection, stream, answer)
        if answer.runs is None and any(row[1] not in self.runs for rows in answer.rows for row in rows):
            answer.runs = self.list_runs(connection)
        answer.is_same = self.is_same(connection, answer)
        return answer

    def _ask_for(self, connection: sqlite3.Connection, stream: Stream, answer: Answer) -> None:
        rows: list[Row] = []
        behind, skipped, size, together = stream.last, 1, 0, TOGETHER
        damage: set[int] = set()
        while size < LARGEST_ANSWER and skipped < 1 << 40:
            try:
                cursor = connection.execute(stream.query, (behind, self._window - len(rows)))
                while size < LARGEST_ANSWER and (some := cursor.fetchmany(together)):
                    if not isinstance(some[-1][0], int) or some[-1][0] <= behind:
                        raise sqlite3.DataError(f"the rows of {stream.table} are not in order")
                    rows += some
                    behind = some[-1][0]
                    size += sum(map(sys.getsizeof, chain.from_iterable(some)))
                break
            except UNREADABLE:
                if connection.text_factory is not lenient:
                    connection.text_factory = lenient
                elif together > 1:
                    together = 1
                else:
                    # A page or a row of the table is damaged: go on behind it, further each time.
                    damage.add(behind)
                    behind += skipped
                    skipped *= 2
        last = rows[-1][0] if rows else stream.last
        answer.is_all &= len(rows) < self._window and size < LARGEST_ANSWER
        answer.damaged += bool(damage - stream.damage)
        answer.size += size
        answer.rows.append(rows)
        answer.streams.append(replace(stream, last=last, damage=stream.damage | damage))

    def _fold(self, answer: Answer, at: State) -> None:
        if answer.runs is not None:
            self._take_runs(answer.runs, at)
            if self._is_anew:
                return
        for stream, rows in zip(answer.streams, answer.rows, strict=True):
            if rows:
                stream.fold(rows)
        if answer.damaged:
            self._tell_all("damaged part of a table", answer.damaged)
        if self._database.is_partial:
            self._database.is_partial = False
            self._tell_all("write-ahead log too large to be copied")
        self._streams, self._schema = answer.streams, answer.schema
        if answer.is_all:
            self._done = at

    def _take_runs(self, rows: list[Row], at: State) -> None:
        self._is_anew = False
        self._listed, self._listed_at = at, time.monotonic()
        if rows == self._rows:
            return
        known = dict(zip(self._rows, self.runs.values(), strict=True))
        before, self.runs, self._rows = self.runs, {}, []
        for row in rows:
            run = known.get(row) or self.found(row)
            if run.id in self.runs:
                continue
            self.runs[run.id] = run
            self._rows.append(row)
            if run.id not in self._names:
                self._give_name(run)
            if before.get(run.id) != run:
                self._tell(run, before.get(run.id))
        restored = {run for run in before if before[run].is_deleted and run in self.runs}
        if any(not self.runs[run].is_deleted for run in restored):
            self._begin_anew()  # its rows were passed over
            self._take_runs(rows, at)
            self._is_anew = True

    def _give_name(self, run: Found) -> None:
        """A name that no other run has or had."""
        names = run.name, f"{run.name}-{run.id[:8]}", f"{run.name}-{run.id}"
        name = next((name for name in names if name not in self._ids), run.id)
        self._names[run.id], self._ids[name] = name, run.id

    def _tell(self, run: Found, before: Found | None) -> None:
        """Keep what is news of a run in the list."""
        gathered = self.of(run.id)
        if gathered is None:
            return
        batch = gathered.batch
        batch.name = run.title
        batch.ended = run.ended
        batch.settings |= run.settings
        if before is not None and before.ended and not run.ended:
            batch.remarks.append(Remark(None, time.time(), "resumed", "resumed"))

    def _begin_anew(self) -> None:
        """All rows are read again: they are others."""
        self._streams, self._schema, self._done, self._listed, self._file = [], -1, None, None, 0
        self._more = True
        self._gathered = {}
        for run in self.runs:
            gathered = self.of(run)
            if gathered is not None:
                gathered.batch.anew = True
        self.runs, self._rows = {}, []
        self.forget()

    def _tell_all(self, problem: str, times: int = 1) -> None:
        for run in self.runs:
            gathered = self.of(run)
            if gathered is not None:
                gathered.batch.problems[problem] += times
