"""The scatter of activations within and between classes: what measures of separation are computed from.

Shape legend: N samples, D features, C classes, R rank. Neither scatter matrix is ever inverted as it stands. With
the factors W (rows (x_i - x̄_c)/√N) and B (rows √(n_c/N) (x̄_c - x̄)), Σ_w = WᵀW and Σ_b = BᵀB, and Σ_b has rank at
most C - 1; so all pseudo-inverses come from small Gram matrices.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

_BLOCK_NUMBERS = 1 << 18


class Factors(NamedTuple):
    """Scatter by its factors, of features that are kept whole."""

    w_ND: torch.Tensor
    """W, with Σ_w = WᵀW."""
    b_CD: torch.Tensor
    """B, with Σ_b = BᵀB."""
    within: float
    """Tr Σ_w, in the features' unit squared."""
    between: float
    """Tr Σ_b, in the same unit."""


class Grams(NamedTuple):
    """Scatter by Gram matrices in float64, of features too wide to be kept whole."""

    within_NN: torch.Tensor
    """W Wᵀ."""
    between_CC: torch.Tensor
    """B Bᵀ."""
    cross_NC: torch.Tensor
    """W Bᵀ."""
    within: float
    """Tr Σ_w, in the features' unit squared."""
    between: float
    """Tr Σ_b, in the same unit."""
    cut: float
    """Eigenvalues below this part of the largest count as zero."""


def scatter_factors(
    x_ND: torch.Tensor, y_N: torch.Tensor, n_classes: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """W [N, D] and B [C, D] with Σ_w = WᵀW and Σ_b = BᵀB; the grand mean is taken off first, for accuracy.

    Args:
        x_ND: features [N, D].
        y_N: class indices [N], int64, from 0.
        n_classes: C; by default one more than the largest label.
    """
    count = n_classes or int(y_N.max()) + 1
    n = x_ND.shape[0]
    w_ND = x_ND - torch.full((n,), 1.0 / n, dtype=x_ND.dtype, device=x_ND.device) @ x_ND
    blocks = [slice(start, start + _block(x_ND)) for start in range(0, n, _block(x_ND))]
    sizes_C = torch.bincount(y_N, minlength=count).to(x_ND.dtype)
    means_CD = torch.zeros(count, x_ND.shape[1], dtype=x_ND.dtype, device=x_ND.device)
    for rows in blocks:  # as products, which sum in the same order each time on any device
        belongs_CN = torch.nn.functional.one_hot(y_N[rows], count).T.to(x_ND.dtype)
        means_CD.addmm_(belongs_CN, w_ND[rows])
    means_CD /= sizes_C.clamp(min=1)[:, None]
    for rows in blocks:
        w_ND[rows] -= means_CD[y_N[rows]]
        w_ND[rows] /= math.sqrt(n)
    parts_C = sizes_C / n
    means_CD = means_CD - parts_C @ means_CD  # what rounding left: equal means would seem to differ
    return w_ND, means_CD * parts_C.sqrt()[:, None]


def _block(x_ND: torch.Tensor) -> int:
    """Number of rows whose features fit into the processor's cache; wide layers are limited by memory traffic."""
    return max(1, _BLOCK_NUMBERS // max(1, x_ND.shape[1]))


def rank_cut(factor: torch.Tensor) -> float:
    """The fraction of the largest eigenvalue of FᵀF up to which eigenvalues are rounding; F is [rows, features].

    Features in float64 are no better known than float32 stores them, so that the rank does not depend on the type.
    """
    eps = max(torch.finfo(factor.dtype).eps, torch.finfo(torch.float32).eps)
    return float(max(factor.shape) * eps**1.5)


def trace_of(factor: torch.Tensor) -> float:
    """Tr(FᵀF) of F [rows, features], summed in float64."""
    return float(factor.square().sum(dtype=torch.float64).item())


def trace_through(gram: torch.Tensor, cross: torch.Tensor, cut: float) -> float:
    """Tr(A (FᵀF)⁺) with A = GᵀG, from ``gram`` = F Fᵀ and ``cross`` = G Fᵀ, by the eigenvectors of ``gram``.

    Args:
        gram: [R, R], of the factor F [R, D] whose scatter is inverted.
        cross: G Fᵀ, [.., R].
        cut: eigenvalues below this part of the largest count as zero.
    """
    s, u = torch.linalg.eigh(gram)
    keep = s > s[-1] * cut
    return float(((cross @ u[:, keep]) / s[keep]).square().sum())
