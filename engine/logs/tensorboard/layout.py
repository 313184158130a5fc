"""Where the parts of an event stand in its bytes: protobuf's encoding, walked in Python.

Of the many messages an event can hold, only those that lead to scalars, texts, settings and session marks are
walked; all else is stepped over. Beside the places, ``Layout`` tells which bits decided them: another event whose
deciding bits are the same has its parts at the same places.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

FLOAT, DOUBLE = 1, 2
"""TensorFlow's numbers of its types float32 and float64."""
CONTENT = {1: "<f4", 2: "<f8", 3: "<i4", 4: "<u1", 5: "<i2", 6: "<i1", 9: "<i8", 17: "<u2", 22: "<u4", 23: "<u8",
           14: "bfloat16", 19: "<f2"}  # fmt: skip
"""By TensorFlow's number of a type of numbers: how one is stored in ``tensor_content``."""
LISTS = {1: 5, 2: 6, 3: 7, 4: 7, 5: 7, 6: 7, 17: 7, 9: 10, 14: 13, 19: 13, 22: 16, 23: 17}
"""By the same number: the field that lists values where there is no ``tensor_content``."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_ALL = (1 << 64) - 1


class Malformed(ValueError):
    """Bytes that are no message."""


class Place(NamedTuple):
    """From where to where something stands."""

    start: int
    stop: int


NOWHERE = Place(0, 0)


class Tensor(NamedTuple):
    """A tensor within a value."""

    dtype: int
    number: Place | None
    """Its only number; None where it does not have exactly one, or where its shape is not [] or [1]."""
    in_list: bool
    """Whether the number stands in a list of its type's own, rather than in ``tensor_content``."""
    strings: tuple[Place, ...]


class Value(NamedTuple):
    """One value of a summary."""

    tag: Place
    simple: Place | None
    """A float32, where the value is a plain number."""
    tensor: Tensor | None
    metadata: Place | None


class Layout(NamedTuple):
    """Where the parts of an event stand."""

    time: Place | None
    step: Place | None
    values: tuple[Value, ...]
    session: Place | None
    mask: bytearray
    """[bytes of the event]: 255 where a byte decides what stands where, 128 where only whether a number goes on
    does, 0 where a byte decides nothing."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire: int
    value: Place
    whole: int
    """The number, of a VARINT."""


def fields(data: bytes, place: Place, mask: bytearray | None = None) -> Iterator[Field]:
    """The fields of the message at a place, in order.

    Raises:
        Malformed: it is no message.
    """
    position, end = place
    while position < end:
        start = position
        key, position = _varint(data, position, end)
        wire = key & 7
        if key < 8 or wire not in (VARINT, FIXED64, LENGTH, FIXED32):
            raise Malformed("no such field")
        if mask is not None:
            mask[start:position] = b"\xff" * (position - start)
        whole, begins = 0, position
        if wire == VARINT:
            whole, position = _varint(data, position, end)
            if mask is not None:
                mask[begins:position] = b"\x80" * (position - begins)
        elif wire == LENGTH:
            length, begins = _varint(data, position, end)
            if mask is not None:
                mask[position:begins] = b"\xff" * (begins - position)
            position = begins + length
        else:
            position += 8 if wire == FIXED64 else 4
        if position > end:
            raise Malformed("a field goes beyond its message")
        yield Field(key >> 3, wire, Place(begins, position), whole)


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _ALL, position
    raise Malformed("a number does not end")


def layout_of(data: bytes) -> Layout:
    """Where the parts of an event stand.

    Raises:
        Malformed: the bytes are no event.
    """
    mask = bytearray(len(data))
    time = step = session = None
    values: list[Value] = []
    for field in fields(data, Place(0, len(data)), mask):
        kind = field.number, field.wire
        if kind == (1, FIXED64):
            time = field.value
        elif kind == (2, VARINT):
            step = field.value
        elif kind == (7, LENGTH):
            session = field.value
        elif kind == (5, LENGTH):
            values.extend(
                _value(data, inner.value, mask)
                for inner in fields(data, field.value, mask)
                if (inner.number, inner.wire) == (1, LENGTH)
            )
    return Layout(time, step, tuple(values), session, mask)


def _value(data: bytes, place: Place, mask: bytearray) -> Value:
    tag, simple, tensor, metadata = NOWHERE, None, None, None
    for field in fields(data, place, mask):
        kind = field.number, field.wire
        if kind == (1, LENGTH):
            tag = field.value
        elif kind == (2, FIXED32):
            simple = field.value
        elif kind == (8, LENGTH):
            tensor = _tensor(data, field.value, mask)
        elif kind == (9, LENGTH):
            metadata = field.value
    return Value(tag, simple, tensor, metadata)


def _tensor(data: bytes, place: Place, mask: bytearray) -> Tensor:
    dtype, elements, dimensions = 0, 1, 0
    content: Place | None = None
    lists: dict[int, tuple[Place, int]] = {}
    strings = []
    for field in fields(data, place, mask):
        number, wire = field.number, field.wire
        if (number, wire) == (1, VARINT):
            dtype = field.whole
            _decides(mask, field.value)
        elif (number, wire) == (2, LENGTH):
            elements, dimensions = _shape(data, field.value, mask)
        elif (number, wire) == (4, LENGTH):
            content = field.value
        elif (number, wire) == (8, LENGTH):
            strings.append(field.value)
        elif number in (5, 6, 7, 10, 13, 16, 17):
            place_of_one, count = lists.get(number, (field.value, 0))
            more = _listed(data, field, mask)
            lists[number] = field.value if more else place_of_one, count + more
    found, in_list = None, False
    if elements == 1 and dimensions <= 1 and dtype in CONTENT:
        if content is not None:
            size = 2 if dtype == 14 else int(CONTENT[dtype][2])
            found = content if content.stop - content.start == size else None
        elif LISTS[dtype] in lists:
            place_of_one, count = lists[LISTS[dtype]]
            found, in_list = place_of_one if count == 1 else None, True
    return Tensor(dtype, found, in_list, tuple(strings))


def _decides(mask: bytearray, place: Place) -> None:
    mask[place.start : place.stop] = b"\xff" * (place.stop - place.start)


def _shape(data: bytes, place: Place, mask: bytearray) -> tuple[int, int]:
    """Number of elements, and of dimensions; no element where the rank is unknown."""
    elements, dimensions = 1, 0
    for field in fields(data, place, mask):
        if (field.number, field.wire) == (2, LENGTH):
            dimensions += 1
            size = 0
            for inner in fields(data, field.value, mask):
                if (inner.number, inner.wire) == (1, VARINT):
                    size = inner.whole
                    _decides(mask, inner.value)
            elements *= 1 if size == 1 else 0
        elif (field.number, field.wire) == (3, VARINT):
            _decides(mask, field.value)
            elements *= 0 if field.whole else 1
    return elements, dimensions


def _listed(data: bytes, field: Field, mask: bytearray) -> int:
    """How many numbers one field of a list holds: one alone, or several packed."""
    if field.wire != LENGTH:
        return 1 if field.wire == {5: FIXED32, 6: FIXED64}.get(field.number, VARINT) else 0
    size = {5: 4, 6: 8}.get(field.number)
    start, stop = field.value
    if size is not None:
        return (stop - start) // size if (stop - start) % size == 0 else 2
    mask[start:stop] = b"\x80" * (stop - start)
    return sum(byte < 128 for byte in data[start:stop])
