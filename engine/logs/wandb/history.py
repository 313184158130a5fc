"""Rows of a run's history in a piece of a .wandb file, as points by tag.

A record is a message whose one field says its kind. Two of three are summaries, which repeat the newest values and
are passed over. A history row holds items in no order: a key, or the parts of a nested one, and the value as JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .. import protobuf
from ..protobuf import LENGTH, VARINT, Field, MessageError, fields, signed
from ..series import Ints, Series, series_of
from .layout import CONTROL, INFO, NUMBER, STEPS, UUID, Kind

STEP, TIME, RUNTIME, OWN = "_step", "_timestamp", "_runtime", "_wandb"
"""Keys that wandb puts into rows by itself; tags of no training."""
TYPE = "_type"
"""The last part of a nested key of what is no number: an image, a histogram, a table."""
DEEPEST = 16
"""Levels of nested objects within one JSON value that are looked at."""
_NUMBER = re.compile(rb"-?[0-9]+\.?[0-9]*([eE][-+]?[0-9]+)?")
_WORDS = {
    b"NaN": math.nan, b"Infinity": math.inf, b"-Infinity": -math.inf, b"true": 1.0, b"false": 0.0,
    b'"NaN"': math.nan, b'"Infinity"': math.inf, b'"-Infinity"': -math.inf,
}  # fmt: skip


class Other(NamedTuple):
    """A record that is neither a history row nor a summary."""

    kind: int
    """Its field number."""
    start: int
    """Where the content of that field begins in the piece."""
    end: int
    step: int
    """The step of the last history row before it; 0 where there is none."""


@dataclass(slots=True)
class Rows:
    """What the records of a piece amount to."""

    points: dict[str, Series] = field(default_factory=dict)
    others: list[Other] = field(default_factory=list)
    damaged: int = 0
    """Records that are no sound messages, though their checksum holds."""
    step: int = -1
    """The step of the last history row; -1 before the first."""


def kind_of(data: bytes | bytearray, start: int, end: int) -> tuple[int, int, int]:
    """Kind of the record in ``data[start:end]``, and the bounds of its content; kind 0: it has none.

    Raises:
        MessageError: it is no message.
    """
    for part in fields(data, start, end):
        if part.wire == LENGTH and part.number not in (NUMBER, CONTROL, UUID, INFO):
            return part.number, part.value, part.end
    return 0, end, end


def rows_plain(data: bytearray, starts: Ints, ends: Ints, step: int) -> Rows:
    """The records ``data[starts[i]:ends[i]]`` decoded; ``step``: that of the last row before them, -1: none."""
    rows = Rows(step=step)
    steps: dict[str, list[int]] = {}
    values: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        try:
            kind, begin, behind = kind_of(data, start, end)
            if kind != Kind.HISTORY:
                if kind not in (Kind.NONE, Kind.SUMMARY):
                    rows.others.append(Other(kind, begin, behind, max(rows.step, 0)))
                continue
            row = row_of(data, begin, behind, rows.step)
        except MessageError:
            rows.damaged += 1
            continue
        rows.step = row.step
        for tag, value in row.values:
            steps.setdefault(tag, []).append(row.step)
            values.setdefault(tag, []).append(value)
            times.setdefault(tag, []).append(row.time)
    rows.points = {tag: series_of(steps[tag], values[tag], times[tag]) for tag in steps}
    return rows


class Row(NamedTuple):
    """One history row."""

    step: int
    time: float
    """Seconds since the epoch; NaN where the row does not say."""
    values: list[tuple[str, float]]


Value = bytes | float
"""Of an item: JSON, or a number that was written as one."""


def row_of(data: bytes | bytearray, start: int, end: int, last: int) -> Row:
    """The history row in ``data[start:end]``; ``last``: the step of the row before it.

    Raises:
        MessageError: it is no message.
    """
    items: list[tuple[tuple[str, ...], Value]] = []
    step = None
    for part in fields(data, start, end):
        if part.wire == LENGTH and part.number == 1:
            items.append(_item(data, part.value, part.end))
        elif part.wire == LENGTH and part.number == 2:
            step = _counted(data, part)
    media = {names[:-1] for names, _ in items if len(names) > 1 and names[-1] == TYPE}
    time = math.nan
    values: list[tuple[str, float]] = []
    for names, value in items:
        if names == (STEP,):
            step = _whole(number_of(value), step)
        elif names == (TIME,):
            number = number_of(value)
            time = math.nan if number is None else number
        elif names and not (names == (RUNTIME,) or names[0] == OWN or _is_within(names, media)):
            values += numbers_of(".".join(names), value)
    return Row(last + 1 if step is None else step, time, values)


def _is_within(names: tuple[str, ...], above: set[tuple[str, ...]]) -> bool:
    """Whether a nested key lies in one of some others."""
    return any(names[: len(other)] == other for other in above)


def _counted(data: bytes | bytearray, message: Field) -> int | None:
    """The step in a message of its own; 0, as any number, is not written there."""
    step = 0
    for part in fields(data, message.value, message.end):
        if (part.number, part.wire) == (1, VARINT):
            step = signed(part.value)
    return step if abs(step) < STEPS else None


def _whole(number: float | None, otherwise: int | None) -> int | None:
    return otherwise if number is None or not abs(number) < STEPS else int(number)


def _item(data: bytes | bytearray, start: int, end: int) -> tuple[tuple[str, ...], Value]:
    """Parts of an item's key, and its value."""
    key = ""
    nested: list[str] = []
    value: Value = b""
    for part in fields(data, start, end):
        match part.number, part.wire:
            case 1, protobuf.LENGTH:
                key = protobuf.text(data, part)
            case 2, protobuf.LENGTH:
                nested.append(protobuf.text(data, part))
            case ((8 | 16), protobuf.LENGTH):
                value = bytes(data[part.value : part.end])
            case 4, protobuf.VARINT:
                value = float(part.value != 0)
            case 5, protobuf.VARINT:
                value = float(protobuf.zigzag(part.value))
            case 6, protobuf.FIXED64:
                value = protobuf.double(data, part.value)
    return tuple(nested) or ((key,) if key else ()), value


def number_of(value: Value) -> float | None:
    """The number that a value is; None for all else."""
    if isinstance(value, float):
        return value
    return float(value) if _NUMBER.fullmatch(value) else _WORDS.get(value)


def numbers_of(tag: str, value: Value) -> Iterator[tuple[str, float]]:
    """The number or numbers of a value by tag; none of a text, a list, null, or an object that is no number."""
    if (number := number_of(value)) is not None:
        yield tag, number
    elif isinstance(value, bytes) and value.startswith(b"{"):
        try:
            found = json.loads(value.decode("utf-8", "replace"), parse_int=float)
        except (ValueError, RecursionError):
            return
        yield from _flat(tag, found, DEEPEST)


def _flat(tag: str, found: Any, levels: int) -> Iterator[tuple[str, float]]:
    if isinstance(found, float | bool):
        yield tag, float(found)
    elif isinstance(found, dict) and levels and not isinstance(found.get(TYPE), str):
        for key, below in found.items():
            yield from _flat(f"{tag}.{sound(key)}", below, levels - 1)


def sound(text: str) -> str:
    """A text of JSON without halves of characters, which JSON can spell and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
