"""Recordings of a terminal session in asciinema's format, asciicast v2: one JSON object, then one array an event.

Files are ASCII, so that printing one runs no control sequence of the session. Playing one drops the sequences that
query the terminal, set its title or clipboard, or switch on its mouse (``EscapeFilter``).

https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from engine.errors import DataError, HomeError

VERSION = 2
MEBIBYTE = 1 << 20
_LINE_LIMIT = 16 * MEBIBYTE
_MODES = {"25", "1049", "47", "1047", "7", "2026"}
"""Private modes that a played recording may set: cursor, alternate screen, wrapping, synchronised output."""
_SAFE_FINALS = "ABCDEFGHIJKLMPSTXZ@`abdefgmr"
_SEQUENCE = re.compile(
    r"\x1b\[(?P<intro>[<-?]?)(?P<numbers>[0-9;:]*)(?P<between>[ -/]*)(?P<final>[@-~])"  # CSI
    r"|\x1b[P\]X^_].*?(?:\x1b\\|\x07)"  # DCS, OSC, SOS, PM, APC: strings, all dropped
    r"|\x1b[ -/]+[0-~]"  # character sets
    r"|\x1b[0-~]"
    r"|[\x80-\x9f]"
    r"|[\x05\x0e\x0f]",
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b(?:\[[<-?]?[0-9;:]*[ -/]*|[P\]X^_][^\x07\x1b]*\x1b?|[ -/]*)?$")
_PLAIN_ESCAPES = {"\x1b7", "\x1b8", "\x1bM", "\x1bD", "\x1bE", "\x1b=", "\x1b>"}


class Recorder:
    """Writes one recording; ``close`` it. At ``limit`` bytes ``full`` is set and further events are dropped."""

    def __init__(self, path: Path, columns: int, rows: int, *, title: str, limit: int) -> None:
        self.path, self.limit = path, limit
        self.events = 0
        self.written = 0
        self.full = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._began = time.monotonic()
        self._size = columns, rows
        try:
            self._file: IO[str] = path.open("x", encoding="ascii", newline="\n")
        except FileExistsError as error:
            raise HomeError(f"{path} is there already, and stays as it is; name another file") from error
        except OSError as error:
            raise HomeError(f"cannot write {path}: {error.strerror}; name another file") from error
        header = {
            "version": VERSION,
            "width": columns,
            "height": rows,
            "timestamp": int(time.time()),
            "title": title,
            "env": {name: os.environ.get(name, "") for name in ("SHELL", "TERM")},
        }
        self._line(header)

    def output(self, data: bytes) -> None:
        """Record bytes of the session's output; an incomplete UTF-8 character waits for the next call."""
        if text := self._decoder.decode(data):
            self._event("o", text)

    def resized(self, columns: int, rows: int) -> None:
        """Record the terminal's size, in cells, where it differs from the last one."""
        if (columns, rows) != self._size:
            self._size = columns, rows
            self._event("r", f"{columns}x{rows}")

    def seconds(self) -> float:
        """Seconds since the recording began."""
        return time.monotonic() - self._began

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def _event(self, kind: str, text: str) -> None:
        if self.full:
            return
        if self.written + len(text) + 64 > self.limit:
            self.full = True
            return
        self._line([round(self.seconds(), 6), kind, text])
        self.events += 1

    def _line(self, value: Any) -> None:
        line = json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"
        self.written += len(line)
        self._file.write(line)


class Cast(NamedTuple):
    """A recording as read from its file."""

    width: int
    height: int
    title: str
    events: list[tuple[float, str, str]]
    """(seconds, ``o`` for output or ``r`` for a size, text)."""

    @property
    def seconds(self) -> float:
        """Time of the last event, in seconds."""
        return self.events[-1][0] if self.events else 0.0


def read_cast(path: Path) -> Cast:
    """The recording in a file.

    Raises:
        DataError: it cannot be read, or is no asciicast v2; the message names the line.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = list(iter(lambda: file.readline(_LINE_LIMIT), ""))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    header = _parsed(path, 1, lines[0] if lines else "")
    if not isinstance(header, dict) or header.get("version") != VERSION:
        raise DataError(f"{path} is no recording: its first line is no asciicast header of version {VERSION}")
    size = [header.get("width"), header.get("height")]
    if not all(isinstance(n, int) and 0 < n < 10_000 for n in size):
        raise DataError(f"{path}: width and height are {size[0]!r} and {size[1]!r}; allowed: 1 to 9999")
    events = [_event_of(path, number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]
    return Cast(size[0], size[1], str(header.get("title") or ""), events)  # type: ignore[arg-type]


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: {error}; a recording is one JSON value a line") from error


def _event_of(path: Path, number: int, line: str) -> tuple[float, str, str]:
    match _parsed(path, number, line):
        case [int() | float() as at, str() as kind, str() as text] if math.isfinite(at) and at >= 0:
            return float(at), kind, text
    raise DataError(f"{path}, line {number}: an event is [seconds, kind, text]; this is {line.strip()[:60]}")


class EscapeFilter:
    """Keeps text, colours and cursor movements; drops every other escape sequence (queries, titles, clipboard)."""

    def __init__(self) -> None:
        self._rest = ""

    def take(self, text: str) -> str:
        """The text without dropped sequences; an unfinished sequence at its end waits for the next call."""
        text = self._rest + text
        cut = _UNFINISHED.search(text)
        self._rest = text[cut.start() :] if cut else ""
        return _SEQUENCE.sub(_harmless, text[: cut.start()] if cut else text)


def _harmless(match: re.Match[str]) -> str:
    """The sequence as far as it is allowed; empty where it is not."""
    sequence, final = match[0], match["final"]
    if final is None:
        return sequence if sequence in _PLAIN_ESCAPES else ""
    if match["intro"] == "?" and final in "hl":
        kept = [number for number in match["numbers"].split(";") if number in _MODES]
        return f"\x1b[?{';'.join(kept)}{final}" if kept else ""
    return sequence if final in _SAFE_FINALS and not match["intro"] and not match["between"] else ""


def played(cast: Cast, *, speed: float = 1.0, idle: float = math.inf) -> Iterator[tuple[float, str]]:
    """Pauses in seconds, ``idle`` at most, and the filtered text that follows each."""
    escape_filter, last = EscapeFilter(), 0.0
    for at, kind, text in cast.events:
        pause, last = min(max(0.0, at - last), idle) / speed, max(at, last)
        yield pause, escape_filter.take(text) if kind == "o" else ""
