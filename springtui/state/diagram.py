"""The grid and the facts of a sweep, computed from its records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.measures.registry import DEFAULT_MEASURE, DISTANCE, MEASURE_OF
from engine.settings.sweep import SweepConfig
from engine.sweep.axes import Value
from engine.sweep.grid import cell_count, cell_values, members, twin_map_for
from engine.sweep.summary import NO_CURVE, Summary, accuracy_cv_correlation, summarise, with_accuracy_and_cv
from engine.twin.axis import noise_coordinate
from engine.twin.maps import PRESETS

from ..terminal.text import plain_text
from .pictures import Grid
from .run_state import RunState
from .wording import decimals, number


class Colour(NamedTuple):
    """A quantity that a diagram can be coloured by."""

    key: str
    title: str
    digits: int
    fixed: tuple[float, float] | None = None
    """Range of the legend; None takes the cells' range."""


COLOURS = (
    Colour("test_accuracy", "test accuracy", 2),
    Colour("cv", "coefficient of variation", 2),
    Colour("asymmetry", "asymmetry", 2, (-1.0, 1.0)),
    Colour("total_separation", "total separation", 1),
    Colour("hessian_trace", "log10 of the Hessian's trace", 1),
    Colour("train_loss", "training loss", 2),
)
NOT_MEASURED = "not measured; a sweep with --set hessian=on measures it"
TITLES = {"data_noise": "data noise", "lr": "learning rate", "batch_size": "batch size"}


def value_of(summary: Summary, colour: Colour) -> float:
    """A cell's value; NaN where it has none."""
    if colour.key in {"cv", "asymmetry", "total_separation"}:
        return float(getattr(summary, colour.key))
    value = summary.scalars.get(colour.key, math.nan)
    if colour.key == "hessian_trace":  # its values span factors of thousands
        return math.log10(value) if value > 0 else math.nan
    return value


def summaries_of(config: SweepConfig, state: RunState) -> list[Summary]:
    """Summaries of a sweep's cells, from finished members and those under way."""
    return summarise(config, [*state.cells.values(), *state.present.values()])


def grid_of(config: SweepConfig, summaries: Sequence[Summary], colour: Colour) -> Grid | None:
    """The heat map's grid; None before there is a result."""
    if not summaries:
        return None
    count = cell_count(config)
    values, curves, final = [math.nan] * count, [[0.0][:0] for _ in range(count)], [False] * count
    unclear = [False] * count
    for summary in summaries:
        values[summary.cell] = value_of(summary, colour)
        curve = summary.curves.get(MEASURE_OF[config.system], [])
        if summary.reason:  # scaling would show noise alone
            unclear[summary.cell] = summary.reason != NO_CURVE
        else:
            curves[summary.cell] = scaled_curve(curve[:-1] if config.system == "network" else curve)
        final[summary.cell] = summary.final
    low, high = colour.fixed or _range(values)
    return Grid(
        columns=[short(x) for x in config.x_values],
        rows=[short(row_value(config, y)) for y in config.y_values],
        values=values,
        curves=curves,
        final=final,
        column_title=TITLES.get(config.x_axis, config.x_axis.replace("_", " ")),
        row_title=row_title(config),
        low=low,
        high=high,
        digits=colour.digits,
        unclear=unclear,
        absent=NOT_MEASURED if colour.key == "hessian_trace" and lacks_hessian(config) else "",
    )


def row_title(config: SweepConfig) -> str:
    """The name of the rows; nonlinearity where they are slopes."""
    return "nonlinearity" if config.y_axis == "negative_slope" else config.y_axis.replace("_", " ")


def row_value(config: SweepConfig, y: Value) -> Value:
    """The value of a row under ``row_title``: 1 minus a slope."""
    return round(1.0 - float(y), 10) if config.y_axis == "negative_slope" else y


def _range(values: Sequence[float]) -> tuple[float, float]:
    known = [v for v in values if math.isfinite(v)]
    return (min(known), max(known)) if known else (0.0, 1.0)


def scaled_curve(curve: Sequence[float | None]) -> list[float]:
    """A load curve without the logits, scaled from 1 to 0; empty where it does not fall."""
    known = [v for v in curve if v is not None]
    if len(known) < 2 or len(known) != len(curve) or known[0] <= known[-1]:
        return []
    return [(v - known[-1]) / (known[0] - known[-1]) for v in known]


