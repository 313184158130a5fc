"""What is piped in, kept where it can be read like any other log: in a file without a name."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import DiskFullError

from .output import print_message

NAME = "standard-input"
"""What a run is called on screens that is read from standard input."""
PAGE = mmap.ALLOCATIONGRANULARITY
HEAD = 1 << 20
"""Bytes at the start that are kept: logs are recognised by them."""
MOST = 1 << 26
"""Bytes that are kept behind these at most."""
BEHIND = 1 << 20
"""Bytes that are kept of those that were read already."""
_SHARE = 4
"""Of ``MOST``, the part that is given up at once."""
_LOOKS = 2.5
"""Seconds in which the reading process looks at every file that still grew, or that nothing had recognised."""
PATIENCE = 10.0
"""Seconds without progress after which the reader is waited for no more; it takes some to begin."""
_NAP = 0.02
_PIECE = 1 << 16


class Spool:
    """What comes on standard input, taken by a thread as soon as it comes, so that the training never hangs.

    It is held in memory, at most about ``MOST`` bytes: what has been read is given up when room is needed. Nothing
    bears a name, so nothing is left behind however springtui ends; only where the system offers no such file it is
    one in the temporary folder, which ``close`` removes.
    """

    def __init__(self, source: int = 0) -> None:
        """``source``: the descriptor that is read."""
        self._file, self.path, self._folder = _open_spool()
        """``path``: where another process can open it."""
        self.ended = threading.Event()
        """Set once the input has ended and all of it is in the file."""
        self.size = 0
        """Bytes that came."""
        self.dropped = 0
        """Bytes among them that no reader can have seen."""
        self._position: Callable[[], int | None] = lambda: None
        self._free_to = HEAD
        """The bytes from ``HEAD`` to here were given up."""
        self._waited: tuple[int | None, float] | None = None
        """How far the reader was when it was waited for, and since when it is there."""
        self._since = float("inf")
        self._is_cut = self._ends_line = False
        self._goes_on = False
        self._input = os.dup(source)
        threading.Thread(target=self._copy, name=NAME, daemon=True).start()

    def follow(self, position: Callable[[], int | None]) -> None:
        """Take note of how to ask how far the input was read; None where nothing reads it, or not yet."""
        self._position = position

    @property
    def is_read(self) -> bool:
        """Whether the input ended so long ago that the reading process has looked at all of it."""
        return time.monotonic() - self._since >= _LOOKS

    @property
    def trouble(self) -> str:
        """What was lost, in words; empty where nothing was."""
        if not self.dropped:
            return ""
        return (
            f"{self.dropped / 1e6:.1f} MB of standard input were left out: there was no room to keep them "
            "until they were read"
        )

    def pass_on(self) -> None:
        """Print what else comes, as it would have been without springtui, until the input ends.

        A pipe that nobody reads any more ends the program that writes into it.
        """
        if self.ended.is_set():
            return
        print_message(
            "springtui: what is piped in goes on, and is printed from here on until it ends; Ctrl-C ends it too"
        )
        self._goes_on = True
        self.ended.wait()

    def close(self) -> None:
        """Give up what is held."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.cleanup()
        if self.ended.is_set():
            os.close(self._file)

    # in the thread

    def _copy(self) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone ends too
            while piece := os.read(self._input, _PIECE):
                if self._goes_on:
                    _print_raw(piece)
                else:
                    self._keep(piece)
            if self.size and not self._ends_line and not self._goes_on:
                self._keep(b"\n")  # the last line is whole
        os.close(self._input)
        self._since = time.monotonic()
        self.ended.set()

    def _keep(self, piece: bytes) -> None:
        self._ends_line = piece.endswith(b"\n")
        if not self._has_room():
            self._drop(len(piece))
            return
        rest = memoryview(b"\n" + piece if self._is_cut else piece)
        try:
            while rest:
                written = os.write(self._file, rest)
                self.size += written
                rest = rest[written:]
            self._is_cut = False
        except OSError:
            self._drop(len(rest))

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._is_cut = True

    def _has_room(self) -> bool:
        """See that there is room for a piece; False where none can be made."""
        while self.size - self._free_to >= MOST:
            position = self._position()
            if position is not None and position - BEHIND - self._free_to >= MOST // _SHARE:
                return self._give_up(position - BEHIND)
            if not self._advances(position):
                end, before = self.size - MOST + MOST // _SHARE, max(position or 0, self._free_to)
                if not self._give_up(end):
                    return False
                self.dropped += max(0, self._free_to - before)
                return True
            time.sleep(_NAP)
        return True

    def _advances(self, position: int | None) -> bool:
        """Whether the reader has read on within the last seconds, or has not been waited for so long."""
        now = time.monotonic()
        if self._waited is None or position != self._waited[0]:
            self._waited = position, now
        return now - self._waited[1] < PATIENCE

    def _give_up(self, end: int) -> bool:
        """Give the bytes before ``end`` back to the system; they read as zeros. False where it cannot do so."""
        end -= end % PAGE
        if end <= self._free_to:
            return True
        try:
            with mmap.mmap(self._file, end - self._free_to, offset=self._free_to) as given_up:
                given_up.madvise(mmap.MADV_REMOVE)
        except (OSError, ValueError, AttributeError):  # not every system has it
            return False
        self._free_to = end
        return True


def _open_spool() -> tuple[int, Path, tempfile.TemporaryDirectory[str] | None]:
    """A file to write into, where it can be opened, and the folder that is to be removed at the end, if any."""
    with contextlib.suppress(OSError, AttributeError):  # not every system has it
        file = os.memfd_create(NAME)
        if (path := _path_of(file)) is not None:
            return file, path, None
        os.close(file)
    folder = tempfile.TemporaryDirectory(prefix="springtui-")
    path = Path(folder.name) / NAME
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), path, folder


def _path_of(file: int) -> Path | None:
    """Where other processes can open an open file that has no name; None where they cannot."""
    path = Path(f"/proc/{os.getpid()}/fd/{file}")
    return path if path.is_file() else None


def _print_raw(piece: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody is there to see it; the writer must go on all the same
        _write(1, piece)


@contextlib.contextmanager
def whole_input() -> Iterator[Path]:
    """Standard input up to its end, as a file, which has no name where the system allows that.

    Raises:
        DiskFullError: there is no room for it.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0)).fileno()
            if (path := _path_of(file)) is None:
                named = stack.enter_context(tempfile.NamedTemporaryFile(prefix="springtui-", buffering=0))
                file, path = named.fileno(), Path(named.name)
            _copy_whole(file)
        except OSError as error:
            raise DiskFullError(
                f"standard input cannot be kept in a temporary file: {error.strerror or error}; "
                "make room, or name another folder in TMPDIR"
            ) from error
        yield path


def _copy_whole(file: int) -> None:
    last = b"\n"
    while piece := os.read(0, _PIECE):
        last = piece
        _write(file, piece)
    if not last.endswith(b"\n"):
        _write(file, b"\n")  # the last line is whole


def _write(file: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(file, rest) :]
