"""Messages in protocol buffers' encoding, read without a library: field numbers, wire types, bounds."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types. Groups, 3 and 4, have not been written for many years and are taken for damage."""


class MessageError(ValueError):
    """A message is cut, or is no message."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire: int
    value: int
    """VARINT: the number, unsigned. Otherwise the offset at which the field's content begins."""
    end: int
    """The offset behind the field."""


def varint(data: bytes | bytearray, at: int, end: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and the offset behind it.

    Raises:
        MessageError: it goes beyond ``end``, or is longer than 10 bytes.
    """
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
        shift += 7
    raise MessageError("a number is cut or too long")


def fields(data: bytes | bytearray, at: int, end: int) -> Iterator[Field]:
    """The fields of the message in ``data[at:end]``, in the order in which they were written.

    Raises:
        MessageError: a field goes beyond the end, or has a wire type that is not written any more.
    """
    while at < end:
        key = data[at]
        at += 1
        if key > 127:
            key, at = varint(data, at - 1, end)
        number, wire = key >> 3, key & 7
        if wire == LENGTH:
            if at < end and data[at] < 128:  # most are short
                length, at = data[at], at + 1
            else:
                length, at = varint(data, at, end)
            behind = at + length
        elif wire == VARINT:
            value, behind = varint(data, at, end)
            yield Field(number, wire, value, behind)
            at = behind
            continue
        elif wire in (FIXED64, FIXED32):
            behind = at + (8 if wire == FIXED64 else 4)
        else:
            raise MessageError(f"wire type {wire} is not read")
        if behind > end:
            raise MessageError("a field is cut")
        yield Field(number, wire, at, behind)
        at = behind


def signed(value: int) -> int:
    """A number of type int32 or int64, which are written as 64 bits in two's complement."""
    return value - (1 << 64) if value >> 63 else value


def zigzag(value: int) -> int:
    """A number of type sint32 or sint64."""
    return (value >> 1) ^ -(value & 1)


def double(data: bytes | bytearray, at: int) -> float:
    """A number of type double."""
    value: float = struct.unpack_from("<d", data, at)[0]
    return value


def text(data: bytes | bytearray, field: Field) -> str:
    """A string; what is no UTF-8 is replaced."""
    return data[field.value : field.end].decode("utf-8", "replace")


def seconds(data: bytes | bytearray, field: Field) -> float:
    """A timestamp message: seconds since the epoch.

    Raises:
        MessageError: it is no message.
    """
    whole = nanos = 0
    for part in fields(data, field.value, field.end):
        if part.wire == VARINT and part.number == 1:
            whole = signed(part.value)
        elif part.wire == VARINT and part.number == 2:
            nanos = signed(part.value)
    return whole + nanos * 1e-9
