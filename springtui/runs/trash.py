"""Deleted runs, until they are deleted for good: moved to ``trash`` under the home, so that it can be undone.

Each app has a folder of its own there, and beside it a lock that the kernel takes from the dead: what an app that
was killed had deleted, the next one over the same home takes over.
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
"""So many deleted runs can be had back; the oldest beyond them are gone."""
_BRIEFLY = 0.3


class Trash:
    """What one app deleted. Every call touches the disk: call it from a thread."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.names: list[str] = []
        """The newest last."""
        self.folder = home / "trash" / os.urandom(8).hex()
        """Where removed runs lie until they are emptied."""
        self._lock: Lock | None = None
        self._turn = threading.RLock()

    def put(self, run: Run) -> None:
        """Move a run there.

        Raises:
            LockedError: a worker writes it, or may do so on another host.
            OSError: it cannot be moved.
        """
        run.require_free()
        with self._turn:
            self._open()
            now = time.time_ns()  # not the kernel's, which moves on by milliseconds
            os.utime(run.path, ns=(now, now))  # so that whoever takes it over knows when
            self._move(run.path)
            self._bound()

    def undo(self) -> str | None:
        """Bring the run deleted last back; its id, or None where there is none.

        Raises:
            RunDirectoryError: something else has its place now, or it is gone.
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
        """Take over what apps that were killed had deleted; how many runs."""
        with self._turn, contextlib.suppress(OSError):
            before = len(self.names)
            for folder in sorted(self.folder.parent.iterdir()):
                if folder != self.folder and folder.is_dir() and not folder.is_symlink():
                    with contextlib.suppress(SpringtuiError, OSError):  # its app lives, or it is not ours
                        self._take_over(folder)
            ours = [(self.folder / name).lstat().st_mtime_ns for name in self.names]
            self.names = [name for _, name in sorted(zip(ours, self.names, strict=True))]
            found = len(self.names) - before
            self._bound()
            return found
        return 0

    def _take_over(self, folder: Path) -> None:
        if is_run_directory(folder):  # of a version without folders for each app
            self._open()
            self._move(folder)
            return
        lock = Lock(folder.with_suffix(".lock"))
        owner = lock.acquire(0.0)
        try:
            if owner is not None and not owner.is_here:  # the kernel may not tell of locks there
                return
            self._open()
            for path in folder.iterdir():
                self._move(path)
            folder.rmdir()
            lock.path.unlink()
        finally:
            lock.close()

    def empty(self) -> None:
        """Delete for good what this app deleted."""
        with self._turn:
            self.names.clear()
            if self._lock is not None:
                shutil.rmtree(self.folder, ignore_errors=True)
                with contextlib.suppress(OSError):
                    self._lock.path.unlink()
                self._lock.close()
                self._lock = None

    def _open(self) -> None:
        """The folder, not before its lock."""
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
