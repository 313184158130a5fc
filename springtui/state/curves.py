"""The curves that plots show, computed from a run's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.measures.registry import DEFAULT_MEASURE
from engine.runs.records import Curve

from ..terminal.text import ascii_only
from .pictures import Series
from .run_state import RunState, has_logits, points_of
from .wording import shape_of

if TYPE_CHECKING:
    from engine.measures.friction import CurveFit


def legend_of(system: str, *more: tuple[str, str]) -> str:
    """The legend of a load curve: earlier curves, the newest, and the computed ones."""
    past = (("start", "$secondary 60%"), ("before", "$foreground 40%"))
    if system == "chain":
        return legend(*past, ("now", "$accent"), ("theory", "$theory"), *more)
    return legend(*past, ("now", "$primary"), ("twin", "$theory"), *more)


def legend(*curves: tuple[str, str]) -> str:
    """A legend as markup: a piece of line in each curve's colour, and its name."""
    line = "-" if ascii_only() else "━"
    gap = " " if len(curves) > 4 else "  "  # five must fit beside each other at 120 columns
    return gap.join(f"[{color}]{line}[/] [$secondary]{name}[/]" for name, color in curves)


_FADES = ("fade3", "fade2", "fade1")


def curves_of(state: RunState | None, measure: str, role: str) -> list[Series]:
    """The load curves, oldest first, so that the newest is drawn on top."""
    if state is None or state.latest is None:
        return []
    past: list[tuple[Curve | None, str, str]] = [(state.initial, "start", "initial")]
    echoes = list(state.echoes)
    past += [(echo, "", fade) for echo, fade in zip(echoes, _FADES[-len(echoes) :], strict=False)]
    past.append((state.latest, "now", role))
    return [_series(curve, measure, name, tone) for curve, name, tone in past if curve is not None]


def theory_of(state: RunState | None) -> list[Series]:
    """The mean field's curve, where the worker computes it."""
    if state is None or state.latest is None or "mean_field" not in state.latest.curves:
        return []
    return [_series(state.latest, "mean_field", "theory", "theory")]


def twin_of(state: RunState | None, at: Curve | None = None) -> CurveFit | None:
    """The chain fitted to a network's curve, by default the newest; None where the curve's shape means nothing."""
    curve = at or (state.latest if state is not None else None)
    shape = shape_of(state, DEFAULT_MEASURE, curve)
    if state is None or curve is None or shape is None:
        return None
    from engine.measures.friction import hidden, twin_fit  # needs NumPy, which no first frame waits for

    points = curve.curves.get(DEFAULT_MEASURE, [])
    points = points if has_logits(state, DEFAULT_MEASURE) else [*points, None]
    return twin_fit(hidden(points), shape.reason, error=curve.scalars.get("friction_error"))


def twin_series(state: RunState | None, measure: str, predicted: Sequence[float] = ()) -> list[Series]:
    """The twin's parabola and the fitted map's prediction; empty for measures that they are not made for."""
    fit = twin_of(state) if measure == DEFAULT_MEASURE else None
    if fit is None:
        return []
    layers, last = list(range(len(fit.curve))), fit.curve[-1]
    series = [Series(layers, fit.curve, "twin", "theory")]
    if len(predicted) == len(layers):
        series.insert(0, Series(layers, [last + (fit.curve[0] - last) * p for p in predicted], "map", "good"))
    return series


def _series(curve: Curve, measure: str, name: str, role: str) -> Series:
    values = [float("nan") if v is None else v for v in points_of(curve, measure)]
    return Series(list(range(len(values))), values, name, role)
