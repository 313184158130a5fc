"""Logs in LevelDB's framing, followed in place: .wandb and .swanlab files."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .folder import open_log
from .frame_layout import BLOCK, HEADER, Split
from .frames_plain import split_plain
from .reader import PIECE
from .series import Ints

LONGEST = 1 << 26
"""Bytes of the longest record that is read, frames included; a longer one is passed over."""
WORTH = 1 << 21
"""Bytes left to read from which compiled code pays: it takes as long to load as reading a few MB without it."""
_MARK = 256
"""Bytes at the start, and before the place reached, by which a file is known to be the same as before."""


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
    left: int = 0
    """Bytes that were left to be read, these included."""
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
        self._split: Callable[[bytearray, int], Split] = split_plain

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
        records.left = records.size - self._at
        if self._split is split_plain and is_worth_compiled(records.left):
            from .frames_jit import split_compiled

            self._split = split_compiled
        while True:
            records.data = data = bytearray(max(0, min(limit, records.size - self._at)))
            del data[os.preadv(fd, [data], self._at) :]
            is_end = self._at + len(data) >= records.size
            found = self._split(data, self._at)
            if found.behind or is_end or limit >= LONGEST:
                break
            limit *= 2
        records.starts, records.ends = found.starts, found.ends
        records.damaged += found.damaged
        if not found.behind and not is_end:
            records.too_long, found = 1, found._replace(behind=found.reached or len(data))
        self._at += found.behind
        records.more = not is_end


def is_worth_compiled(left: int) -> bool:
    """Whether to read with compiled code where so many bytes are left to be read."""
    return left >= WORTH and importlib.util.find_spec("numba") is not None
