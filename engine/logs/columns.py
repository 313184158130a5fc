"""All points of one run, by tag."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .batch import Batch, Remark
from .series import Series, joined


class Columns:
    """What a run's batches amount to: 24 bytes a point, and a little a batch until the points are asked for."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with every batch that held news."""
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
        self.version += 1
        if batch.anew:
            self._forget()
        for tag, step in batch.cuts.items():
            if tag in self._parts:
                self._parts[tag] = [self.series(tag).before(step)]
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
        return list(self._parts)

    def series(self, tag: str) -> Series:
        """All points of a tag; empty where there is no such tag."""
        whole = joined(self._parts.get(tag, []))
        if tag in self._parts:
            self._parts[tag] = [whole]
        return whole

    def __len__(self) -> int:
        """Number of points of all tags."""
        return sum(len(part) for parts in self._parts.values() for part in parts)
