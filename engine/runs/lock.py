"""Who writes a run: a lock that the kernel takes from the dead, and in it a note of who holds it and how it ended.

The note tells a process from another that was later given its number (by when it began), a run on this host from
one on another (where ``flock`` may not reach), and, written over in place, it takes a last word even when the disk
is full.
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
from .records import Count, Moment

SIZE = 4096
"""Bytes of the file: reserved from the beginning, so that a last word needs no room on the disk."""
_TEXT = 500
"""Characters of a last word; with every one escaped they still fit."""
_BRIEFLY = 0.3
"""Seconds for which a launcher waits out a reader's glance."""
_BUSY = {errno.EWOULDBLOCK, errno.EACCES}


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """What the lock file says of the process that writes the run, or wrote it last. One JSON object."""

    pid: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    host: str
    time: Moment
    """When it took the run up, in seconds since the epoch."""
    mark: str = ""
    """When the process began, as the kernel counts: another process with this pid has another one."""
    first: Count | None = None
    """``seq`` of its first record; None while it only starts."""
    ended: Moment | None = None
    """When it let go in order; None where it still holds the run, or was killed."""
    reason: Annotated[str, msgspec.Meta(pattern=r"\A(finished|stopped|diverged|failed|)\Z")] = ""
    """How it ended, where its records could not say so: failed or stopped."""
    text: str = ""
    status: Annotated[int, msgspec.Meta(ge=-255, le=255)] | None = None
    """Exit status, noted by whoever started it; -9 where signal 9 killed it."""

    @property
    def is_here(self) -> bool:
        """Whether it ran on this host, so that its process can be looked at."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether that very process lives; only to be asked on its own host."""
        mark = process_mark(self.pid)
        return bool(mark) and (not self.mark or mark == self.mark)


def process_mark(pid: int) -> str:
    """When a process began, with the boot that it belongs to; empty where there is none.

    From /proc, whose clock no step of the wall clock moves; elsewhere from psutil. A zombie counts as gone.
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
    """What tells this start of the machine from its others; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def this_process() -> Owner:
    """A note of the present process."""
    return note_of(os.getpid())


def note_of(pid: int) -> Owner:
    """A note of a process on this host."""
    return Owner(pid=pid, host=socket.gethostname(), time=max(0.0, time.time()), mark=process_mark(pid))


def read_owner(path: Path) -> Owner | None:
    """What a lock file says; None where there is none, or nothing that can be read."""
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
    """Whether a live process holds the lock; one that is not there is not held. None where there is no telling."""
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
    """For writing where that is allowed, since NFS wants it so; a reader's glance changes nothing."""
    try:
        return open_plain(path, os.O_RDWR)
    except PermissionError:
        return open_plain(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return open_plain(path, os.O_RDONLY)


class Lock:
    """Held by a live worker for as long as it lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, patience: float = 1.0, *, create: bool = True, to_note: bool = False) -> Owner | None:
        """Take the lock; what it said of its last holder. A reader's glance (see ``is_held``) is waited out.

        ``patience`` is in seconds. ``to_note`` only keeps workers out while a note is written, and is taken for no
        worker.

        Raises:
            LockedError: another process holds it.
            RunDirectoryError: the file is none of ours, or its file system has no locks.
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
        """Whether the lock that is held is still the file at its path: not so once the directory was removed."""
        return self._fd is not None and self._is_at_path(self._fd)

    def note(self, owner: Owner) -> None:
        """Write who holds it, in place; the lock is held.

        Raises:
            OSError: it cannot be written.
        """
        assert self._fd is not None
        text = "".join(char if char.isprintable() else " " for char in owner.text[:_TEXT])
        data = msgspec.json.encode(msgspec.structs.replace(owner, text=text))
        if os.pwrite(self._fd, data.ljust(SIZE - 1) + b"\n", 0) < SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        """Let go, and leave what the lock says as it is."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def release(self, reason: str = "", text: str = "") -> None:
        """Let go, with a last word where the records could not take one."""
        if self._fd is None:
            return
        with contextlib.suppress(OSError):  # letting go matters more than saying so
            owner = _decode(os.pread(self._fd, SIZE, 0)) or this_process()
            self.note(msgspec.structs.replace(owner, ended=max(0.0, time.time()), reason=reason, text=text))
        self.close()


def note_launched(path: Path, owner: Owner) -> None:
    """Say who is about to take the run up, unless that has happened already. Never raises."""
    with contextlib.suppress(SpringtuiError, OSError):
        lock = Lock(path)
        before = lock.acquire(_BRIEFLY, to_note=True)
        try:
            if before is None or (before.pid, before.mark) != (owner.pid, owner.mark):
                lock.note(owner)
        finally:
            lock.close()


def note_exit(path: Path, owner: Owner, status: int) -> None:
    """Say how the process ended, by its exit status, if it was the last to write the run. Never raises."""
    with contextlib.suppress(SpringtuiError, OSError):
        lock = Lock(path)
        before = lock.acquire(_BRIEFLY, create=False, to_note=True)  # nothing comes back of a removed run
        try:
            if before is not None and (before.pid, before.mark) == (owner.pid, owner.mark):
                lock.note(msgspec.structs.replace(before, status=max(-255, min(255, status))))
        finally:
            lock.close()
