"""Event files parsed by compiled code: one pass over the bytes, both checksums by eight tables at once.

What the pass cannot do itself it hands to ``compiled`` and goes on behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...jit import as_float, inlined, jit, jit_step
from .found import FRAME, HEADER, LARGEST
from .tags import LEFT_OUT, NOTABLE, UNKNOWN

END, BAD_LENGTH, HELD, LARGE, FULL, NEW_TAG, IN_FULL = range(7)
"""Why the compiled pass came back."""
_MALFORMED, _PLAIN = -2, -1
HASH_START = 1469598103934665603
HASH_FACTOR = 1099511628211


@inlined
def _four(data: Any, i: int) -> Any:
    """The 32 bits at a place, as a whole number that is not negative."""
    return (
        np.int64(data[i]) | np.int64(data[i + 1]) << 8 | np.int64(data[i + 2]) << 16 | np.int64(data[i + 3]) << 24
    )


@inlined
def _eight(data: Any, i: int) -> Any:
    """The 64 bits at a place."""
    low = (
        np.int64(data[i]) | np.int64(data[i + 1]) << 8 | np.int64(data[i + 2]) << 16 | np.int64(data[i + 3]) << 24
    )
    high = (
        np.int64(data[i + 4]) | np.int64(data[i + 5]) << 8 | np.int64(data[i + 6]) << 16
        | np.int64(data[i + 7]) << 24
    )  # fmt: skip
    return low | high << 32


@jit_step
def checksum(data: Any, start: int, stop: int, crcs: Any) -> int:
    """The masked CRC32C of a part of the data."""
    crc = np.int64(0xFFFFFFFF)
    i = start
    while i + 8 <= stop:
        low = crc ^ _four(data, i)
        crc = (
            np.int64(crcs[7, low & 255]) ^ np.int64(crcs[6, low >> 8 & 255])
            ^ np.int64(crcs[5, low >> 16 & 255]) ^ np.int64(crcs[4, low >> 24])
            ^ np.int64(crcs[3, data[i + 4]]) ^ np.int64(crcs[2, data[i + 5]])
            ^ np.int64(crcs[1, data[i + 6]]) ^ np.int64(crcs[0, data[i + 7]])
        )  # fmt: skip
        i += 8
    if i + 4 <= stop:
        low = crc ^ _four(data, i)
        crc = (
            np.int64(crcs[3, low & 255]) ^ np.int64(crcs[2, low >> 8 & 255])
            ^ np.int64(crcs[1, low >> 16 & 255]) ^ np.int64(crcs[0, low >> 24])
        )  # fmt: skip
        i += 4
    while i < stop:
        crc = np.int64(crcs[0, (crc ^ data[i]) & 255]) ^ (crc >> 8)
        i += 1
    crc ^= 0xFFFFFFFF
    return int((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


@jit_step
def _varint(data: Any, i: int, stop: int) -> Any:
    """A number, and where it ends; there -1 where it does not."""
    if 0 <= i < stop and data[i] < 128:
        return np.int64(data[i]), i + 1
    value = np.int64(0)
    shift = 0
    while shift < 70:
        if i >= stop:
            break
        byte = np.int64(data[i])
        i += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, i
        shift += 7
    return np.int64(0), -1


@jit_step
def _field(data: Any, i: int, stop: int) -> Any:
    """The next field of a message: key, number where it is one, where its value starts and ends; there -1."""
    key, i = _varint(data, i, stop)
    if i < 0 or (key >> 3) == 0:
        return np.int64(0), np.int64(0), 0, -1
    wire = key & 7
    if wire == 2:
        length, i = _varint(data, i, stop)
        if i < 0 or length < 0 or length > stop - i:
            return np.int64(0), np.int64(0), 0, -1
        return key, length, i, i + length
    if wire == 0:
        begins = i
        number, i = _varint(data, i, stop)
        return key, number, begins, i
    if wire == 1:
        end = i + 8
    elif wire == 5:
        end = i + 4
    else:
        return np.int64(0), np.int64(0), 0, -1
    if end > stop:
        return np.int64(0), np.int64(0), 0, -1
    return key, np.int64(0), i, end


@jit_step
def _shape(data: Any, i: int, stop: int) -> int:
    """1 where a shape is [] or [1], 0 where it is another, -1 where it is no message."""
    dimensions, fits = 0, 1
    while i < stop:
        key, number, begins, i = _field(data, i, stop)
        if i < 0:
            return -1
        if key == 18:
            dimensions += 1
            size = np.int64(0)
            j = begins
            while j < i:
                key, number, begins, j = _field(data, j, i)
                if j < 0:
                    return -1
                if key == 8:
                    size = number
            if size != 1:
                fits = 0
        elif key == 24 and number != 0:
            fits = 0
    return fits if dimensions <= 1 else 0


@jit_step
def _tensor(data: Any, i: int, stop: int) -> Any:
    """A tensor's type, and where its only number stands: -1 where it has none, -2 where it is no message.

    Of a type other than float32 and float64 the place is 0 where there may be such a number.
    """
    dtype = np.int64(0)
    fits = 1
    content, size = -1, 0
    floats, doubles, float_at, double_at = np.int64(0), np.int64(0), 0, 0
    while i < stop:
        key, number, begins, i = _field(data, i, stop)
        if i < 0:
            return dtype, _MALFORMED
        if key == 8:
            dtype = number
        elif key == 18:
            fits = _shape(data, begins, i)
            if fits < 0:
                return dtype, _MALFORMED
        elif key == 34:
            content, size = begins, i - begins
        elif key == 45:
            floats, float_at = floats + 1, begins
        elif key == 42 and i > begins:
            many = (i - begins) // 4 if (i - begins) % 4 == 0 else 2
            floats, float_at = floats + many, begins
        elif key == 49:
            doubles, double_at = doubles + 1, begins
        elif key == 50 and i > begins:
            many = (i - begins) // 8 if (i - begins) % 8 == 0 else 2
            doubles, double_at = doubles + many, begins
    if fits == 0:
        return dtype, -1
    if dtype == 1:
        if content >= 0:
            return dtype, content if size == 4 else -1
        return dtype, float_at if floats == 1 else -1
    if dtype == 2:
        if content >= 0:
            return dtype, content if size == 8 else -1
        return dtype, double_at if doubles == 1 else -1
    return dtype, 0


@jit_step
def _lookup(data: Any, start: int, stop: int, index: Any, guess: int) -> int:
    """A tag's number, or -1; ``guess`` is tried first."""
    slots, names, ends = index
    if guess >= 0 and _is_name(data, start, stop, names, ends, guess):
        return guess
    hashed = np.int64(HASH_START)
    for i in range(start, stop):
        hashed = (hashed ^ data[i]) * HASH_FACTOR
    place = (hashed ^ hashed >> 32) & (len(slots) - 1)
    while slots[place] >= 0:
        if _is_name(data, start, stop, names, ends, slots[place]):
            return int(slots[place])
        place = (place + 1) & (len(slots) - 1)
    return -1


