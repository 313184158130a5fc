"""What the Runs screen does to runs: label, stop, resume, duplicate, delete and bring back."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import SpringtuiError
from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.status import Status
from engine.settings.fields import make, parse_assignments

from ..dialogs import ChoiceScreen, PromptScreen
from ..follow.workers import Workers
from ..screen import BaseScreen
from ..terminal.text import plain_text
from .catalogue import Catalogue, Row
from .table import RunTable
from .trash import Trash


class RunActions(BaseScreen[None]):
    """The half of the screen that acts: on the marked runs, else on the one under the cursor."""

    home: Path
    run_workers: Workers
    trash: Trash
    catalogue: Catalogue
    marked: list[str]

    @property
    def table(self) -> RunTable:
        """The list."""
        return self.query_one(RunTable)

    @property
    def row(self) -> Row | None:
        """The run under the cursor."""
        current = self.table.current
        return self.catalogue.rows.get(current) if current is not None else None

    def look_again(self) -> None:
        """Something has changed on the disk."""
        raise NotImplementedError

    def _chosen(self) -> list[Row]:
        """The marked runs, else the one under the cursor."""
        names = self.marked or ([self.table.current] if self.table.current else [])
        return [self.catalogue.rows[name] for name in names if name in self.catalogue.rows]

    async def _guarded(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What a call in a thread returns; None where it failed, which is said."""
        try:
            return await asyncio.to_thread(call, *arguments, **named)
        except (SpringtuiError, OSError) as error:
            self.notify(plain_text(str(error)), severity="error", timeout=10, markup=False)
            return None

    async def action_pin(self) -> None:
        """Keep the run on top, or no longer."""
        if not self.refuses("no run is pinned") and (row := self.row) is not None:
            await self._guarded(write_label, row.run.path, pinned=not row.label.pinned)
            self.look_again()

    def action_rename(self) -> None:
        """Give the run a name."""
        if not self.refuses("no run is renamed") and (row := self.row) is not None:
            self._ask_label(row, "name", "Name", "What the run is called here; empty: its own name.")

    def action_note(self) -> None:
        """Write a note to the run."""
        if not self.refuses("no note is written") and (row := self.row) is not None:
            self._ask_label(row, "text", "Note", "A note that stays with the run; empty: none.")

    def _ask_label(self, row: Row, field: str, title: str, about: str) -> None:
        async def chosen(text: str | None) -> None:
            if text is not None:
                await self._guarded(write_label, row.run.path, **{field: text})
                self.look_again()

        self.app.push_screen(PromptScreen(title, about, getattr(row.label, field)), chosen)

    async def action_stop(self) -> None:
        """Ask the workers of the chosen runs to stop."""
        if self.refuses("no worker is asked to stop"):
            return
        rows = [row for row in self._chosen() if not row.is_over]
        if not rows:
            self.notify("no worker goes on there", timeout=4)
        for row in rows:
            await self._guarded(row.run.ask, "stop")
        self.look_again()

    async def action_resume(self) -> None:
        """Let workers go on with the chosen runs."""
        if self.refuses("no run is gone on with"):
            return
        for row in self._chosen():
            if not row.is_over:
                await self._guarded(row.run.ask, "resume")
            elif row.status in {Status.FINISHED, Status.DAMAGED}:
                self.notify(
                    f"{plain_text(row.name)} is {row.status}: nothing to go on with", timeout=5, markup=False
                )
            else:
                await self._guarded(self.run_workers.resume, row.run)
        self.look_again()

    def action_duplicate(self) -> None:
        """A new run with the settings of this one, some of them changed."""
        if self.refuses("no run is made") or (row := self.row) is None:
            return

        async def chosen(text: str | None) -> None:
            if text is not None and (run := await self._guarded(duplicate, self.home, row.run, text)) is not None:
                await self._guarded(self.run_workers.resume, run)
                self.look_again()

        about = "Changes as key=value, with spaces between; none makes the same run again."
        self.app.push_screen(PromptScreen("Duplicate", about, check=lambda text: changed(row.run, text)), chosen)

    def action_delete(self) -> None:
        """Delete the chosen runs, after a question."""
        rows = self._chosen()
        if self.refuses("no run is deleted") or not rows:
            return

        async def answered(choice: str | None) -> None:
            if choice == "y":
                for row in rows:
                    await self._guarded(self.trash.put, row.run)
                self.look_again()

        what = plain_text(rows[0].name) if len(rows) == 1 else f"{len(rows)} runs"
        question = f"Delete {what}? Until you leave, U brings back what was deleted."
        self.app.push_screen(ChoiceScreen("Delete", question, [("y", f"delete {what}")]), answered)

    async def take_over_trash(self) -> None:
        """What was deleted when the app was killed can still be brought back."""
        if not self.read_only and await self._guarded(self.trash.take_over):
            self.look_again()

    async def action_undo(self) -> None:
        """Bring the run that was deleted last back."""
        if self.refuses("no run is brought back"):
            return
        name = await self._guarded(self.trash.undo)
        if name:
            self.notify(f"{name} is back", timeout=4, markup=False)
        self.look_again()


def changed(run: Run, text: str) -> Any:
    """A run's settings with changes such as ``lr=0.1 seed=2``.

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
    """A new run directory, not begun.

    Raises:
        SpringtuiError: likewise, or it cannot be written.
    """
    return Run.create(home, changed(run, text), origin="runs")
