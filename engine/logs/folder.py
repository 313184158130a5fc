"""A folder as formats look at it: its entries, and the first bytes of its files, each read once and in bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

HEAD = 1 << 16
"""Bytes of a file that formats may look at to recognise it."""


class Entry(NamedTuple):
    """A file or folder as it was listed; links are followed."""

    name: str
    is_folder: bool
    size: int
    changed: int
    """When it was last changed, in nanoseconds since the epoch."""
    file: int
    """Its inode number."""


class Folder:
    """One listing of a folder. What cannot be read is left out; nothing but plain files is ever opened."""

    def __init__(self, path: Path, only: frozenset[str] | None = None) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        """By name, in the order of names."""
        self._heads: dict[str, bytes] = {}
        self._folders: dict[str, Folder] = {}
        try:
            names = sorted(os.listdir(path)) if only is None else sorted(only)  # noqa: PTH208 (names alone)
        except OSError:
            return
        for name in names:
            if (entry := _entry(path / name)) is not None:
                self.entries[name] = entry

    @property
    def files(self) -> list[str]:
        """Names of the plain files."""
        return [name for name, entry in self.entries.items() if not entry.is_folder]

    @property
    def folders(self) -> list[str]:
        """Names of the folders."""
        return [name for name, entry in self.entries.items() if entry.is_folder]

    def head(self, name: str) -> bytes:
        """The first bytes of a file, at most ``HEAD``; empty where it cannot be read or is no plain file."""
        if name not in self._heads:
            self._heads[name] = b"" if name not in self.entries else read_head(self.path / name)
        return self._heads[name]

    def folder(self, name: str) -> Folder:
        """A folder in this one; one without entries where there is none, or where it cannot be read."""
        if name not in self._folders:
            self._folders[name] = Folder(self.path / name)
        return self._folders[name]


def _entry(path: Path) -> Entry | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return None
    return Entry(path.name, stat.S_ISDIR(found.st_mode), found.st_size, found.st_mtime_ns, found.st_ino)


def open_log(path: Path) -> int:
    """A descriptor of a plain file, for reading; a link is followed, a FIFO or a device is never opened.

    Raises:
        OSError: it is missing, cannot be read, or is no plain file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is no plain file, which springtui never opens")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def read_head(path: Path, size: int = HEAD) -> bytes:
    """The first bytes of a plain file; empty where it cannot be read."""
    try:
        fd = open_log(path)
    except OSError:
        return b""
    try:
        return os.pread(fd, size, 0)
    except OSError:
        return b""
    finally:
        os.close(fd)
