"""What a training prints into a file, followed in place."""

from __future__ import annotations

from ..batch import Batch
from ..reader import PIECE, Claim, Reader
from ..whole_lines import MOST_GUESSES, PATIENCE, LineFile
from .parser import LineParser

_MOST_CONSOLE = 1 << 18
"""Bytes of printed text that a batch holds, the last ones."""


class ConsoleReader(Reader):
    """Reads one file of a training's output."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._guesses = 0
        """How often a last line was taken to be whole that went on after all."""
        self._begin()

    def _begin(self) -> None:
        self._file = LineFile(self.claim.files[0], b"\r\n")
        self._parser = LineParser()
        self._has_guessed = False
        """Whether the last line, which nothing ended, was taken to be whole."""
        self._is_void = False
        """Whether the points given before are void, since the file is read again."""

    def poll(self, limit: int = PIECE) -> Batch:
        """The points of what was printed since the last call, and the printed text itself."""
        piece = self._file.read(limit)
        if piece.tail:
            self._file.take_tail(piece.tail)  # the parser keeps what is no whole line yet
        if piece.anew:
            self._parser, self._has_guessed = LineParser(), False
        data = piece.lines + piece.tail
        if data and self._has_guessed and data[:1] not in b"\r\n":
            self._guesses += 1
            self._begin()
            self._is_void = True
            return Batch(size=piece.size, more=True)
        is_whole = not data and self._is_calm()
        batch = self._parser.finish() if is_whole else self._parser.feed(data)
        self._has_guessed = is_whole or (self._has_guessed and not data)
        if data or piece.anew:
            batch.anew, self._is_void = piece.anew or self._is_void, False
        batch.console = data[-_MOST_CONSOLE:]
        if piece.too_long:
            batch.problems["line that is too long"] += piece.too_long
        batch.read, batch.size = piece.read + len(piece.tail), piece.size
        batch.more = piece.more or (bool(data) and self._is_calm())
        return batch

    def _is_calm(self) -> bool:
        """Whether a last line that nothing ended is taken to be whole by now."""
        return self._parser.is_within_line and self._guesses < MOST_GUESSES and self._file.age > PATIENCE
