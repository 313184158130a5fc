"""Rows of a run's history, read by compiled code: what ``history`` gives in plain Python, to the last bit.

A row of which compiled code cannot read a part, which is rare, is left to ``history.row_of``: one that holds an
image or a histogram, nested objects in one value, a number that only ``float`` can read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...jit import float_of_bits, jit
from ..numbers_jit import ASK, NOTHING, number_at
from ..protobuf import FIXED64, LENGTH, VARINT, MessageError
from ..protobuf_jit import CUT, field
from ..series import Ints, Series
from .history import Other, Rows, kind_of, row_of
from .layout import CONTROL, INFO, NUMBER, STEPS, UUID, Kind

READ, LEFT, FULL, DAMAGED = 0, 1, 2, 3
"""What came of rows: they are read; one is left to Python; there is no room for its keys; one is no message."""
_LONGEST_KEY = 1 << 12
"""Bytes of a nested key, its parts joined; Python reads what is longer."""
_NONE, _SOME, _UNREAD = 0, 1, 2
"""Of a value: it is no number; it is one; Python must look at it."""
_AT, _POINTS, _OTHERS, _DAMAGED, _LAST = 0, 1, 2, 3, 4
"""Places in what ``_read`` goes on from: the next record, the numbers of points, of other records and of damaged
ones by now, the step of the last row."""


def _word(text: str) -> Any:
    return np.frombuffer(text.encode(), dtype=np.uint8)


_STEP, _TIME, _RUNTIME, _OWN, _TYPE = (
    _word(text) for text in ("_step", "_timestamp", "_runtime", "_wandb", "_type")
)
_NAN, _INFINITY, _MINUS, _TRUE, _FALSE = (
    _word(text) for text in ("NaN", "Infinity", "-Infinity", "true", "false")
)
_QUOTED_NAN, _QUOTED_INFINITY, _QUOTED_MINUS = (_word(text) for text in ('"NaN"', '"Infinity"', '"-Infinity"'))


@jit
def _is(data: Any, start: int, end: int, word: Any) -> bool:
    """Whether ``data[start:end]`` is a word."""
    if end - start != len(word):
        return False
    at = 0
    while at < len(word) and data[start + at] == word[at]:
        at += 1
    return at == len(word)


@jit
def _number(data: Any, start: int, end: int) -> Any:
    """Kind and value of the JSON in ``data[start:end]``."""
    if start == end:
        return _NONE, 0.0
    letter = data[start]
    first = start + 1 if letter == 45 else start
    if first < end and 48 <= data[first] <= 57:
        value, behind, kind = number_at(data, start, end)
        if kind == NOTHING or behind != end:
            return _NONE, 0.0
        return (_UNREAD if kind == ASK else _SOME), value
    if letter == 123:
        return _UNREAD, 0.0
    if letter == 116 or letter == 102:
        if _is(data, start, end, _TRUE):
            return _SOME, 1.0
        return (_SOME if _is(data, start, end, _FALSE) else _NONE), 0.0
    if _is(data, start, end, _NAN) or _is(data, start, end, _QUOTED_NAN):
        return _SOME, np.nan
    if _is(data, start, end, _INFINITY) or _is(data, start, end, _QUOTED_INFINITY):
        return _SOME, np.inf
    if _is(data, start, end, _MINUS) or _is(data, start, end, _QUOTED_MINUS):
        return _SOME, -np.inf
    return _NONE, 0.0


@jit
def _tag_of(
    text: Any, start: int, end: int, table: Any, arena: Any, spans: Any, counts: Any, is_clean: bool
) -> int:
    """Number of the key ``text[start:end]``, which is entered where it is new; -1: there is no room for it.

    ``table``: numbers by hash, plus one; ``arena`` [m] and ``spans`` [n, 2]: the keys' bytes, and where each
    stands; ``counts`` [2]: of keys, and of bytes. Unless the text ``is_clean``, a new key that is not plain ASCII
    is left to Python, since it may be no UTF-8: -2.
    """
    code = np.uint64(1469598103934665603)
    for at in range(start, end):
        code = (code ^ np.uint64(text[at])) * np.uint64(1099511628211)
    code ^= code >> np.uint64(29)
    mask = np.uint64(len(table) - 1)
    slot = code & mask
    while table[slot] > 0:
        tag = table[slot] - 1
        at = spans[tag, 0]
        same = start if spans[tag, 1] - at == end - start else end + 1
        while same < end and text[same] == arena[at]:
            same += 1
            at += 1
        if same == end:
            return int(tag)
        slot = (slot + np.uint64(1)) & mask
    if counts[0] >= len(spans) or counts[1] + end - start > len(arena):
        return -1
    if not is_clean:
        for at in range(start, end):
            if text[at] > 127:
                return -2
    tag = counts[0]
    spans[tag, 0] = counts[1]
    for at in range(start, end):
        arena[counts[1]] = text[at]
        counts[1] += 1
    spans[tag, 1] = counts[1]
    counts[0] += 1
    table[slot] = tag + 1
    return int(tag)


@jit
def _kind(data: Any, at: int, end: int) -> Any:
    """As ``history.kind_of``; the kind is ``CUT`` where the record is no message."""
    while at < end:
        number, wire, _, begin, behind = field(data, at, end)
        if behind == CUT:
            return CUT, end, end
        if wire == LENGTH and number != NUMBER and number != CONTROL and number != UUID and number != INFO:
            return number, begin, behind
        at = behind
    return 0, end, end


@jit
def _item(data: Any, at: int, end: int, scratch: Any) -> Any:
    """Key and value of the item in ``data[at:end]``.

    (number of the key's parts, bounds of the first and of the last, bytes of all joined by dots in ``scratch``
    where there are several, kind of the value, value). The first is ``CUT`` where the item is no message, and
    larger than the number of parts can be where the key is too long.
    """
    parts = size = first = first_end = start = stop = key = key_end = text = text_end = 0
    kind, value = _NONE, 0.0
    while at < end:
        number, wire, whole, begin, behind = field(data, at, end)
        if behind == CUT:
            return CUT, 0, 0, 0, 0, 0, _NONE, 0.0
        if wire == LENGTH and number == 2:
            if parts == 0:
                first, first_end = begin, behind
            if parts == 1:
                for offset in range(min(first_end - first, len(scratch))):
                    scratch[offset] = data[first + offset]
                size = first_end - first
            if parts > 0:
                if size + 1 + behind - begin > len(scratch):
                    return _LONGEST_KEY + 1, 0, 0, 0, 0, 0, _NONE, 0.0
                scratch[size] = 46
                for offset in range(behind - begin):
                    scratch[size + 1 + offset] = data[begin + offset]
                size += 1 + behind - begin
            start, stop = begin, behind
            parts += 1
        elif wire == LENGTH and number == 1:
            key, key_end = begin, behind
        elif wire == LENGTH and (number == 16 or number == 8):
            text, text_end, kind = begin, behind, _UNREAD
        elif wire == VARINT and number == 4:
            kind, value = _SOME, (1.0 if whole != 0 else 0.0)
        elif wire == VARINT and number == 5:
            half = np.int64(whole >> np.uint64(1))
            kind, value = _SOME, float(half if whole & np.uint64(1) == 0 else -half - 1)
        elif wire == FIXED64 and number == 6:
            bits = np.uint64(0)
            for offset in range(8):
                bits |= np.uint64(data[begin + offset]) << np.uint64(8 * offset)
            kind, value = _SOME, float_of_bits(bits)
        at = behind
    if kind == _UNREAD:
        kind, value = _number(data, text, text_end)
    if parts == 0 and key_end > key:
        parts, first, first_end = 1, key, key_end
    return parts, first, first_end, start, stop, size, kind, value


@jit
def _counted(data: Any, at: int, end: int) -> Any:
    """Whether a step message is sound, and the step it holds."""
    step = np.int64(0)
    while at < end:
        number, wire, value, _, behind = field(data, at, end)
        if behind == CUT:
            return False, step
        if wire == VARINT and number == 1:
            step = np.int64(value)
        at = behind
    return True, step


@jit
def _row(
    data: Any, at: int, end: int, record: int, keys: Any, scratch: Any, tags: Any, values: Any, rows: Any,
    steps: Any, times: Any, state: Any,
) -> int:  # fmt: skip
    """Read the history row in ``data[at:end]``: what came of it."""
    table, arena, spans, counts = keys
    has_count = has_own = False
    counted = own = np.int64(0)
    time = np.nan
    points = state[_POINTS]
    while at < end:
        number, wire, _, begin, behind = field(data, at, end)
        if behind == CUT:
            return DAMAGED
        at = behind
        if wire == LENGTH and number == 2:
            is_sound, counted = _counted(data, begin, behind)
            if not is_sound:
                return DAMAGED
            has_count = -STEPS < counted < STEPS
        if wire != LENGTH or number != 1:
            continue
        parts, first, first_end, last, last_end, size, kind, value = _item(data, begin, behind, scratch)
        if parts == CUT:
            return DAMAGED
        if parts > _LONGEST_KEY or (parts > 1 and _is(data, last, last_end, _TYPE)):
            return LEFT
        if parts == 0 or _is(data, first, first_end, _OWN):
            continue
        if parts == 1 and first_end > first and data[first] == 95:
            if _is(data, first, first_end, _STEP):
                if kind == _UNREAD:
                    return LEFT
                if kind == _SOME and abs(value) < STEPS:
                    own, has_own = np.int64(value), True
                continue
            if _is(data, first, first_end, _TIME):
                if kind == _UNREAD:
                    return LEFT
                time = value if kind == _SOME else np.nan
                continue
            if _is(data, first, first_end, _RUNTIME):
                continue
        if kind == _UNREAD:
            return LEFT
        if kind == _NONE:
            continue
        if parts == 1:
            tag = _tag_of(data, first, first_end, table, arena, spans, counts, False)
        else:
            tag = _tag_of(scratch, 0, size, table, arena, spans, counts, False)
        if tag < 0:
            return FULL if tag == -1 else LEFT
        tags[points], values[points], rows[points] = tag, value, record
        points += 1
    step = own if has_own else (counted if has_count else state[_LAST] + 1)
    steps[record], times[record] = step, time
    state[_LAST], state[_POINTS] = step, points
    return READ


@jit
def _read(
    data: Any, starts: Any, ends: Any, keys: Any, scratch: Any, tags: Any, values: Any, rows: Any, steps: Any,
    times: Any, others: Any, state: Any,
) -> int:  # fmt: skip
    """Read records from ``state[_AT]`` on: ``READ``, or why it stopped at the record that is there then."""
    while state[_AT] < len(starts):
        record = state[_AT]
        kind, begin, behind = _kind(data, starts[record], ends[record])
        if kind == Kind.HISTORY:
            outcome = _row(
                data, begin, behind, record, keys, scratch, tags, values, rows, steps, times, state
            )  # fmt: skip
            if outcome in (LEFT, FULL):
                return outcome
            if outcome == DAMAGED:
                state[_DAMAGED] += 1
        elif kind == CUT:
            state[_DAMAGED] += 1
        elif kind != Kind.NONE and kind != Kind.SUMMARY:
            other = state[_OTHERS]
            others[other, 0], others[other, 1], others[other, 2] = kind, begin, behind
            others[other, 3] = max(state[_LAST], 0)
            state[_OTHERS] += 1
        state[_AT] += 1
    return READ


@jit
def _columns(tags: Any, values: Any, rows: Any, steps: Any, times: Any, count: int, keys: int) -> Any:
    """Points in order of their tags: where each tag's begin [keys + 1], and the columns step, value and time."""
    begins = np.zeros(keys + 1, np.int64)
    for point in range(count):
        begins[tags[point] + 1] += 1
    for key in range(keys):
        begins[key + 1] += begins[key]
    places = begins[:-1].copy()
    step, value, time = np.empty(count, np.int64), np.empty(count), np.empty(count)
    for point in range(count):
        place = places[tags[point]]
        places[tags[point]] += 1
        step[place], value[place], time[place] = steps[rows[point]], values[point], times[rows[point]]
    return begins, step, value, time


