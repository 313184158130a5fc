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
LARGEST_ERROR = 0.15
"""Root mean square standard error of the scaled curve above which its shape means nothing."""
LEAST_NET = 0.1
"""A net drop of at most this fraction of the sum of all ups and downs counts as none: ups and downs leave as much
by chance, and dividing by it gives a coefficient of variation in the hundreds."""
LEAST_FALL = 0.5
"""Least fall below the input, a natural logarithm, that says that a point of the curve separates the classes. On
the digits the curves of untrained networks fall by at most 0.33 (8 shapes and initialisations, 3 slopes, 2 seeds),
and those of trained ones that mix the classes again by at least 0.7 (``docs/data``)."""

NOT_TRAINED = "not trained yet"
NO_LAYER = "no layer separates the classes"
ONLY_LOGITS = "only the logits separate the classes"
MIXED_AGAIN = "the hidden layers mix the classes again"
LARGE_ERROR = "the error of the curve is too large"
ONLY_FIRST = "no layer after the first separates the classes"
OUT_OF_ORDER = "the blocks have lost their order"
TOO_SHORT = "fewer than two hidden layers"
NOT_FINITE = "a value of the curve is missing or not finite"

WORDS = {
    "concave": "shallow layers lazy",
    "convex": "deep layers lazy",
    "balanced": "balanced",
    "uneven": "uneven, neither end lazy",
}
"""Regimes as a person reads them; ``unclear`` has its reason instead."""


class LoadStatistics(NamedTuple):
    """How evenly a curve's total load is shared."""

    cv: float
    """Coefficient of variation of the loads (population s.d. / |mean|); 0 is balanced. NaN where unclear."""
    asymmetry: float
    """(load of the shallow half - load of the deep half) / total load; > 0 convex, < 0 concave; NaN as cv."""
    regime: str
    """balanced; concave; convex; uneven, where the halves carry the same but their layers do not; or unclear,
    where the curve's shape means nothing."""
    reason: str = ""
    """Why the regime is unclear, in words; empty where it is not."""

    @property
    def words(self) -> str:
        """The regime as a person reads it: ``shallow layers lazy``; the reason where it is unclear."""
        return regime_in_words(self.regime, self.reason)


def regime_in_words(regime: str, reason: str) -> str:
    """A regime and its reason, as records hold them, as a person reads them; old records may lack the reason."""
    return reason or WORDS.get(regime, regime)


def loads(curve: Sequence[float | None]) -> Floats:
    """d_l = D_(l-1) - D_l, [L] from [L+1]; NaN where a value is missing."""
    import numpy as np  # not at import: the app's first frame would wait for it

    values = np.array([np.nan if v is None else v for v in curve], dtype=np.float64)
    return values[:-1] - values[1:]


def statistics(
    curve: Sequence[float | None],
    *,
    logits: bool,
    error: float | None = None,
    ended: bool = False,
    chain: bool = False,
    joins: bool = False,
) -> LoadStatistics:
    """How evenly the loads of the hidden layers are shared, where the curve's shape means something.

    It means nothing, so that the regime is ``unclear`` with a ``reason``, where the net drop over the hidden
    layers is at most ``LEAST_NET`` of the sum of their ups and downs, or where ``error`` is above
    ``LARGEST_ERROR``. This is the only place that decides so: no statistic, regime or effective friction of such
    a curve is given anywhere.

    Args:
        curve: D_0 … D_L.
        logits: whether the last point is the logits', which is left out.
        error: root mean square standard error of the scaled curve of the hidden layers, by ``curve_error``; None
            or NaN where it is unknown.
        ended: whether training is over, when a network is not called ``not trained yet``.
        chain: whether the curve is a chain's, which has no classes.
        joins: whether the features are those of a class token from the first layer on, and not at the input, so
            that the first load is also that of another reduction. Then the later layers too must have a net drop,
            and a fall of ``LEAST_FALL``.

    With an odd number of layers the middle one counts for neither half.
    """
    d = loads(curve)
    hidden = d[:-1] if logits else d
    reason = _why_unclear(hidden, d[-1] if logits and d.size else None, error, ended=ended, chain=chain)
    if joins and not reason and not (_is_net_drop(hidden[1:]) and hidden[1:].cumsum().max() >= LEAST_FALL):
        reason = ONLY_FIRST
    if reason:
        return LoadStatistics(float("nan"), float("nan"), "unclear", reason)
    half = hidden.size // 2
    cv = float(hidden.std() / abs(hidden.mean()))
    asymmetry = float((hidden[:half].sum() - hidden[-half:].sum()) / hidden.sum())
    return LoadStatistics(cv, asymmetry, _regime(cv, asymmetry))


def _regime(cv: float, asymmetry: float) -> str:
    if cv < BALANCED_CV:
        return "balanced"
    if abs(asymmetry) < EVEN_HALVES:
        return "uneven"
    return "convex" if asymmetry > 0 else "concave"


def _why_unclear(hidden: Floats, last: float | None, error: float | None, *, ended: bool, chain: bool) -> str:
    """Why the shape of a curve means nothing; empty where it means something.

    Args:
        hidden: loads of the hidden layers, [H].
        last: load of the logits; None where the curve has none.
        error, ended, chain: as of ``statistics``.
    """
    import numpy as np  # as in loads

    if hidden.size < 2:
        return TOO_SHORT
    if not np.isfinite(hidden).all():
        return NOT_FINITE
    if not _is_net_drop(hidden):
        return OUT_OF_ORDER if chain else _where_classes_stay_mixed(hidden, last, ended=ended)
    return LARGE_ERROR if error is not None and error > LARGEST_ERROR else ""


def _is_net_drop(d: Floats) -> bool:
    """Whether loads sum to more than ``LEAST_NET`` of their absolute values' sum."""
    return bool(d.sum() > LEAST_NET * abs(d).sum())


def _where_classes_stay_mixed(hidden: Floats, last: float | None, *, ended: bool) -> str:
    """What a network without a net drop does, by the point of its curve where the classes are furthest apart."""
    import numpy as np  # as in loads

    falls = np.cumsum(hidden)
    at_best = float(falls.max())
    at_logits = at_best - 1.0 if last is None or np.isnan(last) else float(falls[-1]) + last
    if max(at_best, at_logits) < LEAST_FALL:
        return NO_LAYER if ended else NOT_TRAINED
    return ONLY_LOGITS if at_logits > at_best else MIXED_AGAIN
