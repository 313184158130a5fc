"""Writes .wandb and .swanlab files as their tools do: messages in LevelDB's framing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping

WANDB = b":W&B\xe1\xbe\x00"
SWANLAB = b":SWL\xd6\xe1\x02"
_BLOCK = 1 << 15

Content = int | float | str | bytes
"""Of a field: a number as varint, a double, a text, or a message."""


def varint(value: int) -> bytes:
    """A number of 64 bits, negative ones in two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(*fields: tuple[int, Content]) -> bytes:
    """A message of fields: number and content."""
    out = bytearray()
    for number, content in fields:
        if isinstance(content, int):
            out += varint(number << 3) + varint(content)
        elif isinstance(content, float):
            out += varint(number << 3 | 1) + struct.pack("<d", content)
        else:
            data = content.encode() if isinstance(content, str) else content
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return bytes(out)


def framed(records: Iterable[bytes], magic: bytes = WANDB) -> bytes:
    """A whole file of records."""
    out = bytearray(magic)
    for record in records:
        at, is_first = 0, True
        while is_first or at < len(record):
            left = _BLOCK - len(out) % _BLOCK
            if left < 7:
                out += bytes(left)
                continue
            part = record[at : at + left - 7]
            at += len(part)
            is_last = at >= len(record)
            kind = (1 if is_last else 2) if is_first else (4 if is_last else 3)
            out += struct.pack("<IHB", zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            is_first = False
    return bytes(out)


def timestamp(seconds: float) -> bytes:
    """A message of whole seconds and nanoseconds."""
    return message((1, int(seconds)), (2, round(seconds % 1 * 1e9)))


def wandb_record(kind: int, content: bytes, number: int = 1) -> bytes:
    """A record of wandb: its number, its content, and the stream it belongs to."""
    return message((1, number), (kind, content), (200, message((1, "stream"))))


def history(step: int | None, items: Mapping[str, str], time: float | None = None, counted: bool = True) -> bytes:
    """A history row of wandb: JSON texts by key; dots part nested keys."""
    items = {**items, **({} if time is None else {"_timestamp": repr(time)})}
    if step is not None:
        items["_step"] = str(step)
    fields: list[tuple[int, Content]] = [
        (1, message(*((2, name) for name in key.split(".")), (16, value))) for key, value in items.items()
    ]
    if step is not None and counted:
        fields.append((2, message(*([(1, step)] if step else []))))
    return wandb_record(2, message(*fields))


def summary(items: Mapping[str, str]) -> bytes:
    """A summary record of wandb, which repeats the newest values."""
    return wandb_record(3, message(*((1, message((2, key), (16, value))) for key, value in items.items())))


def stats(time: float, items: Mapping[str, str]) -> bytes:
    """The machine's numbers."""
    fields = [(3, message((1, key), (16, value))) for key, value in items.items()]
    return wandb_record(7, message((2, timestamp(time)), *fields))


def settings(items: Mapping[str, str]) -> bytes:
    """The content of a config record of wandb: JSON texts by key."""
    return message(*((1, message((1, key), (16, value))) for key, value in items.items()))


def metric(name: str, axis: str) -> bytes:
    """A definition of a horizontal axis; a name with a star is a pattern."""
    return wandb_record(12, message((2 if "*" in name else 1, name), (4, axis)))


def printed(text: str | bytes) -> bytes:
    """A piece of console output."""
    return wandb_record(13, message((1, 1), (2, timestamp(1e9)), (3, text)))
