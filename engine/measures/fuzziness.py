"""The fuzziness Tr(Σ_w Σ_b⁺) (He & Su, *A law of data separation in deep learning*, PNAS 2023, eq. 1).

Shape legend: N samples, D features, C classes, R rank.
"""

from __future__ import annotations

import torch

from .scatter import Factors, Grams, rank_cut, trace_through


def from_factors(scatter: Factors) -> float:
    """Tr(Σ_w Σ_b⁺), dimensionless, by the C x C Gram matrix of B: with B Bᵀ = U S Uᵀ, Σ_b⁺ = Bᵀ U S⁻² Uᵀ B."""
    b64_CD = scatter.b_CD.double()
    s_C, u_CC = torch.linalg.eigh(b64_CD @ b64_CD.T)
    keep = s_C > s_C[-1] * rank_cut(scatter.b_CD)
    axes_DR = (b64_CD.T @ u_CC[:, keep]) / s_C[keep]
    spread_NR = scatter.w_ND @ axes_DR.to(scatter.w_ND.dtype)
    return float(spread_NR.double().square().sum())


def from_grams(scatter: Grams) -> float:
    """Tr(Σ_w Σ_b⁺), dimensionless."""
    return trace_through(scatter.between_CC, scatter.cross_NC, scatter.cut)
