"""All points of one run, by tag."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np

from .batch import Batch, Remark
from .series import Series, joined

_FIRST, _CHUNK = 32, 1 << 16
"""Points that the first array of a tag has room for, and the largest ones."""


class _Points:
    """The points of one tag in few arrays, to which the points of each batch are copied.

    Thousands of small arrays, and views that hold on to a reader's arrays, would take far more memory.
    """

    def __init__(self) -> None:
        self._whole: list[Series] = []
        self._last = _room(0)
        """An array to be filled, of which ``_used`` points are."""
        self._used = 0
        self.count = 0

    def add(self, points: Series) -> None:
        """Take further points."""
        done = 0
        while done < len(points):
            if self._used == len(self._last):
                self._grow(len(points) - done)
            size = min(len(self._last) - self._used, len(points) - done)
            into, given = slice(self._used, self._used + size), slice(done, done + size)
            self._last.step[into] = points.step[given]
            self._last.value[into] = points.value[given]
            self._last.time[into] = points.time[given]
            self._used += size
            done += size
        self.count += len(points)

    def _grow(self, wanted: int) -> None:
        filled = self._last
        if len(filled) >= _CHUNK:
            self._whole.append(filled)
            self._last, self._used = _room(_CHUNK), 0
            return
        self._last, self._used = _room(min(_CHUNK, max(2 * len(filled), wanted, _FIRST))), 0
        self.count -= len(filled)
        self.add(filled)

    def parts(self) -> list[Series]:
        """All points in the arrays that hold them."""
        return [*self._whole, self._last.first(self._used)] if self._used else list(self._whole)

    def series(self) -> Series:
        """All points in one array, which is kept."""
        whole = joined(self.parts())
        if self._whole:
            self._whole, self._last, self._used = [whole], _room(0), 0
        return whole


def _room(size: int) -> Series:
    return Series(np.empty(size, np.int64), np.empty(size), np.empty(size))


class Columns:
    """What a run's batches amount to: 24 bytes a point, and room for as many again while a tag has few.

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
        self._points: dict[str, _Points] = {}
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
                if tag in self._points:
                    kept, self._points[tag] = self.series(tag).before(step), _Points()
                    self._points[tag].add(kept)
                    self._lives[tag] += 1
            for tag, points in batch.points.items():
                self._points.setdefault(tag, _Points()).add(points)
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
            return list(self._points)

    def series(self, tag: str) -> Series:
        """All points of a tag; empty where there is no such tag."""
        with self._lock:
            return self._points[tag].series() if tag in self._points else joined([])

    def points(self, tag: str, start: int = 0) -> Series:
        """A tag's points from number ``start`` on; only the batches that hold them are looked at."""
        with self._lock:
            parts = self._points[tag].parts() if tag in self._points else []
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
            return self._points[tag].count if tag in self._points else 0

    def life(self, tag: str) -> int:
        """Differs once points of the tag that were given before have become void."""
        with self._lock:
            return self._replaced + self._lives[tag]

    def __len__(self) -> int:
        """Number of points of all tags."""
        return sum(map(self.count, self.tags))
