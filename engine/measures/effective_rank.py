"""The participation ratio of the covariance of a layer's features: in how many directions the samples differ.

With eigenvalues λ of the covariance it is (Σ λ)² / Σ λ² = (Tr C)² / ‖C‖², so that no eigenvalue is computed. C is
the covariance [D, D], or the Gram matrix of the samples [M, M], which has the same eigenvalues other than zero.

Shape legend: M samples, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROUNDING = 8.0
"""Samples that differ by at most so many units of rounding of the largest feature are alike."""


def effective_rank(x_MD: Tensor) -> float:
    """(Σ λ)² / Σ λ² of features [M, D], in directions: from 1 to min(D, M - 1); 0 where all samples are alike.

    NaN where there is no sample, or a feature is not finite. The mean over samples is taken off first.
    """
    x_MD = x_MD.detach()
    largest = float(torch.linalg.vector_norm(x_MD, math.inf)) if x_MD.numel() else math.nan
    if not math.isfinite(largest):
        return math.nan
    if largest == 0.0:
        return 0.0
    x_MD = x_MD / largest
    x_MD -= x_MD.mean(0)
    m, d = x_MD.shape
    square = x_MD @ x_MD.T if m < d else x_MD.T @ x_MD
    return participation(square, floor=rounding_floor(m, d, torch.finfo(x_MD.dtype).eps))


def rounding_floor(m: int, d: int, eps: float) -> float:
    """The trace up to which the spread of m samples of d features, the largest 1, is rounding by ``eps``."""
    return m * d * (_ROUNDING * eps) ** 2


def participation(square: Tensor, *, floor: float) -> float:
    """(Tr C)² / ‖C‖² of a covariance or Gram matrix C, in any unit; 0 where its trace is at most ``floor``.

    Args:
        square: [D, D] or [M, M], symmetric; of features without their mean.
        floor: in the unit of ``square``; a trace up to it is rounding.
    """
    trace = float(square.diagonal().sum(dtype=torch.float64))
    if not trace > floor:
        return math.nan if math.isnan(trace) else 0.0
    return float(torch.linalg.vector_norm(square / trace, dtype=torch.float64)) ** -2
