"""The Runs screen: a list of every run under the home, to sort, filter, compare, open, label and delete."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.css.query import NoMatches
from textual.widgets import Static

from ..dialogs import ChoiceScreen, PromptScreen
from ..follow.workers import Workers
from ..preferences.last_place import LastSession
from ..screen import BaseScreen, status_for_alerts
from ..state.cycling import next_of
from ..terminal import size
from ..terminal.text import plain_text
from ..widgets.curves_plot import CurvesPlot
from ..widgets.keys_line import KeysLine
from ..widgets.table import Line, Table
from . import panels
from .actions import RunActions, changed, own
from .catalogue import FROM_NAMES, Catalogue, HomeRuns, Row, RunSource, make_filter, ordered
from .comparison import ComparisonScreen
from .overlay import LOAD_CURVE, Overlay
from .table import RunTable
from .trash import Trash

LOW = 30
"""Rows below which curves are shown only after the overlay's key."""
SCAN_SECONDS = 30.0
"""Seconds between scans for labels that other processes gave to runs out of view."""
_OF_OWN_RUNS = {
    "pin", "rename", "note", "stop", "resume", "duplicate", "delete", "undo", "app.back",
    "open_phase", "open_runs", "detach",
}  # fmt: skip
"""Actions that need runs under the home, which may be changed, or a screen below."""
BATCH = 20
"""Number of runs that are described in one call, between which keys are handled."""


