"""Event files parsed by compiled code: what the compiled pass cannot do itself is done here.

That is a tag that is new, and the few records that ``events`` reads in full.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...jit import is_kept
from ..series import Series
from .crc import tables
from .events import Notable, read_event
from .found import FRAME, HEADER, Found, Parser, Stop
from .framing_jit import BAD_LENGTH, END, FULL, HASH_FACTOR, HASH_START, HELD, LARGE, NEW_TAG, group, scan
from .layout import Malformed
from .tags import REFUSED, Tags

_STOPS = {END: Stop.END, BAD_LENGTH: Stop.BAD_LENGTH, HELD: Stop.HELD, LARGE: Stop.LARGE}
_USUAL = 40
"""Bytes of a piece for which there is room for a point at first: a record of one point is hardly shorter."""


class _Index:
    """The names of tags where compiled code finds them."""

    def __init__(self) -> None:
        self.slots = np.full(256, -1, dtype=np.int32)
        """A hash table of numbers of tags, at least twice as large as there are tags; -1 where it is empty."""
        self.names = np.zeros(1 << 12, dtype=np.uint8)
        self.ends = np.zeros(129, dtype=np.int64)
        """[room for tags + 1]: where the name of each tag starts, and the last one ends."""
        self.kinds = np.zeros(128, dtype=np.int8)
        self.follows = np.full(128, -1, dtype=np.int32)
        """By tag: the tag that came next when it came last."""
        self._hashes: list[int] = []

    @property
    def arrays(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """As compiled code takes them."""
        return self.slots, self.names, self.ends

    def follow(self, tags: Tags) -> None:
        """Take over tags that are new, and all kinds."""
        for name in tags.names[len(self._hashes) :]:
            self._add(name)
        self.kinds[: len(tags.kinds)] = tags.kinds

    def _add(self, name: bytes) -> None:
        tag = len(self._hashes)
        if tag == len(self.kinds):
            self.ends = np.append(self.ends, np.zeros(tag, dtype=np.int64))
            self.kinds = np.append(self.kinds, np.zeros(tag, dtype=np.int8))
            self.follows = np.append(self.follows, np.full(tag, -1, dtype=np.int32))
        start = int(self.ends[tag])
        while start + len(name) > len(self.names):
            self.names = np.append(self.names, np.zeros(len(self.names), dtype=np.uint8))
        self.names[start : start + len(name)] = np.frombuffer(name, dtype=np.uint8)
        self.ends[tag + 1] = start + len(name)
        self._hashes.append(_hash(name))
        if 2 * len(self._hashes) > len(self.slots):
            self.slots = np.full(4 * len(self.slots), -1, dtype=np.int32)
            for i in range(len(self._hashes)):
                self._place(i)
        else:
            self._place(tag)

    def _place(self, tag: int) -> None:
        hashed = self._hashes[tag]
        place = (hashed ^ hashed >> 32) & (len(self.slots) - 1)
        while self.slots[place] >= 0:
            place = (place + 1) & (len(self.slots) - 1)
        self.slots[place] = tag


def _hash(name: bytes) -> int:
    """As ``_lookup`` takes it: a signed number of 64 bits."""
    hashed = HASH_START
    for byte in name:
        hashed = (hashed ^ byte) * HASH_FACTOR & (1 << 64) - 1
    return hashed - (1 << 64) if hashed >> 63 else hashed


class CompiledParser(Parser):
    """Parses with compiled code."""

    def __init__(self, tags: Tags) -> None:
        super().__init__(tags)
        self._index = _Index()
        self._crcs = tables()[:8]

    def parse(self, data: bytes, *, hold: bool = False) -> Found:
        """As ``Parser.parse``."""
        whole = np.frombuffer(data, dtype=np.uint8)
        columns = _columns(len(data) // _USUAL + 16)
        said: list[tuple[int, Notable]] = []
        position = count = damaged = 0
        index = self._index
        index.follow(self.tags)
        while True:
            done, position, count, more, first, second = scan(
                whole, position, hold, self._crcs, index.arrays, index.kinds, index.follows, columns, count
            )
            damaged += more
            if done in _STOPS:
                break
            if done == FULL:
                columns = _larger(columns, count, len(data))
                continue
            if done == NEW_TAG and self.tags.number(data[first:second]) != REFUSED:
                index.follow(self.tags)
                continue
            position, count, columns, more = self._in_full(data, position, count, columns, said)
            damaged += more
            index.follow(self.tags)
        if done == LARGE:
            first = _length(data, position) + FRAME
        tag, step, time, value, _ = (column[:count] for column in columns)
        return Found(tag, step, time.view(np.float64), value, said, damaged, position, _STOPS[done], first)

    def by_tag(self, found: Found, part: slice) -> list[tuple[int, Series]]:
        """As ``Parser.by_tag``."""
        tag = found.tag[part]
        step, value, time = np.empty(len(tag), dtype=np.int64), np.empty(len(tag)), np.empty(len(tag))
        first, starts = group(
            tag, found.step[part], found.value[part], found.time[part], len(self.tags.names), step, value, time
        )
        present = np.flatnonzero(first >= 0)
        present = present[np.argsort(first[present])]
        rows = [(i, slice(starts[i], starts[i + 1])) for i in present.tolist()]
        return [(i, Series(step[places], value[places], time[places])) for i, places in rows]

    def _in_full(
        self, data: bytes, position: int, count: int, columns: Any, said: list[tuple[int, Notable]]
    ) -> tuple[int, int, Any, int]:
        """Read one record in Python: where the next one starts, points and columns then, damaged records."""
        start = position + HEADER
        stop = start + _length(data, position)
        try:
            points, notable = read_event(data[start:stop], self.tags)
        except Malformed:
            return stop + 4, count, columns, 1
        if notable:
            said.append((count, notable))
        while count + len(points) > len(columns[0]):
            columns = _larger(columns, count, len(data))
        tags, steps, times, values, _ = columns
        for point in points:
            tags[count], steps[count], values[count] = point.tag, point.step, point.value
            times.view(np.float64)[count] = point.time
            count += 1
        return stop + 4, count, columns, 0


def is_compiled() -> bool:
    """Whether parsing needs not wait for the compiler: its code was compiled in this process, or is on disk."""
    return is_kept(scan) and is_kept(group)


def compile_all() -> None:
    """Compile what parsing needs, unless it is compiled."""
    parser = CompiledParser(Tags())
    parser.by_tag(parser.parse(bytes(HEADER)), slice(None))


def _length(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 8], "little")


def _columns(room: int) -> Any:
    """Tags, steps, bits of times, values, bits of values: the last two share their memory."""
    values = np.empty(room)
    return (
        np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64),
        values, values.view(np.int64),
    )  # fmt: skip


def _larger(columns: Any, count: int, most: int) -> Any:
    """Columns with more room, and the points so far in them."""
    larger = _columns(4 * len(columns[0]) + most // 256)
    for old, new in zip(columns[:4], larger[:4], strict=True):
        new[:count] = old[:count]
    return larger
