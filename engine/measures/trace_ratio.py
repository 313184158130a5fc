"""The ratio Tr Σ_w / Tr Σ_b (Shi, Pan, Dokmanić, arXiv:2407.19353), and each sample's influence on its logarithm.

Shape legend: N samples, D features, C classes.
"""

from __future__ import annotations

import math

import torch

from .scatter import Factors, Grams


def from_factors(scatter: Factors) -> float:
    """Tr Σ_w / Tr Σ_b, dimensionless."""
    return scatter.within / scatter.between


def from_grams(scatter: Grams) -> float:
    """Tr Σ_w / Tr Σ_b, dimensionless."""
    return scatter.within / scatter.between


def influence(w_ND: torch.Tensor, b_CD: torch.Tensor, y_N: torch.Tensor) -> torch.Tensor:
    """Each sample's influence on log(Tr Σ_w / Tr Σ_b), [N], float64, of mean zero.

    Giving sample i the weight (1 + ε)/N changes the measure by ε/N times its influence, to first order (Hampel,
    *The influence curve and its role in robust estimation*, 1974). W, B and y are as of ``scatter_factors``.
    """
    n = len(w_ND)
    parts_C = torch.bincount(y_N, minlength=len(b_CD)).clamp(min=1).double() / n
    within_N = w_ND.square().sum(1).double() * n
    means_C = b_CD.square().sum(1).double() / parts_C
    directions_CD = b_CD / parts_C.sqrt().to(b_CD.dtype)[:, None]
    along_N = (w_ND @ directions_CD.T).gather(1, y_N[:, None])[:, 0].double() * math.sqrt(n)
    within, between = within_N.mean(), b_CD.double().square().sum()
    return within_N / within - (means_C[y_N] + 2.0 * along_N) / between
