"""What each step of a trial did to a network, with its error over seeds, and which is advised (ours). No torch.

Shape legend: S seeds, L linear maps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..measures.load_curve import LoadStatistics, statistics
from .trial import Trial, Tried

LEAST_SEEDS = 3
"""Seeds of which a standard error is given at least."""
SURE = 2.0
"""Standard errors by which a step has to help."""
NEAR = 2.0 / 3.0
"""Steps whose certain fall is at least this part of the best one's help about as much as that."""
ACCURACY_COST = 0.01
"""Test accuracy, a fraction, that a step may cost without another being named beside it."""


class Change(NamedTuple):
    """What a step of one setting does; means over the seeds that both values have."""

    knob: str
    before: float
    after: float
    asymmetry: float
    """With the changed setting; NaN where no seed has one."""
    change: float
    """Of the asymmetry."""
    error: float
    """Standard error of the change over seeds, paired; NaN for fewer than ``LEAST_SEEDS``."""
    fall: float
    """By how much |asymmetry| falls."""
    accuracy_change: float
    """Of the test accuracy, a fraction."""
    accuracy_error: float
    """Its standard error, likewise."""
    seeds: int
    """Seeds that both values have."""
    trained: int
    """Networks that were trained with the changed setting, those that diverged among them."""
    trouble: str = ""
    """What happened to networks without an asymmetry, or why none can be trained; such a step is not advised."""

    @property
    def certain(self) -> float:
        """The fall of |asymmetry| less ``SURE`` errors; minus infinity where it is not known, or of no use."""
        found = self.fall - SURE * self.error
        return found if math.isfinite(found) and not self.trouble else -math.inf

    @property
    def costs_accuracy(self) -> bool:
        """Whether test accuracy falls by more than its standard error."""
        return self.accuracy_change < -self.accuracy_error


def asymmetries_of(tried: Tried) -> list[float]:
    """The asymmetry with each seed, [S]; NaN where none was trained, or its shape means nothing."""
    return [math.nan if shape is None else shape.asymmetry for shape in _shapes_of(tried)]


def asymmetry_of(curve: Sequence[float | None], error: float | None = None) -> float:
    """The asymmetry of a network's load curve; NaN where its shape means nothing.

    Args:
        curve: D_0 … D_L, [L + 1].
        error: root mean square standard error of the scaled curve; None where it is not known.
    """
    return statistics(curve, logits=True, error=error, ended=True).asymmetry


def _shapes_of(tried: Tried) -> list[LoadStatistics | None]:
    """Statistics of the curve with each seed, [S]; None where there is no curve."""
    errors = tried.errors or [None] * len(tried.curves)
    return [
        None if curve is None else statistics(curve, logits=True, error=error, ended=True)
        for curve, error in zip(tried.curves, errors, strict=True)
    ]


def trained_of(tried: Tried) -> int:
    """How many networks were trained with a setting, those that diverged among them."""
    return tried.diverged + sum(curve is not None for curve in tried.curves)


def trouble_of(tried: Tried) -> str:
    """What happened to the networks that have no asymmetry, with their number; empty where each has one."""
    if tried.refused:
        return f"refused: {tried.refused}"
    of = f"of {trained_of(tried)} seeds"
    reasons = Counter(shape.reason for shape in _shapes_of(tried) if shape is not None and shape.reason)
    parts = [f"{tried.diverged} {of} diverged"] if tried.diverged else []
    parts += [f"{count} {of}: {reason}" for reason, count in reasons.items()]
    if not parts and (shape := shape_of(tried)).reason and trained_of(tried):
        parts = [f"mean of the seeds: {shape.reason}"]
    return ", ".join(parts)


def mean_curve(tried: Tried) -> list[float | None]:
    """D_0 … D_L, [L + 1], mean over the seeds that have one; empty where none has."""
    curves = [curve for curve in tried.curves if curve is not None]
    points = zip(*curves, strict=True)
    return [None if None in point else sum(v for v in point if v is not None) / len(point) for point in points]


