"""Reads one wandb run in place."""

from __future__ import annotations

from collections.abc import Callable

from ..batch import Batch
from ..frames import FrameFile, Records, is_worth_compiled
from ..reader import PIECE, Claim, Reader
from ..series import Ints
from .axes import Axes
from .facts import Facts
from .history import Rows, rows_plain

MAGIC = b":W&B\xe1\xbe\x00"


class WandbReader(Reader):
    """Reads the file of one run."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._file = FrameFile(claim.files[0], MAGIC)
        self._start()

        self._read_rows: Callable[[bytearray, Ints, Ints, int], Rows] = rows_plain

    def _start(self) -> None:
        self._axes = Axes()
        self._step = -1

    def poll(self, limit: int = PIECE) -> Batch:
        """The news since the last call."""
        records = self._file.read(limit)
        batch = Batch(anew=records.anew, read=records.read, size=records.size, more=records.more)
        if records.anew:
            self._start()
        self._decode(records, batch)
        return batch

    def _decode(self, records: Records, batch: Batch) -> None:
        rows = self._rows(records)
        self._step = rows.step
        batch.points = rows.points
        logged = list(rows.points)
        Facts(batch, self._axes, records.data).add(rows.others)
        batch.axes = self._axes.news(logged)
        if damaged := records.damaged + rows.damaged:
            batch.problems["damaged record"] += damaged
        if records.too_long:
            batch.problems["record too long"] += records.too_long

    def _rows(self, records: Records) -> Rows:
        if self._read_rows is rows_plain and is_worth_compiled(len(records.data)):
            from .history_jit import CompiledRows

            self._read_rows = CompiledRows().read
        return self._read_rows(records.data, records.starts, records.ends, self._step)
