"""Small, careful file habits: append whole lines, tail whole lines, replace whole files, lock.

Plain POSIX calls that also hold on NFS. Nothing here follows a symbolic link in a run directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from .errors import LockedError, RunDirectoryError

_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW


def append_line(path: Path, line: bytes) -> None:
    """Append one line with a single write, so that readers never see two writers' lines mixed."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _OPEN, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes) -> None:
    """Write beside, sync, rename: a reader sees the old file or the new one, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _OPEN, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes.

    Raises:
        RunDirectoryError: it is missing, no plain file, or larger.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _OPEN)
        with os.fdopen(fd, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise RunDirectoryError(f"{path} is larger than {limit} bytes; springtui never writes such a file")
    return data


class Tail:
    """Reads what was appended to a file since the last call, in whole lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self._rest = b""

    def read(self, limit: int = 1 << 20) -> list[bytes]:
        """The complete lines that have come; at most about ``limit`` bytes a call, so that no caller stalls."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | _OPEN)
        except OSError:
            return []
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_size < self.offset:
                self.offset, self._rest = 0, b""
            file.seek(self.offset)
            data = file.read(limit)
        self.offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


class Lock:
    """An advisory lock held by a live worker for as long as it lives; the kernel lets go for the dead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, owner: bytes, patience: float = 1.0) -> None:
        """Take the lock and write who holds it.

        Raises:
            LockedError: another process holds it. A reader's glance (see ``is_held``) is waited out.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    os.close(fd)
                    raise LockedError(
                        f"{self.path.parent.name} is being written by another worker; "
                        f"stop it first, or watch it: springtui runs"
                    ) from error
                time.sleep(0.02)
        os.ftruncate(fd, 0)
        os.pwrite(fd, owner, 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_held(path: Path) -> bool:
    """Whether a live process holds the lock; a file that is not there is not held."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | _OPEN)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
