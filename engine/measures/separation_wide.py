"""Separation of features too wide to be kept whole: from the Gram matrix of the samples, summed over slices.

Measures of separation depend on the features through K = X Xᵀ alone (X [N, D], the grand mean taken off), and K is
the sum over slices of the features: memory is N x N however wide a layer is. The measures are ``separation``'s.

Shape legend: N samples, D features, C classes.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from .effective_rank import participation, rounding_floor
from .registry import SEPARATIONS
from .scatter import Grams
from .separation import logarithms, ratio_of


class GramSeparation:
    """The measures of separation of N samples whose features are given slice by slice.

    Args:
        y_N: class indices [N], int64, from 0.
        n_classes: how many classes there are.
    """

    def __init__(self, y_N: Tensor, n_classes: int) -> None:
        self._y_N = y_N
        self._classes = n_classes
        self._k_NN = torch.zeros(len(y_N), len(y_N), dtype=torch.float64, device=y_N.device)
        self._features = 0
        self._largest = 0.0
        self._eps = torch.finfo(torch.float32).eps

    def add(self, x_ND: Tensor) -> None:
        """Take in a slice of the features, [N, …] in one unit, of all samples."""
        x_ND = x_ND.detach().flatten(1)
        self._features += x_ND.shape[1]
        self._eps = torch.finfo(x_ND.dtype).eps
        largest = float(torch.linalg.vector_norm(x_ND, math.inf)) if x_ND.numel() else math.nan
        self._largest = max(self._largest, largest) if math.isfinite(largest) else math.nan
        x_ND = (x_ND - x_ND.mean(0)).double()  # else rounding of the products would count as spread
        self._k_NN.addmm_(x_ND, x_ND.T)

    def effective_rank(self) -> float:
        """The participation ratio of the features' covariance, in directions, as ``effective_rank``."""
        if not math.isfinite(self._largest):
            return math.nan
        floor = rounding_floor(len(self._y_N), self._features, self._eps) * self._largest**2
        return participation(self._k_NN, floor=floor)

    def measures(self) -> dict[str, float]:
        """The measures of separation by name, dimensionless; degenerate cases as in ``separation_measures``."""
        n, wide = len(self._y_N), max(len(self._y_N), self._features) * max(self._eps, 2**-23) ** 1.5
        if not math.isfinite(self._largest) or self._largest == 0.0:
            return dict.fromkeys(SEPARATIONS, math.nan)
        belongs_NC = torch.nn.functional.one_hot(self._y_N, self._classes).double()
        sizes_C = belongs_NC.sum(0)
        means_NC = belongs_NC / sizes_C.clamp(min=1)
        rest_NN = self._k_NN - means_NC @ (belongs_NC.T @ self._k_NN)
        within_NN = (rest_NN - (rest_NN @ belongs_NC) @ means_NC.T) / n
        roots_C = (sizes_C / n).sqrt()
        between_CC = roots_C[:, None] * (means_NC.T @ self._k_NN @ means_NC) * roots_C
        cross_NC = (rest_NN @ means_NC) * roots_C / math.sqrt(n)
        within, between = float(within_NN.trace()), float(between_CC.trace())
        floor = self._eps**2 * (self._features * self._largest**2 + 4 * n * (within + between))
        scatter = Grams(within_NN, between_CC, cross_NC, within, between, wide)
        ratios = {name: functools.partial(ratio_of(name).from_grams, scatter) for name in SEPARATIONS}
        return logarithms(within, between, floor, ratios)
