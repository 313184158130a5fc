"""The records of other tools' logs as they come, each training once."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.logs.batch import Batch
from engine.logs.rows import records_of
from engine.runs.records import Note, Started, plain

if TYPE_CHECKING:
    from engine.logs.client import LogClient
    from engine.logs.foreign import ForeignRun

_WAITING = 64
"""Batches that wait to be taken; until they are, no more is read."""
_LOOK = 0.1


_News: TypeAlias = "tuple[ForeignRun, Started, Batch]"
"""A run, what was known of it then, and its news."""


class LogNews:
    """Hands on what a client hears.

    A run's records come once it has been read to its end and compared with the others: only then it is known
    whether it is a training that another log tells too, of which one is shown.
    """

    def __init__(self) -> None:
        self._came: queue.Queue[_News | None] = queue.Queue(_WAITING)
        self._stopped = threading.Event()
        self.has_ended = False
        """Whether the records of all runs up to an end that they had once have been handed on."""
        self._begun: dict[str, bool] = {}
        """By id of a run of which records were handed on, whether it is shown still."""
        self._settings: dict[str, dict[str, Any]] = {}
        self._tags: dict[str, set[str]] = {}
        """By id, the scalars that were handed on."""
        self._counted: Counter[str] = Counter()
        """By id, the number of records."""

    def hear(self, client: LogClient, run: ForeignRun | None, batch: Batch) -> None:
        """Take what the client tells, in its thread."""
        if run is None:
            for one in client.runs():
                if not self._begun.get(one.id):
                    self._put((one, one.begun(), _whole(one, anew=one.id in self._begun)))
                    self._begun[one.id] = True
            self._put(None)
        elif self._begun.get(run.id):
            self._begun[run.id] = client.is_shown(run)
            if self._begun[run.id]:
                self._put((run, run.begun(), batch))

    def _put(self, item: _News | None) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._came.put(item, timeout=_LOOK)
                return

    def close(self) -> None:
        """Take no more."""
        self._stopped.set()

    def next(self, seconds: float) -> Iterator[dict[str, Any]] | None:
        """The next records, each with its run; None where nothing came in time."""
        try:
            item = self._came.get(timeout=seconds)
        except queue.Empty:
            return None
        self.has_ended = self.has_ended or item is None
        return iter(()) if item is None else self._records(*item)

    def _records(self, run: ForeignRun, started: Started, batch: Batch) -> Iterator[dict[str, Any]]:
        if self._settings.get(run.id) != started.settings:
            self._settings[run.id] = started.settings
            yield self._record(run, plain(started))
        tags = self._tags.setdefault(run.id, set())
        cut = dict.fromkeys(sorted(tags)) if batch.anew else batch.cuts
        void = {tag: step for tag, step in cut.items() if tag in tags}
        if void:
            words = "the log was written anew" if batch.anew else "the training was resumed at an earlier step"
            note = Note(text=f"{words}: records that came before are void, as void says", level="info")
            yield self._record(run, {**plain(note), "void": void})
        tags.update(batch.points)
        for event in records_of(batch, run.columns.counts, run.observe().last_record or 0.0):
            yield self._record(run, plain(event))

    def _record(self, run: ForeignRun, record: dict[str, Any]) -> dict[str, Any]:
        number = self._counted[run.id]
        self._counted[run.id] += 1
        return {"run": run.name, **record, "seq": number, "time": record["time"] or None}


def _whole(run: ForeignRun, *, anew: bool) -> Batch:
    """All that is known of a run, as a batch."""
    columns = run.columns
    return Batch(
        anew=anew,
        points={tag: columns.series(tag) for tag in columns.tags},
        remarks=list(columns.remarks),
        ended=columns.ended,
    )