@jit_step
def _is_name(data: Any, start: int, stop: int, names: Any, ends: Any, tag: int) -> bool:
    begins = ends[tag]
    length = stop - start
    if ends[tag + 1] - begins != length:
        return False
    if length >= 8:
        i = 0
        while i + 8 < length:
            if _eight(data, start + i) != _eight(names, begins + i):
                return False
            i += 8
        return bool(_eight(data, stop - 8) == _eight(names, begins + length - 8))
    for i in range(length):  # noqa: SIM110 (numba compiles no generator)
        if data[start + i] != names[begins + i]:
            return False
    return True


@jit_step
def _value(data: Any, i: int, stop: int, index: Any, kinds: Any, guess: int) -> Any:
    """One value of a summary: what to do, its tag's number, where its number stands, and its size.

    To do is _PLAIN (nothing where the size is 0), _MALFORMED, NEW_TAG or IN_FULL. Of a new tag the two last
    are where its name starts and ends.
    """
    name, name_ends, simple, has_metadata = 0, 0, -1, False
    dtype, number_at, has_tensor = np.int64(0), -1, False
    while i < stop:
        key, _, begins, i = _field(data, i, stop)
        if i < 0:
            return _MALFORMED, 0, 0, 0
        if key == 10:
            name, name_ends = begins, i
        elif key == 21:
            simple = begins
        elif key == 66:
            has_tensor = True
            dtype, number_at = _tensor(data, begins, i)
            if number_at == _MALFORMED:
                return _MALFORMED, 0, 0, 0
        elif key == 74:
            has_metadata = True
    tag = _lookup(data, name, name_ends, index, guess)
    if tag < 0:
        return NEW_TAG, 0, name, name_ends
    if has_metadata and kinds[tag] == UNKNOWN:
        return IN_FULL, tag, 0, 0
    if simple >= 0:
        return _PLAIN, tag, simple, 4
    if kinds[tag] == NOTABLE:
        return IN_FULL, tag, 0, 0
    if not has_tensor or number_at < 0 or kinds[tag] == LEFT_OUT:
        return _PLAIN, tag, 0, 0
    if dtype == 1 or dtype == 2:
        return _PLAIN, tag, number_at, 4 * dtype
    if dtype == 7 or dtype == 0:
        return _PLAIN, tag, 0, 0
    return IN_FULL, tag, 0, 0


