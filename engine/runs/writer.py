"""The one writer of a run: holds its lock, appends to its log, and replaces its checkpoint."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from ..errors import DiskFullError, LockedError, RunDirectoryError, SpringtuiError
from .files import append_line, disk_full, open_plain, replace_file
from .lock import Lock, Owner, this_process
from .names import CHECKPOINT, EVENTS, LOCK
from .records import Event, encode
from .status import Status, has_ended, last_events

_RECORDS = 64
"""Number of last records that are searched for the newest ``seq``; the last ones may be damaged."""


class RunWriter:
    """Takes a run's lock when it is made, and holds it until ``release`` or ``close``.

    Args:
        path: the run's directory.
        force: also take a run whose last worker, on another host, is not known to have ended.

    Raises:
        LockedError: another worker writes this run, or may do so.
        DiskFullError: there is no room.
        RunDirectoryError: the directory is gone or cannot be written.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self._lock = Lock(path / LOCK)
        self._next = 0
        """Number of the next record."""
        try:
            before = self._lock.acquire()
            if not force:
                require_seen_to_end(before, path)
            owner = this_process()
            self._lock.note(owner)
            self._end_torn_line()
            self._next = next((event.seq + 1 for event in reversed(last_events(path, _RECORDS))), 0)
            self._lock.note(msgspec.structs.replace(owner, first=self._next))
        except (OSError, DiskFullError) as error:
            shown = _cannot_write(error, path) if isinstance(error, OSError) else error
            self._lock.release(Status.FAILED, str(shown))
            raise shown from error
        except BaseException:
            self._lock.close()
            raise

    def write(self, event: Event) -> Event:
        """Append one event, numbered and dated; the event as it was written.

        Raises:
            DiskFullError: there is no room; all earlier records are intact.
            RunDirectoryError: the directory is gone or cannot be written.
        """
        event = msgspec.structs.replace(event, seq=self._next, time=max(0.0, time.time()))
        try:
            append_line(self.path / EVENTS, encode(event))
        except OSError as error:
            self.require_still_ours()
            raise _cannot_write(error, self.path / EVENTS) from error
        self._next += 1
        return event

    def write_checkpoint(self, data: bytes) -> None:
        """Replace the checkpoint, whole.

        Raises:
            DiskFullError: there is no room; the old one is untouched.
            OSError: it cannot be written for another reason.
        """
        replace_file(self.path / CHECKPOINT, data)

    def remove_half_written_checkpoints(self) -> None:
        """Remove what earlier workers left that were killed while they wrote a checkpoint."""
        for leftover in self.path.glob(f".{CHECKPOINT}.*.tmp"):
            leftover.unlink(missing_ok=True)

    def require_still_ours(self) -> None:
        """Check that the directory whose lock is held is still there; asked now and then during the work.

        Raises:
            RunDirectoryError: it was removed, or another took its place.
        """
        if not self._lock.still_ours():
            raise RunDirectoryError(
                f"{self.path} was removed while its worker ran, so the worker ends; start a new run"
            )

    def release(self, reason: str = "", text: str = "") -> None:
        """Let go of the run; ``reason`` and ``text`` go into the lock where the log could not take them."""
        self._lock.release(reason, text)

    def close(self) -> None:
        """Let go of the run and write nothing, as a forked child does that never held it."""
        self._lock.close()

    def _end_torn_line(self) -> None:
        """End a line that a killed writer left without a newline, so that the next one is whole."""
        path = self.path / EVENTS
        with contextlib.suppress(FileNotFoundError), os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    append_line(path, b"\n")


def require_seen_to_end(owner: Owner | None, path: Path) -> None:
    """Check that the run's last worker ended, or ran on this host, where its lock shows whether it lives.

    Args:
        owner: what the lock file says of it; ``flock`` itself may not reach across hosts.
        path: the run's directory.

    Raises:
        LockedError: it was on another host, and is not known to have ended.
    """
    if owner is None or owner.is_here or has_ended(owner, path):
        return
    raise LockedError(
        f"the worker of {path.name} is process {owner.pid} on {owner.host}, which cannot be seen from here and "
        f"has not recorded its end; resume there, or use --force if you know that it is gone"
    )


def _cannot_write(error: OSError, path: Path) -> SpringtuiError:
    return disk_full(error, path) or RunDirectoryError(
        f"cannot write {path}: {error.strerror}; see that it is there and writable, then springtui resume"
    )
