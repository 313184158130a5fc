"""The lock of a run: held with ``flock`` by the worker, and a file that says who that is and how it ended.

The kernel releases the lock when the process ends, however it ends. The note in the file names the process with
the time at which it began, since another may be given its number later, and the host, since ``flock`` may not
reach across hosts. The file has its full size from the beginning and is written over in place, so that a worker
can note its end even when the disk is full.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Annotated

import msgspec

from ..errors import LockedError, RunDirectoryError, SpringtuiError
from .files import open_plain
from .records import END_PATTERN, Count, Moment

SIZE = 4096
"""Bytes of the file, reserved from the beginning."""
_TEXT = 500
"""Characters of the text in a note; with every one escaped as JSON they still fit into ``SIZE``."""
_BRIEFLY = 0.3
"""Seconds that a launcher waits for the lock, which a reader holds for a moment (see ``is_held``)."""
_BUSY = {errno.EWOULDBLOCK, errno.EACCES}
"""Error numbers with which ``flock`` says that another process holds the lock."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The note in the lock file about the process that writes the run, or wrote it last. One JSON object."""

    pid: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    host: str
    time: Moment
    """When it took the run up, in seconds since the epoch."""
    mark: str = ""
    """As ``process_mark`` gives it: a later process with the same pid has another one."""
    first: Count | None = None
    """``seq`` of its first record; None while it is starting."""
    ended: Moment | None = None
    """When it released the lock by itself; None where it still holds the lock, or was killed."""
    reason: Annotated[str, msgspec.Meta(pattern=rf"{END_PATTERN}|\A\Z")] = ""
    """How it ended, where that could not be appended to the records; else empty."""
    text: str = ""
    """Why, in a sentence."""
    status: Annotated[int, msgspec.Meta(ge=-255, le=255)] | None = None
    """Exit status, noted by the process that started it; -9 where signal 9 killed it."""

    @property
    def is_here(self) -> bool:
        """Whether it ran on this host, so that its process can be looked at."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether that very process lives; meaningful only where ``is_here``."""
        mark = process_mark(self.pid)
        return bool(mark) and (not self.mark or mark == self.mark)


def process_mark(pid: int) -> str:
    """When a process began and at which start of the machine, as text to compare; empty where there is no process.

    From /proc, in ticks since the machine started, which setting the wall clock does not change; elsewhere from
    psutil. A zombie counts as no process.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        if state in {b"Z", b"X"}:
            return ""
        return f"{boot()}:{int(fields[18])}"
    except (OSError, ValueError, IndexError):
        return "" if Path("/proc/self/stat").exists() else _mark_by_psutil(pid)


def _mark_by_psutil(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def boot() -> str:
    """A name of the present start of the machine; empty where the system gives none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def this_process() -> Owner:
    """The note about the present process."""
    return note_of(os.getpid())


def note_of(pid: int) -> Owner:
    """The note about a process on this host."""
    return Owner(pid=pid, host=socket.gethostname(), time=max(0.0, time.time()), mark=process_mark(pid))


def read_owner(path: Path) -> Owner | None:
    """The note in a lock file; None where there is no file, or no note that can be read."""
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            return _decode(file.read(SIZE))
    except OSError:
        return None