class CompiledRows:
    """Reads the rows of one run with compiled code; knows its keys from one piece to the next."""

    def __init__(self) -> None:
        self._table = np.zeros(1 << 10, dtype=np.int64)
        self._arena = np.empty(1 << 14, dtype=np.uint8)
        self._spans = np.empty((1 << 8, 2), dtype=np.int64)
        self._counts = np.zeros(2, dtype=np.int64)
        self._scratch = np.empty(_LONGEST_KEY, dtype=np.uint8)
        self._names: list[str] = []

    def read(self, data: bytearray, starts: Ints, ends: Ints, step: int) -> Rows:
        """As ``history.rows_plain``."""
        view = np.frombuffer(data, dtype=np.uint8)
        most = len(data) // 4 + 16
        tags, rows = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.int32)
        values = np.empty(most)
        steps, times = np.empty(len(starts), dtype=np.int64), np.empty(len(starts))
        others = np.empty((len(starts), 4), dtype=np.int64)
        state = np.array([0, 0, 0, 0, step], dtype=np.int64)
        arrays = self._scratch, tags, values, rows, steps, times
        while (outcome := _read(view, starts, ends, self._keys(), *arrays, others, state)) != READ:
            if outcome == FULL:
                self._grow()
            else:
                at = int(state[_AT])
                self._read_left(data, int(starts[at]), int(ends[at]), tags, values, rows, steps, times, state)
        count = int(state[_POINTS])
        keys = len(self._all_names())
        begins, step_of, value, time = _columns(tags, values, rows, steps, times, count, keys)
        found = Rows(damaged=int(state[_DAMAGED]), step=int(state[_LAST]))
        found.others = [Other(*map(int, other)) for other in others[: state[_OTHERS]]]
        for tag in np.flatnonzero(np.diff(begins)):
            part = slice(begins[tag], begins[tag + 1])
            found.points[self._names[tag]] = Series(step_of[part], value[part], time[part])
        return found

    def _keys(self) -> tuple[Any, Any, Any, Any]:
        return self._table, self._arena, self._spans, self._counts

    def _all_names(self) -> list[str]:
        for start, end in self._spans[len(self._names) : self._counts[0]].tolist():
            self._names.append(self._arena[start:end].tobytes().decode())
        return self._names

    def _number_of(self, tag: str) -> int:
        """Number of a tag, which is entered where it is new."""
        text = np.frombuffer(tag.encode(), dtype=np.uint8)
        while (number := _tag_of(text, 0, len(text), *self._keys(), True)) < 0:
            self._grow(len(text))
        return number

    def _grow(self, size: int = 0) -> None:
        """Make room for twice the keys, and for one of ``size`` bytes."""
        names = self._all_names()
        self._table = np.zeros(2 * len(self._table), dtype=np.int64)
        self._arena = np.empty(2 * len(self._arena) + size, dtype=np.uint8)
        self._spans = np.empty((2 * len(self._spans), 2), dtype=np.int64)
        self._counts[:] = 0
        for name in names:
            text = np.frombuffer(name.encode(), dtype=np.uint8)
            _tag_of(text, 0, len(text), *self._keys(), True)

    def _read_left(
        self, data: bytearray, start: int, end: int, tags: Any, values: Any, rows: Any, steps: Any, times: Any,
        state: Any,
    ) -> None:  # fmt: skip
        """Read the row that compiled code has left, and go on behind it."""
        record, state[_AT] = int(state[_AT]), state[_AT] + 1
        try:
            row = row_of(data, *kind_of(data, start, end)[1:], int(state[_LAST]))
        except MessageError:
            state[_DAMAGED] += 1
            return
        steps[record], times[record], state[_LAST] = row.step, row.time, row.step
        for tag, value in row.values:
            point = state[_POINTS]
            tags[point], values[point], rows[point] = self._number_of(tag), value, record
            state[_POINTS] += 1
