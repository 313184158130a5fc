"""Draws a run's figures with matplotlib (extra ``figures``); imported by the command line, never by the app.

One function a figure, each from plain records to a ``Figure``. The same records give the same bytes: fonts are
matplotlib's own, no date is written, and a user's matplotlibrc is ignored.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.errors import DataError
from engine.measures.load_curve import loads
from engine.measures.registry import DEFAULT_MEASURE, DISTANCE, MEASURES
from engine.runs.records import Curve
from engine.settings.sweep import SweepConfig
from engine.sweep.diagrams import DIAGRAMS
from engine.sweep.summary import NO_CURVE, Summary

from ..state.curves import twin_of
from ..state.diagram import Colour, grid_of, unclear_in_words
from ..state.run_state import RunState, has_logits, signed_curve
from ..state.wording import number, shape_of, with_error
from ..terminal.text import plain_text

INK, DIM, NETWORK, CHAIN, THEORY = "#1b1f24", "#8a929c", "#1f5fa8", "#b4561c", "#c99700"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.edgecolor": DIM,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.facecolor": "#ffffff",
    "svg.hashsalt": "springtui",
    "path.simplify": True,
}
_DPI = 144
_TOO_CLOSE = 0.02
"""Distance, in lengths of the chain, below which blocks share one number, as two would overlap."""
_SMALL = 7.0
"""Points of a diagram's notes."""
UNCLEAR = "×"
"""Mark of a cell whose load curve means nothing."""


