"""The files that SwanLab writes of every run that is not kept online alone: ``run-ID.swanlab``.

A record is a message whose one field says its kind: the run's start, a scalar, a line of the console, its end.
The settings stand in a file of their own, ``files/config.yaml``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from . import protobuf
from .batch import Batch, Remark
from .folder import Folder, read_head
from .frame_layout import framed_logs
from .frames import FrameFile, Records
from .plain_yaml import settings_in
from .protobuf import FIXED64, LENGTH, VARINT, Field, MessageError, fields
from .reader import PIECE, Claim, Format, Reader
from .series import series_of

IDENTIFIER = b":SWL"
MAGIC = b":SWL\xd6\xe1\x02"
BESIDE = ("files", "debug", "media")
"""Folders of a run that hold files it saved, and what SwanLab says of itself."""
CONFIG = Path("files") / "config.yaml"
SYSTEM = "__swanlab__."
"""Begins the keys of the machine's own numbers, which are shown under ``system/``."""
_MOST_SETTINGS = 1 << 20
"""Bytes of the settings that are read."""
_ENDS = {1: "finished", 2: "failed", 3: "stopped"}
"""How a run ended, by the number of its state."""


class Kind(IntEnum):
    """Kinds of a record, by field number; there are more, which nothing is read from."""

    START = 10
    FINISH = 11
    COLUMN = 12
    SCALAR = 13
    LOG = 16


class SwanLab(Format):
    """SwanLab's own files."""

    name = "swanlab"
    label = "SwanLab"
    habit = "this writer flushes every 20 s"

    def claims(self, folder: Folder) -> Iterator[Claim]:
        """One run for each ``.swanlab`` file."""
        found = framed_logs(folder, ".swanlab", IDENTIFIER)
        beside = tuple(folder.path / name for name in BESIDE if name in folder.entries)
        for name in found:
            run = name if len(found) > 1 else ""
            yield Claim(self.name, folder.path, (folder.path / name,), run, beside)

    def reader(self, claim: Claim) -> Reader:
        """A reader of the run."""
        return SwanLabReader(claim)


class SwanLabReader(Reader):
    """Reads the file of one run, and its settings once records come."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._file = FrameFile(claim.files[0], MAGIC)
        self._config = claim.folder / CONFIG
        self._config_seen: tuple[int, int] | None = None

    def poll(self, limit: int = PIECE) -> Batch:
        """The news since the last call."""
        records = self._file.read(limit)
        batch = Batch(anew=records.anew, read=records.read, size=records.size, more=records.more)
        if records.anew:
            self._config_seen = None
        _News(batch, records.data).add(records)
        if len(records.starts) and not records.more:
            self._add_settings(batch)
        return batch

    def _add_settings(self, batch: Batch) -> None:
        """The settings as they are on disk now, unless they were read."""
        try:
            found = self._config.stat()
        except (OSError, ValueError):
            return
        if (found.st_ino, found.st_mtime_ns) == self._config_seen:
            return
        self._config_seen = found.st_ino, found.st_mtime_ns
        text = read_head(self._config, _MOST_SETTINGS).decode("utf-8", "replace")
        for name, value in settings_in(text).items():
            key, _, rest = name.partition(".")
            what, _, nested = rest.partition(".")
            if what == "value":  # which SwanLab puts beside a description and a place
                batch.settings[f"{key}.{nested}" if nested else key] = value


class _News:
    """Adds to a batch what the records of one piece say."""

    def __init__(self, batch: Batch, data: bytearray) -> None:
        self.batch = batch
        self.data = data
        self._points: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
        self._lines: list[bytes] = []

    def add(self, records: Records) -> None:
        """Take records in their order; damaged ones are counted."""
        damaged = records.damaged
        for start, end in zip(records.starts.tolist(), records.ends.tolist(), strict=True):
            try:
                for part in fields(self.data, start, end):
                    if part.wire == LENGTH:
                        self._add(part)
            except MessageError:
                damaged += 1
        for tag, points in self._points.items():
            steps, values, times = zip(*points, strict=True)
            self.batch.points[tag] = series_of(steps, values, times)
        self.batch.console = b"".join(self._lines)
        if damaged:
            self.batch.problems["damaged record"] += damaged
        if records.too_long:
            self.batch.problems["record too long"] += records.too_long

    def _add(self, part: Field) -> None:
        match part.number:
            case Kind.SCALAR:
                self._add_scalar(part)
            case Kind.LOG:
                self._lines += [self._bytes(line) + b"\n" for line in self._parts(part) if line.number == 1]
            case Kind.COLUMN:
                texts = {inner.number: self._text(inner) for inner in self._parts(part)}
                if texts.get(3) and texts.get(13):
                    self.batch.axes[_tag(texts[3])] = texts[13]
            case Kind.START:
                texts = {inner.number: self._text(inner) for inner in self._parts(part)}
                self.batch.name = texts.get(4, "")
                if texts.get(5):
                    self.batch.remarks.append(Remark(None, math.nan, texts[5]))
            case Kind.FINISH:
                states = [inner.value for inner in self._all(part) if (inner.number, inner.wire) == (1, VARINT)]
                self.batch.ended = _ENDS.get(states[-1] if states else 0, "")

    def _add_scalar(self, scalar: Field) -> None:
        """A point; numbers that are 0 are not written, as in any message.

        The machine's numbers count their own calls.
        """
        key, step, value, time = "", 0, 0.0, math.nan
        for part in self._all(scalar):
            if (part.number, part.wire) == (1, LENGTH):
                key = self._text(part)
            elif (part.number, part.wire) == (2, VARINT):
                step = protobuf.signed(part.value)
            elif (part.number, part.wire) == (4, LENGTH):
                time = protobuf.seconds(self.data, part)
            elif (part.number, part.wire) == (5, LENGTH):
                for inner in self._all(part):
                    if (inner.number, inner.wire) == (1, FIXED64):
                        value = protobuf.double(self.data, inner.value)
        if key:
            tag = _tag(key)
            self._points[tag].append((step, value, time))
            if tag != key:
                self.batch.counts[tag] = "call"

    def _all(self, part: Field) -> Iterator[Field]:
        return fields(self.data, part.value, part.end)

    def _parts(self, part: Field) -> Iterator[Field]:
        """The texts and messages in a message."""
        return (inner for inner in self._all(part) if inner.wire == LENGTH)

    def _bytes(self, part: Field) -> bytes:
        return bytes(self.data[part.value : part.end])

    def _text(self, part: Field) -> str:
        return protobuf.text(self.data, part)


def _tag(key: str) -> str:
    return f"system/{key.removeprefix(SYSTEM)}" if key.startswith(SYSTEM) else key
