"""Events read in full: the few that hold metadata, texts, settings, session marks, or numbers of rare types."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .layout import (
    CONTENT,
    DOUBLE,
    FIXED64,
    FLOAT,
    LENGTH,
    NOWHERE,
    VARINT,
    Layout,
    Malformed,
    Place,
    Tensor,
    Value,
    fields,
    layout_of,
)
from .tags import LEFT_OUT, NOTABLE, REFUSED, SCALARS, UNKNOWN, Tags

LONGEST_TEXT = 1 << 18
"""Bytes of a text that are read."""
_STARTED = 1
"""A session's status: the training started at this step; what was logged from there on before is void."""
_ENDED = {1: "finished", 2: "failed"}
"""How the hparams plugin says that a training ended."""


@dataclass(slots=True)
class Notable:
    """What an event says beside scalars."""

    step: int
    time: float
    is_start: bool = False
    """Whether the training started again at this step."""
    texts: list[tuple[bytes, str]] = field(default_factory=list)
    """Tags and their texts."""
    settings: dict[str, Any] = field(default_factory=dict)
    ended: str = ""

    def __bool__(self) -> bool:
        return bool(self.is_start or self.texts or self.settings or self.ended)


class Point(NamedTuple):
    """One value of a scalar."""

    tag: int
    step: int
    time: float
    value: float


def time_and_step(data: bytes, layout: Layout) -> tuple[float, int]:
    """When an event was written, NaN where it does not say, and its step."""
    time = float("nan") if layout.time is None else struct.unpack_from("<d", data, layout.time.start)[0]
    return time, 0 if layout.step is None else whole(data, layout.step)


def whole(data: bytes, place: Place) -> int:
    """A signed whole number stored as a VARINT of at most ten bytes.

    Raises:
        Malformed: it is longer.
    """
    if place.stop - place.start > 10:
        raise Malformed("a number does not end")
    value = 0
    for i, byte in enumerate(data[place.start : place.stop]):
        value |= (byte & 127) << (7 * i)
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def read_event(data: bytes, tags: Tags, layout: Layout | None = None) -> tuple[list[Point], Notable]:
    """The scalars of an event, and what else it says. Tags learn their kind from their first metadata.

    Raises:
        Malformed: the bytes are no event.
    """
    layout = layout_of(data) if layout is None else layout
    time, step = time_and_step(data, layout)
    points = []
    notable = Notable(step, time)
    if layout.session is not None:
        notable.is_start = any(
            item.number == 1 and item.wire == VARINT and item.whole == _STARTED
            for item in fields(data, layout.session)
        )
    for value in layout.values:
        tag = tags.number(_bytes(data, value.tag))
        if tag == REFUSED:
            continue
        if value.metadata is not None and tags.kinds[tag] == UNKNOWN:
            tags.kinds[tag] = kind_of(data, value)
        if value.simple is not None:
            points.append(Point(tag, step, time, struct.unpack_from("<f", data, value.simple.start)[0]))
        elif tags.kinds[tag] == NOTABLE:
            _note(data, value, notable)
        elif value.tensor is not None and value.tensor.number is not None and tags.kinds[tag] != LEFT_OUT:
            points.append(Point(tag, step, time, _number(data, value.tensor, value.tensor.number)))
    return points, notable


def kind_of(data: bytes, value: Value) -> int:
    """What a tag's values are, from the metadata of one of them."""
    plugin = _plugin(data, value)[0]
    if plugin in (b"", b"scalars"):
        return SCALARS
    return NOTABLE if plugin in (b"text", b"hparams") else LEFT_OUT


def _plugin(data: bytes, value: Value) -> tuple[bytes, Place]:
    """The name of the plugin that shows a value, and where the content for it stands; nothing where malformed."""
    name, content = b"", NOWHERE
    try:
        for item in fields(data, value.metadata or NOWHERE):
            if (item.number, item.wire) != (1, LENGTH):
                continue
            for inner in fields(data, item.value):
                if (inner.number, inner.wire) == (1, LENGTH):
                    name = _bytes(data, inner.value)
                elif (inner.number, inner.wire) == (2, LENGTH):
                    content = inner.value
    except Malformed:
        return b"", NOWHERE
    return name, content


def _bytes(data: bytes, place: Place) -> bytes:
    return data[place.start : place.stop]


def _number(data: bytes, tensor: Tensor, place: Place) -> float:
    """The only number of a tensor."""
    stored = CONTENT[tensor.dtype]
    raw = _bytes(data, place)
    if tensor.in_list and tensor.dtype not in (FLOAT, DOUBLE):
        bits = whole(data, place)
        if tensor.dtype not in (14, 19):
            return float(bits % (1 << 64)) if stored.startswith("<u") else float(bits)
        raw = struct.pack("<H", bits & 0xFFFF)
    if stored == "bfloat16":
        return float(struct.unpack("<f", b"\0\0" + raw)[0])
    return float(np.frombuffer(raw, dtype=stored)[0])


def _note(data: bytes, value: Value, notable: Notable) -> None:
    """Take note of a text, or of what the hparams plugin was told."""
    if value.tensor is not None and value.tensor.strings:
        parts = [_bytes(data, place)[:LONGEST_TEXT] for place in value.tensor.strings[:100]]
        text = b"\n".join(parts)[:LONGEST_TEXT].decode("utf-8", "replace")
        notable.texts.append((_bytes(data, value.tag), text))
    plugin, content = _plugin(data, value)
    if plugin != b"hparams":
        return
    try:
        for item in fields(data, content):
            if (item.number, item.wire) == (3, LENGTH):
                for inner in fields(data, item.value):
                    if (inner.number, inner.wire) == (1, LENGTH):
                        _set(data, inner.value, notable.settings)
            elif (item.number, item.wire) == (4, LENGTH):
                notable.ended = _end(data, item.value)
    except Malformed:
        return


def _end(data: bytes, place: Place) -> str:
    """How a training ended; empty where no time is told.

    torch and tensorboardX write such an end, without a time, together with the settings: the training goes on.
    """
    status, has_time = 0, False
    for item in fields(data, place):
        if (item.number, item.wire) == (1, VARINT):
            status = item.whole
        elif (item.number, item.wire) == (2, FIXED64):
            has_time = True
    return _ENDED.get(status, "") if has_time else ""


def _set(data: bytes, place: Place, settings: dict[str, Any]) -> None:
    """Keep one setting: a name and a value, both as protobuf stores entries of a map."""
    name, value = "", None
    for item in fields(data, place):
        if (item.number, item.wire) == (1, LENGTH):
            name = _bytes(data, item.value)[:LONGEST_TEXT].decode("utf-8", "replace")
        elif (item.number, item.wire) == (2, LENGTH):
            for inner in fields(data, item.value):
                value = _setting(data, inner.number, inner.wire, inner.value, inner.whole)
    settings[name] = value


def _setting(data: bytes, number: int, wire: int, place: Place, whole_number: int) -> Any:
    if (number, wire) == (2, FIXED64):
        found = struct.unpack_from("<d", data, place.start)[0]
        return int(found) if found.is_integer() and abs(found) < 1 << 53 else found
    if (number, wire) == (3, LENGTH):
        return _bytes(data, place)[:LONGEST_TEXT].decode("utf-8", "replace")
    if (number, wire) == (4, VARINT):
        return bool(whole_number)
    return None
