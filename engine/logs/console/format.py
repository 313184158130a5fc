"""Which files hold what a training printed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..endings import OUTPUT, ending, may_be_output
from ..folder import Entry, Folder, open_log
from ..reader import Claim, Format, Reader

if TYPE_CHECKING:
    from .parser import LineParser

_FIRST, _LAST = 1 << 14, 1 << 15
"""Bytes at the start and at the end of a file by which it is recognised, before the whole of its head."""
_PLACED = re.compile(
    rb"(?i)epoch|step|iter|batch|\bit[\s:=#]|\bep[\s:=#]|episode|round|update|generation"
    rb"|[0-9]/[0-9]+ ?\[|^\s*\[[0-9]+[\],]|^[0-9]+:\s|%\|",
    re.MULTILINE,
)
"""What a line of a training's output holds; most other text holds none of it."""
_MOST_TEXT = 1 << 23
"""Bytes of text that turned out to be no log, after which no further file of a folder is looked into."""
_MOST_REFUSED = 100_000
_YOUNG = 3600.0
"""Seconds since its last change within which a file that a person names may be a log that has just begun."""
_GROWN = 1.25
"""How much a file that was refused has to grow until it is looked into again."""


class Console(Format):
    """What a training prints: lines with names and numbers, dictionaries, progress bars, tables.

    A file counts once lines of one kind, with the same names and with steps that go forward, have come three
    times.
    """

    name = "console"
    label = "Console output"
    habit = "output that goes to a file is often written in pieces of 4 or 8 KiB"

    def __init__(self) -> None:
        self._recognised: dict[Path, int] = {}
        """Files that are logs, by inode."""
        self._refused: dict[Path, tuple[int, int]] = {}
        """Files that are none: inode and size when they were looked at."""

    def claims(self, folder: Folder) -> Iterable[Claim]:
        """One for each file of output; where a folder holds several, the file's name tells them apart."""
        found = []
        text = 0
        for name in folder.files:
            if not (folder.is_named or may_be_output(name)):
                continue
            if text >= _MOST_TEXT and folder.path / name not in self._recognised:
                folder.left_out.add(name)
            elif self._is_output(folder, name):
                found.append(name)
            else:
                text += len(folder.head(name))
        for name in found:
            yield Claim("console", folder.path, (folder.path / name,), run=name if len(found) > 1 else "")

    def reader(self, claim: Claim) -> Reader:
        from .reader import ConsoleReader

        return ConsoleReader(claim)

    def _is_output(self, folder: Folder, name: str) -> bool:
        path, entry = folder.path / name, folder.entries[name]
        if self._recognised.get(path) == entry.file:
            return True
        inode, size = self._refused.get(path, (-1, 0))
        if inode == entry.file and size <= entry.size < max(_GROWN * size, size + 64):
            return False
        if _decided(folder, entry):
            self._recognised[path] = entry.file
            return True
        if len(self._refused) >= _MOST_REFUSED:
            self._refused.clear()
        self._refused[path] = (entry.file, entry.size)
        return False


def _decided(folder: Folder, entry: Entry) -> bool:
    """Whether a file is what a training printed, or may become it."""
    head = folder.head(entry.name)
    is_output = ending(entry.name) in OUTPUT
    if b"\0" in head:
        return False
    is_plain = "." not in entry.name and entry.name.islower()  # no LICENSE, no Makefile
    is_young = time.time() - entry.changed / 1e9 < _YOUNG
    if folder.is_named and is_young and (is_output or is_plain) and entry.size < _FIRST:
        return True  # it waits for its first lines
    from .parser import LineParser

    parser = LineParser()
    if _counts(head[:_FIRST], parser):
        return True
    if entry.size > len(head) and _counts(_tail(folder.path / entry.name, entry.size), LineParser()):
        return True
    if _counts(head[_FIRST:], parser):
        return True
    return is_output and entry.size <= len(head) and parser.is_begun


def _counts(data: bytes, parser: LineParser) -> bool:
    if _PLACED.search(data):
        parser.feed(data)
    return parser.counts


def _tail(path: Path, size: int) -> bytes:
    """Whole lines at the end of a file; empty where it cannot be read."""
    try:
        fd = open_log(path)
    except OSError:
        return b""
    try:
        data = os.pread(fd, _LAST, max(0, size - _LAST))
    except OSError:
        return b""
    finally:
        os.close(fd)
    return data[data.find(b"\n") + 1 :]