def new_figure(width: float, height: float, *, still: bool = False) -> Figure:
    """An empty figure in the common style, in inches; ``still`` switches matplotlib's layout engine off."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_STYLE)
    return Figure(figsize=(width, height), layout=None if still else "constrained")


def encode(figure: Figure, ending: str) -> bytes:
    """A figure as png (144 dots an inch), svg or pdf; the same figure gives the same bytes."""
    undated: Any = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": "springtui"},
        "pdf": {"CreationDate": None, "ModDate": None},
    }[ending]
    out = io.BytesIO()
    figure.savefig(out, format=ending, dpi=_DPI, metadata=undated)
    return out.getvalue()


# load curves


def load_curve(state: RunState, measure: str) -> Figure:
    """The newest and the first D_0 … D_L, and beside them the load of each layer or spring.

    Raises:
        DataError: the run has no curve yet, or none of this measure.
    """
    figure = new_figure(7.4, 3.3)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    curve_axes(left, state, measure)
    latest = _latest(state)
    if measure not in latest.curves:
        recorded = ", ".join(latest.curves) or "none"
        raise DataError(f"{state.run_id} did not record {measure}; --measure takes one that it did: {recorded}")
    loads_of = loads(signed_curve(latest, measure))
    names = _names(state, len(loads_of))
    colour = CHAIN if measure == DISTANCE else NETWORK
    right.barh(range(len(loads_of)), [float(d) for d in loads_of], color=colour, height=0.72)
    right.set_yticks(range(len(loads_of)), names)
    right.invert_yaxis()
    right.axvline(0.0, color=DIM, linewidth=0.8)
    springs = measure == DISTANCE
    right.set_title("extension of each spring" if springs else "load of each layer")
    right.set_xlabel("$x_\\ell - x_{\\ell-1}$" if springs else "$D_{\\ell-1} - D_\\ell$")
    return figure


def curve_axes(axes: Axes, state: RunState, measure: str, at: Curve | None = None) -> None:
    """Draw the first curve, the mean field or the twin, and on top the curve ``at``, by default the newest."""
    curve = at or _latest(state)
    chain = measure == DISTANCE
    if state.initial is not None and state.initial is not curve:
        _line(axes, state.initial.curves.get(measure, []), DIM, "start", linewidth=1.0)
    if chain and "mean_field" in curve.curves:
        _line(axes, curve.curves["mean_field"], THEORY, "mean field", linestyle="--")
    elif measure == DEFAULT_MEASURE:
        _twin(axes, state, curve)
    _line(axes, curve.curves.get(measure, []), CHAIN if chain else NETWORK, "now", marker="o")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("block $\\ell$" if chain else "layer $\\ell$")
    axes.set_ylabel(MEASURES[measure].axis if measure in MEASURES else measure)
    axes.set_title(_headline(state, curve, measure))
    axes.legend()


def _twin(axes: Axes, state: RunState, curve: Curve) -> None:
    if (fit := twin_of(state, curve)) is not None:
        label = f"chain, $F^*$ = {with_error(fit.effective_friction, fit.standard_error)}"
        _line(axes, fit.curve, THEORY, label, linestyle="--")


def _line(axes: Axes, values: Sequence[float | None], colour: str, label: str, **more: Any) -> None:
    axes.plot([math.nan if v is None else v for v in values], color=colour, label=label, markersize=4, **more)


def _headline(state: RunState, curve: Curve, measure: str) -> str:
    unit, shape = "epoch" if "epochs" in state.settings else "step", shape_of(state, measure, curve)
    parts = [f"{unit} {curve.at}"]
    if shape is not None:
        parts += [shape.words] if shape.reason else [shape.words, f"CV {number(shape.cv, 2)}"]
    return " · ".join(parts)


def _names(state: RunState, count: int) -> list[str]:
    """Labels of ``count`` layers: their names, or numbers where the run names another number of layers."""
    layers = state.layers[1:]
    names = layers if len(layers) == count else [str(i + 1) for i in range(count)]
    return [_literal(name[:14]) for name in names]


def _literal(text: str) -> str:
    """Text without control characters and with $ escaped, which matplotlib would take for mathematics."""
    return plain_text(text).replace("$", "\\$")


def _latest(state: RunState) -> Curve:
    if state.latest is None:
        raise DataError(f"{state.run_id} has no load curve yet; wait for its first measurement")
    return state.latest


# the chain


def chain(state: RunState, measure: str) -> Figure:
    """Blocks and springs of a chain, or of a network as its newest load curve places them."""
    figure = new_figure(7.4, 1.7)
    axes = figure.subplots()
    draw_chain(axes, positions_of(state, _latest(state), measure))
    axes.set_title(_headline(state, _latest(state), measure))
    return figure


def positions_of(state: RunState, curve: Curve, measure: str) -> list[float]:
    """Positions of wall, blocks and target, scaled to 0 … 1, [L + 2], from a chain's or a network's hidden curve.

    Raises:
        DataError: the curve has missing values or does not fall.
    """
    points = curve.curves.get(measure, [])
    if measure != DISTANCE:
        points = signed_curve(curve, measure)[: -1 if has_logits(state, measure) else None]
    known = [v for v in points if v is not None]
    flat = measure != DISTANCE and len(known) > 1 and known[0] < known[-1]
    if len(known) != len(points) or len(known) < 2 or known[0] == known[-1] or flat:
        shape = shape_of(state, measure, curve)
        why = shape.reason if shape is not None and shape.reason else "it does not fall"
        raise DataError(f"{state.run_id}: the curve at {curve.at} has no picture as a chain: {why}")
    return [(known[0] - v) / (known[0] - known[-1]) for v in known]


def draw_chain(axes: Axes, points: Sequence[float]) -> None:
    """Draw wall, springs, numbered blocks and target at points 0 … 1, with each spring's extension below it.

    A compressed spring that runs backwards has its extension a line lower. Blocks closer than ``_TOO_CLOSE`` share
    one number.
    """
    mean = 1.0 / (len(points) - 1)
    for a, b in itertools.pairwise(points):
        stretched = (b - a) / mean
        colour = CHAIN if stretched > 1.25 else DIM if stretched < 0.75 else INK
        xs, ys = _zigzag(a, b)
        axes.plot(xs, ys, color=colour, linewidth=1.1, solid_joinstyle="miter")
        if abs(b - a) > 0.075:
            low, text = (-0.54 if b > a else -0.76), f"{b - a:.2f}"
            axes.text((a + b) / 2, low, text, ha="center", va="top", color=DIM, fontsize=7.5, clip_on=True)
    for x in points[1:-1]:
        axes.plot([x], [0.0], marker="s", markersize=9, color=NETWORK, markeredgecolor="white")
    for x, text in block_numbers(points[1:-1]):
        axes.text(x, 0.54, text, ha="center", va="bottom", fontsize=7.5, clip_on=True)
    axes.plot([points[0]] * 2, [-0.5, 0.5], color=INK, linewidth=4)
    axes.plot([points[-1]], [0.0], marker=">", markersize=10, color=THEORY)
    axes.set_ylim(-1.0, 0.8)
    axes.set_axis_off()


def block_numbers(places: Sequence[float]) -> list[tuple[float, str]]:
    """Place and text of each block's number, from the places of blocks, [L]; close blocks share one, as 1–4."""
    groups: list[list[int]] = []
    for index in range(len(places)):
        if groups and abs(places[index] - places[groups[-1][-1]]) < _TOO_CLOSE:
            groups[-1].append(index)
        else:
            groups.append([index])
    numbered = []
    for group in groups:
        ends = dict.fromkeys((group[0] + 1, group[-1] + 1))
        numbered.append((sum(places[i] for i in group) / len(group), "–".join(map(str, ends))))
    return numbered


