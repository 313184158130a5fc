"""Appending whole lines, reading whole lines, and replacing whole files, by POSIX calls that also hold on NFS.

Nothing here follows a symbolic link in a run directory or opens anything but a plain file: a FIFO would block,
and a device may act on being opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ..errors import DiskFullError, RunDirectoryError

LINE_LIMIT = 1 << 25
"""Bytes of the longest line that is read; the longest that springtui writes is a quarter of it."""
LOOK_BACK = 1 << 20
"""Bytes from the end in which lines between many others are looked for."""
PIECE = 1 << 20
"""Bytes that are read of a file at once, unless a caller says otherwise."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that mean that there is no room."""
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a plain file. A file that ``O_CREAT`` makes has mode 0600, whatever the umask.

    Raises:
        OSError: it is missing, or it is a link or no plain file, which is then not opened at all.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        found = None
    if found is not None:
        _must_be_plain(path, found)
    elif flags & os.O_CREAT:
        with contextlib.suppress(FileExistsError):
            fd = os.open(path, flags | os.O_EXCL | _OPEN, 0o600)
            os.fchmod(fd, 0o600)
            return fd
    fd = os.open(path, (flags & ~(os.O_CREAT | os.O_EXCL)) | _OPEN)
    try:
        _must_be_plain(path, os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    return fd


def _must_be_plain(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no plain file"
        raise OSError(errno.EINVAL, f"it is {what}, which springtui never opens", str(path))


def make_private(folder: Path) -> None:
    """Make a directory with mode 0700, whatever the umask; one that exists stays as it is."""
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is no directory", str(folder))


def append_line(path: Path, line: bytes) -> None:
    """Append one line with a single write, so that lines of two writers are never mixed.

    Where the disk fills up in the middle of the line, the part that was written is cut off again.

    Raises:
        DiskFullError: there is no room for it.
        OSError: it cannot be written for another reason.
    """
    fd = open_plain(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        _append(fd, line)
    except OSError as error:
        if (full := disk_full(error, path)) is not None:
            raise full from error
        raise
    finally:
        os.close(fd)


def _append(fd: int, line: bytes) -> None:
    written = os.write(fd, line)
    if written == len(line):
        return
    end = os.lseek(fd, 0, os.SEEK_CUR)
    start = end - written
    try:
        while written < len(line):
            written += os.write(fd, line[written:])
    except OSError:
        end = max(end, start + written)
        if os.fstat(fd).st_size == end:
            os.ftruncate(fd, start)
        else:  # another process has appended since: cutting would remove its line
            with contextlib.suppress(OSError):
                os.write(fd, b"\n")
        raise
    if os.lseek(fd, 0, os.SEEK_CUR) != start + len(line):
        os.write(fd, b"\n" + line)  # another process wrote between the pieces, which are damaged lines now


def disk_full(error: OSError, path: Path) -> DiskFullError | None:
    """The error to raise instead where this one means that there is no room; None where it does not."""
    if error.errno not in FULL:
        return None
    return DiskFullError(
        f"cannot write {path}: {error.strerror}. All that was recorded before is intact: make room "
        f"(springtui rm removes runs), then go on (springtui resume)"
    )


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file by writing another, syncing and renaming it: a reader sees the old one or the new one, whole.

    Raises:
        DiskFullError: there is no room; the old file is untouched.
        OSError: it cannot be written for another reason.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
        os.fchmod(fd, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and (full := disk_full(error, path)) is not None:
            raise full from error
        raise


def read_file(path: Path, limit: int) -> bytes:
    """The content of a plain file of at most ``limit`` bytes.

    Raises:
        RunDirectoryError: it is missing, no plain file, or larger.
    """
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise RunDirectoryError(f"{path} is larger than {limit} bytes; springtui never writes such a file")
    return data


class Lines(NamedTuple):
    """Whole lines of a file, without their newlines."""

    start: int
    """The byte that was asked for; 0 where the file is shorter than that: it was replaced or cut."""
    lines: list[bytes]
    end: int
    """The byte to read from next: where a line begins, or within one that is too long and passed over."""
    more: bool
    """Whether the file went on beyond the bytes that were read."""


def read_lines(path: Path, offset: int = 0, limit: int = PIECE) -> Lines:
    """The whole lines of a plain file from a byte on, about ``limit`` bytes of them; none where it cannot be read.

    A line that is not ended yet is not passed: it is read again next time, so that it does no harm if its writer
    takes it back. A line longer than ``LINE_LIMIT`` is passed over. Where the byte lies within a line, reading
    begins with the next one.
    """
    try:
        fd = open_plain(path, os.O_RDONLY)
    except OSError:
        return Lines(offset, [], offset, more=False)
    try:
        return read_lines_of(fd, os.fstat(fd).st_size, offset, limit)
    except OSError:
        return Lines(offset, [], offset, more=False)
    finally:
        os.close(fd)


def read_lines_of(fd: int, size: int, offset: int, limit: int) -> Lines:
    """As ``read_lines``, of an open file of ``size`` bytes.

    Raises:
        OSError: it cannot be read.
    """
    start = offset if offset <= size else 0
    if start == size:
        return Lines(start, [], start, more=False)
    first = 0
    if start and os.pread(fd, 1, start - 1) != b"\n":
        data = os.pread(fd, limit, start)
        first = data.find(b"\n") + 1 or len(data)
    else:
        data = _up_to_a_newline(fd, start, limit)
    last = data.rfind(b"\n", first) + 1
    more = start + len(data) < size
    if last:
        return Lines(start, data[first : last - 1].split(b"\n"), start + last, more)
    if not first and len(data) >= LINE_LIMIT:
        first = len(data)
    return Lines(start, [], start + first, more)


def _up_to_a_newline(fd: int, start: int, limit: int) -> bytes:
    pieces = [os.pread(fd, limit, start)]
    size = len(pieces[0])
    while b"\n" not in pieces[-1] and size < LINE_LIMIT and (more := os.pread(fd, limit, start + size)):
        pieces.append(more)
        size += len(more)
    return b"".join(pieces)


def last_lines(
    path: Path, count: int, window: int = 1 << 16, *, passing: tuple[bytes, ...] = (), enough: int = 1
) -> list[bytes]:
    """At most ``count`` whole lines from the end of a file, oldest first; none where it cannot be read.

    Reads ``window`` bytes from the end, and four times as many as long as they hold not one whole line. Lines that
    begin with one of ``passing`` are left out; as long as fewer than ``enough`` others are found, four times as
    many bytes are read, up to ``LOOK_BACK``.
    """
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            while True:
                file.seek(max(0, size - window))
                *lines, _unended = file.read(window).split(b"\n")
                if window < size:
                    lines = lines[1:]  # its beginning may lie before the window
                others = [line for line in lines if not line.startswith(passing)] if passing else lines
                whole = window >= min(size, LOOK_BACK if lines else 2 * LINE_LIMIT)
                if whole or (lines and len(others) >= min(count, enough)) or (lines and not passing):
                    return others[-count:]
                window *= 4
    except OSError:
        return []
