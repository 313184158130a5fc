"""Labels, stops, resumes, duplicates, deletes and restores runs for the Runs screen."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.status import Status
from engine.settings.fields import make, parse_assignments

from ..follow.workers import Workers
from ..screen import Notifier, attempt
from ..terminal.text import plain_text
from .catalogue import Row
from .trash import Trash


class RunsView(Notifier, Protocol):
    """What the actions need of the screen that holds them, and what they report there."""

    def runs_changed(self) -> None:
        """Runs were changed, added or removed on the disk."""

    def run_deleted(self, run_id: str) -> None:
        """A run was moved to the trash."""


class RunActions:
    """Acts on runs under one home; a failure is shown and does not keep the other runs from being acted on."""

    def __init__(self, home: Path, run_workers: Workers, trash: Trash, view: RunsView) -> None:
        self.home = home
        self.run_workers = run_workers
        self.trash = trash
        self._view = view

    async def label(self, row: Row, **fields: Any) -> None:
        """Write fields of a run's label: ``pinned``, ``name``, ``text``."""
        await attempt(self._view, write_label, row.run.path, **fields)
        self._view.runs_changed()

    async def stop(self, rows: Iterable[Row]) -> None:
        """Ask the workers of those runs that are not over to stop."""
        live = [row for row in rows if not row.is_over]
        if not live:
            self._view.notify("no worker goes on there", timeout=4)
        for row in live:
            await attempt(self._view, lambda row: own(row).ask("stop"), row)
        self._view.runs_changed()

    async def resume(self, rows: Iterable[Row]) -> None:
        """Let live workers of these runs go on; start new workers for runs that broke off or were stopped."""
        for row in rows:
            if not row.is_over:
                await attempt(self._view, lambda row: own(row).ask("resume"), row)
            elif row.status in {Status.FINISHED, Status.DAMAGED}:
                self._view.notify(
                    f"{plain_text(row.name)} is {row.status}: there is nothing to resume", timeout=5, markup=False
                )
            else:
                await attempt(self._view, lambda row: self.run_workers.resume(own(row)), row)
        self._view.runs_changed()

    async def duplicate(self, row: Row, changes: str) -> None:
        """Make and begin a new run with the settings of this one, changed as in ``lr=0.1 seed=2``."""
        run = await attempt(self._view, lambda: duplicate(self.home, own(row), changes))
        if run is not None:
            await attempt(self._view, self.run_workers.resume, run)
            self._view.runs_changed()

    async def delete(self, rows: Iterable[Row]) -> None:
        """Move runs to the trash."""
        for row in rows:
            await attempt(self._view, lambda row: self.trash.put(own(row)), row)
            if row.id in self.trash.names:
                self._view.run_deleted(row.id)
        self._view.runs_changed()

    async def take_over_trash(self) -> None:
        """Take over what killed apps had deleted, so that it can be restored."""
        if await attempt(self._view, self.trash.take_over):
            self._view.runs_changed()

    async def undo(self) -> None:
        """Restore the run that was deleted last."""
        name = await attempt(self._view, self.trash.undo)
        if name:
            self._view.notify(f"{name} is back", timeout=4, markup=False)
        self._view.runs_changed()


def own(row: Row) -> Run:
    """The run of a row, for what springtui does with its own runs alone.

    Raises:
        ConfigError: another tool writes it.
    """
    if not isinstance(row.run, Run):
        raise ConfigError(f"{row.name} is another tool's log: springtui changes nothing of it")
    return row.run


def changed(run: Run, text: str) -> Any:
    """The settings of a run with changes such as ``lr=0.1 seed=2``.

    Raises:
        SpringtuiError: the run cannot be read, or a change is not allowed.
    """
    run.require_worker_run()
    settings = run.config().settings
    cls: Any = type(settings)
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return make(cls, parse_assignments(cls, words), settings)


def duplicate(home: Path, run: Run, text: str) -> Run:
    """A new run directory with a run's changed settings, without a worker.

    Raises:
        SpringtuiError: the run cannot be read, a change is not allowed, or the directory cannot be written.
    """
    return Run.create(home, changed(run, text), origin="runs")
