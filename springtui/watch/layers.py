"""The tabs on a run's layers: a table of all of them; their heat map over steps, with the selected one's curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from textual.screen import Screen
from textual.widgets import Static

from engine.measures.registry import HEALTH

from ..state.cycling import next_of
from ..state.layer_times import LOAD, LayerTables, LayerTimes, quantities_of
from ..state.layers import Layers, described_in, layers_of
from ..state.pictures import Series
from ..state.run_state import RunState
from ..state.wording import UNITS, number, shown_measure
from ..terminal.text import plain_text
from ..widgets.curves_plot import CurvesPlot
from ..widgets.layer_map import LayerMap
from ..widgets.table import Column, Line, Table
from .layer_words import Row, about, columns_of, id_of, rows_of

FIRST_COLUMNS = (Column("name", "LAYER", 0, cut_left=True),)


class LayersView:
    """What both tabs show, and the tower and the layer that are selected in both."""

    def __init__(self, screen: Screen[None]) -> None:
        self._screen = screen
        self.quantity = LOAD
        """What the heat map shows."""
        self._path = ""
        self._layer = ""
        self._rows: dict[str, Row] = {}
        self._layers = Layers([], [], described=False)
        self._key: str | None = None
        """The table's line under the cursor when it was last drawn or moved."""
        self._facts: dict[str, Any] = {}
        self._described = described_in({})
        """What these facts say about layers."""
        self._tables = LayerTables()
        self._title = ""
        self._curve_of = ""
        """The quantity that the selected layer's curve was last scaled for."""

    # what is selected

    def path(self, state: RunState) -> str:
        """The tower that is shown: the main one, until another is chosen."""
        known = [tower.path for tower in state.towers]
        return self._path if self._path in known else known[0] if known else ""

    def next_tower(self, state: RunState) -> None:
        """Choose the next tower."""
        self._path = next_of([tower.path for tower in state.towers], self.path(state))

    def next_quantity(self, state: RunState) -> None:
        """Show the next quantity in the heat map."""
        self.quantity = next_of(quantities_of(state, self.path(state)), self.quantity)

    def line(self, key: str) -> Line:
        """A line of the table."""
        return self._rows[key].line if key in self._rows else Line({})

    def pointed_at(self, key: str | None) -> bool:
        """Select the layer on a line of the table; whether its tower is another one than before."""
        row = self._rows.get(key or "")
        if key == self._key or row is None or row.point is None:
            return False
        self._key = key
        changed, self._path = self._path != row.path, row.path
        self._layer = row.point.name
        return changed

    def select(self, name: str) -> None:
        """Select a layer of the tower that is shown."""
        self._layer = name

    # drawing

    def draw_table(self, state: RunState, measure: str, kind: str) -> None:
        """Draw the Layers tab."""
        table = self._screen.query_one("#layers", Table)
        if state.facts is not self._facts:
            self._facts, self._described = state.facts, described_in(state.facts)
        self._layers = layers_of(state, measure, self._described)
        self._rows = rows_of(self._layers, kind)
        table.columns = columns_of(self._rows, table.size.width - 2)
        table.show(list(self._rows))
        here = self._rows.get(table.current or "")
        if here is None or here.left_out is None:
            table.point_at(self._wanted(self.path(state)))
        self._key = table.current
        self.draw_about(measure)

    def _wanted(self, path: str) -> str:
        """The line of the selected layer; of a tower without it, that of its first point."""
        wanted = id_of(path, self._layer)
        first = (key for key, row in self._rows.items() if row.point is not None and row.path == path)
        return wanted if wanted in self._rows else next(first, "")

    def draw_about(self, measure: str) -> None:
        """Draw what is known of the layer under the table's cursor."""
        row = self._rows.get(self._screen.query_one("#layers", Table).current or "")
        text = about(row, self._layers, measure)
        static = self._screen.query_one("#layer", Static)
        if str(static.content) != text:
            static.update(text)

    def draw_times(self, state: RunState, measure: str, kind: str, moment: int | None) -> None:
        """Draw the heat map and the selected layer's curve.

        Args:
            state: the run's newest state.
            measure: that loads are of.
            kind: of the run.
            moment: the step that a replay shows; None where the newest is shown.
        """
        path = self.path(state)
        if self.quantity not in quantities_of(state, path):
            self.quantity = LOAD
        times = self._tables.of(state, path, self.quantity, shown_measure(measure))
        picture = self._screen.query_one(LayerMap)
        picture.show(times, self._layer, moment)
        self._title = _title(times, path, several=len(state.towers) > 1)
        if (
            times is not None and self.quantity != self._curve_of
        ):  # before the curve is scaled, which log_y decides
            self._curve_of = self.quantity
            self._screen.query_one("#layer-curve", CurvesPlot).log_y = picture.is_log
        self.draw_selected(kind)

    def draw_selected(self, kind: str) -> None:
        """Draw the title, the read-out, and the curve of the layer that is selected in the heat map."""
        picture, plot = self._screen.query_one(LayerMap), self._screen.query_one("#layer-curve", CurvesPlot)
        times, name = picture.times, picture.selected
        self._layer = name or self._layer
        unit = UNITS.get(kind, "step")
        found = picture.readout()
        shown = f"{name} · {unit} {number(found[0], 6)} · {number(found[1], 4)}" if found is not None else ""
        picture.say(self._title, times.unit if times is not None else "", shown)
        plot.heading = plain_text(name) or "Selected layer"
        plot.axis = unit
        plot.is_fraction = times is not None and times.quantity in HEALTH and HEALTH[times.quantity].is_fraction
        curve = _curve(times, name)
        if times is not None and name and not curve:
            plot.say_empty(f"{times.title} of this layer is not known")
        plot.show_curves(curve, (self._title, name))


def _title(times: LayerTimes | None, path: str, *, several: bool) -> str:
    if times is None:
        return "Layers over time"
    what = times.title[:1].upper() + times.title[1:]
    return f"{what} · tower {path}" if several else what


def _curve(times: LayerTimes | None, name: str) -> Sequence[Series]:
    if times is None or not name:
        return []
    points = [(x, y) for x, y in zip(times.steps.tolist(), times.of_layer(name).tolist(), strict=True)]
    known = [(x, y) for x, y in points if math.isfinite(y)]
    if not known:
        return []
    return [Series([x for x, _ in known], [y for _, y in known], plain_text(times.title), "primary")]
