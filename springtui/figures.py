"""The figures of a run, drawn by matplotlib (extra ``figures``); for the command line's process, never the app's.

One function a figure, each from plain records to a ``Figure``. The same records give the same bytes: fonts are
matplotlib's own, no date is written, and nobody's matplotlibrc is heeded.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.config import SweepConfig
from engine.errors import DataError
from engine.loads import loads, statistics
from engine.records import Curve
from engine.sweep import MEASURES, Summary
from engine.twin_curve import fit_curve, hidden

from .diagram import Colour, grid_of
from .regime import in_words, number, with_error
from .state import RunState, signed_curve
from .terminal import plain_text

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
_AXES = {
    "trace_ratio": "$D_\\ell$ = log(Tr Σ$_w$ / Tr Σ$_b$)",
    "fuzziness": "log Tr(Σ$_w$ Σ$_b^+$)",
    "inverse_fuzziness": "log Tr(Σ$_b$ Σ$_w^+$)",
    "distance": "distance to the target, $y - x_\\ell$",
}
_DPI = 144
_GIF_DPI = 80
_GIF_COLOURS = 64
_FRAME_MS, _LAST_MS = 90, 2000


def new_figure(width: float, height: float, *, still: bool = False) -> Figure:
    """An empty figure in inches, with the style that all share; ``still`` leaves its axes where they are put."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_STYLE)
    return Figure(figsize=(width, height), layout=None if still else "constrained")


def encode(figure: Figure, ending: str) -> bytes:
    """The bytes of a figure as png, svg or pdf, the same each time."""
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
    """D_0 … D_L as they are now and were at the start, and the load of each layer or spring beside.

    Raises:
        DataError: there is no curve yet, or none of this measure.
    """
    figure = new_figure(7.4, 3.3)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _curve_axes(left, state, measure)
    latest = _latest(state)
    if measure not in latest.curves:
        recorded = ", ".join(latest.curves) or "none"
        raise DataError(f"{state.run_id} did not record {measure}; --measure takes what it did: {recorded}")
    loads_of = loads(signed_curve(latest, measure))
    names = _names(state, len(loads_of))
    colour = CHAIN if measure == "distance" else NETWORK
    right.barh(range(len(loads_of)), [float(d) for d in loads_of], color=colour, height=0.72)
    right.set_yticks(range(len(loads_of)), names)
    right.invert_yaxis()
    right.axvline(0.0, color=DIM, linewidth=0.8)
    right.set_title("extension of each spring" if measure == "distance" else "load of each layer")
    return figure


def _curve_axes(axes: Axes, state: RunState, measure: str, at: Curve | None = None) -> None:
    """Start, theory or twin, and the newest curve on top."""
    curve = at or _latest(state)
    chain = measure == "distance"
    if state.initial is not None and state.initial is not curve:
        _line(axes, state.initial.curves.get(measure, []), DIM, "start", linewidth=1.0)
    if chain and "mean_field" in curve.curves:
        _line(axes, curve.curves["mean_field"], THEORY, "mean field", linestyle="--")
    elif measure == "trace_ratio":
        _twin(axes, state, curve)
    _line(axes, curve.curves.get(measure, []), CHAIN if chain else NETWORK, "now", marker="o")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("block $\\ell$" if chain else "layer $\\ell$")
    axes.set_ylabel(_AXES.get(measure, measure))
    axes.set_title(_headline(state, curve, measure))
    axes.legend()


def _twin(axes: Axes, state: RunState, curve: Curve) -> None:
    points = curve.curves.get("trace_ratio", [])
    try:
        fit = fit_curve(
            hidden(points if has_logits(state, "trace_ratio") else [*points, None]),
            error=curve.scalars.get("friction_error"),
        )
    except DataError:
        return
    _line(
        axes,
        fit.curve,
        THEORY,
        f"chain, $F^*$ = {with_error(fit.effective_friction, fit.standard_error)}",
        linestyle="--",
    )


def _line(axes: Axes, values: Sequence[float | None], colour: str, label: str, **more: Any) -> None:
    axes.plot([math.nan if v is None else v for v in values], color=colour, label=label, markersize=4, **more)


def _headline(state: RunState, curve: Curve, measure: str) -> str:
    shape = statistics(signed_curve(curve, measure), logits=has_logits(state, measure))
    unit = "epoch" if "epochs" in state.settings else "step"
    return f"{unit} {curve.at} · {in_words(shape)} · CV {number(shape.cv, 2)}"