@jit_step
def _usual(data: Any, i: int, stop: int) -> Any:
    """Where the number of an event stands, and where its tag starts, if it is as ``add_scalar`` writes it.

    That is a time, a step, and a summary of one value: a tag and a plain number, behind which the event ends. Of
    any other event both are -1; it is read field by field.
    """
    if stop - i < 25 or data[i] != 9 or data[i + 9] != 16:
        return -1, -1
    j = i + 10
    while data[j] > 127 and j < i + 19:
        j += 1
    if data[j] > 127:
        return -1, -1
    j += 1
    if j + 11 > stop or data[j] != 42 or data[j + 2] != 10 or data[j + 4] != 10:
        return -1, -1
    at = stop - 4
    name = j + 6
    if (
        data[j + 1] != stop - j - 2 or data[j + 3] != stop - j - 4 or data[j + 5] != at - 1 - name
        or stop - j > 127 or data[at - 1] != 21
    ):  # fmt: skip
        return -1, -1
    return at, name


@jit_step
def _whole(data: Any, i: int) -> Any:
    """The number that is known to stand at a place."""
    value, shift = np.int64(data[i]) & 127, 7
    while data[i] > 127:
        i += 1
        value |= (np.int64(data[i]) & 127) << shift
        shift += 7
    return value


@jit_step
def _event(
    data: Any, i: int, stop: int, index: Any, kinds: Any, follows: Any, columns: Any, start: int, last: int
) -> Any:
    """Decode one event: what to do, the number of points then, and the tag that came last.

    To do is as of ``_value``, or FULL; of a new tag the two others are where its name starts and ends.
    """
    tags, steps, times, values, value_bits = columns
    step, time = np.int64(0), np.int64(0x7FF8000000000000)
    count = start
    to_do = _PLAIN
    while i < stop:
        key, number, begins, i = _field(data, i, stop)
        if i < 0:
            return _MALFORMED, start, last
        if key == 9:
            time = _eight(data, begins)
        elif key == 16:
            step = number
        elif key == 58:
            to_do = IN_FULL
        elif key == 42:
            j = begins
            while j < i:
                key, number, begins, j = _field(data, j, i)
                if j < 0:
                    return _MALFORMED, start, last
                if key != 10:
                    continue
                guess = follows[last] if last >= 0 else -1
                done, tag, at, size = _value(data, begins, j, index, kinds, guess)
                if done == NEW_TAG:
                    return NEW_TAG, at, size
                if done == _MALFORMED:
                    return _MALFORMED, start, last
                if last >= 0:
                    follows[last] = tag
                last = tag
                if done == IN_FULL:
                    to_do = IN_FULL
                elif size:
                    if count == len(tags):
                        return FULL, start, last
                    tags[count] = tag
                    if size == 4:
                        values[count] = as_float(_four(data, at))
                    else:
                        value_bits[count] = _eight(data, at)
                    count += 1
    if to_do == IN_FULL:
        return IN_FULL, start, last
    for j in range(start, count):
        steps[j] = step
        times[j] = time
    return _PLAIN, count, last


