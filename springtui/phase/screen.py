"""The Phase screen: a diagram of networks over noise and nonlinearity, and the chain's beside it."""

from __future__ import annotations

import math
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.widgets import Static

from engine.runs.directory import Run
from engine.runs.status import Status
from engine.sweep.grid import cell_values

from ..export.export import export_aside, written
from ..follow.watcher import Watcher
from ..preferences.last_place import LastSession
from ..screen import NOTHING_ASKED, BaseScreen, attempt
from ..state.curves import legend
from ..state.cycling import next_of
from ..state.diagram import COLOURS, correlation_text, facts_of, grid_of, summaries_of
from ..state.pictures import Series
from ..state.run_state import RunState
from ..state.wording import fitting
from ..terminal import size
from ..terminal.text import ascii_only, plain_text
from ..widgets.heat_map import CHROME_ROWS, HeatMap
from ..widgets.keys_line import KeysLine
from ..widgets.plot import Plot
from . import panels
from .control import PhaseControl
from .sweeps import SweepRuns

DRAW_SECONDS = 0.5
WIDE = 104
"""Columns from which both diagrams and all panels are shown; narrower terminals show one diagram at a time."""
VIEWS = ("network", "chain", "scatter")
TALLEST, LEAST_BELOW = 5, 13
"""Most lines of a cell, and fewest lines of the panels below."""


