"""Loads of a curve, and how evenly the layers share them. NumPy alone, so that the app may use it.

Shapes: a curve is D_0 … D_L, [L+1]; its loads are d_1 … d_L, [L]. Separations are natural logs: dimensionless.
Source: Shi, Pan, Dokmanić, arXiv:2407.19353; He & Su, PNAS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..arrays import Floats

BALANCED_CV = 0.25
"""Loads whose coefficient of variation is below this are balanced: to the eye, He & Su's straight line."""
EVEN_HALVES = 0.1
"""Halves that differ by less than this fraction of the total carry the same; loads that vary are then uneven."""

NOISE_FLOOR = 0.1
"""A total load of at most this fraction of the sum of the loads' absolute values counts as none: loads of both
signs leave as much by chance, and dividing by it gives a coefficient of variation in the hundreds."""


class LoadStatistics(NamedTuple):
    """How evenly a curve's total load is shared."""

    cv: float
    """Coefficient of variation of the loads (population s.d. / |mean|); 0 is balanced."""
    asymmetry: float
    """(load of the shallow half - load of the deep half) / total load; > 0 convex, < 0 concave."""
    regime: str
    """balanced; concave; convex; uneven, where the halves carry the same but their layers do not; or unclear,
    where the total load is not positive, or within ``NOISE_FLOOR`` of the sum of the loads' absolute values."""


def loads(curve: Sequence[float | None]) -> Floats:
    """d_l = D_(l-1) - D_l, [L] from [L+1]; NaN where a value is missing."""
    import numpy as np  # not at import: the app's first frame would wait for it

    values = np.array([np.nan if v is None else v for v in curve], dtype=np.float64)
    return values[:-1] - values[1:]


def statistics(curve: Sequence[float | None], *, logits: bool) -> LoadStatistics:
    """How evenly the loads of the hidden layers are shared.

    Args:
        curve: D_0 … D_L.
        logits: whether the last point is the logits', which is left out.

    With an odd number of layers the middle one counts for neither half. Values that are not finite, or a
    total load of zero, give NaN and ``unclear``.
    """
    import numpy as np  # as in loads

    d = loads(curve)
    if logits:
        d = d[:-1]
    total = float(d.sum()) if d.size else float("nan")
    if d.size < 2 or not np.isfinite(d).all() or abs(total) < 1e-12:
        return LoadStatistics(float("nan"), float("nan"), "unclear")
    half = d.size // 2
    cv = float(d.std() / abs(d.mean()))
    asymmetry = float((d[:half].sum() - d[-half:].sum()) / total)
    return LoadStatistics(cv, asymmetry, _regime(total, float(np.abs(d).sum()), cv, asymmetry))


def _regime(total: float, gross: float, cv: float, asymmetry: float) -> str:
    if total <= NOISE_FLOOR * gross:
        return "unclear"
    if cv < BALANCED_CV:
        return "balanced"
    if abs(asymmetry) < EVEN_HALVES:
        return "uneven"
    return "convex" if asymmetry > 0 else "concave"