def _zigzag(a: float, b: float, turns: int = 7) -> tuple[list[float], list[float]]:
    """x and y of a spring's zigzag between two points; it gets flatter with the distance."""
    tall = 0.22 * min(1.0, 0.12 / max(abs(b - a), 1e-9))
    inner = range(1, 2 * turns)
    xs = [a + (b - a) * k / (2 * turns) for k in inner]
    ys = [tall * (0.0 if k % 2 == 0 else 1.0 if k % 4 == 1 else -1.0) for k in inner]
    return [a, *xs, b], [0.0, *ys, 0.0]


# training


def loss(state: RunState, _measure: str) -> Figure:
    """Training loss, and accuracies in %, over epochs.

    Raises:
        DataError: the run recorded neither.
    """
    kinds = [k for k in ("train_loss", "train_accuracy", "test_accuracy") if k in state.history]
    if not kinds:
        raise DataError(f"{state.run_id} recorded neither loss nor accuracy")
    figure = new_figure(7.4, 3.0)
    left, right = figure.subplots(1, 2)
    if history := state.history.get("train_loss"):
        left.plot(history.x, history.y, color=NETWORK)
        if min(history.y) > 0:
            left.set_yscale("log")
    for key, colour, label in (("train_accuracy", DIM, "training set"), ("test_accuracy", NETWORK, "test set")):
        if history := state.history.get(key):
            right.plot(history.x, [100 * y for y in history.y], color=colour, label=label)
    nats = state.settings.get("loss") == "cross_entropy"
    left.set_title("training loss, nats" if nats else "training loss")
    right.set_title("accuracy, %")
    for axes in (left, right):
        axes.set_xlabel("epoch")
    if right.lines:
        right.legend(loc="lower right")
    return figure


# phase diagrams


def phase(config: SweepConfig, summaries: Sequence[Summary], colour: Colour, *, noted: bool = True) -> Figure:
    """A phase diagram: cells coloured by a quantity, each with its value and a small load curve.

    A cell whose load curve means nothing has a mark instead; ``noted`` adds lines below that say why, so that the
    figure is higher.

    Raises:
        DataError: the sweep has no cell yet.
    """
    columns, rows = len(config.x_values), len(config.y_values)
    notes = _about_unclear(config, summaries) if noted else []
    figure = new_figure(min(14.0, 1.9 + 0.62 * columns), min(12.0, 1.1 + 0.56 * rows + 0.13 * len(notes)))
    axes = figure.subplots()
    phase_on(axes, config, summaries, colour)
    if notes:
        place: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "fontsize": _SMALL}
        axes.annotate("\n".join(notes), (0.0, 0.0), (0.0, -34.0), color=INK, **place)
    return figure


