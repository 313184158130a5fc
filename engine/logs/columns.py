"""All points of one run, by tag."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from .batch import Batch, Remark
from .series import Series, joined


class Columns:
    """What a run's batches amount to: 24 bytes a point, and a little a batch until the points are asked for.

    Threads may share it.
    """

    def __init__(self) -> None:
        self.version = 0
        """Grows with every batch that held news."""
        self._lock = threading.RLock()
        self._lives: Counter[str] = Counter()
        self._replaced = 0
        self._forget()

    def _forget(self) -> None:
        self._parts: dict[str, list[Series]] = {}
        self.settings: dict[str, Any] = {}
        self.remarks: list[Remark] = []
        self.counts: dict[str, str] = {}
        self.axes: dict[str, str] = {}
        self.problems: Counter[str] = Counter()
        self.ended = ""
        self.name = ""

    def take(self, batch: Batch) -> None:
        """Fold the news of a run."""
        if not batch:
            return
        with self._lock:
            self.version += 1
            if batch.anew:
                self._replaced += 1
                self._forget()
            for tag, step in batch.cuts.items():
                if tag in self._parts:
                    self._parts[tag] = [self.series(tag).before(step)]
                    self._lives[tag] += 1
            for tag, points in batch.points.items():
                self._parts.setdefault(tag, []).append(points)
            self.settings |= batch.settings
            self.remarks += batch.remarks
            self.counts |= batch.counts
            self.axes |= batch.axes
            self.problems += batch.problems
            self.ended = batch.ended or self.ended
            self.name = batch.name or self.name

    @property
    def tags(self) -> list[str]:
        """The tags in the order in which they first came; those without a point left included."""
        with self._lock:
            return list(self._parts)

    def series(self, tag: str) -> Series:
        """All points of a tag; empty where there is no such tag."""
        with self._lock:
            whole = joined(self._parts.get(tag, []))
            if tag in self._parts:
                self._parts[tag] = [whole]
            return whole

    def points(self, tag: str, start: int = 0) -> Series:
        """A tag's points from number ``start`` on; only the batches that hold them are looked at."""
        with self._lock:
            parts = self._parts.get(tag, [])
            first, number = len(parts), self.count(tag)
            while first and number > start:
                first -= 1
                number -= len(parts[first])
            found = joined(parts[first:])
        skipped = start - number
        if skipped <= 0:
            return found
        return Series(found.step[skipped:], found.value[skipped:], found.time[skipped:])

    def count(self, tag: str) -> int:
        """Number of points of a tag."""
        with self._lock:
            return sum(map(len, self._parts.get(tag, [])))

    def life(self, tag: str) -> int:
        """Differs once points of the tag that were given before have become void."""
        with self._lock:
            return self._replaced + self._lives[tag]

    def __len__(self) -> int:
        """Number of points of all tags."""
        return sum(map(self.count, self.tags))
