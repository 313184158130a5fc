"""The mechanical twin: a chain that predicts a network's load curve (docs/theory.md; ours).

Nonlinearity becomes friction against moving right, noise the random force: μ→ = a + b (1 - α), μ← fixed,
ε̄ = c + d q. A network of H hidden layers is a chain of H springs, so of H - 1 blocks between wall and target; both
curves are scaled to run from 1 at the input to 0 at the last hidden layer.

What the curves determine: a settled curve is a parabola with one free number, the effective friction
F* = (μ→ - μ←)/2, so a single curve determines F* alone. The cells of a diagram together determine μ→, μ← and ε̄,
because not all of their curves are settled and all are compared at the same time of the pull.

Shape legend: C cells, S seeds, H hidden layers.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from ..chain.mean_field_cells import mean_field_cells
from ..errors import DataError
from ..measures.friction import asymmetries, scaled
from ..settings.chain import TWIN_TIME
from .maps import TwinMap

ETA = 0.05
STEPS = round(TWIN_TIME / ETA)
"""Length and number of the mean field's steps to ``TWIN_TIME``."""
RESTARTS = 4
LEAST_ROWS = 3
"""Least rows of equal nonlinearity of which one can be left out and predicted from the others."""
_BOUNDS = (np.array([0.0, -0.5, 0.0, 1e-3, -0.5]), np.array([1.0, 1.0, 1.0, 1.0, 1.0]))
_START = np.array([0.03, 0.05, 0.12, 0.03, 0.05])


def predict(twin: TwinMap, nonlinearity: ArrayLike, noise: ArrayLike, layers: int) -> Floats:
    """A map's curves over the hidden layers, [C, H + 1], from 1 to 0.

    Args:
        twin: the map.
        nonlinearity: 1 - α of each cell, [C] or one for all.
        noise: of each cell, in the axis' own coordinate, likewise.
        layers: H.
    """
    x = mean_field_cells(*twin.chain(nonlinearity, noise), blocks=layers - 1, eta=ETA, steps=STEPS)
    ends = np.zeros((len(x), 1))
    return 1.0 - np.hstack([ends, x, ends + 1.0])


def fit_map(
    nonlinearity: ArrayLike,
    noise: ArrayLike,
    curves: ArrayLike,
    *,
    noise_axis: str = "data_noise",
    provenance: str = "",
    restarts: int = RESTARTS,
    leave_out: bool = True,
    seed: int = 0,
) -> TwinMap:
    """One map for all cells: five numbers, fitted by least squares from several starts.

    Args:
        nonlinearity: 1 - α of each cell, [C].
        noise: of each cell, in the axis' own coordinate, [C].
        curves: D_0 … D_H of each cell, logits left out, [C, H + 1].
        noise_axis: the setting that the noise is.
        provenance: where the curves came from.
        restarts: random starts besides the fixed one; converged if the errors of the two best agree to 1 %.
        leave_out: also fit without each row of equal nonlinearity and measure the error on it.
        seed: of the restarts.

    Raises:
        DataError: a curve cannot be scaled, or there are fewer cells than the map has numbers.
    """
    alpha_C, noise_C = np.asarray(nonlinearity, np.float64), np.asarray(noise, np.float64)
    wanted = scaled(curves)
    if len(wanted) < len(_START):
        raise DataError(f"a map has {len(_START)} numbers; {len(wanted)} cells are too few to fit them")
    rng = np.random.default_rng(seed)
    starts = [_START, *(_START * rng.uniform(0.3, 2.5, (restarts, len(_START))))]
    fits = sorted((_least_squares(alpha_C, noise_C, wanted, start) for start in starts), key=lambda fit: fit[1])
    best, error = fits[0]
    converged = len(fits) < 2 or fits[1][1] <= 1.01 * error
    made = _named(best)
    predicted = predict(made, alpha_C, noise_C, wanted.shape[1] - 1)
    left_out = _left_out(alpha_C, noise_C, wanted, best) if leave_out else float("nan")
    return msgspec.structs.replace(
        made,
        noise_axis=noise_axis,
        provenance=provenance,
        rms=error,
        asymmetry_correlation=float(np.corrcoef(asymmetries(predicted), asymmetries(wanted))[0, 1]),
        left_out_rms=left_out,
        converged=converged,
    )


def _named(numbers: Floats) -> TwinMap:
    a, b, left, c, d = (float(number) for number in numbers)
    return TwinMap(friction=a, friction_per_nonlinearity=b, mu_left=left, noise=c, noise_per_noise=d)


def _least_squares(alpha_C: Floats, noise_C: Floats, wanted: Floats, start: Floats) -> tuple[Floats, float]:
    """The best five numbers from a start, and the root mean square error of the scaled curves."""
    from scipy.optimize import least_squares  # half a second to load

    def misfit(numbers: Floats) -> Floats:
        return (predict(_named(numbers), alpha_C, noise_C, wanted.shape[1] - 1) - wanted).ravel()

    start = np.clip(start, _BOUNDS[0] + 1e-6, _BOUNDS[1] - 1e-6)
    found = least_squares(misfit, start, bounds=_BOUNDS, x_scale=_START, diff_step=1e-4, max_nfev=60)
    return found.x, float(np.sqrt(np.mean(found.fun**2)))


def _left_out(alpha_C: Floats, noise_C: Floats, wanted: Floats, start: Floats) -> float:
    """Root mean square error on rows of equal nonlinearity, each predicted from the others."""
    squares, count = 0.0, 0
    rows = np.unique(alpha_C)
    if len(rows) < LEAST_ROWS:
        return float("nan")
    for row in rows:
        out = alpha_C == row
        numbers, _ = _least_squares(alpha_C[~out], noise_C[~out], wanted[~out], start)
        off = predict(_named(numbers), alpha_C[out], noise_C[out], wanted.shape[1] - 1) - wanted[out]
        squares, count = squares + float((off**2).sum()), count + off.size
    return float(np.sqrt(squares / count))
