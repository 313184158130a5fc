"""A folder as formats look at it: its entries, and the first bytes of its files, each read once and in bounds."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .endings import NO_LOGS, ending

HEAD = 1 << 16
"""Bytes of a file that formats may look at to recognise it."""
_START = 1 << 9
"""Bytes by which a signature is recognised."""
MOST_FILES = 4096
"""Files of one folder that are looked into; of a folder of more, ``left_out`` tells the rest."""
_KEPT = 1 << 24
"""Bytes of heads that a folder keeps; beyond, they are read again when they are asked for again."""


_EVENTS = "tfevents"
"""Event files end with a host's name, which may be any ending."""


class Entry(NamedTuple):
    """A file or folder as it was listed; links are followed."""

    name: str
    is_folder: bool
    size: int
    changed: int
    """When it was last changed, in nanoseconds since the epoch."""
    file: int
    """Its inode number."""


class Entries(Mapping[str, Entry]):
    """Plain files and folders by name, in the order of names; each is looked at when it is first asked for."""

    def __init__(self, folder: Path, kinds: dict[str, bool]) -> None:
        """``kinds``: by name, in order, whether it is a folder."""
        self._folder = str(folder)
        self._kinds = kinds
        self._seen: dict[str, Entry] = {}

    def __getitem__(self, name: str) -> Entry:
        is_folder = self._kinds[name]
        if name not in self._seen:
            try:
                found = os.stat(f"{self._folder}/{name}")  # noqa: PTH116 (thousands of them)
                entry = Entry(name, is_folder, found.st_size, found.st_mtime_ns, found.st_ino)
            except (OSError, ValueError):  # it vanished since it was listed
                entry = Entry(name, is_folder, 0, 0, 0)
            self._seen[name] = entry
        return self._seen[name]

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def of_kind(self, is_folder: bool) -> list[str]:
        """The names of folders, or those of files."""
        return [name for name, kind in self._kinds.items() if kind is is_folder]

    def drop(self, name: str) -> None:
        """Leave a name out from now on, if it is there."""
        self._kinds.pop(name, None)