@jit_step
def scan(
    data: Any, start: int, hold: bool, crcs: Any, index: Any, kinds: Any, follows: Any, columns: Any, count: int
) -> Any:
    """Decode records from ``start`` on until something is to be done elsewhere.

    Returns what, the place of the record, the number of points, that of damaged records, and two numbers more:
    where the name of a new tag starts and ends, or how many bytes the next record has.
    """
    damaged, last = 0, -1
    usual, usual_crc = np.int64(-1), np.int64(-1)
    _, names, ends = index
    tags, steps, times, values, _ = columns
    i = start
    while True:
        if i + HEADER > len(data):
            return END, i, count, damaged, np.int64(HEADER), 0
        length = _eight(data, i)
        crc = _four(data, i + 8)
        if length == usual and crc == usual_crc:
            pass
        elif checksum(data, i, i + 8, crcs) == crc:
            usual, usual_crc = length, crc
        else:
            return BAD_LENGTH, i, count, damaged, np.int64(HEADER), 0
        if length < 0 or length > LARGEST:
            return LARGE, i, count, damaged, np.int64(HEADER), 0
        begins = i + HEADER
        stop = begins + length
        if stop + 4 > len(data):
            return END, i, count, damaged, length + FRAME, 0
        if checksum(data, begins, stop, crcs) != _four(data, stop):
            if hold and stop + 4 == len(data):
                return HELD, i, count, damaged, length + FRAME, 0
            damaged += 1
        else:
            at, name = _usual(data, begins, stop)
            if at > 0 and count < len(tags):
                tag = follows[last] if last >= 0 else -1
                if tag < 0 or not _is_name(data, name, at - 1, names, ends, tag):
                    tag = _lookup(data, name, at - 1, index, -1)
                if tag >= 0:
                    if last >= 0:
                        follows[last] = tag
                    last = tag
                    tags[count], times[count] = tag, _eight(data, begins + 1)
                    steps[count] = _whole(data, begins + 10)
                    values[count] = as_float(_four(data, at))
                    count += 1
                    i = stop + 4
                    continue
            done, first, second = _event(data, begins, stop, index, kinds, follows, columns, count, last)
            if done == _MALFORMED:
                damaged += 1
            elif done == _PLAIN:
                count, last = first, second
            else:
                return done, i, count, damaged, np.int64(first), second
        i = stop + 4


@jit
def group(
    tag: Any, step: Any, value: Any, time: Any, count: int, step_by_tag: Any, value_by_tag: Any, time_by_tag: Any
) -> Any:
    """Order points by tag, those of one tag as they were.

    Returns by tag [count] the first of its points, -1 where it has none, and [count + 1] where its points start
    in the ordered columns.
    """
    first = np.full(count, -1)
    starts = np.zeros(count + 1, dtype=np.int64)
    for i in range(len(tag)):
        if first[tag[i]] < 0:
            first[tag[i]] = i
        starts[tag[i] + 1] += 1
    for i in range(count):
        starts[i + 1] += starts[i]
    at = starts[:-1].copy()
    for i in range(len(tag)):
        place = at[tag[i]]
        at[tag[i]] = place + 1
        step_by_tag[place] = step[i]
        value_by_tag[place] = value[i]
        time_by_tag[place] = time[i]
    return first, starts
