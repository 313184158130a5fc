"""What the Phase screen shows of a sweep. Plain functions on records: no widget, no file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.config import SweepConfig
from engine.sweep import MEASURES, Summary, accuracy_cv_correlation, place, size, summarise
from engine.sweep_axes import Value

from .regime import number
from .state import RunState
from .terminal import plain_text
from .widgets.heat_map import Grid


class Colour(NamedTuple):
    """A quantity that a diagram can be coloured by."""

    key: str
    title: str
    digits: int
    fixed: tuple[float, float] | None = None
    """The legend's range; None takes it from the cells."""


COLOURS = (
    Colour("test_accuracy", "test accuracy", 2),
    Colour("cv", "coefficient of variation", 2),
    Colour("asymmetry", "asymmetry", 2, (-1.0, 1.0)),
    Colour("total_separation", "total separation", 1),
    Colour("train_loss", "training loss", 2),
)
TITLES = {"data_noise": "data noise", "lr": "learning rate", "batch_size": "batch size"}


def value_of(summary: Summary, colour: Colour) -> float:
    """A cell's value; NaN where it has none."""
    if colour.key in {"cv", "asymmetry", "total_separation"}:
        return float(getattr(summary, colour.key))
    return summary.scalars.get(colour.key, math.nan)


def summaries_of(config: SweepConfig, state: RunState) -> list[Summary]:
    """Of the finished members, and of those under way."""
    return summarise(config, [*state.cells.values(), *state.present.values()])


def grid_of(config: SweepConfig, summaries: Sequence[Summary], colour: Colour) -> Grid | None:
    """The heat map of a sweep; None before anything is known."""
    if not summaries:
        return None
    count = size(config)
    values, curves, final = [math.nan] * count, [[0.0][:0] for _ in range(count)], [False] * count
    for summary in summaries:
        values[summary.cell] = value_of(summary, colour)
        curve = summary.curves.get(MEASURES[config.system], [])
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
    )


def row_title(config: SweepConfig) -> str:
    """The rows' name: nonlinearity for slopes."""
    return "nonlinearity" if config.y_axis == "negative_slope" else config.y_axis.replace("_", " ")


def row_value(config: SweepConfig, y: Value) -> Value:
    """A row's value under its name."""
    return round(1.0 - float(y), 10) if config.y_axis == "negative_slope" else y


def _range(values: Sequence[float]) -> tuple[float, float]:
    known = [v for v in values if math.isfinite(v)]
    return (min(known), max(known)) if known else (0.0, 1.0)


def scaled_curve(curve: Sequence[float | None]) -> list[float]:
    """A load curve, the logits left out, from 1 to 0; empty where it does not fall."""
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


def facts_of(config: SweepConfig, summaries: Sequence[Summary], cell: int) -> list[str]:
    """The numbers of the cell under the cursor."""
    x, y = place(config, cell)
    noise = TITLES.get(config.x_axis, config.x_axis)
    head = f"{row_title(config)} {short(row_value(config, y))} · {noise} {short(x)}"
    found = next((s for s in summaries if s.cell == cell), None)
    if found is None:
        return [head, "not made yet"]
    accuracy = found.scalars.get("test_accuracy")
    lines = [head, f"{found.done} done" + (f", {found.diverged} diverged" if found.diverged else "")]
    if accuracy is not None:
        lines.append(f"test accuracy {100 * accuracy:.1f}%")
    lines.append(f"CV {number(found.cv, 2)} · asymmetry {number(found.asymmetry, 2)}")
    lines.append(f"total separation {number(found.total_separation)}")
    return lines


def correlation_text(summaries: Sequence[Summary]) -> str:
    """Spearman's correlation, or that there is none yet."""
    value = accuracy_cv_correlation(summaries)
    return f"Spearman {value:+.2f}" if math.isfinite(value) else "Spearman –"
