"""Deleted runs are moved to ``trash`` under the home, and deleted for good when the app closes.

Each app has a folder there, and beside it a lock that the kernel releases when the process ends; so the next app
over the same home can take over what a killed app had deleted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

from engine.errors import RunDirectoryError, SpringtuiError
from engine.runs.directory import Run
from engine.runs.listing import is_run_directory
from engine.runs.lock import Lock, this_process

LIMIT = 20
"""Most deleted runs that are kept; the oldest beyond them are deleted for good."""
_BRIEFLY = 0.3


class Trash:
    """The runs that one app deleted. Every call reads or writes files: call it from a thread."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.names: list[str] = []
        """Ids of the deleted runs, the newest last."""
        self.folder = home / "trash" / os.urandom(8).hex()
        """The folder of the deleted runs."""
        self._lock: Lock | None = None
        self._turn = threading.RLock()

    def put(self, run: Run) -> None:
        """Move a run into the folder.

        Raises:
            LockedError: a worker writes it, or may do so on another host.
            OSError: it cannot be moved.
        """
        run.require_free()
        with self._turn:
            self._open()
            now = time.time_ns()  # the kernel's own time stamps have steps of milliseconds
            os.utime(run.path, ns=(now, now))  # keeps the order for an app that takes the folder over
            self._move(run.path)
            self._bound()

    def undo(self) -> str | None:
        """Restore the run that was deleted last; returns its id, None where there is none.

        Raises:
            RunDirectoryError: its path exists again, or it cannot be moved back.
        """
        with self._turn:
            if not self.names:
                return None
            name = self.names.pop()
        target = self.home / "runs" / name
        if os.path.lexists(target):
            raise RunDirectoryError(f"cannot bring {name} back: {target} exists")
        try:
            (self.folder / name).rename(target)
        except OSError as error:
            raise RunDirectoryError(f"cannot bring {name} back: {error.strerror}") from error
        return name

    def take_over(self) -> int:
        """Take over what killed apps had deleted; returns the number of runs."""
        with self._turn, contextlib.suppress(OSError):
            before = len(self.names)
            for folder in sorted(self.folder.parent.iterdir()):
                if folder != self.folder and folder.is_dir() and not folder.is_symlink():
                    with contextlib.suppress(SpringtuiError, OSError):  # its app runs, or it is another user's
                        self._take_over(folder)
            ours = [(self.folder / name).lstat().st_mtime_ns for name in self.names]
            self.names = [name for _, name in sorted(zip(ours, self.names, strict=True))]
            found = len(self.names) - before
            self._bound()
            return found
        return 0

    def _take_over(self, folder: Path) -> None:
        if is_run_directory(folder):  # from versions without a folder for each app
            self._open()
            self._move(folder)
            return
        lock = Lock(folder.with_suffix(".lock"))
        owner = lock.acquire(0.0)
        try:
            if owner is not None and not owner.is_here:  # locks of other hosts may not be visible
                return
            self._open()
            for path in folder.iterdir():
                self._move(path)
            folder.rmdir()
            lock.path.unlink()
        finally:
            lock.close()

    def empty(self) -> None:
        """Delete the runs for good."""
        with self._turn:
            self.names.clear()
            if self._lock is not None:
                shutil.rmtree(self.folder, ignore_errors=True)
                with contextlib.suppress(OSError):
                    self._lock.path.unlink()
                self._lock.close()
                self._lock = None

    def _open(self) -> None:
        """Make the lock, then the folder."""
        if self._lock is not None:
            return
        self.folder.parent.mkdir(mode=0o700, exist_ok=True)
        lock = Lock(self.folder.with_suffix(".lock"))
        lock.acquire(_BRIEFLY)
        lock.note(this_process())
        self.folder.mkdir(mode=0o700)
        self._lock = lock

    def _move(self, path: Path) -> None:
        target = self.folder / path.name
        if os.path.lexists(target):
            shutil.rmtree(target, ignore_errors=True)
            self.names = [name for name in self.names if name != path.name]
        path.rename(target)
        self.names.append(path.name)

    def _bound(self) -> None:
        while len(self.names) > LIMIT:
            shutil.rmtree(self.folder / self.names.pop(0), ignore_errors=True)
