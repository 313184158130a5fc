"""One event file, read in place while it grows: torn tails are waited for, damage is stepped over."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..folder import open_log
from .found import FRAME, HEADER, Found, Stop
from .parser import CHOICE
from .resync import is_whole, next_record, places
from .tags import Tags

PATIENCE = 30.0
"""Seconds for which bytes that are no record may still turn into one: network file systems show zeros at first."""
_FAR = 1 << 20
"""Bytes behind such bytes from which on they are taken for damaged at once."""
_HEAD = 64
"""First bytes of a file, by which one that was written anew is told: they hold the time of its first record."""
SHORT = 1 << 18
"""Bytes for which compiled code is not loaded: a first picture of a long log must not wait for it."""
DAMAGED = "damaged record"
OVERSIZED = "record of more than 8 MiB"


@dataclass(slots=True)
class Piece:
    """What a file gave in one call."""

    found: Found | None = None
    is_anew: bool = False
    """The file was replaced, cut or removed: what it gave before is void, and it is to be read from its start."""
    problems: Counter[str] = field(default_factory=Counter)
    more: bool = False
    """Whether more can be read at once."""


class EventFile:
    """Reads one file; ``start_over`` begins again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Bytes that it holds, as last seen."""
        self._seen: tuple[int, int, int, int] | None = None
        """Device, inode, size and time of change when it was last read to its end."""
        self.start_over()

    def start_over(self) -> None:
        """Forget what was read."""
        self.tags = Tags()
        self.offset = 0
        """Bytes that are done with."""
        self.parser = CHOICE.parser(self.tags)
        self._head = b""
        self._needed = HEADER
        self._waits = False
        """Whether the last bytes may turn into a record, or turn out to be damaged, without the file's growing."""
        self._searched = 0
        """Up to where no record was found behind bytes that are none."""
        self._seen = None
        self._expected = False

    def read(self, limit: int) -> Piece:
        """The records behind those read so far, of about ``limit`` bytes."""
        try:
            state = self.path.stat()
        except (OSError, ValueError):
            return Piece()
        now = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        is_old = time.time() - state.st_mtime > PATIENCE
        if now == self._seen and not (self._waits and is_old):
            return Piece()
        self.size = state.st_size
        if state.st_size < self.offset:
            return Piece(is_anew=True)
        try:
            fd = open_log(self.path)
        except OSError:
            return Piece()
        try:
            return self._read(fd, limit, now, is_old)
        except OSError:
            return Piece()
        finally:
            os.close(fd)

    def _read(self, fd: int, limit: int, now: tuple[int, int, int, int], is_old: bool) -> Piece:
        head = os.pread(fd, _HEAD, 0)
        if not head.startswith(self._head):
            return Piece(is_anew=True)
        self._head = head
        if not self._expected:
            self._expected = True
            CHOICE.expect(self.size)
        if limit > SHORT:
            self.parser = CHOICE.parser(self.tags, self.parser)
        data = os.pread(fd, max(limit, self._needed), self.offset)
        is_end = self.offset + len(data) >= self.size
        found = self.parser.parse(data, hold=is_end and not is_old)
        piece = Piece(found)
        if found.damaged:
            piece.problems[DAMAGED] = found.damaged
        self.offset += found.consumed
        self._needed = found.needed
        self._waits = False
        if found.stop is Stop.END:
            piece.more = self.size - self.offset >= found.needed
        elif found.stop is Stop.LARGE:
            self._needed = HEADER
            if self.size - self.offset >= found.needed:
                self.offset += found.needed
                piece.problems[OVERSIZED] += 1
                piece.more = True
        elif found.stop is Stop.HELD:
            self._waits = True
        else:
            self._resynchronise(fd, limit, piece, is_old)
        if not piece.more:
            self._seen = now
        return piece

    def _resynchronise(self, fd: int, limit: int, piece: Piece, is_old: bool) -> None:
        """Go on at the next record, where there is one and the bytes in between are surely damaged."""
        header = os.pread(fd, HEADER, self.offset)
        if not header.strip(b"\0") and not is_old and self.size - self.offset < _FAR:
            self._waits = True
            return
        start = max(self.offset + 1, self._searched)
        data = os.pread(fd, max(limit, 1 << 16), start)
        place = next_record(data)
        unfinished: list[int] = []
        if place is None:
            unfinished = places(data, 0)
            place = next((here for here in unfinished if self._is_record(fd, start + here)), None)
        if place is not None:
            self.offset = start + place
            self._needed, self._searched = HEADER, 0
            piece.problems[DAMAGED] += 1
            piece.more = True
            return
        ends = start + len(data)
        piece.more = ends < self.size
        behind = ends - HEADER + 1
        self._searched = max(start, behind if piece.more or not unfinished else start + unfinished[0])

    def _is_record(self, fd: int, place: int) -> bool:
        """Whether a complete record stands there."""
        length = int.from_bytes(os.pread(fd, 8, place), "little")
        record = os.pread(fd, FRAME + length, place)
        return len(record) == FRAME + length and is_whole(record)
