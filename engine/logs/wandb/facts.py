"""Records of a .wandb file that are no history rows: the run, its settings, machine, console and end."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from .. import protobuf
from ..batch import Batch, Remark
from ..protobuf import LENGTH, Field, MessageError, fields
from ..series import joined, series_of
from .axes import Axes
from .history import OWN, Other, number_of, sound
from .layout import Kind

SYSTEM = "system/"
"""Begins the tags of the machine's own numbers."""
DEEPEST = 8
"""Levels of nested settings that get names of their own; what lies deeper is told as JSON."""


class Facts:
    """Adds to a batch what the records of one piece say beside the history."""

    def __init__(self, batch: Batch, axes: Axes, data: bytearray) -> None:
        self.batch = batch
        self.axes = axes
        self.data = data
        self._console: list[bytes] = []
        self._stats: dict[str, list[tuple[int, float, float]]] = defaultdict(list)

    def add(self, others: list[Other]) -> None:
        """Take records in their order; damaged ones are counted."""
        for other in others:
            try:
                self._add(other)
            except MessageError:
                self.batch.problems["damaged record"] += 1
        self.batch.console += b"".join(self._console)
        for tag, points in self._stats.items():
            steps, values, times = zip(*points, strict=True)
            series = series_of(steps, values, times)
            known = self.batch.points.get(tag)
            self.batch.points[tag] = joined([known, series]) if known else series

    def _add(self, other: Other) -> None:
        match other.kind:
            case Kind.STATS:
                self._add_stats(other)
            case Kind.OUTPUT | Kind.OUTPUT_RAW:
                for part in self._parts(other, 3):
                    self._console.append(self._bytes(part))
            case Kind.RUN:
                self._add_run(other)
            case Kind.CONFIG:
                self._add_settings(other.start, other.end)
            case Kind.METRIC:
                self.axes.define(self.data, other.start, other.end)
            case Kind.ALERT:
                texts = [self._text(part) for part in self._parts(other, 1, 2)]
                self._remark(other.step, ": ".join(filter(None, texts)), "warning")
            case Kind.EXIT:
                codes = [part.value for part in fields(self.data, other.start, other.end) if part.number == 1]
                self.batch.ended = "failed" if any(codes) else "finished"

    def _add_stats(self, other: Other) -> None:
        """The machine's numbers, at the step of the last history row before them: they have none of their own."""
        time = math.nan
        items = []
        for part in self._parts(other, 2, 3):
            if part.number == 2:
                time = protobuf.seconds(self.data, part)
            else:
                items.append(self._item(part))
        for key, text in items:
            if key and (value := number_of(text)) is not None:
                self._stats[SYSTEM + key].append((other.step, value, time))

    def _add_run(self, other: Other) -> None:
        for part in self._parts(other, 4, 8, 9):
            if part.number == 4:
                self._add_settings(part.value, part.end)
            elif part.number == 8:
                self.batch.name = self._text(part)
            elif notes := self._text(part):
                self._remark(None, notes, "note")

    def _add_settings(self, start: int, end: int) -> None:
        for part in fields(self.data, start, end):
            if part.wire == LENGTH and part.number == 1:
                key, text = self._item(part)
                if key and key.split(".", 1)[0] != OWN:
                    try:
                        found = json.loads(text.decode("utf-8", "replace"), parse_int=_whole)
                    except (ValueError, RecursionError):
                        self.batch.problems["setting that is no JSON"] += 1
                        continue
                    self.batch.settings.update(_flat(key, found, DEEPEST))

    def _item(self, item: Field) -> tuple[str, bytes]:
        """Key, its parts joined by dots, and JSON text of an item of settings or of the machine's numbers."""
        key, nested, text = "", [], b""
        for part in fields(self.data, item.value, item.end):
            if part.wire != LENGTH:
                continue
            if part.number == 1:
                key = self._text(part)
            elif part.number == 2:
                nested.append(self._text(part))
            elif part.number == 16:
                text = self._bytes(part)
        return ".".join(nested) or key, text

    def _parts(self, other: Other, *numbers: int) -> Iterator[Field]:
        """The messages and texts with these field numbers in a record."""
        for part in fields(self.data, other.start, other.end):
            if part.wire == LENGTH and part.number in numbers:
                yield part

    def _bytes(self, part: Field) -> bytes:
        return bytes(self.data[part.value : part.end])

    def _text(self, part: Field) -> str:
        return protobuf.text(self.data, part)

    def _remark(self, step: int | None, text: str, kind: str) -> None:
        self.batch.remarks.append(Remark(step, math.nan, text, kind))


def _whole(text: str) -> int | float:
    return int(text) if len(text) < 400 else math.inf


def _flat(key: str, found: Any, levels: int) -> Iterator[tuple[str, Any]]:
    """Settings by name; lists, and what is nested too deeply, as JSON."""
    if isinstance(found, dict) and found and levels:
        for name, below in found.items():
            yield from _flat(f"{key}.{sound(name)}", below, levels - 1)
    elif isinstance(found, dict | list):
        yield key, json.dumps(found)
    else:
        yield key, sound(found) if isinstance(found, str) else found
