"""The screen that sets two runs beside each other, layer by layer."""

from __future__ import annotations

import asyncio
import math
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Static

from engine.measures.registry import DEFAULT_MEASURE

from ..screen import BaseScreen
from ..state.cycling import next_of
from ..state.pictures import Series
from ..state.wording import decimals, fitting, measure_label, number
from ..terminal import size
from ..terminal.text import ascii_only, plain_text
from ..widgets.curves_plot import CurvesPlot
from ..widgets.keys_line import KeysLine
from ..widgets.load_bars import HATCH, HATCH_PLAIN
from ..widgets.table import Column, Line, Table
from .catalogue import Row
from .layer_match import Comparison, Pair, TowerCurve, compare, health_of_both, measures_of_both, verdict
from .overlay import Overlay

COLUMNS = (
    Column("name", "LAYER", 0, cut_left=True),
    Column("first", "A", 8, right=True),
    Column("second", "B", 8, right=True),
    Column("difference", "B - A", 9, right=True),
    Column("bar", "", 14, shown_from=56, colored=True),
)
SHIFTED = "* follows another layer in B: loads of unlike stretches"
ROLES = ("primary", "accent")
"""The colours of A and B."""
REFRESH_SECONDS = 1.0
"""Seconds between looks at the two runs' records."""


