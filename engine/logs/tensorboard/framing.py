"""Event files parsed with NumPy: records of one length are taken together, wherever they stand in the piece.

The first of them is read in Python, which tells which bits decide where its parts stand. All others in which these
bits are the same are decoded by array operations. Few logs have more than some ten such shapes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from ..series import Floats, Ints
from .crc import Bytes, crcs_of
from .events import Notable, Point, kind_of, read_event
from .found import FRAME, HEADER, LARGEST, Found, Parser, Stop
from .layout import DOUBLE, FLOAT, Layout, Malformed, Place, Value, layout_of
from .tags import LEFT_OUT, NOTABLE, UNKNOWN

_SHAPES = 16
"""Shapes of one length that are tried; further records of this length are read one by one."""
_NEVER = 1 << 62
_Part = tuple[npt.NDArray[Any], ...]
"""Of some points: records, places in the record, tags, steps, times and values."""


@dataclass(slots=True)
class _Column:
    """The values at one place of the records of one shape."""

    record: Ints
    """[n]: ascending numbers of records."""
    place: int
    """Number of the value within its record."""
    tag: Ints
    step: Ints
    time: Floats
    value: npt.NDArray[Any] | None
    """None where it is no single number."""
    is_simple: bool
    has_metadata: bool


@dataclass(slots=True)
class _Records:
    """The records of a piece whose checksums are right, decoded but for those to be read one by one."""

    data: bytes
    starts: Ints
    lengths: Ints
    columns: list[_Column] = field(default_factory=list)
    single: dict[int, Layout] = field(default_factory=dict)
    """Records to be read in Python, by number."""
    damaged: int = 0

    def content(self, record: int) -> bytes:
        """The event in a record."""
        start = int(self.starts[record]) + HEADER
        return self.data[start : start + int(self.lengths[record])]


class PlainParser(Parser):
    """Needs no compiled code."""

    def parse(self, data: bytes, *, hold: bool = False) -> Found:
        """As ``Parser.parse``."""
        starts, end, stop, needed = _frames(data)
        lengths = np.diff(np.append(starts, end)) - FRAME
        records = _Records(data, starts, lengths)
        whole = np.frombuffer(data, dtype=np.uint8)
        order = np.argsort(lengths, kind="stable")
        bounds = np.flatnonzero(np.diff(lengths[order])) + 1
        for group in np.split(order, bounds):
            if not len(group):
                continue
            rows = _rows(whole, starts[group] + HEADER, int(lengths[group[0]]))
            stored = _rows(whole, starts[group] + HEADER + lengths[group[0]], 4).view("<u4")[:, 0]
            is_right = crcs_of(rows) == stored
            if hold and group[-1] == len(starts) - 1 and not is_right[-1]:
                end, stop, needed = int(starts[-1]), Stop.HELD, int(lengths[-1]) + FRAME
                group, rows, is_right = group[:-1], rows[:-1], is_right[:-1]
            records.damaged += int((~is_right).sum())
            self._decode(records, group[is_right], rows[is_right])
        return self._collected(records, end, stop, needed)

    def _decode(self, records: _Records, numbers: Ints, rows: Bytes) -> None:
        """Decode records of one length, by shape."""
        left = np.arange(len(numbers))
        shapes = 0
        while len(left):
            first = left[0]
            event = rows[first].tobytes()
            try:
                layout = layout_of(event)
            except Malformed:
                records.damaged += 1
                left = left[1:]
                continue
            if shapes >= _SHAPES or not _is_plain(layout):
                records.single[int(numbers[first])] = layout
                left = left[1:]
                continue
            shapes += 1
            mask = np.frombuffer(layout.mask, dtype=np.uint8)
            among = rows[left]
            is_alike = ~((among ^ rows[first]) & mask).any(axis=1)
            self._take(records, numbers[left[is_alike]], among[is_alike], layout)
            left = left[~is_alike]

    def _take(self, records: _Records, numbers: Ints, rows: Bytes, layout: Layout) -> None:
        """Decode records of one shape."""
        time = np.full(len(rows), np.nan) if layout.time is None else _numbers(rows, layout.time, "<f8")
        step = np.zeros(len(rows), dtype=np.int64)
        if layout.step is not None:
            for i in range(layout.step.start, layout.step.stop):
                step |= (rows[:, i].astype(np.int64) & 127) << (7 * (i - layout.step.start))
        for place, value in enumerate(layout.values):
            found = None
            if value.simple is not None:
                found = _numbers(rows, value.simple, "<f4")
            elif value.tensor is not None and value.tensor.number is not None:
                found = _numbers(rows, value.tensor.number, "<f4" if value.tensor.dtype == FLOAT else "<f8")
            tag = self._tags(rows, value.tag)
            records.columns.append(
                _Column(
                    numbers, place, tag, step, time, found, value.simple is not None, value.metadata is not None
                )
            )

    def _tags(self, rows: Bytes, place: Place) -> Ints:
        """[records]: numbers of the tags at a place."""
        size = place.stop - place.start
        if not size:
            return np.full(len(rows), self.tags.number(b""), dtype=np.int64)
        names = np.ascontiguousarray(rows[:, place.start : place.stop]).view(f"V{size}")[:, 0].tolist()
        numbers = {name: self.tags.number(name) for name in dict.fromkeys(names)}
        return np.array([numbers[name] for name in names], dtype=np.int64)

    def _collected(self, records: _Records, end: int, stop: Stop, needed: int) -> Found:
        """All points in order, those of records that are read one by one among them."""
        kinds, learned = self._kinds(records)
        changed, final = np.full(len(kinds) + 1, _NEVER), np.append(kinds, 0)
        """By tag, the last of them for tags that were refused: the record that told the kind, and the kind."""
        for tag, (teller, told) in learned.items():
            changed[tag], final[tag] = teller, told
        kinds = np.append(kinds, 0)
        is_single = np.zeros(len(records.starts), dtype=bool)
        is_single[list(records.single)] = True
        is_single[[record for record, _ in learned.values()]] = True
        now = [np.where(column.record > changed[column.tag], final[column.tag], kinds[column.tag])
               for column in records.columns]  # fmt: skip
        for column, kind in zip(records.columns, now, strict=True):
            if not column.is_simple:
                is_single[column.record[kind == NOTABLE]] = True
        parts = [_kept(column, kind, is_single) for column, kind in zip(records.columns, now, strict=True)]
        said = self._read_singly(records, is_single, parts)
        if not parts:
            parts.append(_part([], [], [], [], [], []))
        numbers, places, tags, step, time, value = (
            np.concatenate([part[i] for part in parts]) for i in range(len(parts[0]))
        )
        order = np.lexsort((places, numbers))
        before = np.searchsorted(numbers[order], [number for number, _ in said]).tolist()
        return Found(
            tags[order].astype(np.int32), step[order], time[order], value[order],
            [(count, notable) for count, (_, notable) in zip(before, said, strict=True)],
            records.damaged, end, stop, needed,
        )  # fmt: skip

    def _read_singly(
        self, records: _Records, is_single: npt.NDArray[np.bool_], parts: list[_Part]
    ) -> list[tuple[int, Notable]]:
        """Read records in Python, add their points to the parts, and return what else they say, by record."""
        said: list[tuple[int, Notable]] = []
        alone: list[tuple[int, int, Point]] = []
        for record in np.flatnonzero(is_single).tolist():
            try:
                points, notable = read_event(records.content(record), self.tags, records.single.get(record))
            except Malformed:
                records.damaged += 1
                continue
            alone += [(record, i, point) for i, point in enumerate(points)]
            if notable:
                said.append((record, notable))
        if alone:
            points = [point for _, _, point in alone]
            parts.append(
                _part(
                    [record for record, _, _ in alone], [place for _, place, _ in alone],
                    [point.tag for point in points], [point.step for point in points],
                    [point.time for point in points], [point.value for point in points],
                )
            )  # fmt: skip
        return said

    def _kinds(self, records: _Records) -> tuple[npt.NDArray[np.int8], dict[int, tuple[int, int]]]:
        """The kinds of the tags before these records, and by tag the record that first tells its kind."""
        for record, layout in records.single.items():
            content = records.content(record)
            for value in layout.values:
                self.tags.number(content[value.tag.start : value.tag.stop])
        kinds = np.array(self.tags.kinds, dtype=np.int8)
        first: dict[int, int] = {}
        for column in records.columns:
            if not column.has_metadata:
                continue
            tags, where = np.unique(column.tag, return_index=True)
            for tag, i in zip(tags.tolist(), where.tolist(), strict=True):
                if tag >= 0 and kinds[tag] == UNKNOWN:
                    first[tag] = min(first.get(tag, _NEVER), int(column.record[i]))
        for record, layout in records.single.items():
            content = records.content(record)
            for value in layout.values:
                tag = self._number(content, value)
                if value.metadata is not None and tag >= 0 and kinds[tag] == UNKNOWN:
                    first[tag] = min(first.get(tag, _NEVER), record)
        learned = {}
        for tag, record in first.items():
            content = records.content(record)
            layout = records.single.get(record) or layout_of(content)
            telling = next(
                value for value in layout.values
                if value.metadata is not None and self._number(content, value) == tag
            )  # fmt: skip
            learned[tag] = record, kind_of(content, telling)
        return kinds, learned

    def _number(self, content: bytes, value: Value) -> int:
        return self.tags.number(content[value.tag.start : value.tag.stop])


def _is_plain(layout: Layout) -> bool:
    """Whether array operations can decode an event of this shape."""
    return layout.session is None and all(
        value.simple is not None
        or value.tensor is None
        or value.tensor.number is None
        or value.tensor.dtype in (FLOAT, DOUBLE)
        for value in layout.values
    )


def _frames(data: bytes) -> tuple[Ints, int, Stop, int]:
    """Where complete records start, where they end, why, and the bytes that the next record needs."""
    length_at = struct.Struct("<Q").unpack_from
    size = len(data)
    found = []
    position, needed, stop = 0, HEADER, Stop.END
    while position + HEADER <= size:
        needed = length_at(data, position)[0] + FRAME
        if needed > size - position:
            break
        found.append(position)
        position += needed
        needed = HEADER
    starts = np.array(found, dtype=np.int64)
    headers = np.append(starts, position) if position + HEADER <= size else starts
    wrong = np.flatnonzero(~has_right_header(np.frombuffer(data, dtype=np.uint8), headers))
    if len(wrong):
        return starts[: wrong[0]], int(headers[wrong[0]]), Stop.BAD_LENGTH, HEADER
    large = np.flatnonzero(np.diff(np.append(starts, position)) > LARGEST + FRAME)
    if len(large):
        position = int(starts[large[0]])
        return starts[: large[0]], position, Stop.LARGE, length_at(data, position)[0] + FRAME
    if needed > LARGEST + FRAME:
        stop = Stop.LARGE
    return starts, position, stop, needed


def has_right_header(data: Bytes, starts: Ints) -> npt.NDArray[np.bool_]:
    """[starts]: whether the length that stands there has the checksum that follows it."""
    if not len(starts):
        return np.zeros(0, dtype=bool)
    headers = _rows(data, starts, HEADER)
    is_right: npt.NDArray[np.bool_] = crcs_of(headers[:, :8]) == _numbers(headers, Place(8, 12), "<u4")
    return is_right


def _rows(data: Bytes, starts: Ints, length: int) -> Bytes:
    """[starts, length]: the bytes from each start on."""
    if not length:
        return np.zeros((len(starts), 0), dtype=np.uint8)
    rows: Bytes = sliding_window_view(data, length)[starts]
    return rows


def _numbers(rows: Bytes, place: Place, kind: str) -> npt.NDArray[Any]:
    """[rows]: the numbers of a kind at one place."""
    return np.ascontiguousarray(rows[:, place.start : place.stop]).view(kind)[:, 0]


def _part(
    record: ArrayLike, place: ArrayLike, tag: ArrayLike, step: ArrayLike, time: ArrayLike, value: ArrayLike
) -> _Part:
    """Points as columns, in any order."""
    whole = (np.asarray(column, dtype=np.int64) for column in (record, place, tag, step))
    return (*whole, np.asarray(time, dtype=np.float64), np.asarray(value, dtype=np.float64))


def _kept(column: _Column, kind: npt.NDArray[np.int8], is_single: npt.NDArray[np.bool_]) -> _Part:
    """The points of a column, ``kind`` being those of its tags when each was logged."""
    if column.value is None:
        return _part([], [], [], [], [], [])
    kept = ~is_single[column.record] & (column.tag >= 0)
    if not column.is_simple:
        kept &= (kind != LEFT_OUT) & (kind != NOTABLE)
    place = np.full(int(kept.sum()), column.place)
    return _part(
        column.record[kept], place, column.tag[kept], column.step[kept], column.time[kept], column.value[kept]
    )