def short(value: Value) -> str:
    """A value in few characters: .2, 1, 1e-4, adam."""
    if isinstance(value, str):
        return plain_text(Path(value).name if "/" in value else value)
    if float(value).is_integer() and abs(value) < 1e5:
        return str(int(value))
    text = f"{value:.3g}" if value == 0 or abs(value) >= 0.01 else f"{value:.2e}".replace(".00e", "e")
    if text.startswith("0."):
        return text[1:]
    return text.replace("e-0", "e-").replace("e+0", "e")


def facts_of(
    config: SweepConfig,
    summaries: Sequence[Summary],
    cell: int,
    twins: Sequence[Summary] = (),
    chain: SweepConfig | None = None,
) -> list[str]:
    """Lines on a cell's numbers, and on those of its twin among the cells of ``chain``."""
    x, y = cell_values(config, cell)
    noise = TITLES.get(config.x_axis, config.x_axis)
    head = f"{row_title(config)} {short(row_value(config, y))} · {noise} {short(x)}"
    found = next((s for s in summaries if s.cell == cell), None)
    if found is None:
        return [head, "not made yet"]
    accuracy, trace = (found.scalars.get(name) for name in ("test_accuracy", "hessian_trace"))
    of = "" if found.final else f" of {members(config)}"
    lines = [head, f"{found.done}{of} done" + (f", {found.diverged} diverged" if found.diverged else "")]
    if accuracy is not None:
        lines.append(f"test accuracy {100 * accuracy:.1f}%")
    lines.append(_shape(found))
    lines.append(f"total separation {number(found.total_separation)}")
    lines.append(f"Hessian trace {'not measured' if trace is None else number(trace)}")
    return lines + twin_facts(config, found, next((t for t in twins if t.cell == cell), None), chain)


def _shape(summary: Summary) -> str:
    """CV and asymmetry of a cell's load curve, or why it has none."""
    if summary.reason:
        return summary.reason
    return f"CV {decimals(summary.cv)} · asymmetry {decimals(summary.asymmetry, sign=True)}"


def unclear_in_words(summaries: Sequence[Summary]) -> list[str]:
    """For each reason why a cell's load curve means nothing, how many cells have it: 2 not trained yet."""
    reasons = Counter(summary.reason for summary in summaries if summary.reason)
    return [f"{count} {reason}" for reason, count in reasons.most_common()]


def twin_facts(
    config: SweepConfig, found: Summary, twin: Summary | None, chain: SweepConfig | None = None
) -> list[str]:
    """Lines on the chain that a map gives for a cell, and on the distance of its curve from the networks'."""
    if config.x_axis in PRESETS and config.y_axis == "negative_slope" and twin is None:
        return ["twin: not made yet"]
    if twin is None or isinstance(twin.x, str) or isinstance(twin.y, str) or config.x_axis not in PRESETS:
        return ["twin: no map was fitted for these axes"]
    knobs = twin_map_for(chain or config).chain(1.0 - twin.y, noise_coordinate(config.x_axis, twin.x))
    right, left, noise = (float(knob) for knob in knobs)
    lines = [f"twin {_shape(twin)}"]
    ours = [] if found.reason else scaled_curve(found.curves.get(DEFAULT_MEASURE, [])[:-1])
    theirs = scaled_curve(twin.curves.get(DISTANCE, []))
    if ours and len(ours) == len(theirs):
        off = math.sqrt(sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)) / len(ours))
        lines.append(f"its curve is off by {number(off, 2)} r.m.s.")
    if chain is not None and chain.twin:
        lines.append("by your own map")
    return [*lines, f"μ→ {right:.3f} · μ← {left:.3f} · ε {noise:.3f}", f"F* {(right - left) / 2:+.3f}"]


def lacks_hessian(config: SweepConfig) -> bool:
    """Whether a sweep does not measure the Hessian's trace."""
    return config.system == "network" and config.settings.get("hessian") is not True


def correlation_text(summaries: Sequence[Summary], *, brief: bool = False) -> str:
    """Spearman's correlation, with the number of cells where some are left out; or that there is none yet."""
    value, known = accuracy_cv_correlation(summaries), len(with_accuracy_and_cv(summaries))
    counted = f"{known}/{len(summaries)}"
    over = "" if known == len(summaries) else f" ({counted})" if brief else f" over {counted} cells"
    return f"Spearman {value:+.2f}{over}" if math.isfinite(value) else "Spearman –"
