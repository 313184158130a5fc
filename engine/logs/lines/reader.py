"""Reads a log of JSON lines: by compiled code where there is much to read, else by Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..batch import Batch
from ..reader import PIECE, Claim, Reader
from ..whole_lines import LineFile
from .block import Block
from .fold import Fold, by_node
from .keys import MOST, Keys
from .plain import decoded, record, take

if TYPE_CHECKING:
    from .walker import Walker

_MOST_AT_ONCE = 1 << 21
"""Bytes of a piece, whatever the caller's limit: the arrays for the shortest lines take ten times as much."""
COMPILED_FROM = 1 << 19
"""Bytes from which on compiled code is worth its loading."""


class LinesReader(Reader):
    """Reads one file of JSON lines."""

    def __init__(self, claim: Claim, compiled_from: int = COMPILED_FROM) -> None:
        super().__init__(claim)
        self._file = LineFile(claim.files[0])
        self._compiled_from = compiled_from
        self._start()
        self._is_void = False
        """Whether the file was written anew and nothing was read of the new one yet."""

    def _start(self) -> None:
        self._keys = Keys()
        self._fold = Fold(self._keys)
        self._walker: Walker | None = None

    def refresh(self, claim: Claim) -> None:
        """Take note of the run's present file."""
        super().refresh(claim)
        self._file.path = claim.files[0]

    def poll(self, limit: int = PIECE) -> Batch:
        """The news of about ``limit`` bytes.

        Of a file that is written anew the old points stand until the new file has a line.
        """
        piece = self._file.read(min(limit, _MOST_AT_ONCE))
        if piece.anew:
            self._start()
            self._is_void = True
        lines = piece.lines
        if piece.tail.rstrip().endswith(b"}") and isinstance(
            decoded(piece.tail), dict
        ):  # whole but for its line feed
            self._file.take_tail(piece.tail)
            lines += piece.tail + b"\n"
            piece.read += len(piece.tail)
        batch = self._read(lines) if lines else Batch()
        if piece.too_long:
            batch.problems["too long line"] += piece.too_long
        if self._is_void and lines:
            batch.anew, self._is_void = True, False
        batch.read, batch.size, batch.more = piece.read, piece.size, piece.more
        return batch

    def _read(self, text: bytes) -> Batch:
        block = Block(len(text))
        batch = Batch()
        at, letters = 0, np.frombuffer(bytearray(text), dtype=np.uint8)
        walker = self._compiled(len(text))
        while at < len(text):
            if walker is not None:
                at = walker.walk(letters, at, block, len(self._keys) >= MOST)
                if at == len(text):
                    break
            end = text.find(b"\n", at)
            if line := text[at:end].strip():
                found = record(line)
                if found is None:
                    batch.problems["damaged record"] += 1
                else:
                    batch.settings |= take(found, self._keys, block)
            at = end + 1
        if walker is not None:
            from .walker import by_node as grouped
        else:
            grouped = by_node
        news = self._fold.take(block, text, grouped)
        news.settings, news.problems = batch.settings, batch.problems
        return news

    def _compiled(self, size: int) -> Walker | None:
        """Compiled code for a piece of this size; None where Python is as fast, or without numba."""
        if size < self._compiled_from:
            return None
        if self._walker is None:
            try:
                from .walker import Walker
            except ImportError:
                return None
            self._walker = Walker(self._keys)
        return self._walker
