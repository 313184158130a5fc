"""The effective friction of a load curve: the number of the chain that behaves like it (ours). NumPy alone.

Shape legend: S seeds, H hidden layers, C cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from ..errors import DataError


class CurveFit(NamedTuple):
    """The effective friction of a network's load curve, which is a natural logarithm."""

    effective_friction: float
    """F*/k in units of the chain's length; > 0 concave, 0 balanced, < 0 convex."""
    standard_error: float
    """Of the friction, in the same unit; NaN where it is unknown, as for one curve of 2 layers."""
    residual: float
    """Root mean square distance of the scaled curve, which runs from 1 to 0, from the parabola."""
    over: str
    """Over what the standard error is taken: ``seeds``, by bootstrap; ``samples``, by ``friction_error``; or
    ``points``, where neither is known: their scatter about the parabola of degree 2 that fits them."""
    curve: list[float]
    """The parabola in the curve's own unit, D_0 … D_H, [H + 1]."""


def scaled(curves: ArrayLike) -> Floats:
    """Curves D_0 … D_H, [..., H + 1], scaled to (D - D_H) / (D_0 - D_H), which runs from 1 to 0.

    Raises:
        DataError: a curve has fewer than 3 points, is not finite, or does not fall.
    """
    d = np.asarray(curves, dtype=np.float64)
    if d.shape[-1] < 3:
        raise DataError(f"a twin needs the curve of at least 2 hidden layers; this one has {d.shape[-1] - 1}")
    total = d[..., :1] - d[..., -1:]
    if not np.isfinite(d).all() or (total <= 0).any():
        raise DataError(
            "no chain fits the curve: it has missing values, or does not fall from input to last hidden layer"
        )
    return np.asarray((d - d[..., -1:]) / total)


def fit_curve(curves: ArrayLike, *, error: float | None = None, resamples: int = 1000, seed: int = 0) -> CurveFit:
    """The effective friction of the mean of S curves, [S, H + 1] or [H + 1], logits left out.

    The parabola 1 - l/H + F*/2 l (H - l), a settled chain, is linear in F*, so its fit is exact. Over seeds the
    error is a bootstrap's (Efron, *Bootstrap methods*, 1979).

    Args:
        curves: D_0 … D_H of S seeds, or one alone.
        error: standard error of one curve's friction over its samples, by ``friction_error``; None if unknown.
        resamples: of the bootstrap over seeds.
        seed: of the resampling.

    Raises:
        DataError: as ``scaled``.
    """
    d = np.atleast_2d(np.asarray(curves, dtype=np.float64))
    mean = d.mean(0)
    friction, residual = _parabola(scaled(mean))
    layers = len(mean) - 1
    if len(d) > 1:
        rng = np.random.default_rng(seed)
        picks = d[rng.integers(0, len(d), (resamples, len(d)))].mean(1)
        error = (
            float(np.std([_parabola(scaled(pick))[0] for pick in picks], ddof=1)) * (len(d) / (len(d) - 1)) ** 0.5
        )
        over = "seeds"
    elif error is not None and math.isfinite(error):
        over = "samples"
    else:
        error, over = _error_alone(mean), "points"
    line = 1.0 - np.arange(layers + 1) / layers + friction * _bends(layers)
    return CurveFit(friction, error, residual, over, (mean[-1] + (mean[0] - mean[-1]) * line).tolist())


def twin_fit(curves: ArrayLike, reason: str, *, error: float | None = None) -> CurveFit | None:
    """``fit_curve``; None where the curves' shape means nothing, and so an effective friction does not either.

    Args:
        curves: D_0 … D_H of S seeds, or one alone.
        reason: of ``load_curve.statistics`` of their mean; empty where the shape means something.
        error: as of ``fit_curve``.
    """
    return None if reason else fit_curve(curves, error=error)


def friction_error(curve: ArrayLike, influences: ArrayLike) -> float:
    """Standard error of F* over the N samples that one curve was measured on, NaN where it does not fall.

    This is the infinitesimal jackknife (Efron, *The jackknife, the bootstrap and other resampling plans*, 1982):
    what a bootstrap over the samples tends to, to first order in each one's influence.

    Args:
        curve: D_0 … D_H, [H + 1], logits left out.
        influences: of each sample on each point, [H + 1, N].
    """
    d, moves = np.asarray(curve, np.float64), np.asarray(influences, np.float64)
    if len(d) < 3 or not np.isfinite(d).all() or d[0] <= d[-1]:
        return float("nan")
    return float(np.sqrt(np.mean((_gradient(d) @ moves) ** 2) / moves.shape[1]))


def _error_alone(curve: Floats) -> float:
    """Standard error of F* from one curve, [H + 1]; the scatter about its best parabola is the points' error."""
    layers = len(curve) - 1
    if layers < 3:
        return float("nan")
    at = np.arange(layers + 1, dtype=np.float64)
    rest = curve - np.polyval(np.polyfit(at, curve, 2), at)
    scatter = np.sqrt(rest @ rest / (layers - 2))
    return float(scatter * np.linalg.norm(_gradient(curve)))


def _gradient(curve: Floats) -> Floats:
    """∂F*/∂D_l, [H + 1]. The scaled curve S depends on its ends too: a change δ of the curve changes
    S_l by (δ_l - S_l δ_0 - (1 - S_l) δ_H) / (D_0 - D_H).
    """
    bends, s = _bends(len(curve) - 1), scaled(curve)
    gradient = bends.copy()
    gradient[0] -= bends @ s
    gradient[-1] -= bends @ (1.0 - s)
    return np.asarray(gradient / ((bends @ bends) * (curve[0] - curve[-1])))


def _bends(layers: int) -> Floats:
    """½ l (H - l) at l = 0 … H, [H + 1]: what a friction of 1 adds to the straight scaled curve."""
    at = np.arange(layers + 1, dtype=np.float64)
    return np.asarray(0.5 * at * (layers - at))


def _parabola(curve: Floats) -> tuple[float, float]:
    """F* and the root mean square residual of a scaled curve, [H + 1]."""
    layers = len(curve) - 1
    bends = _bends(layers)
    rest = curve - (1.0 - np.arange(layers + 1) / layers)
    friction = float(bends @ rest / (bends @ bends))
    return friction, float(np.sqrt(np.mean((rest - friction * bends) ** 2)))


def asymmetries(curves: Floats) -> Floats:
    """(load of the shallow half - load of the deep half) / total, [C], of curves [C, H + 1]; dimensionless."""
    loads = -np.diff(curves, axis=1)
    half = loads.shape[1] // 2
    return np.asarray((loads[:, :half].sum(1) - loads[:, -half:].sum(1)) / loads.sum(1))


def hidden(curve: Sequence[float | None]) -> list[float]:
    """D_0 … D_H, [H + 1]: a network's recorded D_0 … D_L without the logits; NaN where a value is missing."""
    return [float("nan") if value is None else value for value in curve[:-1]]
