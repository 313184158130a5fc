"""Deleted runs, until they are deleted for good: moved to ``trash`` under the home, so that it can be undone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from engine.errors import RunDirectoryError
from engine.rundir import Run

LIMIT = 20
"""So many deleted runs can be had back; the oldest beyond them are gone."""


class Trash:
    """What one app deleted. Every call touches the disk: call it from a thread."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.names: list[str] = []
        """The newest last."""

    @property
    def folder(self) -> Path:
        """Where removed runs lie until they are emptied."""
        return self.home / "trash"

    def put(self, run: Run) -> None:
        """Move a run there.

        Raises:
            LockedError: a worker writes it, or may do so on another host.
            OSError: it cannot be moved.
        """
        run.may_be_taken()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        target = self.folder / run.id
        if os.path.lexists(target):
            shutil.rmtree(target, ignore_errors=True)
        run.path.rename(target)
        self.names.append(run.id)
        while len(self.names) > LIMIT:
            shutil.rmtree(self.folder / self.names.pop(0), ignore_errors=True)

    def undo(self) -> str | None:
        """Bring the run deleted last back; its id, or None where there is none.

        Raises:
            RunDirectoryError: something else has its place now, or it is gone.
        """
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

    def empty(self) -> None:
        """Delete for good what this app deleted."""
        while self.names:
            shutil.rmtree(self.folder / self.names.pop(), ignore_errors=True)
