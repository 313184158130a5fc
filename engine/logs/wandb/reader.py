"""Reads one wandb run in place: the file of each time that it was started."""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..batch import Batch, Remark
from ..frames import FrameFile, Records, is_worth_compiled
from ..reader import PIECE, Claim, Reader
from .axes import Axes
from .facts import Facts
from .history import Rows, rows_plain

if TYPE_CHECKING:
    from .history_jit import CompiledRows

MAGIC = b":W&B\xe1\xbe\x00"


@dataclass(slots=True)
class _Part:
    """One file of a run, and how far it was read."""

    path: InitVar[Path]
    file: FrameFile = field(init=False)
    step: int = -1
    """That of the last row."""
    has_rows: bool = False
    ended: str = ""
    read: int = 0
    size: int = 0
    axes: Axes = field(default_factory=Axes)

    def __post_init__(self, path: Path) -> None:
        self.file = FrameFile(path, MAGIC)


class WandbReader(Reader):
    """Reads the files of one run in the order in which they were begun.

    A later file resumes the run: it wins from its first step on, which a remark tells. Where a file holds rows
    from after the beginning of a later one, two processes wrote at once; then all is read anew, and the tags of
    each file are kept apart as ``tag#1``, ``tag#2``.
    """

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._compiled: CompiledRows | None = None
        self._is_apart = False
        self._is_anew = False
        """Whether the next batch begins the run again."""
        self._start()

    def _start(self) -> None:
        """Begin with the first file, knowing nothing of the run."""
        self._parts = [_Part(path) for path in self.claim.files]
        self._at = 0
        """The file that is being read, those before having been read to their ends."""
        self._tags: set[str] = set()
        self._notes: set[str] = set()
        self._last = -math.inf
        """When the newest row was logged."""

    def refresh(self, claim: Claim) -> None:
        """Take note of the run's present files; where it was resumed, an end that was told is none any more."""
        before, self.claim = self.claim.files, claim
        if claim.files[: len(before)] != before or (claim.files != before and self._parts[-1].ended):
            self._begin_again()
        self._parts += [_Part(path) for path in claim.files[len(self._parts) :]]

    def _begin_again(self) -> None:
        self._is_anew = True
        self._start()

    def poll(self, limit: int = PIECE) -> Batch:
        """The news since the last call."""
        batch = Batch()
        for number, part in enumerate(self._parts):
            if self._is_anew or (number > self._at and not self._is_apart):
                break
            records = part.file.read(limit)
            part.read, part.size = records.read, records.size
            if records.anew:
                self._begin_again()
            elif number == self._at or self._is_apart:
                batch = self._decoded(records, number)
                if batch or batch.more:
                    break
            elif len(records.starts):
                self._keep_apart()
        if self._is_anew:
            self._is_anew = False
            batch = Batch(anew=True, more=True)
        batch.read, batch.size = sum(p.read for p in self._parts), sum(p.size for p in self._parts)
        return batch

    def _keep_apart(self) -> None:
        """Two processes wrote at once: read all again, each file's tags apart."""
        self._is_apart = True
        self._begin_again()

    def _decoded(self, records: Records, number: int) -> Batch:
        """The news in some records of a file."""
        part, is_last = self._parts[number], number == len(self._parts) - 1
        batch = Batch(more=records.more)
        if len(records.starts):
            self._add(batch, records, number)
        if not (all(each.ended for each in self._parts) if self._is_apart else is_last):
            batch.ended = ""
        if damaged := records.damaged:
            batch.problems["damaged record"] += damaged
        if records.too_long:
            batch.problems["record too long"] += records.too_long
        if self._is_apart:
            batch.more = batch.more or bool(batch)
        elif not records.more and not is_last and part is self._parts[self._at]:
            self._at, batch.more = number + 1, True
        return batch

    def _add(self, batch: Batch, records: Records, number: int) -> None:
        """Add to a batch what the records of a file hold."""
        part = self._parts[number]
        rows = self._rows(records, part.step)
        part.step, batch.points = rows.step, rows.points
        if rows.points and not self._follows(batch, number):
            self._keep_apart()
            return
        axes = part.axes if self._is_apart else self._parts[0].axes
        logged = list(rows.points)
        self._tags.update(logged)
        Facts(batch, axes, records.data).add(rows.others)
        batch.axes = axes.news(logged)
        batch.remarks = [remark for remark in batch.remarks if remark.text not in self._notes]
        self._notes.update(remark.text for remark in batch.remarks if remark.kind == "note")
        part.ended = batch.ended or part.ended
        if rows.damaged:
            batch.problems["damaged record"] += rows.damaged
        if self._is_apart:
            end = f"#{number + 1}"
            batch.points = {tag + end: series for tag, series in batch.points.items()}
            batch.axes = {tag + end: axis + end for tag, axis in batch.axes.items()}

    def _follows(self, batch: Batch, number: int) -> bool:
        """Let a later file's first rows follow those before; whether they are newer, as they must be."""
        part = self._parts[number]
        if number and not self._is_apart and not part.has_rows:
            step = min(int(series.step[0]) for series in batch.points.values())
            time = min(float(series.time[0]) for series in batch.points.values())
            if time < self._last:
                return False
            batch.cuts = dict.fromkeys(self._tags, step)
            batch.remarks.append(Remark(step, time, f"resumed at step {step}", "resumed"))
        part.has_rows = True
        self._last = max(self._last, *(float(series.time[-1]) for series in batch.points.values()))
        return True

    def _rows(self, records: Records, step: int) -> Rows:
        piece = records.data, records.starts, records.ends
        if self._compiled is None and is_worth_compiled(records.left):
            from .history_jit import CompiledRows

            self._compiled = CompiledRows()
        return rows_plain(*piece, step) if self._compiled is None else self._compiled.read(*piece, step)