def shape_of(tried: Tried) -> LoadStatistics:
    """Statistics of the mean curve over seeds, whose error is that over seeds; unclear where there is none."""
    from ..measures.curve_error import curve_error_over_seeds  # needs NumPy, which no first frame waits for

    curves = [[math.nan if v is None else v for v in curve[:-1]] for curve in tried.curves if curve is not None]
    error = curve_error_over_seeds(curves) if len(curves) > 1 else None
    return statistics(mean_curve(tried), logits=True, error=error, ended=True)


def changes(trial: Trial) -> list[Change]:
    """What each step did, in the order in which they were tried; steps for which there was no time are left out.

    With three seeds a standard error can be small by chance, so that no standard deviation over seeds is taken to
    be less than the median of all steps' without trouble.
    """
    base, base_accuracies = asymmetries_of(trial.base), trial.base.accuracies
    pairs = []
    for tried in trial.tried:
        found = [
            (a, b, x, y)
            for a, b, x, y in zip(base, asymmetries_of(tried), base_accuracies, tried.accuracies, strict=True)
            if math.isfinite(a) and math.isfinite(b) and x is not None and y is not None
        ]
        if found or trained_of(tried) or tried.refused:
            pairs.append((tried, found))
    sound = [_sd([b - a for a, b, _, _ in found]) for tried, found in pairs if not trouble_of(tried)]
    floor = _median([sd for sd in sound if math.isfinite(sd)])
    return [_change(tried, found, floor) for tried, found in pairs]


def _change(tried: Tried, pairs: Sequence[tuple[float, float, float, float]], floor: float) -> Change:
    n = len(pairs)
    now, then = _mean([a for a, _, _, _ in pairs]), _mean([b for _, b, _, _ in pairs])
    moved = [y - x for _, _, x, y in pairs]
    sd = _sd([b - a for a, b, _, _ in pairs])
    return Change(
        knob=tried.knob,
        before=_number(tried.before),
        after=_number(tried.after),
        asymmetry=then,
        change=then - now,
        error=max(sd, floor) / math.sqrt(n) if math.isfinite(sd) else math.nan,
        fall=abs(now) - abs(then),
        accuracy_change=_mean(moved),
        accuracy_error=_sd(moved) / math.sqrt(max(n, 1)),
        seeds=n,
        trained=trained_of(tried),
        trouble=trouble_of(tried),
    )


def choice(found: Sequence[Change], *, accurate: bool = False, without: str = "") -> Change | None:
    """The step that is advised; None where none helps.

    It is the one by which |asymmetry| certainly falls most: the fall less ``SURE`` errors, since of some twenty
    steps one falls by an error by chance. Where it lowers test accuracy by more than that one's error, the best
    that does not is taken instead, if it helps about as much (``NEAR``). A step with fewer than ``LEAST_SEEDS``
    has no error and is not chosen, nor is one with ``trouble``. A step beyond balance counts by what is left
    beyond it.

    Args:
        found: as of ``changes``.
        accurate: leave out steps that cost more than ``ACCURACY_COST``.
        without: leave out the steps of this setting; empty: of none.
    """
    fitting = [
        change
        for change in found
        if change.certain > 0.0
        and change.knob != without
        and not (accurate and change.accuracy_change < -ACCURACY_COST)
    ]
    best = max(fitting, key=_certain, default=None)
    if best is None or not best.costs_accuracy:
        return best
    near = [one for one in fitting if one.certain >= NEAR * best.certain and not one.costs_accuracy]
    return max(near, key=_certain, default=best)


def _certain(change: Change) -> float:
    return change.certain


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _sd(values: Sequence[float]) -> float:
    """Sample standard deviation; NaN of fewer than ``LEAST_SEEDS`` values."""
    if len(values) < LEAST_SEEDS:
        return math.nan
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    if not ordered:
        return 0.0
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else 0.5 * (ordered[half - 1] + ordered[half])