def phase_on(axes: Axes, config: SweepConfig, summaries: Sequence[Summary], colour: Colour) -> None:
    """Draw ``phase`` on existing axes.

    Raises:
        DataError: the sweep has no cell yet.
    """
    grid = grid_of(config, summaries, colour)
    if grid is None:
        raise DataError("the sweep has no cell yet; wait for its first")
    columns, rows = len(grid.columns), len(grid.rows)
    table = [list(grid.values[r * columns : (r + 1) * columns]) for r in range(rows)]
    colours = matplotlib.colormaps["cividis"].with_extremes(bad="#d8dbdf")
    image = axes.imshow(table, cmap=colours, vmin=grid.low, vmax=grid.high, aspect="auto")
    numbers = columns <= 24
    middle = grid.low + 0.55 * (grid.high - grid.low)
    for index, value in enumerate(grid.values):
        row, column = divmod(index, columns)
        ink = "black" if math.isfinite(value) and value > middle else "white"
        ink = ink if math.isfinite(value) else INK
        _cell(axes, grid.curves[index], column, row, ink)
        if grid.unclear[index]:
            axes.text(column, row + 0.1, UNCLEAR, color=ink, ha="center", va="center", fontsize=11)
        if numbers:
            text = f"{value:.{grid.digits}f}" if math.isfinite(value) else "" if grid.unclear[index] else "–"
            side = -1 if _fills_the_corner(grid.curves[index]) else 1
            where = "right" if side > 0 else "left"
            axes.text(column + 0.44 * side, row - 0.3 * side, text, color=ink, ha=where, va="center", fontsize=6.5)
    every = max(1, columns // 16)
    axes.set_xticks(range(0, columns, every), list(grid.columns)[::every])
    axes.set_yticks(range(rows), grid.rows)
    axes.set_xlabel(grid.column_title)
    axes.set_ylabel(grid.row_title)
    axes.set_title(f"{_literal(_what(config))}: {colour.title}")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure = axes.figure
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04).outline.set_visible(False)


def _about_unclear(config: SweepConfig, summaries: Sequence[Summary]) -> list[str]:
    """Lines as long as a diagram is wide on the cells whose load curve means nothing: how many, and why."""
    reasons = unclear_in_words([s for s in summaries if s.reason != NO_CURVE])
    text = f"{UNCLEAR} the load curve means nothing: {', '.join(reasons)}"
    return textwrap.wrap(text, 18 + 11 * len(config.x_values)) if reasons else []


def _what(config: SweepConfig) -> str:
    """The recipe's name where the axes are the recipe's, else networks or chains."""
    known = DIAGRAMS.get(config.recipe)
    own = known is not None and (known.x_axis, known.y_axis) == (config.x_axis, config.y_axis)
    return config.recipe if own else {"network": "networks", "chain": "chains"}[config.system]


def _fills_the_corner(curve: Sequence[float]) -> bool:
    """Whether a cell's curve would cross its value at the top right, which then goes to the bottom left."""
    return max(curve[round(0.5 * (len(curve) - 1)) :], default=0.0) > 0.7


def _cell(axes: Axes, curve: Sequence[float], column: int, row: int, ink: str) -> None:
    if len(curve) < 2:
        return
    xs = [column - 0.4 + 0.8 * i / (len(curve) - 1) for i in range(len(curve))]
    ys = [row + 0.4 - 0.72 * min(1.1, max(-0.1, v)) for v in curve]
    axes.plot(xs, ys, color=ink, linewidth=1.0)
