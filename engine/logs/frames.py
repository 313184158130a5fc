"""Logs in LevelDB's framing, followed in place: .wandb and .swanlab files.

A file is a header of 7 bytes and then blocks of 32 KiB, counted from the file's first byte. A block holds frames: a
checksum (CRC-32 of the type and the content, 4 bytes), the content's length (2), a type (1), the content. A frame
is a whole record, or the first, a middle or the last part of one that goes over several blocks. Fewer than 7 bytes
at the end of a block are padding.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .folder import open_log
from .reader import PIECE
from .series import Ints

BLOCK = 1 << 15
HEADER = 7
"""Bytes of a file's header, and of a frame's."""
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
LONGEST = 1 << 26
"""Bytes of the longest record that is read, frames included; a longer one is passed over."""
SEARCHED = 1 << 20
"""Bytes whose checksums are taken in the search for the next sound frame of a damaged block; a bound for content
that was made to look like frames."""
_WORTH = 1 << 20
"""Bytes from which it pays to load the compiled code, which takes as long as reading some MB without it."""
_MARK = 256
"""Bytes at the start, and before the place reached, by which a file is known to be the same as before."""


class Split(NamedTuple):
    """What is found in a piece of a log."""

    starts: Ints
    """[n]: where the content of each whole record begins in the piece."""
    ends: Ints
    """[n]: where it ends."""
    behind: int
    """Offset of the first frame that does not belong to a whole record: a later call begins there."""
    reached: int
    """Offset behind the last frame that was looked at: larger than ``behind`` within an unfinished record."""
    damaged: int
    """Damaged places that were passed over."""


@dataclass(slots=True)
class Records:
    """What a call of ``FrameFile.read`` found."""

    data: bytearray = field(default_factory=bytearray)
    starts: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    ends: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """[n]: record i is ``data[starts[i]:ends[i]]``."""
    anew: bool = False
    """The file was replaced or cut since the last call: these are its first records."""
    damaged: int = 0
    """Damaged places that were passed over."""
    too_long: int = 0
    """Records that were passed over since they are longer than ``LONGEST``."""
    read: int = 0
    size: int = 0
    more: bool = False
    """Whether a further call finds more at once."""


class FrameFile:
    """Reads a log that grows by frames; holds no open file between calls."""

    def __init__(self, path: Path, magic: bytes) -> None:
        """``magic``: the first bytes of each such file."""
        self.path = path
        self._magic = magic
        self._state: tuple[int, int, int] | None = None
        """Inode, size and time of the last change when the present end was reached."""
        self._at = 0
        self._inode = -1
        self._head = self._before = b""

    def read(self, limit: int = PIECE) -> Records:
        """The records in about ``limit`` bytes, more where one is longer; none where the file cannot be read."""
        try:
            if self._seen(os.stat(self.path)) == self._state:  # noqa: PTH116 (called for many files a second)
                return Records(read=self._at, size=self._state[1] if self._state else 0)
            fd = open_log(self.path)
        except (OSError, ValueError):
            return Records(read=self._at, size=self._at)
        try:
            return self._read(fd, max(limit, BLOCK))
        except OSError:
            return Records(read=self._at, size=self._at)
        finally:
            os.close(fd)

    @staticmethod
    def _seen(found: os.stat_result) -> tuple[int, int, int]:
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self, fd: int, limit: int) -> Records:
        found = os.fstat(fd)
        records = Records(size=found.st_size)
        head = os.pread(fd, _MARK, 0)
        if self._at and self._is_other(fd, found, head):
            records.anew = True
            self._at = 0
        self._inode, self._head = found.st_ino, head
        if not self._at and len(head) >= HEADER:
            if head.startswith(self._magic):
                self._at = HEADER
            else:
                records.damaged += records.anew or self._state is None
        if self._at:
            self._fill(fd, records, limit)
            self._before = os.pread(fd, min(_MARK, self._at), max(0, self._at - _MARK))
        records.read = self._at
        if not records.more:
            self._state = self._seen(found)
        return records

    def _is_other(self, fd: int, found: os.stat_result, head: bytes) -> bool:
        """Whether what was read before does not stand in the file any more."""
        if found.st_ino != self._inode or found.st_size < self._at or not head.startswith(self._head):
            return True
        return os.pread(fd, len(self._before), self._at - len(self._before)) != self._before

    def _fill(self, fd: int, records: Records, limit: int) -> None:
        while True:
            records.data = data = bytearray(max(0, min(limit, records.size - self._at)))
            del data[os.preadv(fd, [data], self._at) :]
            is_end = self._at + len(data) >= records.size
            found = split(data, self._at, is_end)
            if found.behind or is_end or limit >= LONGEST:
                break
            limit *= 2
        records.starts, records.ends = found.starts, found.ends
        records.damaged += found.damaged
        if not found.behind and not is_end:
            records.too_long, found = 1, found._replace(behind=max(found.reached, 1))
        self._at += found.behind
        records.more = not is_end


def is_worth_compiled(size: int) -> bool:
    """Whether to read a piece of so many bytes with compiled code: it is loaded already, or pays to be."""
    return "numba" in sys.modules or (size >= _WORTH and importlib.util.find_spec("numba") is not None)


def split(data: bytearray, base: int, is_end: bool) -> Split:
    """The whole records in a piece of a log; the parts of each are moved together within the piece.

    ``base``: the piece's offset in the file. ``is_end``: nothing stands behind it at present.
    """
    if is_worth_compiled(len(data)):
        from .frames_jit import split_compiled

        return split_compiled(data, base, is_end)
    return split_plain(data, base, is_end)


_CRC_OF_TYPE = [zlib.crc32(bytes([kind])) for kind in range(5)]
_FRAME = struct.Struct("<IHB")


def split_plain(data: bytearray, base: int, is_end: bool) -> Split:
    """As ``split``, without compiled code."""
    starts: list[int] = []
    ends: list[int] = []
    at = damaged = 0
    first = -1
    """Where the first frame of an unfinished record begins; -1: there is none."""
    start = joined = 0
    """Bounds of that record's content so far, moved together."""
    size = len(data)
    while True:
        left = BLOCK - (base + at) % BLOCK
        if left < HEADER:
            if at + left > size:
                break
            at += left
            continue
        if at + HEADER > size:
            break
        length = sound_length(data, at, left, size)
        if length == WAITED:
            break
        if length < 0:
            on = behind_damage(data, at, left, is_end, length)
            if on == WAITED:
                break
            at, first, damaged = on, -1, damaged + 1
            continue
        kind, content, at = data[at + 6], at + HEADER, at + HEADER + length
        if kind in (WHOLE, FIRST):
            damaged += first >= 0
            first = -1
            if kind == WHOLE:
                starts.append(content)
                ends.append(at)
            else:
                first, start, joined = content - HEADER, content, at
        elif first >= 0:
            data[joined : joined + length] = data[content:at]
            joined += length
            if kind == LAST:
                starts.append(start)
                ends.append(joined)
                first = -1
    behind = first if first >= 0 else at
    return Split(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64), behind, at, damaged)


