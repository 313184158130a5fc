"""A text log followed in place: its whole lines since the last call, and whether it was written anew."""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .folder import open_log
from .reader import PIECE

LONGEST = 1 << 24
"""Bytes of a line that is read; a longer one is passed over."""
PATIENCE = 5.0
"""Seconds since a file was last changed after which its last line is taken to be whole without a line feed."""
MOST_GUESSES = 3
"""Times that this may turn out to be wrong: each time the file is read from its beginning."""
_MARK = 256
"""Bytes at the start, and before the place reached, by which a file is known to be the same as before."""


@dataclass(slots=True)
class Piece:
    """What a call of ``LineFile.read`` found."""

    lines: bytes = b""
    """Whole lines, each with its line feed."""
    tail: bytes = b""
    """What stands behind the last line feed, where the present end of the file was reached. It is given again by
    later calls, unless ``LineFile.take_tail`` is called."""
    anew: bool = False
    """The file was replaced, cut or rewritten since the last call: these lines are its first."""
    too_long: int = 0
    """Lines that were passed over, since they are longer than ``LONGEST``."""
    read: int = 0
    size: int = 0
    more: bool = False
    """Whether a further call finds more at once."""


class LineFile:
    """Reads a file that grows by lines; holds no open file between calls.

    A file that was replaced, that shrank, or whose bytes at the start or before the place reached have changed, is
    read from its beginning.
    """

    def __init__(self, path: Path, ends: bytes = b"\n", patience: float = math.inf) -> None:
        """``ends``: the bytes that end a line; progress bars are drawn for hours with carriage returns alone.

        ``patience``: seconds since the last change after which a last line without an end is given as a whole one.
        Where it grows after all, the file is read anew.
        """
        self.path = path
        self._patience = patience
        self._has_tail = self._has_guessed = False
        """Whether a line without an end stands at the end; whether it was given as a whole one."""
        self._guesses = 0
        """How often that was wrong."""
        self._ends = re.compile(b"[" + re.escape(ends) + b"]")
        self._each_end = [ends[place : place + 1] for place in range(len(ends))]
        self._state: tuple[int, int, int] | None = None
        """Inode, size and time of the last change when the file's present end was last reached."""
        self._at = 0
        self._inode = -1
        self._head = b""
        self._before = b""
        """The bytes before ``_at``."""
        self._passing = False
        """Whether a line that is too long is being passed over."""

    def read(self, limit: int = PIECE) -> Piece:
        """About ``limit`` bytes of whole lines, and more where a line is longer; empty where it cannot be read."""
        try:
            fd = open_log(self.path)
        except (OSError, ValueError):
            return Piece(read=self._at, size=self._at)
        try:
            found = os.fstat(fd)
            state = (found.st_ino, found.st_size, found.st_mtime_ns)
            if state == self._state and not self._is_ripe(found):
                return Piece(read=self._at, size=found.st_size)
            piece = Piece(size=found.st_size)
            if self._is_other(fd, found):
                piece.anew = True
                self._forget()
            self._inode = found.st_ino
            self._fill(fd, piece, max(limit, 1))
            self._has_tail = bool(piece.tail) and not self._passing
            if self._is_ripe(found):
                self._guess(piece)
            if os.pread(fd, len(self._head), 0) != self._head:
                # It was rewritten while it was read, and these lines may stand in the old file or in the new one.
                self._forget()
                return Piece(anew=True, size=found.st_size)
            self._state = None if piece.more else state
            return piece
        except OSError:
            return Piece(read=self._at, size=self._at)
        finally:
            os.close(fd)

    def _forget(self) -> None:
        """Begin at the file's first byte."""
        self._state, self._at, self._before, self._head, self._passing = None, 0, b"", b"", False
        self._has_tail = self._has_guessed = False

    def _is_ripe(self, found: os.stat_result) -> bool:
        """Whether the last line is to be given though nothing ends it."""
        return self._has_tail and self._guesses < MOST_GUESSES and time.time() - found.st_mtime > self._patience

    def _guess(self, piece: Piece) -> None:
        """Give the tail as a whole line."""
        self._move(piece.tail)
        piece.lines += piece.tail + b"\n"
        piece.read, piece.tail = self._at, b""
        self._has_tail, self._has_guessed = False, True

    @property
    def age(self) -> float:
        """Seconds since the last change of the file that was read to its end; 0 where it was not."""
        return 0.0 if self._state is None else time.time() - self._state[2] / 1e9

    def is_changed(self) -> bool:
        """Whether a call of ``read`` would look into the file; costs one look at the directory entry."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 (called for many files a second)
        except (OSError, ValueError):
            return False
        return (found.st_ino, found.st_size, found.st_mtime_ns) != self._state or self._is_ripe(found)

    def take_tail(self, tail: bytes) -> None:
        """The tail of the last piece needs no line feed to be whole: go on behind it."""
        self._move(tail)

    def _is_other(self, fd: int, found: os.stat_result) -> bool:
        if self._inode == -1 or not self._at:
            return False
        if found.st_ino != self._inode or found.st_size < self._at:
            return True
        if os.pread(fd, len(self._head), 0) != self._head:
            return True
        if os.pread(fd, len(self._before), self._at - len(self._before)) != self._before:
            return True
        return self._has_guessed and not self._is_guess_right(fd)

    def _is_guess_right(self, fd: int) -> bool:
        """Whether the line that was taken to be whole is; its end is passed over."""
        following = os.pread(fd, 2, self._at)
        if not following:
            return True
        end = b"\r\n" if following == b"\r\n" else following[:1]
        self._has_guessed = False
        if end not in (b"\r\n", *self._each_end):
            self._guesses += 1
            return False
        self._move(end)
        return True

    def _fill(self, fd: int, piece: Piece, limit: int) -> None:
        """Read whole lines from where the last call ended."""
        data = os.pread(fd, limit, self._at)
        if self._passing:
            data = self._passed(data)
        whole = max(map(data.rfind, self._each_end)) + 1
        wanted = limit
        while not whole and len(data) >= wanted and wanted < LONGEST:
            wanted = min(2 * wanted, LONGEST)
            data += os.pread(fd, wanted - len(data), self._at + len(data))
            whole = max(map(data.rfind, self._each_end)) + 1
        if not whole and len(data) >= LONGEST:
            piece.too_long, self._passing = piece.too_long + 1, True
            self._move(data)
            data = b""
        piece.lines = data[:whole]
        self._move(piece.lines)
        piece.more = self._at + len(data) - whole < piece.size
        if not piece.more:
            piece.tail = data[whole:]
        piece.read = self._at

    def _passed(self, data: bytes) -> bytes:
        """What follows the end of the line that is being passed over."""
        found = self._ends.search(data)
        end = found.end() if found else 0
        self._passing = not end
        over = data[:end] if end else data
        self._move(over)
        return data[len(over) :]

    def _move(self, data: bytes) -> None:
        """Go on behind ``data``, which begins where the last call ended."""
        if self._at < _MARK:
            self._head += data[: _MARK - self._at]
        self._at += len(data)
        self._before = data[-_MARK:] if len(data) >= _MARK else (self._before + data)[-_MARK:]