def has_logits(state: RunState, measure: str) -> bool:
    """Whether the last point of the curve is the logits', which statistics leave out."""
    return measure != MEASURES["chain"] and (not state.layers or state.layers[-1] == "logits")


def _names(state: RunState, count: int) -> list[str]:
    told = state.layers[1:]
    names = told if len(told) == count else [str(i + 1) for i in range(count)]
    return [_literal(name[:14]) for name in names]


def _literal(text: str) -> str:
    """Text of a file, which is no mathematics to matplotlib and steers no terminal."""
    return plain_text(text).replace("$", "\\$")


def _latest(state: RunState) -> Curve:
    if state.latest is None:
        raise DataError(f"{state.run_id} has no load curve yet; wait for its first measurement")
    return state.latest


# the chain


def chain(state: RunState, measure: str) -> Figure:
    """Blocks and springs where the curve puts them; of a network, the picture that its load curve makes."""
    figure = new_figure(7.4, 1.7)
    axes = figure.subplots()
    draw_chain(axes, positions_of(state, _latest(state), measure))
    axes.set_title(_headline(state, _latest(state), measure))
    return figure


def positions_of(state: RunState, curve: Curve, measure: str) -> list[float]:
    """Wall, blocks and target, 0 … 1: of a chain its mean positions, of a network its scaled hidden curve.

    Raises:
        DataError: the curve has gaps or does not fall, so that there is no chain like it.
    """
    points = curve.curves.get(measure, [])
    if measure != MEASURES["chain"]:
        points = signed_curve(curve, measure)[: -1 if has_logits(state, measure) else None]
    known = [v for v in points if v is not None]
    if len(known) != len(points) or len(known) < 2 or known[0] == known[-1]:
        raise DataError(
            f"{state.run_id}: the curve at {curve.at} has no picture as a chain; nothing is separated yet"
        )
    return [(known[0] - v) / (known[0] - known[-1]) for v in known]


def draw_chain(axes: Axes, points: Sequence[float]) -> None:
    """Wall, springs, numbered blocks and target at points 0 … 1, with each spring's extension below it."""
    mean = 1.0 / (len(points) - 1)
    for a, b in itertools.pairwise(points):
        stretched = (b - a) / mean
        colour = CHAIN if stretched > 1.25 else DIM if stretched < 0.75 else INK
        xs, ys = _zigzag(a, b)
        axes.plot(xs, ys, color=colour, linewidth=1.1, solid_joinstyle="miter")
        if abs(b - a) > 0.075:
            axes.text((a + b) / 2, -0.42, f"{b - a:.2f}", ha="center", va="top", color=DIM, fontsize=7.5)
    for index, x in enumerate(points[1:-1], 1):
        axes.plot([x], [0.0], marker="s", markersize=9, color=NETWORK, markeredgecolor="white")
        axes.text(x, 0.36, str(index), ha="center", va="bottom", fontsize=7.5)
    axes.plot([points[0]] * 2, [-0.5, 0.5], color=INK, linewidth=4)
    axes.plot([points[-1]], [0.0], marker=">", markersize=10, color=THEORY)
    axes.set_ylim(-0.85, 0.75)
    axes.set_axis_off()


def _zigzag(a: float, b: float, turns: int = 7) -> tuple[list[float], list[float]]:
    """A spring between two points, flatter the more it is stretched."""
    tall = 0.22 * min(1.0, 0.12 / max(abs(b - a), 1e-9))
    inner = range(1, 2 * turns)
    xs = [a + (b - a) * k / (2 * turns) for k in inner]
    ys = [tall * (0.0 if k % 2 == 0 else 1.0 if k % 4 == 1 else -1.0) for k in inner]
    return [a, *xs, b], [0.0, *ys, 0.0]


# training


