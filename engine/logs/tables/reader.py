"""One run from one table, or from several that hold its scalars."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..batch import Batch
from ..folder import read_head
from ..plain_yaml import SETTINGS, settings_in
from ..reader import PIECE, Claim, Reader
from ..series import joined
from .rows import ReadRows
from .sniff import Found, found_in
from .table import News, Table

_LEAST = int(np.iinfo(np.int64).min)


class TableReader(Reader):
    """Reads the tables of a run; one that vanished keeps its points."""

    def __init__(self, claim: Claim, tag_of: Callable[[Path, Found], str], read: ReadRows | None = None) -> None:
        """``tag_of`` gives the name of a table's only scalar; empty where its header gives the names."""
        super().__init__(claim)
        self._tag_of = tag_of
        self._read_rows = read
        self._tables: dict[Path, Table] = {}
        self._read: dict[Path, tuple[int, int]] = {}
        """By file: bytes read, bytes there."""
        self._settings: dict[str, Any] = {}
        self._missing = [claim.folder / name for name in SETTINGS]
        """Files of settings that have not been read."""
        self._is_told = True
        """Whether all settings found have been given."""
        self._turn = 0
        """The table that the next call reads first: none waits for another that grows all the time."""
        self._resumed: dict[Path, Counter[int | None]] = defaultdict(Counter)
        """By table and step: how often the training was resumed there."""
        self._told: Counter[int | None] = Counter()
        """By step: how many of these were given, since each table of the run tells them."""
        self.refresh(claim)

    def refresh(self, claim: Claim) -> None:
        """Take note of new tables, and of settings that were written."""
        super().refresh(claim)
        for path in claim.files:
            if path not in self._tables and (found := found_in(read_head(path))) is not None:
                tag = self._tag_of(path, found)
                counts = "sample" if tag.startswith("Train/Samples/") else ""
                self._tables[path] = Table(path, found.separator, tag, counts, self._read_rows)
        for path in self._missing.copy():
            if text := read_head(path):
                self._settings |= settings_in(text.decode("utf-8", "replace"))
                self._missing.remove(path)
                self._is_told = False

    def poll(self, limit: int = PIECE) -> Batch:
        """The news of all tables, from about ``limit`` bytes."""
        batch = Batch()
        files = list(self._tables)
        start = self._turn % max(len(files), 1)
        for path in files[start:] + files[:start]:
            if not self._tables[path].is_changed():
                continue
            if limit <= 0:
                batch.more = True
                break
            news = self._tables[path].poll(limit)
            limit -= max(news.read - self._read.get(path, (0, 0))[0], 0)
            self._read[path] = news.read, news.size
            self._turn += news.more
            self._fold(path, news, batch)
        if not self._is_told or batch.anew:
            batch.settings, self._is_told = dict(self._settings), True
        batch.read = sum(read for read, _ in self._read.values())
        batch.size = sum(size for _, size in self._read.values())
        return batch

    def _fold(self, path: Path, news: News, batch: Batch) -> None:
        """Add a table's news to those of the run."""
        if news.void:
            self._resumed[path].clear()
            self._told.clear()
            batch.anew = len(self._tables) == 1
            batch.cuts |= {} if batch.anew else dict.fromkeys(news.void, _LEAST)
        batch.cuts |= news.cuts
        for tag, parts in news.points.items():
            if series := [part for part in parts if len(part)]:
                batch.points[tag] = joined(series)
        batch.counts |= news.counts
        for remark in news.remarks:
            self._resumed[path][remark.step] += 1
            if self._resumed[path][remark.step] > self._told[remark.step]:
                self._told[remark.step] += 1
                batch.remarks.append(remark)
        batch.problems += news.problems
        batch.more = batch.more or news.more
