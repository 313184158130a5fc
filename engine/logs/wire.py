"""What the process that reads logs tells the app: frames of a small header, and a batch's columns as they are.

A frame is the header's length and the body's, 8 bytes each, then the header in MessagePack, then the body: of
every tag its steps, values and times, 8 bytes a number, in the machine's own order: both ends are on one machine.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import WorkerError
from .batch import Batch, Remark
from .series import Series

if TYPE_CHECKING:
    from .found_run import FoundRun

_LENGTHS = struct.Struct("=QQ")
_MOST_HEADER, _MOST_BODY = 1 << 26, 1 << 31
_POINT = 24
"""Bytes of a point."""
FILES_TOLD = 64
"""Most file names of a run that are told."""
Body = Sequence[bytes | memoryview]


class Found(msgspec.Struct, frozen=True, tag="found"):
    """A run was found, or something of it has changed; fields as of ``FoundRun``."""

    number: int
    name: str
    format: str
    label: str
    habit: str
    folder: bytes
    run: str
    files: list[bytes]
    """At most ``FILES_TOLD`` of them."""
    is_gone: bool = False
    instead: int = -1
    """The number of the run that is shown in its place: that which it turned out to be, or that which holds more
    of the same training in another format; -1 where it is shown itself."""
    own: bytes = b""
    """The run directory of springtui that holds the loads of the same training; empty where there is none."""

    @property
    def path(self) -> Path:
        """The run's directory."""
        return Path(os.fsdecode(self.folder))


class News(msgspec.Struct, frozen=True, omit_defaults=True, tag="news"):
    """A batch of one run. The fields are those of ``Batch``; its points are the frame's body."""

    number: int
    changed: float = 0.0
    """When a file of the run was last changed, in seconds since the epoch; 0 where that is not known."""
    anew: bool = False
    cuts: dict[str, int] = {}
    lengths: dict[str, int] = {}
    """By tag, the number of its points in the body, in the order in which they stand there."""
    settings: dict[str, Any] = {}
    remarks: list[tuple[int | None, float, str, str]] = []
    counts: dict[str, str] = {}
    axes: dict[str, str] = {}
    console: bytes = b""
    problems: dict[str, int] = {}
    ended: str = ""
    name: str = ""
    read: int = 0
    size: int = 0
    more: bool = False


class Listed(msgspec.Struct, frozen=True, tag="listed"):
    """All paths have been looked through once; sent again where that has changed."""

    files: int
    """Plain files that were looked over."""
    problems: dict[str, str]
    """By path, why it cannot be looked through."""
    newest: float
    """When the newest of them was changed, in seconds since the epoch; 0 where that is long ago."""
    own_runs: list[bytes]
    """Run directories of springtui that belong to no run of another tool."""


class Idle(msgspec.Struct, frozen=True, tag="idle"):
    """The present end of every run was reached, and the runs were compared with each other."""


Message = Found | News | Listed | Idle
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def found(run: FoundRun) -> Found:
    """The message on a run that was found."""
    claim = run.claim
    return Found(
        number=run.number,
        name=run.name,
        format=claim.format,
        label=run.format.label,
        habit=run.format.habit,
        folder=os.fsencode(claim.folder),
        run=claim.run,
        files=[os.fsencode(path) for path in claim.files[:FILES_TOLD]],
        is_gone=run.is_gone,
        instead=next((other for other in (run.instead, run.same_as) if other is not None), -1),
        own=os.fsencode(run.own) if run.own is not None else b"",
    )


def news(number: int, batch: Batch, changed: float = 0.0) -> tuple[News, Body]:
    """The message on a batch, and its points."""
    message = News(
        number=number,
        changed=changed,
        anew=batch.anew,
        cuts=batch.cuts,
        lengths={tag: len(points) for tag, points in batch.points.items()},
        settings=batch.settings,
        remarks=[(remark.step, remark.time, remark.text, remark.kind) for remark in batch.remarks],
        counts=batch.counts,
        axes=batch.axes,
        console=batch.console,
        problems=dict(batch.problems),
        ended=batch.ended,
        name=batch.name,
        read=batch.read,
        size=batch.size,
        more=batch.more,
    )
    body: list[memoryview] = []
    for points in batch.points.values():
        body += [_bytes_of(points.step, np.int64), _bytes_of(points.value), _bytes_of(points.time)]
    return message, body


def _bytes_of(column: Any, kind: Any = np.float64) -> memoryview:
    return np.ascontiguousarray(column, dtype=kind).view(np.uint8).data


def batch_of(message: News, body: bytearray) -> Batch:
    """The batch that a message and the body of its frame tell; the points stay in the body, and are not copied.

    Raises:
        WorkerError: the body is not as long as the message says.
    """
    points, start = {}, 0
    if (total := sum(message.lengths.values())) * _POINT != len(body):
        raise WorkerError(f"{len(body)} bytes of points came, and {total} points were announced")
    for tag, length in message.lengths.items():
        step = np.frombuffer(body, np.int64, length, start) if length else np.empty(0, np.int64)
        both = np.frombuffer(body, np.float64, 2 * length, start + 8 * length) if length else np.empty(0)
        points[tag] = Series(step, both[:length], both[length:])
        start += _POINT * length
    return Batch(
        anew=message.anew,
        cuts=message.cuts,
        points=points,
        settings=message.settings,
        remarks=[Remark(*remark) for remark in message.remarks],
        counts=message.counts,
        axes=message.axes,
        console=message.console,
        problems=Counter(message.problems),
        ended=message.ended,
        name=message.name,
        read=message.read,
        size=message.size,
        more=message.more,
    )


def frame(message: Message, body: Body = ()) -> list[bytes | memoryview]:
    """The pieces of a frame, in order; texts that MessagePack cannot hold are made so that it can."""
    try:
        header = _encoder.encode(message)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
        plain = _holdable(msgspec.to_builtins(message, builtin_types=(bytes,)))
        header = _encoder.encode(plain)
    return [_LENGTHS.pack(len(header), sum(map(len, body))), header, *body]


def _holdable(value: Any) -> Any:
    """A value without what MessagePack cannot hold: lone surrogates, whole numbers of more than 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_holdable(key): _holdable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_holdable(inner) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value if value is None or isinstance(value, (bytes, bool, int, float)) else str(value)


def read_frame(read_into: Callable[[memoryview], int]) -> tuple[Message, bytearray] | None:
    """The next message and its body; None at the end of the stream.

    Args:
        read_into: fills a buffer, in part at least, and returns how many bytes; 0 at the end.

    Raises:
        WorkerError: what came is no frame.
    """
    lengths = _exactly(_LENGTHS.size, read_into)
    if lengths is None:
        return None
    header_size, body_size = _LENGTHS.unpack(lengths)
    if header_size > _MOST_HEADER or body_size > _MOST_BODY:
        raise WorkerError(f"the process that reads logs sent a frame of {header_size} and {body_size} bytes")
    header = _exactly(header_size, read_into)
    body = _exactly(body_size, read_into)
    if header is None or body is None:
        return None
    try:
        return _decoder.decode(header), body
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WorkerError(f"the process that reads logs sent what is no message: {error}") from error


def _exactly(size: int, read_into: Callable[[memoryview], int]) -> bytearray | None:
    buffer = bytearray(size)
    rest = memoryview(buffer)
    while rest:
        got = read_into(rest)
        if got <= 0:
            return None
        rest = rest[got:]
    return buffer
