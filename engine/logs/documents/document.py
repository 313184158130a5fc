"""A JSON document that its writer writes anew each time: read when it has changed, and only whole."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from ..folder import open_log

LARGEST = 1 << 27
"""Bytes of a document that is read; a training that logged a million times has written about as much."""
_CALM = 2.0
"""Seconds since the last change after which a document that does not parse is damaged and not being written."""
_PIECE = 1 << 20
_LEVELS = 8
_LONGEST = 1000
_MOST = 10_000


class Document:
    """A file with one JSON document."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Bytes of the file when it was last looked at."""
        self.changed = 0.0
        """When it was last changed, in seconds since the epoch."""
        self.problem = ""
        """Why the last ``load`` gave nothing, in words; empty where it did, and while it may be being written."""
        self._state: tuple[int, int, int] | None = None
        """Inode, size and time of change, when it was last read whole or found damaged."""

    def is_changed(self) -> bool:
        """Whether the file has changed since it was last read whole, or found damaged."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 (twice a second for each run)
        except (OSError, ValueError):
            return False
        return (found.st_ino, found.st_size, found.st_mtime_ns) != self._state

    def load(self) -> dict[str, Any] | None:
        """The document; None where it cannot be read or is not whole.

        ``problem`` is set where it is damaged: it does not parse, and has not been changed for some seconds.
        """
        self.problem = ""
        try:
            fd = open_log(self.path)
        except (OSError, ValueError):
            return None
        try:
            found = os.fstat(fd)
            self.size, self.changed = found.st_size, found.st_mtime
            data = b"" if self.size > LARGEST else _read(fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        document = parsed(data)
        is_calm = abs(time.time() - self.changed) > _CALM
        if document is not None or is_calm:
            self._state = (found.st_ino, found.st_size, found.st_mtime_ns)
        if document is None and is_calm and data:
            self.problem = "damaged document"
        elif self.size > LARGEST:
            self.problem = "document that is too large"
        return document


def _read(fd: int) -> bytes:
    parts: list[bytes] = []
    room = LARGEST
    while room > 0 and (part := os.read(fd, min(_PIECE, room))):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)


def parsed(data: bytes) -> dict[str, Any] | None:
    """The JSON object in a text, in which bare NaN and Infinity may stand, as ``json`` writes them; else None."""
    for decode in (msgspec.json.decode, json.loads):
        try:
            found = decode(data)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            continue
        return found if isinstance(found, dict) else None
    return None


def number(value: object) -> float | None:
    """The number that a value of JSON is; None where it is none. Words such as "nan" are numbers too."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str) and value.lower().lstrip("+-") not in {"nan", "inf", "infinity"}:
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return float("inf")


def flat(settings: object, outer: str = "", level: int = 0) -> dict[str, Any]:
    """Settings in JSON by name, nested names joined by dots; a list is a text."""
    found: dict[str, Any] = {}
    if not isinstance(settings, dict):
        return found
    for key, value in settings.items():
        name = f"{outer}{key}"
        if len(found) >= _MOST:
            break
        if isinstance(value, dict) and level < _LEVELS:
            found |= flat(value, f"{name}.", level + 1)
        elif isinstance(value, (str, bool, int, float)) or value is None:
            found[name] = value[:_LONGEST] if isinstance(value, str) else value
        else:
            found[name] = json.dumps(value)[:_LONGEST]
    return found
