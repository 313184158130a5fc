"""Writes event files byte by byte, as the real writers do, without their libraries."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from engine.logs.tensorboard.crc import crc_of


def varint(value: int) -> bytes:
    """A whole number in protobuf's encoding."""
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def text(number: int, content: bytes) -> bytes:
    """A field that holds bytes or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def whole(number: int, value: int) -> bytes:
    """A field that holds a whole number."""
    return varint(number << 3) + varint(value)


def single(number: int, value: float) -> bytes:
    """A field that holds a float32."""
    return varint(number << 3 | 5) + struct.pack("<f", value)


def double(number: int, value: float) -> bytes:
    """A field that holds a float64."""
    return varint(number << 3 | 1) + struct.pack("<d", value)


def record(content: bytes) -> bytes:
    """One record of the file."""
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", crc_of(length)) + content + struct.pack("<I", crc_of(content))


def event(time: float, step: int, content: bytes) -> bytes:
    """An event with its record; a step of 0 is left out, as protobuf does."""
    return record(double(1, time) + (whole(2, step) if step else b"") + content)


def version(time: float) -> bytes:
    """The first record of a file."""
    return event(time, 0, text(3, b"brain.Event:2"))


def simple(tag: str, value: float) -> bytes:
    """A value that is a plain number."""
    return text(1, text(1, tag.encode()) + single(2, value))


def metadata(plugin: str, content: bytes = b"") -> bytes:
    """The field of a value that names its plugin."""
    return text(9, text(1, text(1, plugin.encode()) + (text(2, content) if content else b"")))


def tensor(tag: str, inner: bytes, plugin: str | None = None, content: bytes = b"") -> bytes:
    """A value that is a tensor."""
    return text(1, text(1, tag.encode()) + text(8, inner) + (b"" if plugin is None else metadata(plugin, content)))


def packed(value: float) -> bytes:
    """A float32 tensor of shape [], as TensorFlow writes it."""
    return whole(1, 1) + text(2, b"") + text(4, struct.pack("<f", value))


def summary(values: Sequence[bytes]) -> bytes:
    """A summary of several values."""
    return text(5, b"".join(values))


def session(status: int) -> bytes:
    """A session's mark: 1 where the training started again at the event's step."""
    return text(7, whole(1, status))


def scalar(time: float, step: int, tag: str, value: float) -> bytes:
    """The record of one plain number, as ``add_scalar`` writes it."""
    return event(time, step, summary([simple(tag, value)]))


def write(folder: Path, parts: Sequence[bytes], name: str = "events.out.tfevents.1700000000.host.7.0") -> Path:
    """A file of these records."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(parts))
    return folder / name