WAITED, BAD_CONTENT, BAD_HEADER, ZEROS = -1, -2, -3, -4
"""Instead of a frame's length: it is not whole yet; its checksum is wrong; it is no frame; there are zeros."""


def sound_length(data: bytearray, at: int, left: int, size: int) -> int:
    """Length of the content of the frame at an offset, or what is wrong with it.

    ``left``: bytes from there to the end of the block; ``size``: bytes of the piece.
    """
    checksum, length, kind = _FRAME.unpack_from(data, at)
    if kind == 0 and not (checksum or length):
        return ZEROS
    if not WHOLE <= kind <= LAST or HEADER + length > left:
        return BAD_HEADER
    end = at + HEADER + length
    if end > size:
        return WAITED
    if zlib.crc32(memoryview(data)[at + HEADER : end], _CRC_OF_TYPE[kind]) != checksum:
        return BAD_CONTENT
    return int(length)


def behind_damage(data: bytearray, at: int, left: int, is_end: bool, what: int) -> int:
    """Where to go on behind a damaged place; ``WAITED`` where that cannot be told before more is there."""
    size = len(data)
    block = at + left
    """Where the block ends."""
    if what == ZEROS and not any(memoryview(data)[at : min(block, size)]):
        if block > size or (is_end and not any(memoryview(data)[block:])):
            return WAITED  # some file systems show zeros where what was written has not arrived yet
        return block
    if what == BAD_CONTENT:
        behind = at + HEADER + int.from_bytes(data[at + 4 : at + 6], "little")
        if block - behind < HEADER:
            return behind
        if behind + HEADER > size or sound_length(data, behind, block - behind, size) >= WAITED:
            return behind
    view = np.frombuffer(data, dtype=np.uint8)[at + 1 : min(block, size)].astype(np.int64)
    if len(view) >= HEADER:
        lengths, kinds = view[4:-2] + 256 * view[5:-1], view[6:]
        room = left - 1 - HEADER - np.arange(len(kinds))
        searched = 0
        for offset in np.flatnonzero((kinds >= WHOLE) & (kinds <= LAST) & (lengths > 0) & (lengths <= room)):
            on = at + 1 + int(offset)
            searched += int(lengths[offset])
            if searched > SEARCHED:
                break
            if sound_length(data, on, block - on, size) >= 0:
                return on
    return block if block <= size else WAITED
