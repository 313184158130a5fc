"""What a training prints into a file, followed in place."""

from __future__ import annotations

from ..batch import Batch
from ..reader import PIECE, Claim, Reader
from ..whole_lines import LineFile
from .parser import LineParser

_MOST_CONSOLE = 1 << 18
"""Bytes of printed text that a batch holds, the last ones."""


class ConsoleReader(Reader):
    """Reads one file of a training's output."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._file = LineFile(claim.files[0], b"\r\n")
        self._parser = LineParser()

    def poll(self, limit: int = PIECE) -> Batch:
        """The points of what was printed since the last call, and the printed text itself."""
        piece = self._file.read(limit)
        if piece.tail:
            self._file.take_tail(piece.tail)  # the parser keeps what is no whole line yet
        if piece.anew:
            self._parser = LineParser()
        data = piece.lines + piece.tail
        batch = self._parser.feed(data)
        batch.anew = piece.anew
        batch.console = data[-_MOST_CONSOLE:]
        if piece.too_long:
            batch.problems["line that is too long"] += piece.too_long
        batch.read, batch.size, batch.more = piece.read + len(piece.tail), piece.size, piece.more
        return batch
