"""Measures of class separation in one layer's activations. Natural logarithms throughout.

Shape legend: N samples, D features, C classes, R rank. Sources: ``trace_ratio`` and ``inverse_fuzziness``, Shi,
Pan, Dokmanić, arXiv:2407.19353; ``fuzziness``, He & Su, *A law of data separation in deep learning*, PNAS 2023.

Neither scatter matrix is ever inverted as it stands. With the factors W (rows (x_i - x̄_c)/√N) and B (rows
√(n_c/N) (x̄_c - x̄)), Σ_w = WᵀW and Σ_b = BᵀB, and Σ_b has rank at most C - 1; so all pseudo-inverses come from
small Gram matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

MEASURES = ("trace_ratio", "fuzziness", "inverse_fuzziness")
_BLOCK_NUMBERS = 1 << 18


def separation_measures(
    x_ND: torch.Tensor, y_N: torch.Tensor, n_classes: int | None = None, measures: Sequence[str] = MEASURES
) -> dict[str, float]:
    """The three measures by name, dimensionless (natural log).

    Args:
        x_ND: features [N, …], floating point; dimensions after the first are flattened.
        y_N: class indices [N], int64, from 0.
        n_classes: how many classes there are; by default one more than the largest label.
        measures: which to take; inverse fuzziness is by far the dearest.

    No measure depends on the features' unit. Degenerate cases are defined: everything is NaN without samples, with
    values that are not finite, and where nothing varies at all. Coinciding class means (or one class alone) give a
    trace ratio and fuzziness of +inf and an inverse fuzziness of -inf; classes without any spread give -inf, -inf
    and +inf. A class with a single sample has no spread of its own and counts with its mean.
    """
    return separation_and_influence(x_ND, y_N, n_classes, measures)[0]


def separation_and_influence(
    x_ND: torch.Tensor, y_N: torch.Tensor, n_classes: int | None = None, measures: Sequence[str] = MEASURES
) -> tuple[dict[str, float], torch.Tensor | None]:
    """``separation_measures``, and each sample's influence on the trace ratio, [N]; None in degenerate cases.

    Arguments are those of ``separation_measures``; the influence is ``trace_ratio_influence``.
    """
    x_ND = x_ND.detach().reshape(x_ND.shape[0], math.prod(x_ND.shape[1:]))
    largest = float(torch.linalg.vector_norm(x_ND, math.inf)) if x_ND.numel() else math.nan
    if not math.isfinite(largest) or largest == 0.0:
        return dict.fromkeys(measures, math.nan), None
    w_ND, b_CD = scatter_factors(x_ND / largest, y_N, n_classes)
    within, between = _trace(w_ND), _trace(b_CD)
    n, d = x_ND.shape
    floor = torch.finfo(x_ND.dtype).eps ** 2 * (d + 4 * n * (within + between))  # of storing, and of averaging
    ratios: dict[str, Callable[[], float]] = {
        "trace_ratio": lambda: within / between,
        "fuzziness": lambda: fuzziness_ratio(w_ND, b_CD),
        "inverse_fuzziness": lambda: inverse_fuzziness_ratio(w_ND, b_CD),
    }
    found = logarithms(within, between, floor, {name: ratios[name] for name in measures})
    varies = within > floor and between > floor
    return found, trace_ratio_influence(w_ND, b_CD, y_N) if varies else None


def logarithms(
    within: float, between: float, floor: float, ratios: Mapping[str, Callable[[], float]]
) -> dict[str, float]:
    """Measures from their traces; scatter up to the ``floor`` is rounding, and degenerate cases need no ratio.

    Args:
        within, between: Tr Σ_w and Tr Σ_b, in the features' unit squared.
        floor: in the same unit.
        ratios: by measure, what its logarithm is taken of.
    """
    if within <= floor and between <= floor:
        return dict.fromkeys(ratios, math.nan)
    if within <= floor or between <= floor:
        sign = 1.0 if between <= floor else -1.0
        return {name: -sign * math.inf if name == "inverse_fuzziness" else sign * math.inf for name in ratios}
    values = {name: ratio() for name, ratio in ratios.items()}
    return {name: math.log(value) if value > 0 else -math.inf for name, value in values.items()}


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
    means_CD = means_CD - parts_C @ means_CD  # what rounding left, lest equal means seem to differ
    return w_ND, means_CD * parts_C.sqrt()[:, None]


def trace_ratio_influence(w_ND: torch.Tensor, b_CD: torch.Tensor, y_N: torch.Tensor) -> torch.Tensor:
    """What each sample adds to log(Tr Σ_w / Tr Σ_b), [N], in float64: its influence function, of mean zero.

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


def _block(x_ND: torch.Tensor) -> int:
    """Rows whose features a processor's cache holds: memory is what wide layers wait for."""
    return max(1, _BLOCK_NUMBERS // max(1, x_ND.shape[1]))


def fuzziness_ratio(w_ND: torch.Tensor, b_CD: torch.Tensor) -> float:
    """Tr(Σ_w Σ_b⁺) by the C x C Gram matrix of B: with B Bᵀ = U S Uᵀ, Σ_b⁺ = Bᵀ U S⁻² Uᵀ B (He & Su, eq. 1).

    W [N, D] and B [C, D] as of ``scatter_factors``; dimensionless.
    """
    b64_CD = b_CD.double()
    s_C, u_CC = torch.linalg.eigh(b64_CD @ b64_CD.T)
    keep = s_C > s_C[-1] * _rank_cut(b_CD)
    axes_DR = (b64_CD.T @ u_CC[:, keep]) / s_C[keep]
    spread_NR = w_ND @ axes_DR.to(w_ND.dtype)
    return float(spread_NR.double().square().sum())


def inverse_fuzziness_ratio(w_ND: torch.Tensor, b_CD: torch.Tensor) -> float:
    """Tr(Σ_b Σ_w⁺), from the eigenvectors of Σ_w or of the Gram matrix of W, whichever is smaller.

    As in the code of Shi et al.; W [N, D] and B [C, D] as of ``scatter_factors``; dimensionless.
    """
    n, d = w_ND.shape
    w64_ND, b64_CD = w_ND.double(), b_CD.double()
    if d <= n:
        s_D, v_DD = torch.linalg.eigh(w64_ND.T @ w64_ND)
        keep = s_D > s_D[-1] * _rank_cut(w_ND)
        onto_CR = b64_CD @ v_DD[:, keep]
        return float((onto_CR.square() / s_D[keep]).sum())
    s_N, u_NN = torch.linalg.eigh(w64_ND @ w64_ND.T)
    keep = s_N > s_N[-1] * _rank_cut(w_ND)
    onto_CR = (b64_CD @ w64_ND.T) @ u_NN[:, keep]
    return float((onto_CR.square() / s_N[keep].square()).sum().item())


def _rank_cut(factor: torch.Tensor) -> float:
    """Eigenvalues below this part of the largest count as zero: what rounding of the features leaves behind.

    Features in float64 are no better known than float32 stores them, so that rank does not depend on the type.
    """
    eps = max(torch.finfo(factor.dtype).eps, torch.finfo(torch.float32).eps)
    return float(max(factor.shape) * eps**1.5)


def _trace(factor: torch.Tensor) -> float:
    return float(factor.square().sum(dtype=torch.float64).item())