class ComparisonScreen(BaseScreen[None]):
    """Two runs' newest curves: a table of layers, and both runs' loads as curves."""

    CSS_PATH = "comparison.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "next_quantity", "Quantity", id="comparison.quantity",
                tooltip="the load, or a measure of layer health that both runs have"),
        Binding("A", "swap", "Swap", id="comparison.swap", tooltip="A becomes B, and B becomes A"),
        Binding("m", "next_measure", "Measure", id="comparison.measure", tooltip="next measure"),
        Binding("P", "next_tower", "Tower", id="comparison.tower", tooltip="next tower of models with several"),
        Binding("escape", "app.back", "Back", id="comparison.back", tooltip="back to the runs"),
    ]  # fmt: skip

    def __init__(self, rows: tuple[Row, Row], overlay: Overlay) -> None:
        super().__init__()
        self.rows = rows
        """A, whose values are taken from those of B, and B."""
        self.health = ""
        """The measure of layer health that is compared; empty for the load."""
        self.measure = DEFAULT_MEASURE
        self.path = ""
        """The tower that is shown; empty shows the main ones."""
        self.comparison: Comparison | None = None
        self._overlay = overlay
        self._towers: list[tuple[TowerCurve, TowerCurve]] = []
        self._lines: dict[str, Line] = {}
        self._missing: list[str] = []
        """Those of A and B that have no curve yet."""
        self._runs_text = Text()

    def compose(self) -> ComposeResult:
        self._fit(*self.app.size)
        yield Static(id="head", markup=False)
        yield Static(id="runs", markup=False)
        yield Static(id="verdict", markup=False)
        yield Static(id="said", markup=False)
        with Container(id="beside"):
            table = Table(COLUMNS, self._line, id="pairs")
            table.EMPTY = "reading …"
            yield table
            yield CurvesPlot(id="loads")
        yield Static(id="too-small", markup=False)
        yield KeysLine()

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self.set_interval(0.1, self._draw_plot)
        self.set_interval(REFRESH_SECONDS, self._read)
        self.call_later(self._read)

    def _line(self, key: str) -> Line:
        return self._lines.get(key, Line({}))

    # reading

    async def _read(self) -> None:
        """Read both runs again where their records have grown, and draw them."""
        if not self.is_current:
            return
        pictures = []
        for row in self.rows:
            signature = await asyncio.to_thread(row.run.signature)
            pictures.append(await asyncio.to_thread(self._overlay.read, row.run, signature))
        first, second = (picture.towers for picture in pictures)
        towers = _tower_pairs(first, second)
        if towers != self._towers or self.comparison is None:
            self._towers = towers
            self.refresh_bindings()
            self._missing = [name for name, known in (("A", first), ("B", second)) if not known]
            self._draw()

    # drawing

    def _shown(self) -> tuple[TowerCurve, TowerCurve] | None:
        """The two towers' curves that are compared."""
        found = [pair for pair in self._towers if pair[0].path == self.path]
        return next(iter(found or self._towers), None)

    def _draw(self) -> None:
        shown, table, plot = self._shown(), self.query_one(Table), self.query_one(CurvesPlot)
        measures = measures_of_both(*shown) if shown is not None else []
        if measures and self.measure not in measures:
            self.measure = measures[0]
        if shown is None or self.health not in health_of_both(*shown):
            self.health = ""
        what = measure_label(self.health) if self.health else "load"
        plot.heading = f"{what[:1].upper()}{what[1:]} of each layer"
        self.comparison, self._lines = None, {}
        if shown is None or not measures:
            words = _why_nothing(self._missing, several=bool(self._towers))
            table.say_empty(words)
            plot.say_empty(words)
        else:
            self.comparison = compare(*shown, self.measure, self.health)
            self._lines = _lines(self.comparison)
            words = self.comparison.words
            plot.say_empty(
                "" if self.comparison.both else "no layer of A is one of B, so there is nothing to draw"
            )
        self.set_texts({"#verdict": self._verdict(what)})
        table.show(list(self._lines))
        plot.axis = "layer"
        plot.legend = f"[$primary]{_piece(0)}[/] [$secondary]A[/]  [$accent]{_piece(1)}[/] [$secondary]B[/]"
        plot.show_curves(_series(self.comparison), (self.measure, self.health, self.path))
        self._draw_words(shown, words)

    def _draw_words(self, shown: tuple[TowerCurve, TowerCurve] | None, words: str) -> None:
        width = self.size.width - 2
        head = [
            "Two runs, layer by layer",
            measure_label(self.health) if self.health else f"load, {measure_label(self.measure)}",
        ]
        if shown is not None and len(self._towers) > 1:
            head.append(f"tower {shown[0].path}")
        runs = []
        for i, row in enumerate(self.rows):
            parts = [f"{'AB'[i]}  {row.name}", row.kind, row.status]
            if shown is not None:
                loss = shown[i].curve.scalars.get("loss", shown[i].curve.scalars.get("train_loss"))
                parts.append(f"step {shown[i].curve.step}")
                parts += [] if loss is None else [f"loss {number(loss)}"]
            runs.append(fitting([plain_text(part) for part in parts], width - 3))
        self._draw_runs(runs)
        self.set_texts(
            {
                "#head": plain_text(fitting(head, width)),
                "#said": plain_text(fitting([words], width)),
            }
        )

    def _draw_runs(self, runs: list[str]) -> None:
        """Draw the lines of the runs, each behind the sign of its curve in the curve's colour."""
        plot, text = self.query_one(CurvesPlot), Text()
        for i, (line, role) in enumerate(zip(runs, ROLES, strict=True)):
            text.append(f"{_piece(i)} ", Style(color=plot.color_of(role).rich_color))
            text.append(line + ("\n" if i == 0 else ""))
        if text != self._runs_text:
            self._runs_text = text
            self.query_one("#runs", Static).update(text)

    def _verdict(self, what: str) -> str:
        words = verdict(self.comparison, what) if self.comparison is not None else ""
        return plain_text(fitting([words], self.size.width - 2))

    def _draw_plot(self) -> None:
        plot = self.query_one(CurvesPlot)
        if self.is_current and plot.is_stale():
            plot.redraw()

    def _fit(self, columns: int, rows: int) -> None:
        """Set the classes for this size; called before the first frame, which would flicker otherwise."""
        self.set_class(size.is_small(columns, rows), "-small")
        self.set_class(not size.is_wide(columns, rows), "-narrow")

    def on_resize(self, event: events.Resize) -> None:
        columns, rows = event.size
        self._fit(columns, rows)
        self.query_one("#too-small", Static).update(size.too_small("Comparing runs", columns, rows))
        if self.comparison is not None:
            self._draw()

    # what is shown

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """False for the next tower where the models have one in common, which hides its key."""
        return action != "next_tower" or len(self._towers) > 1

    def action_next_measure(self) -> None:
        """Compare in the next measure that both runs have."""
        if (shown := self._shown()) is not None and (measures := measures_of_both(*shown)):
            self.measure = next_of(measures, self.measure)
            self._draw()

    def action_next_quantity(self) -> None:
        """Compare the next measure of layer health that both runs have, or the load again."""
        if (shown := self._shown()) is not None:
            self.health = next_of(["", *health_of_both(*shown)], self.health)
            self._draw()

    def action_swap(self) -> None:
        """Make A of B, and B of A."""
        self.rows = self.rows[::-1]
        self._towers = [pair[::-1] for pair in self._towers]
        self._missing = ["AB"["BA".index(name)] for name in self._missing]
        self._draw()

    def action_next_tower(self) -> None:
        """Compare the next tower that both models have."""
        paths = [first.path for first, _ in self._towers]
        shown = self._shown()
        self.path = next_of(paths, shown[0].path if shown is not None else None)
        self._draw()