class PhaseScreen(BaseScreen[None]):
    """Draws two sweeps, which its control finds, makes, follows and asks."""

    CSS_PATH = "phase.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "go", "Make", id="phase.make", tooltip="make the diagram, or continue it"),
        Binding(
            "space",
            "toggle_pause",
            "Pause",
            id="phase.pause",
            tooltip="pause or continue the diagram",
            priority=True,
        ),
        Binding("x", "stop", "Stop", id="phase.stop", tooltip="stop; g goes on"),
        Binding("t", "next_recipe", "Diagram", id="phase.diagram", tooltip="another diagram, made or to be made"),
        Binding("v", "next_view", "View", id="phase.view", tooltip="networks, chain or scatter"),
        Binding("c", "next_colour", "Colour", id="phase.colour", tooltip="colour by another quantity"),
        Binding("E", "export", "Export", id="phase.export", tooltip="PNG, SVG, CSV and JSON"),
        Binding("escape", "app.back", "Back", id="phase.back", tooltip="back to where you came from"),
    ]

    def __init__(self, sweeps: SweepRuns, first: Run | None = None) -> None:
        super().__init__()
        self.control = PhaseControl(sweeps, first, self)
        self.colour = COLOURS[0]
        self.view = VIEWS[0]
        self._stale = False
        self._progress_text = ""

    def compose(self) -> ComposeResult:
        self._fit(*self.app.size)
        yield Static(id="progress", markup=False)
        with Horizontal(id="maps"):
            yield HeatMap(id="network")
            yield HeatMap(id="chain")
        with Horizontal(id="below"):
            yield Plot(id="curve")
            with Container(id="said"):
                yield Static(id="cell", markup=False)
            yield Plot(id="scatter")
        yield Static(id="too-small", markup=False)
        yield KeysLine()

    async def on_mount(self) -> None:
        titles = {"#network": "Networks", "#chain": "Chain", "#curve": "Load curve", "#said": "Cell",
                  "#scatter": "Accuracy over CV"}  # fmt: skip
        for selector, title in titles.items():
            self.query_one(selector).border_title = title
        self.query_one("#curve", Plot).say_empty(panels.NO_CELL)
        self.query_one("#scatter", Plot).say_empty(panels.NO_POINTS)
        self.query_one("#cell", Static).update("The cell under the cursor, in numbers: there is none yet.")
        spread = "s.d." if ascii_only() else "± s.d."
        curves = ("networks", "$primary"), (spread, "$foreground 45%"), ("chain", "$accent")
        self.query_one("#curve").border_subtitle = legend(*curves)
        self.query_one("#network").focus()
        self._set_view()
        self.set_interval(DRAW_SECONDS, self._draw)
        self.run_worker(self.control.take_up(), exclusive=True, group="take-up")
        self._draw()

    def on_unmount(self) -> None:
        self.control.close()

    def note_session(self, last: LastSession) -> None:
        """Write what this screen shows into ``last``, for the next start of the app."""
        last.screen = "phase"

    # messages of the watchers, and events of the control

    def on_watcher_records_read(self, message: Watcher.RecordsRead) -> None:
        self.control.take_records(message)

    def on_watcher_status_seen(self, message: Watcher.StatusSeen) -> None:
        self.control.take_status(message)

    def runs_changed(self) -> None:
        """Draw everything at the next tick."""
        self._stale = True

    # what is asked

    async def action_go(self) -> None:
        """Make the chosen diagram, or resume the one shown."""
        if not self.refuses("no diagram is made or continued"):
            await self.control.make(self.colour.key)

    async def action_toggle_pause(self) -> None:
        """Pause the diagram, or let it go on."""
        if not self.refuses(NOTHING_ASKED):
            await self.control.toggle_pause()

    async def action_stop(self) -> None:
        """Ask the worker to stop; finished cells are kept."""
        if not self.refuses(NOTHING_ASKED):
            await self.control.stop()

    def action_next_recipe(self) -> None:
        """Choose the next recipe, and show its newest diagram if there is one."""
        self.control.choose_next_recipe()
        self._stale = True
        self.run_worker(self.control.show_recipe(self.control.recipe), group="recipe")

    # what is shown

    def action_next_colour(self) -> None:
        """Colour the cells by another quantity."""
        self.colour = next_of(COLOURS, self.colour)
        self._stale = True
        self._draw()

    def action_next_view(self) -> None:
        """Show the next of the views, in a terminal that has no room for all."""
        self.view = next_of(VIEWS, self.view)
        self._set_view()
        self._stale = True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether the key is shown: the one for views only where there is no room for all."""
        return self.has_class("-narrow") if action == "next_view" else True

    def _set_view(self) -> None:
        for view in VIEWS:
            self.set_class(view == self.view, f"-{view}")
        shown = "#chain" if self.view == "chain" and self.has_class("-narrow") else "#network"
        self.query_one(shown).focus()

    def _fit(self, columns: int, rows: int) -> None:
        """Set the classes for this size; called before the first frame, which would flicker otherwise."""
        self.set_class(size.is_small(columns, rows), "-small")
        self.set_class(columns < WIDE, "-narrow")

    def on_resize(self, event: events.Resize) -> None:
        columns, rows = event.size
        self._fit(columns, rows)
        self.query_one("#too-small", Static).update(size.too_small("The phase diagram", columns, rows))
        self._set_view()
        self._set_heights()
        self.refresh_bindings()
        self._stale = True

    def _set_heights(self) -> None:
        """Make cells as tall as the panels below leave room for, with no empty line under the diagram."""
        grid = self.query_one("#network", HeatMap).grid
        rows = len(grid.rows) if grid is not None else 6
        room = self.size.height - 2 - CHROME_ROWS - 2
        tall = min(TALLEST, max(1, (room - LEAST_BELOW) // rows))
        self.query_one("#maps").styles.height = min(room, rows * tall) + CHROME_ROWS + 2

    def action_export(self) -> None:
        """Write the diagram as PNG, SVG, CSV and JSON under the home directory."""
        if not self.control.summaries["network"]:
            self.notify("there is nothing to export yet", timeout=4)
            return
        self.run_worker(self._export(self.control.runs["network"]), exclusive=True, group="export")

    async def _export(self, run: Run) -> None:
        folder = self.control.sweeps.home / "exports"
        made = await attempt(self, export_aside, run, folder, self.colour.key)
        if made:
            self.notify(written(made), timeout=8, markup=False)

    @on(HeatMap.Moved)
    def _moved(self, message: HeatMap.Moved) -> None:
        for heat_map in self.query(HeatMap):
            if heat_map is not message.heat_map:
                heat_map.point_at(message.cell)
        self._draw_cell()

    @on(HeatMap.Opened)
    def _opened(self, message: HeatMap.Opened) -> None:
        config = self.control.configs.get("network")
        if config is None:
            return
        x, y = cell_values(config, message.cell)
        shared = {
            key: value for key, value in config.settings.items() if key != "hessian"
        }  # the lab measures it in its own way
        settings = {**shared, config.x_axis: x, config.y_axis: y}
        self.app.call_later(self.host.open_lab_with, settings, panels.noise_axis(config))

    # drawing

    def _draw(self) -> None:
        if not self._stale:
            self._draw_progress()
            return
        self._stale, control = False, self.control
        for system in ("network", "chain"):
            config = control.configs.get(system)
            if config is not None:
                control.summaries[system] = summaries_of(config, control.states[system])
            colour = self.colour if system == "network" or self.colour.key in _OF_CHAINS else COLOURS[2]
            grid = None if config is None else grid_of(config, control.summaries[system], colour)
            heat_map = self.query_one(f"#{system}", HeatMap)
            heat_map.show(grid)
            name = "Networks" if system == "network" else "Chain"
            title = f"{name} · {colour.title}"
            if heat_map.border_title != title:
                heat_map.border_title = title
            axes = "" if grid is None else f"{grid.row_title} over {grid.column_title}"
            if heat_map.border_subtitle != axes:
                heat_map.border_subtitle = axes
        self._say_empty()
        self._draw_progress()
        self._set_heights()
        self._draw_scatter()
        self._draw_cell()

    def _say_empty(self) -> None:
        """Give each diagram the text that it shows while it has no cell."""
        control = self.control
        network = control.states.get("network")
        comes = network is None or ("chain" not in control.configs and not control.chainless)
        nothing = {
            "#network": panels.networks_empty(network, control.recipe),
            "#chain": panels.chain_empty(
                control.configs.get("chain"), control.states.get("chain"), comes=comes, read_only=self.read_only
            ),
        }
        for selector, text in nothing.items():
            self.query_one(selector, HeatMap).say_empty(text)

    def _draw_progress(self) -> None:
        control = self.control
        state, config = control.states.get("network"), control.configs.get("network")
        status = self._status(state) if state is not None else Status.UNOBSERVED
        parts = panels.progress(config, state, status, control.summaries["network"], control.recipe)
        if self.read_only:
            parts.append("read-only")
        elif state is not None and config is not None:
            if config.recipe != control.recipe:  # what to do comes before numbers, which may not fit
                parts.insert(2, f"g makes {control.recipe}")
            elif control.lacks_quantity(self.colour.key) and state.is_over:
                parts.insert(2, "g measures the Hessian")
            elif status.went_wrong or status is Status.STOPPED:
                parts.insert(2, "g goes on")
            elif state.status is Status.RUNNING and state.note:
                parts.append(state.note)
        text = fitting(parts, self.size.width - 2)
        if text != self._progress_text:
            self._progress_text = text
            self.query_one("#progress", Static).update(plain_text(text))

    def _status(self, state: RunState) -> Status:
        """The run's status; ``starting`` where it is over but a new worker for it runs."""
        workers, run = self.control.sweeps.run_workers, self.control.runs["network"]
        process = workers.processes.get(run.id)
        was_left = state.is_over and state.status is not Status.FINISHED
        loads = was_left and process is not None and process.poll() is None
        return Status.STARTING if loads else state.status

    def _draw_scatter(self) -> None:
        summaries = self.control.summaries["network"]
        plot = self.query_one("#scatter", Plot)
        points = [
            (s.cv, s.scalars["test_accuracy"])
            for s in summaries
            if "test_accuracy" in s.scalars and math.isfinite(s.cv)
        ]
        plot.show([Series([p[0] for p in points], [p[1] for p in points], "", "primary", lines=False)])
        subtitle = correlation_text(summaries)
        if plot.border_subtitle != subtitle:
            plot.border_subtitle = subtitle
        if plot.is_stale():
            plot.redraw()

    def _draw_cell(self) -> None:
        control = self.control
        config = control.configs.get("network")
        if config is None:
            return
        cell = self.query_one("#network", HeatMap).cursor
        summaries, chain = control.summaries, control.configs.get("chain")
        facts = facts_of(config, summaries["network"], cell, summaries["chain"], chain)
        self.query_one("#cell", Static).update("\n".join(facts))
        plot = self.query_one("#curve", Plot)
        plot.show(panels.cell_series(summaries["network"], summaries["chain"], cell))
        if plot.is_stale():
            plot.redraw()


_OF_CHAINS = {"cv", "asymmetry", "total_separation"}