def loss(state: RunState, _measure: str) -> Figure:
    """Training loss, and accuracies, over epochs.

    Raises:
        DataError: neither was recorded.
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
    left.set_title("training loss")
    right.set_title("accuracy, %")
    for axes in (left, right):
        axes.set_xlabel("epoch")
    if right.lines:
        right.legend(loc="lower right")
    return figure


# phase diagrams


def phase(config: SweepConfig, summaries: Sequence[Summary], colour: Colour) -> Figure:
    """The diagram: cells coloured by a quantity, each with its number and its small load curve.

    Raises:
        DataError: no cell is known yet.
    """
    columns, rows = len(config.x_values), len(config.y_values)
    figure = new_figure(min(14.0, 1.9 + 0.62 * columns), min(12.0, 1.1 + 0.56 * rows))
    phase_on(figure.subplots(), config, summaries, colour)
    return figure


def phase_on(axes: Axes, config: SweepConfig, summaries: Sequence[Summary], colour: Colour) -> None:
    """As ``phase``, on axes that are there.

    Raises:
        DataError: no cell is known yet.
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
        _cell(axes, grid.curves[index], column, row, ink if math.isfinite(value) else INK)
        if numbers:
            text = f"{value:.{grid.digits}f}" if math.isfinite(value) else "–"
            axes.text(column + 0.44, row - 0.3, text, color=ink, ha="right", va="center", fontsize=6.5)
    every = max(1, columns // 16)
    axes.set_xticks(range(0, columns, every), list(grid.columns)[::every])
    axes.set_yticks(range(rows), grid.rows)
    axes.set_xlabel(grid.column_title)
    axes.set_ylabel(grid.row_title)
    axes.set_title(f"{_literal(config.recipe or config.system)}: {colour.title}")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure = axes.figure
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04).outline.set_visible(False)


def _cell(axes: Axes, curve: Sequence[float], column: int, row: int, ink: str) -> None:
    if len(curve) < 2:
        return
    xs = [column - 0.4 + 0.8 * i / (len(curve) - 1) for i in range(len(curve))]
    ys = [row + 0.4 - 0.72 * min(1.1, max(-0.1, v)) for v in curve]
    axes.plot(xs, ys, color=ink, linewidth=1.0)


# films


def replay(state: RunState, curves: Sequence[Curve], measure: str, frames: int) -> bytes:
    """An animated GIF of a run: its load curve, and the chain that it is or looks like, from start to end.

    Raises:
        DataError: there are fewer than two curves.
    """
    if len(curves) < 2:
        raise DataError(f"{state.run_id} has {len(curves)} load curve; a replay needs two")
    figure = new_figure(7.0, 4.6, still=True)
    axes = figure.subplots(2, 1, height_ratios=(3, 1))
    figure.subplots_adjust(left=0.11, right=0.98, top=0.94, bottom=0.02, hspace=0.3)
    span = _span(curves, measure)

    def draw(curve: Curve) -> None:
        for one in axes:
            one.clear()
        _curve_axes(axes[0], state, measure, at=curve)
        axes[0].set_ylim(*span)
        try:
            draw_chain(axes[1], positions_of(state, curve, measure))
        except DataError:
            axes[1].set_axis_off()
        axes[1].set_xlim(-0.02, 1.02)

    images = []
    for curve in picked(curves, frames):
        draw(curve)
        images.append(_pixels(figure))
    return _gif(images)


def replay_phase(config: SweepConfig, steps: Sequence[Sequence[Summary]], colour: Colour) -> bytes:
    """An animated GIF of a diagram as its cells came in."""
    images = [_pixels(phase(config, summaries, colour)) for summaries in steps]
    return _gif(images)


def picked(curves: Sequence[Curve], frames: int) -> list[Curve]:
    """So many curves at most, first and last among them, closer together at the start, where most happens."""
    last = len(curves) - 1
    count = min(frames, len(curves))
    places = {max(i, round(last * (i / max(1, count - 1)) ** 2)) for i in range(count)}
    return [curves[place] for place in sorted(places)]


def _span(curves: Sequence[Curve], measure: str) -> tuple[float, float]:
    values = [v for curve in curves for v in curve.curves.get(measure, []) if v is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _pixels(figure: Figure) -> Any:
    from PIL import Image

    figure.set_dpi(_GIF_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")


def _gif(images: Sequence[Any]) -> bytes:
    """One palette for all frames, from the first and the last, so that only what moves is written."""
    from PIL import Image

    width, height = images[-1].size
    both = Image.new("RGB", (width, 2 * height))
    both.paste(images[0], (0, 0))
    both.paste(images[-1], (0, height))
    palette = both.quantize(_GIF_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    out = io.BytesIO()
    times = [_FRAME_MS] * (len(frames) - 1) + [_LAST_MS]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False)
    return out.getvalue()