def _tower_pairs(first: list[TowerCurve], second: list[TowerCurve]) -> list[tuple[TowerCurve, TowerCurve]]:
    """Towers of the same path in both, or the main ones where no path is."""
    theirs = {tower.path: tower for tower in second}
    found = [(tower, theirs[tower.path]) for tower in first if tower.path in theirs]
    return found or [*zip(first[:1], second[:1], strict=False)]


def _why_nothing(missing: list[str], *, several: bool) -> str:
    if missing:
        return f"{' and '.join(missing)} {'have' if len(missing) > 1 else 'has'} no curve yet"
    return "the two runs have no measure in common" if several else "reading …"


def _lines(comparison: Comparison) -> dict[str, Line]:
    """The lines of the table by id: layers of both runs, then those of one alone, under headings."""
    most = max((abs(p.difference) for p in comparison.both if math.isfinite(p.difference)), default=0.0)
    lines = {f"both\n{i}": _pair_line(pair, most) for i, pair in enumerate(comparison.both)}
    if any(pair.is_shifted for pair in comparison.both):
        lines["shifted"] = Line({"name": SHIFTED}, heading=True)
    for which, pairs in (("A", comparison.only_first), ("B", comparison.only_second)):
        if pairs:
            lines[which] = Line({"name": f"only in {which} ({len(pairs)})"}, heading=True)
        lines.update({f"{which}\n{i}": _pair_line(pair, most) for i, pair in enumerate(pairs)})
    return lines


def _pair_line(pair: Pair, most: float) -> Line:
    difference = pair.difference
    text = decimals(difference, 3, sign=True) if math.isfinite(difference) else ""
    cells = {
        "name": pair.name,
        "first": decimals(pair.first, 3),
        "second": decimals(pair.second, 3),
        "difference": ("*" if pair.is_shifted else "") + text,
        "bar": _bar(difference, most, 14),
    }
    return Line(cells, "primary" if difference >= 0 else "error")


def _bar(value: float, most: float, width: int) -> str:
    """A bar as long as the value's size; a negative one is hatched, to be told without colour."""
    if not (math.isfinite(value) and most > 0):
        return ""
    plain = ascii_only()
    full, hatch = ("#", HATCH_PLAIN) if plain else ("█", HATCH)
    return (full if value >= 0 else hatch) * round(width * abs(value) / most)


def _series(comparison: Comparison | None) -> list[Series]:
    if comparison is None or not comparison.both:
        return []
    layers = list(range(1, len(comparison.both) + 1))
    return [
        Series(layers, [pair.first for pair in comparison.both], "A", ROLES[0]),
        Series(layers, [pair.second for pair in comparison.both], "B", ROLES[1], lines=False),
    ]


def _piece(which: int) -> str:
    """The sign of the curve of A (0), which is a line, or of B (1), which is points."""
    return ("--", "..")[which] if ascii_only() else ("━━", "••")[which]
