"""The inverse fuzziness Tr(Σ_b Σ_w⁺), as in the code of Shi, Pan, Dokmanić (arXiv:2407.19353).

Shape legend: N samples, D features, C classes, R rank.
"""

from __future__ import annotations

import torch

from .scatter import Factors, Grams, rank_cut, trace_through


def from_factors(scatter: Factors) -> float:
    """Tr(Σ_b Σ_w⁺), dimensionless, from the eigenvectors of Σ_w or of W Wᵀ, whichever is smaller."""
    w_ND = scatter.w_ND
    n, d = w_ND.shape
    w64_ND, b64_CD = w_ND.double(), scatter.b_CD.double()
    if d <= n:
        s_D, v_DD = torch.linalg.eigh(w64_ND.T @ w64_ND)
        keep = s_D > s_D[-1] * rank_cut(w_ND)
        onto_CR = b64_CD @ v_DD[:, keep]
        return float((onto_CR.square() / s_D[keep]).sum())
    s_N, u_NN = torch.linalg.eigh(w64_ND @ w64_ND.T)
    keep = s_N > s_N[-1] * rank_cut(w_ND)
    onto_CR = (b64_CD @ w64_ND.T) @ u_NN[:, keep]
    return float((onto_CR.square() / s_N[keep].square()).sum().item())


def from_grams(scatter: Grams) -> float:
    """Tr(Σ_b Σ_w⁺), dimensionless."""
    return trace_through(scatter.within_NN, scatter.cross_NC.T, scatter.cut)