class Folder:
    """One listing of a folder. What cannot be read is left out; nothing but plain files is ever opened."""

    def __init__(
        self,
        path: Path,
        only: frozenset[str] | None = None,
        hidden: Mapping[Path, Collection[str]] | None = None,
    ) -> None:
        """List the folder, or look at the names ``only``.

        ``hidden``: by folder, this one or one below, the names that are left out.
        """
        self.path = path
        self.is_named = only is not None
        """Whether it shows no more than the files that a person named."""
        self.links: dict[str, str] = {}
        """By name of an entry that is a symbolic link, where it leads, as it is written in the link."""
        self.passed_over = 0
        """Number of files left out for the endings of their names: pictures, arrays, checkpoints, code."""
        self.left_out: set[str] = set()
        """Names of files that a format wanted to look into, and that were too many."""
        self.error = ""
        """Why the folder could not be listed; empty where it was."""
        self.watched: dict[str, int] = {}
        """By path of a file whose changes may bring or take runs: when it was last changed, in nanoseconds."""
        self._hidden = hidden or {}
        self._heads: dict[str, bytes] = {}
        self._starts: dict[str, bytes] = {}
        self._chosen: frozenset[str] | None = None
        self._bytes_kept = 0
        self._below: dict[Path, Folder] = {}
        self.entries = Entries(path, self._listed(only))
        """By name, in the order of names."""

    def _listed(self, only: frozenset[str] | None) -> dict[str, bool]:
        kinds = {}
        try:
            if only is not None:
                named = {name: _kind(self.path / name) for name in only}
            else:
                with os.scandir(self.path) as found:
                    named = {entry.name: self._kind_of(entry) for entry in found}
        except (OSError, ValueError) as error:
            self.error = getattr(error, "strerror", "") or str(error)
            return {}
        hidden = self._hidden.get(self.path, ())
        for name in sorted(named):
            kind = named[name]
            if kind is None or name in hidden:
                continue
            if not kind and only is None and ending(name) in NO_LOGS and _EVENTS not in name:
                self.passed_over += 1
                continue
            kinds[name] = kind
        return kinds

    def _kind_of(self, entry: os.DirEntry[str]) -> bool | None:
        if not entry.is_symlink():
            return True if entry.is_dir() else False if entry.is_file() else None
        try:
            self.links[entry.name] = os.readlink(entry.path)  # noqa: PTH115
        except OSError:
            return None
        return _kind(Path(entry.path))

    @property
    def files(self) -> list[str]:
        """Names of the plain files."""
        return self.entries.of_kind(is_folder=False)

    @property
    def folders(self) -> list[str]:
        """Names of the folders."""
        return self.entries.of_kind(is_folder=True)

    def head(self, name: str) -> bytes:
        """The first bytes of a file, at most ``HEAD``; empty where it cannot be read or is no plain file.

        Empty also, and ``left_out``, where the folder holds thousands of files more than are looked into.
        """
        if (known := self._heads.get(name)) is not None:
            return known
        if not self._is_looked_into(name):
            return b""
        head = read_head(self.path / name)
        self._bytes_kept += len(head)
        if self._bytes_kept > _KEPT:
            self._heads.clear()
            self._bytes_kept = len(head)
        self._heads[name] = head
        self._starts[name] = head[:_START]
        return head

    def start(self, name: str) -> bytes:
        """As ``head``, but a few hundred bytes: enough for a signature, and soon read of a thousand files."""
        if (known := self._starts.get(name)) is None:
            known = read_head(self.path / name, _START) if self._is_looked_into(name) else b""
            self._starts[name] = known
        return known

    def _is_looked_into(self, name: str) -> bool:
        if name not in self.entries:
            return False
        if self._chosen is None:
            self._chosen = frozenset(self._choose())
        if name not in self._chosen:
            self.left_out.add(name)
        return name in self._chosen

    def _choose(self) -> list[str]:
        """The files that are looked into: of too many, first those of endings that few others have."""
        names = self.files
        if len(names) <= MOST_FILES:
            return names
        kinds = {name: _EVENTS if _EVENTS in name else ending(name) for name in names}
        often = Counter(kinds.values())
        return sorted(names, key=lambda name: (kinds[name] != _EVENTS, often[kinds[name]]))[:MOST_FILES]

    @property
    def unseen(self) -> int:
        """Files of ``left_out`` that no format claims, here and in the folders below that were looked into."""
        here = sum(name in self.entries for name in self.left_out)
        return here + sum(sum(name in below.entries for name in below.left_out) for below in self.below())

    def folder(self, name: str) -> Folder:
        """A folder in this one; one without entries where there is none, or where it cannot be read."""
        path = self.path / name
        if path not in self._below:
            self._below[path] = Folder(path, None if name in self.entries else frozenset(), self._hidden)
        return self._below[path]

    def watch(self, path: Path) -> None:
        """Have the folder looked through again once a file changes, also where that leaves the folder as it is.

        To be called before the file is looked into: a change since then must not be missed.
        """
        try:
            self.watched[str(path)] = path.stat().st_mtime_ns
        except (OSError, ValueError):
            self.watched[str(path)] = -1

    def below(self) -> Iterator[Folder]:
        """The folders below this one that have been looked into, at any depth."""
        for folder in self._below.values():
            yield folder
            yield from folder.below()

    def hide(self, paths: Iterable[Path]) -> None:
        """Leave files and folders out from now on, in this folder and in those below that were looked into."""
        looked_into = {self.path: self} | {folder.path: folder for folder in self.below()}
        for path in paths:
            if (folder := looked_into.get(path.parent)) is not None:
                folder.entries.drop(path.name)


def _kind(path: Path) -> bool | None:
    """Whether a path, links followed, is a folder; None where it is neither that nor a plain file."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return True if stat.S_ISDIR(mode) else False if stat.S_ISREG(mode) else None


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