def _decode(data: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(data, type=Owner)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def is_held(path: Path) -> bool | None:
    """Whether a live process holds the lock; False where there is no file, None where it cannot be found out."""
    fd = None
    try:
        fd = _open_to_look(path)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        return True if fd is not None and error.errno in _BUSY else None
    finally:
        if fd is not None:
            os.close(fd)
    return False


def _open_to_look(path: Path) -> int:
    """A descriptor to test the lock with, open for writing where that is allowed, since NFS needs it."""
    try:
        return open_plain(path, os.O_RDWR)
    except PermissionError:
        return open_plain(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return open_plain(path, os.O_RDONLY)


class Lock:
    """A lock that this process takes and holds until it releases it or ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, patience: float = 1.0, *, create: bool = True, to_note: bool = False) -> Owner | None:
        """Take the lock; the note about its last holder.

        Args:
            patience: seconds to wait for another holder, as a reader is for a moment (see ``is_held``).
            create: make the file where there is none.
            to_note: take the lock only to write a note: no worker can take it meanwhile, and readers do not see
                it as held.

        Raises:
            LockedError: another process holds it.
            RunDirectoryError: the file is no plain file, or its file system has no locks.
            OSError: the directory is gone or cannot be written.
        """
        deadline = time.monotonic() + patience
        while True:
            fd = self._open(os.O_CREAT if create else 0)
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if to_note else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                if self._is_at_path(fd):
                    self._fd = fd
                    return _decode(os.pread(fd, SIZE, 0))
                os.close(fd)  # another took its place meanwhile
            except OSError as error:
                os.close(fd)
                self._give_up(error, late=time.monotonic() >= deadline)
                time.sleep(0.02)

    def _open(self, flags: int) -> int:
        try:
            return open_plain(self.path, os.O_RDWR | flags)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RunDirectoryError(f"{self.path}: {error.strerror}; remove it") from error
            raise

    def _give_up(self, error: OSError, *, late: bool) -> None:
        if error.errno not in _BUSY:
            raise RunDirectoryError(
                f"cannot lock {self.path}: {error.strerror}; choose a home on a file system with locks: --home"
            ) from error
        if late:
            holder = read_owner(self.path)
            who = f", process {holder.pid} on {holder.host}" if holder else ""
            raise LockedError(
                f"{self.path.parent.name} is being written by another worker{who}; "
                f"stop it first (springtui stop), or look at it: springtui runs"
            ) from error

    def _is_at_path(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.lstat(self.path))
        except OSError:
            return False

    def still_ours(self) -> bool:
        """Whether the lock is held and its file is still at its path, which ends when the directory is removed."""
        return self._fd is not None and self._is_at_path(self._fd)

    def note(self, owner: Owner) -> None:
        """Write a note over the one in the file, while the lock is held.

        Raises:
            OSError: it cannot be written.
        """
        assert self._fd is not None
        text = "".join(char if char.isprintable() else " " for char in owner.text[:_TEXT])
        data = msgspec.json.encode(msgspec.structs.replace(owner, text=text))
        if os.pwrite(self._fd, data.ljust(SIZE - 1) + b"\n", 0) < SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        """Release the lock and leave the note as it is."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def release(self, reason: str = "", text: str = "") -> None:
        """Release the lock and note when; also how and why, where the records could not take that."""
        if self._fd is None:
            return
        with contextlib.suppress(OSError):  # to release the lock matters more than the note
            owner = _decode(os.pread(self._fd, SIZE, 0)) or this_process()
            self.note(msgspec.structs.replace(owner, ended=max(0.0, time.time()), reason=reason, text=text))
        self.close()


def note_launched(path: Path, owner: Owner) -> None:
    """Note the process that is about to take the run up, unless it already has. Never raises."""
    with contextlib.suppress(SpringtuiError, OSError):
        lock = Lock(path)
        before = lock.acquire(_BRIEFLY, to_note=True)
        try:
            if before is None or (before.pid, before.mark) != (owner.pid, owner.mark):
                lock.note(owner)
        finally:
            lock.close()


def note_exit(path: Path, owner: Owner, status: int) -> None:
    """Note the exit status of a process, if it was the last to write the run. Never raises."""
    with contextlib.suppress(SpringtuiError, OSError):
        lock = Lock(path)
        before = lock.acquire(_BRIEFLY, create=False, to_note=True)  # makes no file in a removed run
        try:
            if before is not None and (before.pid, before.mark) == (owner.pid, owner.mark):
                lock.note(msgspec.structs.replace(before, status=max(-255, min(255, status))))
        finally:
            lock.close()
