"""The standard error of a scaled load curve, over the samples of one network or over seeds (ours). NumPy alone.

Shape legend: S seeds, H hidden layers, N samples. The scaled curve is (D - D_H) / (D_0 - D_H), D_0 … D_H without
the logits: dimensionless, 1 at the input and 0 at the last hidden layer, so its ends have no error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from .friction import friction_error, scaled


def errors_over_samples(curve: ArrayLike, influences: ArrayLike) -> dict[str, float]:
    """``friction_error`` and ``curve_error`` of one curve over the N samples it was measured on, by name.

    Dimensionless, as ``Curve`` records hold them. Empty where the curve does not fall from end to end.

    Args:
        curve: D_0 … D_H, [H + 1], logits left out.
        influences: of each sample on each point, [H + 1, N].
    """
    errors = {"friction_error": friction_error(curve, influences), "curve_error": curve_error(curve, influences)}
    return {name: error for name, error in errors.items() if np.isfinite(error)}


def curve_error(curve: ArrayLike, influences: ArrayLike) -> float:
    """Root mean square, over the H + 1 points, of the scaled curve's standard error over N samples.

    By the infinitesimal jackknife, as ``friction.friction_error``: what a bootstrap over the samples tends to, to
    first order. NaN where the curve has fewer than 3 points, is not finite or does not fall from end to end.

    Args:
        curve: D_0 … D_H, [H + 1], logits left out.
        influences: of each sample on each point, [H + 1, N].
    """
    d, moves = np.asarray(curve, np.float64), np.asarray(influences, np.float64)
    if not _falls(d):
        return float("nan")
    return _root_mean_square(_scaled_moves(d, moves), moves.shape[1] ** 2)


def curve_error_over_seeds(curves: ArrayLike) -> float:
    """Root mean square, over the H + 1 points, of the standard error of the scaled mean of S curves.

    The seeds' deviations from their mean are carried through the scaling of the mean curve, to first order. So a
    seed whose own curve hardly falls does no harm, while a mean that hardly falls has a large error. NaN for one
    seed, and where the mean curve has fewer than 3 points, is not finite or does not fall.

    Args:
        curves: D_0 … D_H of each seed, logits left out, [S, H + 1].
    """
    d = np.asarray(curves, np.float64)
    if d.ndim != 2 or len(d) < 2 or not _falls(d.mean(0)):
        return float("nan")
    return _root_mean_square(_scaled_moves(d.mean(0), (d - d.mean(0)).T), len(d) * (len(d) - 1))


def _falls(curve: Floats) -> bool:
    return len(curve) >= 3 and bool(np.isfinite(curve).all()) and bool(curve[0] > curve[-1])


def _scaled_moves(curve: Floats, moves: Floats) -> Floats:
    """Changes of the scaled curve, to first order, for changes of the curve, both [H + 1, …].

    A change δ of D changes S_l by (δ_l - S_l δ_0 - (1 - S_l) δ_H) / (D_0 - D_H), since the scaling moves too.
    """
    s = scaled(curve)[:, None]
    return np.asarray((moves - s * moves[0] - (1.0 - s) * moves[-1]) / (curve[0] - curve[-1]))


def _root_mean_square(moves: Floats, divisor: float) -> float:
    """Root of the mean over points of Σ moves² / divisor, the square of each point's standard error."""
    return float(np.sqrt(np.mean(np.sum(moves**2, axis=1) / divisor)))
