"""Summaries of a sweep's records, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..measures.curve_error import curve_error_over_seeds
from ..measures.friction import hidden
from ..measures.load_curve import statistics
from ..measures.registry import MEASURE_OF
from ..runs.records import Cell, finite
from ..settings.sweep import SweepConfig
from .axes import Value
from .grid import cell_count, cell_values, members

DIVERGED = "every member diverged"
NO_CURVE = "no curve yet"


class Summary(NamedTuple):
    """Means over a cell's members."""

    cell: int
    """Index of the cell: y index x columns + x index."""
    x: Value
    y: Value
    done: int
    """Number of members that ended."""
    diverged: int
    """Number of members among them that diverged."""
    curves: dict[str, list[float | None]]
    """D_0 … D_L by measure, mean over members that did not diverge; natural logs, or lengths of a chain."""
    spread: dict[str, list[float | None]]
    """Sample s.d. of ``curves`` over these members; empty for one member."""
    cv: float
    asymmetry: float
    regime: str
    reason: str
    """``cv``, ``asymmetry``, ``regime`` and ``reason`` of the mean curve: see ``measures.load_curve.statistics``.
    Without a curve the reason is ``DIVERGED`` or ``NO_CURVE``."""
    curve_error: float
    """Root mean square standard error of the scaled mean curve: over the members, or of a single one over its
    samples; NaN where it is unknown."""
    total_separation: float
    """D at the input minus D at the last hidden layer; of a chain, minus D at its end."""
    scalars: dict[str, float]
    """Means over these members: test_accuracy and train_accuracy in [0, 1], train_loss, hessian_trace, …"""
    final: bool
    """Whether all members ended."""


def summarise(config: SweepConfig, cells: Iterable[Cell]) -> list[Summary]:
    """One summary for each cell with a record, by index; an unfinished member counts by its newest record."""
    newest: dict[tuple[int, int], Cell] = {}
    for cell in cells:
        known = newest.get((cell.cell, cell.member))
        if known is None or not known.final:
            newest[cell.cell, cell.member] = cell
    by_cell: dict[int, list[Cell]] = {}
    for (index, _), cell in sorted(newest.items()):
        if 0 <= index < cell_count(config):
            by_cell.setdefault(index, []).append(cell)
    return [summarise_cell(config, index, records) for index, records in sorted(by_cell.items())]


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # values in a log may be of any size
def summarise_cell(config: SweepConfig, index: int, records: Sequence[Cell]) -> Summary:
    """A cell's summary from one record a member: over members that ended, else over unfinished ones."""
    ended = [cell for cell in records if cell.final]
    shown = [cell for cell in ended if cell.curves] or [cell for cell in records if cell.curves]
    curves, spread = _mean_curves([cell.curves for cell in shown])
    main = curves.get(MEASURE_OF[config.system], [])
    network = config.system == "network"
    error = _curve_error(shown, MEASURE_OF[config.system], logits=network)
    done = bool(shown) and all(cell.final for cell in shown)
    shape = statistics(main, logits=network, error=error, ended=done, chain=not network)
    x, y = cell_values(config, index)
    return Summary(
        cell=index,
        x=x,
        y=y,
        done=len(ended),
        diverged=sum(1 for cell in ended if not cell.curves),
        curves=curves,
        spread=spread,
        cv=shape.cv,
        asymmetry=shape.asymmetry,
        regime=shape.regime,
        reason=shape.reason if shown else DIVERGED if ended else NO_CURVE,
        curve_error=error,
        total_separation=_total(main if config.system == "chain" else main[:-1]),
        scalars=_mean_scalars([cell.scalars for cell in shown]),
        final=len(ended) == members(config),
    )


def _curve_error(shown: Sequence[Cell], measure: str, *, logits: bool) -> float:
    """Error of the scaled mean curve over the members; of a single one over its samples, as it was recorded."""
    if len(shown) == 1:
        error = shown[0].scalars.get("curve_error")
        return math.nan if error is None else error
    curves = [cell.curves.get(measure, []) for cell in shown]
    points = [hidden(curve if logits else [*curve, None]) for curve in curves]
    return curve_error_over_seeds(points) if len({len(curve) for curve in points}) == 1 else math.nan


def _total(curve: Sequence[float | None]) -> float:
    """First minus last value; NaN where either is missing."""
    first, last = (curve[0], curve[-1]) if len(curve) > 1 else (None, None)
    return math.nan if first is None or last is None else first - last


def _mean_curves(
    members: Sequence[Mapping[str, Sequence[float | None]]],
) -> tuple[dict[str, list[float | None]], dict[str, list[float | None]]]:
    """Mean and sample s.d. over members, by measure; no s.d. for one member."""
    means: dict[str, list[float | None]] = {}
    spread: dict[str, list[float | None]] = {}
    for name in members[0] if members else ():
        rows = np.array(
            [[math.nan if v is None else v for v in curves[name]] for curves in members if name in curves]
        )
        means[name] = _listed(rows.mean(0))
        if len(rows) > 1:
            spread[name] = _listed(rows.std(0, ddof=1))
    return means, spread


def _listed(values: np.ndarray) -> list[float | None]:
    return [finite(float(v)) for v in values]


def _mean_scalars(members: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    names = {name for scalars in members for name in scalars}
    means = {}
    for name in sorted(names):
        values = [v for scalars in members if (v := scalars.get(name)) is not None]
        if values:
            means[name] = sum(values) / len(values)
    return means


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation of two sequences of equal length, in [-1, 1]; ties get their mean rank.

    NaN for fewer than 3 pairs of finite values, or where all values of one sequence are equal.
    """
    pairs = np.array([(x, y) for x, y in zip(a, b, strict=True) if math.isfinite(x) and math.isfinite(y)])
    if len(pairs) < 3:
        return math.nan
    ranks = np.array([_ranks(pairs[:, 0]), _ranks(pairs[:, 1])])
    if (ranks.std(1) == 0).any():
        return math.nan
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of values, [N] from [N], counted from 1; ties get their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse])


def with_accuracy_and_cv(summaries: Iterable[Summary]) -> list[Summary]:
    """The cells that have a test accuracy, and a load curve whose shape means something."""
    return [s for s in summaries if "test_accuracy" in s.scalars and not s.reason]


def accuracy_cv_correlation(summaries: Sequence[Summary]) -> float:
    """Spearman's correlation of test accuracy and coefficient of variation over ``with_accuracy_and_cv``."""
    known = with_accuracy_and_cv(summaries)
    return spearman([s.scalars["test_accuracy"] for s in known], [s.cv for s in known])
