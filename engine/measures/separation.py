"""The measures of class separation in one layer's activations. Natural logarithms throughout.

Shape legend: N samples, D features, C classes. Each measure of separation in ``registry`` is the logarithm of a
ratio that the module of its name computes from the scatter of the activations.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from .registry import SEPARATIONS, rises
from .scatter import Factors, Grams, scatter_factors, trace_of
from .trace_ratio import influence


class Ratio(Protocol):
    """What the module of a measure of separation provides."""

    def from_factors(self, scatter: Factors, /) -> float:
        """The ratio whose logarithm is the measure, dimensionless."""

    def from_grams(self, scatter: Grams, /) -> float:
        """The same ratio, of features too wide to be kept whole."""


@functools.cache
def ratio_of(name: str) -> Ratio:
    """The module that computes a measure, by the measure's name in the registry."""
    module: Any = importlib.import_module(f".{name}", __package__)
    ratio: Ratio = module
    return ratio


def separation_measures(
    x_ND: torch.Tensor, y_N: torch.Tensor, n_classes: int | None = None, measures: Sequence[str] = SEPARATIONS
) -> dict[str, float]:
    """The measures of separation by name, dimensionless (natural log).

    Args:
        x_ND: features [N, …], floating point; dimensions after the first are flattened.
        y_N: class indices [N], int64, from 0.
        n_classes: how many classes there are; by default one more than the largest label.
        measures: which to take; inverse fuzziness takes by far the most time.

    No measure depends on the features' unit. Degenerate cases are defined: everything is NaN without samples, with
    values that are not finite, and where nothing varies at all. Where class means coincide, or there is one class
    alone, a measure that falls as classes separate is +inf, and one that rises is -inf; where classes have no
    spread, the signs are the opposite. A class with a single sample has no spread of its own and counts with its
    mean.
    """
    return separation_and_influence(x_ND, y_N, n_classes, measures)[0]


def separation_and_influence(
    x_ND: torch.Tensor, y_N: torch.Tensor, n_classes: int | None = None, measures: Sequence[str] = SEPARATIONS
) -> tuple[dict[str, float], torch.Tensor | None]:
    """``separation_measures``, and each sample's influence on the trace ratio, [N]; None in degenerate cases.

    Arguments are those of ``separation_measures``; the influence is ``trace_ratio.influence``.
    """
    x_ND = x_ND.detach().reshape(x_ND.shape[0], math.prod(x_ND.shape[1:]))
    largest = float(torch.linalg.vector_norm(x_ND, math.inf)) if x_ND.numel() else math.nan
    if not math.isfinite(largest) or largest == 0.0:
        return dict.fromkeys(measures, math.nan), None
    w_ND, b_CD = scatter_factors(x_ND / largest, y_N, n_classes)
    scatter = Factors(w_ND, b_CD, trace_of(w_ND), trace_of(b_CD))
    n, d = x_ND.shape
    total = scatter.within + scatter.between
    floor = torch.finfo(x_ND.dtype).eps ** 2 * (d + 4 * n * total)  # rounding: of features as stored, and of means
    ratios = {name: functools.partial(ratio_of(name).from_factors, scatter) for name in measures}
    found = logarithms(scatter.within, scatter.between, floor, ratios)
    varies = scatter.within > floor and scatter.between > floor
    return found, influence(w_ND, b_CD, y_N) if varies else None


def logarithms(
    within: float, between: float, floor: float, ratios: Mapping[str, Callable[[], float]]
) -> dict[str, float]:
    """The measures by name, dimensionless; degenerate cases, as in ``separation_measures``, need no ratio.

    Args:
        within, between: Tr Σ_w and Tr Σ_b, in the features' unit squared.
        floor: in the same unit; a trace up to it is rounding and counts as zero.
        ratios: by measure, what its logarithm is taken of.
    """
    if within <= floor and between <= floor:
        return dict.fromkeys(ratios, math.nan)
    if within <= floor or between <= floor:
        sign = 1.0 if between <= floor else -1.0
        return {name: -sign * math.inf if rises(name) else sign * math.inf for name in ratios}
    values = {name: ratio() for name, ratio in ratios.items()}
    return {name: math.log(value) if value > 0 else -math.inf for name, value in values.items()}
