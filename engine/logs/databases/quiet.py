"""SQLite databases of a training that is under way, read without a lock and without a byte written beside them.

A reader of a database with a rollback journal holds a shared lock while it reads, and a training that commits in
this moment waits, or fails where it does not wait. So a database is opened as immutable, which takes no lock, and
what was read counts only where no transaction was written to the file meanwhile. SQLite writes to the file only
while a synced journal lies beside it, or a write-ahead log that holds something: where neither is there before and
after, and change counter and times of the file are the same, what was read is one committed state.

A write-ahead log cannot be read so. One that a writer keeps open is read in SQLite's own way, with locks that hold
up no writer; a log that nobody uses, or a journal that a killed writer left, is read in a copy in the temporary
folder. Reading belongs into a process that has no connection of its own to the database: closing a file there
would drop the connection's locks (that is how POSIX locks are).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import struct
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from ..folder import open_log

T = TypeVar("T")
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What a damaged database raises; the latter comes of a message of SQLite that quotes what is damaged."""
SETTLED = 0.5
"""Seconds after which a journal or write-ahead log is not one that a writer is just about to delete."""
PATIENCE = 5.0
"""Seconds that one question may take; a damaged or hostile database could keep SQLite busy for ever."""
LARGEST_VALUE = 1 << 22
"""Bytes of a text or blob; a row that holds a larger one cannot be read."""
LARGEST_COPY = 1 << 28
"""Bytes of a database, with what lies beside it, that is copied to be read."""
_WAITS = 400
"""Times that is asked at most, 10 ms apart."""
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""A rollback journal begins with it once it is synced, and SQLite writes to the database only then."""
_HEADER = 100
"""Bytes of a database's header; 24 to 40 hold the change counter and the number of pages."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_FORBIDDEN = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM)
_FLOCK = "hhqqi0q"
"""The C structure by which locks are asked about: type, whence, start, length, process."""
_IN_USE = 128
"""The byte of ``-shm`` that is locked as long as a connection uses it."""
_WAL_MODE = 2
_TICK = 10_000_000
"""Nanoseconds within which two writes may leave a file with the same time."""
_WAL_INDEX = 48
"""Bytes of the header of ``-shm``, which changes with every commit to a write-ahead log."""

Beside = tuple[int, int, int, bytes]
"""Of a file beside the database: inode number, size, nanoseconds since the epoch, first bytes of its index."""


class State(NamedTuple):
    """What a database's files look like; another state wherever anything was committed."""

    file: int
    """Inode number."""
    size: int
    """Bytes."""
    changed: int
    """Nanoseconds since the epoch."""
    counter: bytes
    """Journal mode, change counter and number of pages, as the header holds them."""
    wal: Beside | None
    """The write-ahead log; None where there is none, or an empty one."""
    journal: Beside | None
    """The rollback journal of a transaction that may be half written; None where there is none."""


class _Copy:
    """A database copied with what lies beside it; deleted with this object."""

    def __init__(self, state: State) -> None:
        self.state = state
        folder = tempfile.mkdtemp(prefix="springtui-")
        self.path = Path(folder) / "log"
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