class RunsScreen(BaseScreen[None]):
    """Lists the rows of a catalogue; a loop keeps the rows in view up to date."""

    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="runs.mark", tooltip="mark the run, to overlay or act on several"),
        Binding("o", "overlay", "Overlay", id="runs.overlay", tooltip="curves of the marked runs in one picture"),
        Binding("B", "compare", "By layer", id="runs.compare", show=False,
                tooltip="two marked runs beside each other, layer by layer"),
        Binding("B", "compare_marked", "By layer", id="runs.compare",
                tooltip="the two marked runs beside each other, layer by layer"),
        Binding("c", "next_quantity", "Quantity", id="runs.quantity", tooltip="another quantity", show=False),
        Binding("N", "previous_quantity", "Quantity before", id="runs.previous_quantity",
                tooltip="the quantity before", show=False),
        Binding("slash", "filter", "Filter", id="runs.filter", key_display="/",
                tooltip="show runs that hold a text, or match a /regular expression/"),
        Binding("s", "sort", "Sort", id="runs.sort", tooltip="sort by the next column"),
        Binding("S", "reverse", "Reverse", id="runs.reverse", tooltip="turn the order round", show=False),
        Binding("asterisk", "pin", "Pin", id="runs.pin", key_display="*", show=False,
                tooltip="keep the run on top, or no longer"),
        Binding("e", "rename", "Name", id="runs.rename", tooltip="give the run a name", show=False),
        Binding("a", "note", "Note", id="runs.note", tooltip="write a note to the run", show=False),
        Binding("x", "stop", "Stop", id="runs.stop", tooltip="ask the worker to stop; what it wrote is kept",
                show=False),
        Binding("g", "resume", "Resume", id="runs.resume", tooltip="go on with a run that was left", show=False),
        Binding("w", "duplicate", "Duplicate", id="runs.duplicate", tooltip="a new run like this, with changes",
                show=False),
        Binding("D,delete", "delete", "Delete", id="runs.delete", tooltip="delete, after a question", show=False),
        Binding("U", "undo", "Undo", id="runs.undo", tooltip="bring the run deleted last back", show=False),
        Binding("escape", "app.back", "Back", id="runs.back", tooltip="back to the screen before"),
    ]  # fmt: skip

    def __init__(
        self,
        home: Path,
        last_session: LastSession,
        run_workers: Workers,
        trash: Trash,
        source: RunSource | None = None,
    ) -> None:
        """Without a source it lists the runs under the home."""
        super().__init__()
        self.last_session = last_session
        self._begins_at = last_session.run
        """The run that the cursor stands on first."""
        self.actions = RunActions(home, run_workers, trash, self)
        self.catalogue = Catalogue(source or HomeRuns(home))
        self._is_given = source is not None
        """Whether the runs are those of paths that were named, and not those under the home."""
        self._no_runs = panels.NO_LOGS if self._is_given else panels.NO_RUNS
        self.overlay = Overlay()
        self.marked: list[str] = []
        self.sort = ("age", False)
        self.wanted = ""
        self.quantity = LOAD_CURVE
        self._fits: Callable[[Row], bool] | None = None
        self._scanned = 0.0
        self._first = True
        self._wake = asyncio.Event()
        self._about = Text()

    def compose(self) -> ComposeResult:
        self._fit(*self.app.size)
        yield Static(id="head", markup=False)
        yield Static(id="said", markup=False)
        with Container(id="list"):
            table = RunTable(panels.LOG_COLUMNS if self._is_given else panels.COLUMNS, self._line, id="table")
            table.EMPTY = "looking for runs …"
            yield table
            with Horizontal(id="below"):
                yield CurvesPlot(id="overlay", heading="Scalars" if self._is_given else "Load curve")
                yield Static(id="about", markup=False)
        yield Static(id="too-small", markup=False)
        yield KeysLine()

    def on_mount(self) -> None:
        self.query_one("#about").border_title = "Run"
        self.table.focus()
        self.set_interval(0.1, self._draw_plot)
        self.run_worker(self._keep_up(), group="keep-up")
        if not self.read_only:
            self.run_worker(self.actions.take_over_trash(), group="trash")

    @property
    def table(self) -> RunTable:
        """The list."""
        return self.query_one(RunTable)

    @property
    def row(self) -> Row | None:
        """The run under the cursor."""
        current = self.table.current
        return self.catalogue.rows.get(current) if current is not None else None

    def note_session(self, last: LastSession) -> None:
        """Write what this screen shows into ``last``, for the next start of the app."""
        last.screen, last.run = "runs", self._begins_at if self._first else self.table.current or ""

    # keeping up

    async def _keep_up(self) -> None:
        """Scan about once a second, and describe the rows in view, or all rows where order or filter need it."""
        woken = True
        while True:
            self._wake.clear()
            if self.is_current:
                try:
                    await self._look(woken=woken)
                except NoMatches:  # the screen was closed
                    return
                woken = False
            with contextlib.suppress(TimeoutError):
                woken = await asyncio.wait_for(self._wake.wait(), 1.0) or woken

    def on_screen_resume(self) -> None:
        self._wake.set()

    async def _look(self, *, woken: bool) -> None:
        """Scan and describe what may have changed; draw only where something changed or ``woken`` is set."""
        due = time.monotonic() - self._scanned >= SCAN_SECONDS
        if scanned := due or await asyncio.to_thread(self.catalogue.has_new):
            rows_changed = await asyncio.to_thread(self.catalogue.scan)
            self._scanned = time.monotonic()
            if rows_changed or self._first:
                self.show_rows()
        if self._first:
            self._first = False
            self.table.say_empty(self._no_runs)
            self.table.refresh()
        live = [name for name, row in self.catalogue.rows.items() if row.goes_on]
        if described := await self._describe([*self.table.in_view, *live]):
            self.table.draw()
        for name in live:
            if (row := self.catalogue.rows.get(name)) is not None:
                values, heard = row.about.get("values", {}), row.about.get("heard", 0.0)
                infinite = row.about.get("not_finite", {})
                status = status_for_alerts(row.status, infinite, is_foreign=row.run.is_foreign)
                self.host.check_alerts(name, status, values, heard=heard, warnings=row.warnings)
        if described or scanned or woken:
            await self._read_pictures()
            self._draw()
        if self._needs_all():
            await self._describe_all()

    def _needs_all(self) -> bool:
        return self.sort[0] not in FROM_NAMES or bool(self.wanted)

    async def _describe(self, names: Iterable[str]) -> int:
        return await asyncio.to_thread(self.catalogue.refresh, list(names))

    async def _describe_all(self) -> None:
        """Describe all rows in batches; ends early where the loop was woken, as by scrolling."""
        shown_at = time.monotonic()
        while self.is_current and self._needs_all():
            unknown = [name for name in self.catalogue.rows if not self.catalogue.is_described(name)]
            if not unknown or self._wake.is_set():
                break
            await self._describe(unknown[:BATCH])
            if time.monotonic() - shown_at > 0.5 or len(unknown) <= BATCH:
                shown_at = time.monotonic()
                self.show_rows()

    def show_rows(self) -> None:
        """Sort and filter the rows, and show them."""
        rows = self.catalogue.rows
        kept = [name for name in self.marked if name in rows]
        if kept != self.marked:
            self.marked = kept
            self.refresh_bindings()
        ids = ordered(rows.values(), self.sort[0], reverse=self.sort[1], keep=self._fits)
        if not self._first:
            self.table.say_empty(panels.NONE_FITS if rows else self._no_runs)
        self.table.show(ids, self.sort, self._begins_at if self._first else None)
        self._draw()

    async def _read_pictures(self) -> None:
        for name in self._pictured():
            row = self.catalogue.rows.get(name)
            if row is not None and row.about:
                await asyncio.to_thread(self.overlay.read, row.run, row.signature)

    def _pictured(self) -> list[str]:
        """The runs whose curves are drawn: those marked, else the one under the cursor."""
        if self.has_class("-low") and not self.has_class("-overlaid"):
            return []
        current = self.table.current
        return self.marked or ([current] if current is not None else [])

    def run_deleted(self, run_id: str) -> None:
        """Drop what the alert rules hold of a run that was deleted."""
        self.host.forget_alerts(run_id)

    def runs_changed(self) -> None:
        """Have the list read again at once."""
        self._scanned = 0.0
        self._wake.set()

    # drawing

    def _line(self, run_id: str) -> Line:
        return panels.line_of(self.catalogue.rows.get(run_id), marked=run_id in self.marked)

    def _draw(self) -> None:
        """Draw everything but the table."""
        catalogue = self.catalogue
        described = sum(bool(row.about) for row in catalogue.rows.values()) if self._needs_all() else None
        if described == len(catalogue.rows):
            described = None
        self.set_texts(
            {
                "#head": panels.head(catalogue, len(self.table.ids), self.sort, self.wanted, described),
                "#said": panels.hint(
                    len(self.marked),
                    len(self.actions.trash.names),
                    self.size.width - 2,
                    runs=len(self.table.ids),
                    read_only=self.read_only,
                    have_layers=self._have_layers(),
                    trouble=self.host.trouble,
                ),
            }
        )
        pictured = self._pictured()
        rows = [catalogue.rows[name] for name in pictured if name in catalogue.rows]
        plot = self.query_one(CurvesPlot)
        quantity = self.overlay.shown(pictured, self.quantity)
        is_read = all(self.overlay.known(row.id) is not None for row in rows)
        plot.heading = panels.overlay_title(quantity, rows)
        plot.say_empty(panels.why_no_curve(rows, quantity, is_read=is_read))
        plot.axis = "layer" if quantity == LOAD_CURVE else "at"
        short = [row.short for row in rows]
        names = short if len(set(short)) == len(short) else [row.name for row in rows]
        shown = list(zip((row.id for row in rows), names, strict=True))
        series = self.overlay.series(shown, quantity)
        plot.legend = panels.legend_below(series, plot.size.width) if self.has_class("-low") else ""
        plot.show_curves(series)
        self._draw_about()

    @on(CurvesPlot.ReadOut)
    def _draw_about(self) -> None:
        """Show facts of the run under the cursor or, where runs are marked, the legend of their curves."""
        about, plot = self.query_one("#about", Static), self.query_one(CurvesPlot)
        title, text = "Run", Text(panels.about(self.row, about.size.height))
        if self.marked:
            title, text = "Marked", panels.legend(plot.curves, dict(plot.readout()), plot.color_of)
        if text != self._about:
            self._about, about.border_title = text, title
            about.update(text)

    def _draw_plot(self) -> None:
        plot = self.query_one(CurvesPlot)
        if self.is_current and plot.is_stale():
            plot.redraw()

    def _fit(self, columns: int, rows: int) -> None:
        """Set the classes for this size; called before the first frame, which would flicker otherwise."""
        self.set_class(size.is_small(columns, rows), "-small")
        self.set_class(rows < LOW, "-low")

    def on_resize(self, event: events.Resize) -> None:
        columns, rows = event.size
        self._fit(columns, rows)
        if self.focused is None and not self.has_class("-small"):  # lost while the table was not shown
            self.table.focus()
        self.query_one("#too-small", Static).update(size.too_small("The list of runs", columns, rows))

    # what is looked at

    @on(Table.Moved)
    def _moved(self) -> None:
        self._draw()
        self._wake.set()

    @on(Table.Opened)
    def _opened(self, message: Table.Opened) -> None:
        row = self.catalogue.rows.get(message.line)
        if row is not None:
            self.host.open_run(row.run, kind=row.kind)

    @on(Table.HeadClicked)
    def _head_clicked(self, message: Table.HeadClicked) -> None:
        self.sort_by(message.column, reverse=self.sort == (message.column, False))

    def sort_by(self, column: str, *, reverse: bool) -> None:
        """Sort the table; where the order needs records, they are read in the loop."""
        self.sort = (column, reverse)
        self.show_rows()
        self._wake.set()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.sort_by(panels.next_sort(self.sort[0]), reverse=False)

    def action_reverse(self) -> None:
        """Reverse the order."""
        self.sort_by(self.sort[0], reverse=not self.sort[1])

    def action_filter(self) -> None:
        """Ask for a filter, and show the runs that pass it."""
        about = "Text that a run's name, note, kind or state holds, or a /regular expression/; empty shows all."
        self.app.push_screen(PromptScreen("Filter", about, self.wanted, check=make_filter), self._filtered)

    def _filtered(self, text: str | None) -> None:
        if text is not None:
            self.wanted, self._fits = text.strip(), make_filter(text)
            self.show_rows()
            self._wake.set()

    def action_mark(self) -> None:
        """Mark the run or remove its mark; the cursor stays where it is."""
        current = self.table.current
        if current is not None:
            self.marked = (
                [m for m in self.marked if m != current] if current in self.marked else [*self.marked, current]
            )
            self.table.draw()
            self.refresh_bindings()
            self._moved()

    def action_overlay(self) -> None:
        """Show or hide the plot in a low terminal; else move the focus to it."""
        self.toggle_class("-overlaid")
        if not self.has_class("-low") or self.has_class("-overlaid"):
            self.query_one(CurvesPlot).focus()
        else:
            self.table.focus()
        self.call_after_refresh(self._moved)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether the key of comparing is one that the bottom line shows: only while two runs are marked."""
        if action in ("compare", "compare_marked"):
            return (action == "compare_marked") == (len(self.marked) == 2 and self._have_layers())
        return True

    @property
    def of_log(self) -> bool:
        """Whether all runs are other tools'."""
        return self._is_given and all(row.run.is_foreign for row in self.catalogue.rows.values())

    def offers(self, action: str) -> bool:
        """Whether an action can do something: of runs that were named none is changed, and no screen is below."""
        if action in ("compare", "compare_marked"):
            return not self.of_log
        return not self._is_given or action not in _OF_OWN_RUNS

    def _have_layers(self) -> bool:
        """Whether one of the marked runs is springtui's, which can have load curves."""
        rows = (self.catalogue.rows.get(name) for name in self.marked)
        return any(row is not None and not row.run.is_foreign for row in rows)

    def action_compare_marked(self) -> None:
        """Set the two marked runs beside each other."""
        self.action_compare()

    def action_compare(self) -> None:
        """Set the two marked runs beside each other, or the marked one and that under the cursor."""
        chosen = list(dict.fromkeys([*self.marked, *([self.table.current] if len(self.marked) == 1 else [])]))
        rows = [self.catalogue.rows[name] for name in chosen if name in self.catalogue.rows]
        if len(rows) != 2:
            self.notify(f"two runs are compared: Space marks them, and {len(self.marked)} are marked", timeout=4)
            return
        if all(row.run.is_foreign for row in rows):
            self.notify("these logs hold no layers to compare: o overlays their scalars", timeout=4)
            return
        older, newer = sorted(rows, key=lambda row: row.created)
        self.app.push_screen(ComparisonScreen((older, newer), self.overlay))

    def action_next_quantity(self) -> None:
        """Plot the next quantity."""
        self._go_on(1)

    def action_previous_quantity(self) -> None:
        """Plot the quantity before."""
        self._go_on(-1)

    def _go_on(self, step: int) -> None:
        pictured = self._pictured()
        known = self.overlay.quantities(pictured)
        self.quantity = next_of(known, self.overlay.shown(pictured, self.quantity), step)
        self._draw()

    # actions on the marked runs, else on the one under the cursor

    def _chosen(self) -> list[Row]:
        """The marked runs, else the one under the cursor."""
        names = self.marked or ([self.table.current] if self.table.current else [])
        return [self.catalogue.rows[name] for name in names if name in self.catalogue.rows]

    async def action_pin(self) -> None:
        """Pin the run, or unpin it."""
        if not self.refuses("no run is pinned") and (row := self.row) is not None:
            await self.actions.label(row, pinned=not row.label.pinned)

    def action_rename(self) -> None:
        """Give the run a name."""
        if self.refuses("no run is renamed") or (row := self.row) is None:
            return

        async def chosen(name: str | None) -> None:
            if name is not None:
                await self.actions.label(row, name=name)

        about = "What the run is called here; empty: its own name."
        self.app.push_screen(PromptScreen("Name", about, row.label.name), chosen)

    def action_note(self) -> None:
        """Write a note to the run."""
        if self.refuses("no note is written") or (row := self.row) is None:
            return

        async def chosen(text: str | None) -> None:
            if text is not None:
                await self.actions.label(row, text=text)

        about = "A note that stays with the run; empty: none."
        self.app.push_screen(PromptScreen("Note", about, row.label.text), chosen)

    async def action_stop(self) -> None:
        """Ask the workers of the chosen runs to stop."""
        if not self.refuses("no worker is asked to stop"):
            await self.actions.stop(self._chosen())

    async def action_resume(self) -> None:
        """Resume the chosen runs."""
        if not self.refuses("no run is resumed"):
            await self.actions.resume(self._chosen())

    def action_duplicate(self) -> None:
        """Make a new run with the settings of this one, some of them changed."""
        if self.refuses("no run is made") or (row := self.row) is None:
            return

        async def chosen(changes: str | None) -> None:
            if changes is not None:
                await self.actions.duplicate(row, changes)

        about = "Changes as key=value, with spaces between; none makes the same run again."
        self.app.push_screen(PromptScreen("Duplicate", about, check=lambda text: changed(own(row), text)), chosen)

    def action_delete(self) -> None:
        """Ask whether to delete the chosen runs, and delete them."""
        rows = self._chosen()
        if self.refuses("no run is deleted") or not rows:
            return

        async def answered(choice: str | None) -> None:
            if choice == "y":
                await self.actions.delete(rows)

        what = plain_text(rows[0].name) if len(rows) == 1 else f"{len(rows)} runs"
        question = f"Delete {what}? Until you leave, U brings back what was deleted."
        self.app.push_screen(ChoiceScreen("Delete", question, [("y", f"delete {what}")]), answered)

    async def action_undo(self) -> None:
        """Restore the run that was deleted last."""
        if not self.refuses("no run is brought back"):
            await self.actions.undo()

    def commands(self) -> Iterable[SystemCommand]:
        """The command palette's entries of this screen."""
        yield SystemCommand("Filter", "Runs that hold a text or match an expression", self.action_filter)
        if self._is_given:
            return
        yield SystemCommand("Pin", "Keep the run on top, or no longer", self.action_pin)
        yield SystemCommand("Name", "Give the run a name", self.action_rename)
        yield SystemCommand("Note", "Write a note to the run", self.action_note)
        yield SystemCommand("Duplicate", "A new run like this, with changes", self.action_duplicate)
        yield SystemCommand("Delete", "After a question; U brings back", self.action_delete)