class QuietDatabase:
    """A database file that others write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside: tuple[int, ...] = ()
        """The files that lay beside the database when it was last asked, by inode number, ..."""
        self._since = 0.0
        """... and since when (monotonic seconds) they have been the same ones."""
        self.is_partial = False
        """Whether what lies beside was too large to be copied, and the file was read without it."""
        self._copy: _Copy | None = None

    def state(self) -> State | None:
        """How the files lie now; None where there is no database, or an empty one."""
        try:
            fd = open_log(self.path)
        except (OSError, ValueError):
            return None
        try:
            found, header = os.fstat(fd), os.pread(fd, _HEADER, 0)
        except OSError:
            return None
        finally:
            os.close(fd)
        if len(header) < _HEADER:
            return None
        # What lies beside comes after the file here, and before it where an answer is checked (_is_still): so a
        # transaction that is being written is seen there, and one that has ended since then by the file's change.
        counter = header[18:20] + header[24:40]
        beside = self._wal(), self._journal()
        return State(found.st_ino, found.st_size, found.st_mtime_ns, counter, *beside)

    def read(self, ask: Callable[[sqlite3.Connection], T]) -> tuple[T, State] | None:
        """What ``ask`` finds, and the state it was found in; None where a writer is at it, or no file: ask again.

        ``ask`` changes nothing: its answer is thrown away where it was not of one state.

        Raises:
            UNREADABLE: the database is damaged, or is no database.
        """
        state = self.state()
        if state is None:
            return None
        if state.wal is None and state.journal is None:
            self._beside, self._copy = (), None
            return None if _is_in_motion(state) else self._read_unlocked(ask, state)
        beside = tuple(file[0] for file in (state.wal, state.journal) if file)
        if beside != self._beside:
            self._beside, self._since = beside, time.monotonic()
        if time.monotonic() - self._since < SETTLED:
            return None
        if state.journal is None and _is_in_use(self._sibling("-shm")):
            return self._read_live(ask, state)
        return self._read_copy(ask, state)

    def read_patiently(self, ask: Callable[[sqlite3.Connection], T]) -> tuple[T, State] | None:
        """As ``read``, but while a writer is at it ask again, for seconds at most.

        Raises:
            UNREADABLE: the database is damaged, or is no database.
        """
        for wait in range(_WAITS):
            found = self.read(ask)
            if found is not None or self.state() is None:
                return found
            time.sleep(min(0.001 * (wait + 1), 0.01))
        return None

    def close(self) -> None:
        """Delete a copy, where there is one."""
        self._copy = None

    def _read_unlocked(self, ask: Callable[[sqlite3.Connection], T], state: State) -> tuple[T, State] | None:
        try:
            answer = self._asked(f"{_uri(self.path)}?immutable=1", ask)
        except UNREADABLE:
            if self._is_still(state):
                raise
            return None
        return (answer, state) if self._is_still(state) else None

    def _is_still(self, state: State) -> bool:
        """Whether nothing was written to the file since it was in a state without a journal or log."""
        return self._journal() is None and self._wal() is None and self.state() == state

    def _read_live(self, ask: Callable[[sqlite3.Connection], T], state: State) -> tuple[T, State] | None:
        try:
            return self._asked(f"{_uri(self.path)}?mode=ro", ask), state
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code in _BUSY:
                return None
            if code in _FORBIDDEN:
                return self._read_copy(ask, state)
            raise

    def _read_copy(self, ask: Callable[[sqlite3.Connection], T], state: State) -> tuple[T, State] | None:
        if self._copy is None or self._copy.state != state:
            self._copy = None
            beside = {"-wal": state.wal, "-journal": state.journal}
            if state.size + sum(found[1] for found in beside.values() if found) > LARGEST_COPY:
                self.is_partial = True
                return self._asked(f"{_uri(self.path)}?immutable=1", ask), state
            copy = _Copy(state)
            try:
                for suffix in ("", *(suffix for suffix, found in beside.items() if found)):
                    shutil.copyfile(self._sibling(suffix), f"{copy.path}{suffix}")
            except OSError:
                return None
            if self.state() != state:
                return None
            self._copy = copy
        return self._asked(_uri(self._copy.path), ask), state

    def _asked(self, uri: str, ask: Callable[[sqlite3.Connection], T]) -> T:
        with closing(sqlite3.connect(uri, uri=True, timeout=0.0, isolation_level=None)) as connection:
            end = time.monotonic() + PATIENCE
            connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            return ask(connection)

    def _sibling(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _wal(self) -> Beside | None:
        found = _look(self._sibling("-wal"), 0)
        if found is None or found[1] == 0:
            return None
        index = _look(self._sibling("-shm"), _WAL_INDEX)
        return (*found[:3], index[3] if index else b"")

    def _journal(self) -> Beside | None:
        found = _look(self._sibling("-journal"), len(_JOURNAL_MAGIC))
        return found if found and found[3] == _JOURNAL_MAGIC else None


def _is_in_use(index: Path) -> bool:
    """Whether a connection uses the index of a write-ahead log; where this cannot be told, whether there is one.

    Every connection holds a lock on one byte of it. To open it where nobody does would write to it.
    """
    try:
        fd = open_log(index)
    except (OSError, ValueError):
        return False
    try:
        if not sys.platform.startswith("linux"):
            return True
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _IN_USE, 1, 0)
        return bool(struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK)
    except OSError:
        return True
    finally:
        os.close(fd)


def _is_in_motion(state: State) -> bool:
    """Whether a file with a write-ahead log was written so recently that its time may not tell of another write.

    Without a log, the change counter tells.
    """
    return state.counter[0] == _WAL_MODE and 0 <= time.time_ns() - state.changed < _TICK


def tables(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of a database's ordinary tables: no views, which could be made to compute for ever."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'"
    return frozenset(name for (name,) in connection.execute(query))


def _look(path: Path, size: int) -> Beside | None:
    """A file and its first bytes; None where there is none, or no plain one."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        if not size:
            return found.st_ino, found.st_size, found.st_mtime_ns, b""
        fd = open_log(path)
    except (OSError, ValueError):
        return None
    try:
        return found.st_ino, found.st_size, found.st_mtime_ns, os.pread(fd, size, 0)
    except OSError:
        return None
    finally:
        os.close(fd)


def _uri(path: Path) -> str:
    return "file:" + quote(os.fsencode(path.absolute()))


def lenient(raw: bytes) -> str:
    """Text that may be no UTF-8; slower than SQLite's own, for a connection's ``text_factory``."""
    return raw.decode("utf-8", "replace")
