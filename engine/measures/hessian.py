"""Curvature of a loss from Hessian-vector products alone; no Hessian is ever formed.

Shape legend: P parameters, M Lanczos vectors kept. Sources: Pearlmutter, *Fast exact multiplication by the
Hessian*, 1994; Hutchinson, *A stochastic estimator of the trace*, 1990; Golub & Van Loan, *Matrix Computations*,
chapter 10.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

Product = Callable[[Tensor], Tensor]
"""H v [P] of v [P]."""

_TRACE_TOLERANCE = 0.03
"""Probing ends where the trace's standard error is this fraction of the trace."""
_LEAST_PROBES, _MOST_PROBES = 8, 64
"""Smallest and largest number of probes."""
_TOP_TOLERANCE = 1e-3
"""Lanczos ends at a residual of this fraction of the eigenvalue, whose error is of the order of its square."""
_MOST_PRODUCTS = 200
_PATIENCE = 10.0
"""Seconds after which each of the two estimates ends as it stands: a large network's products take seconds."""
_BASIS = 40
_BASIS_NUMBERS = 1 << 28
"""Lanczos vectors are kept up to this many numbers (1 GiB in float32), then it restarts from the best one."""


class Curvature(NamedTuple):
    """Trace and largest eigenvalue of the Hessian of the mean loss, in the loss's unit."""

    trace: float
    """Over all P parameters."""
    trace_error: float
    """Standard error of ``trace``; NaN from one probe."""
    top: float
    """The largest eigenvalue (algebraically)."""
    top_error: float
    """The residual ‖Hv - top v‖: an eigenvalue lies within it."""
    products: int
    """Hessian-vector products that were taken."""


def always() -> bool:
    """Always True: the default of ``going``."""
    return True


def curvature(
    product: Product,
    size: int,
    generator: torch.Generator,
    going: Callable[[], bool] = always,
    patience: float = _PATIENCE,
) -> Curvature | None:
    """Trace (Hutchinson, Rademacher probes) and largest eigenvalue (Lanczos) of a Hessian of ``size`` rows.

    Each estimate ends at its tolerance, or after ``patience`` with a larger error. Values are NaN where products
    are not finite.

    Args:
        product: v ↦ H v, as of ``hessian_product``.
        size: P.
        generator: of the probes, on the vectors' device.
        going: called before every product; where it returns False, the result is None.
        patience: seconds after which each of the two estimates ends as it stands.
    """
    spent = 0

    def counted(v_P: Tensor) -> Tensor:
        nonlocal spent
        if not going():
            raise _GivenUp
        spent += 1
        return product(v_P)

    try:
        trace, trace_error = hutchinson_trace(counted, size, generator, _after(patience))
        top, top_error = top_eigenvalue(counted, size, generator, _after(patience))
    except _GivenUp:
        return None
    return Curvature(trace, trace_error, top, top_error, spent)


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def never() -> bool:
    """Always False: the default of ``late``."""
    return False


class _GivenUp(Exception):
    """``going`` returned False."""


def hessian_product(parts: Sequence[Callable[[], Tensor]], parameters: Iterable[nn.Parameter]) -> Product:
    """The function v ↦ H v, [P], of a loss that is the sum of ``parts``; one part's graph is in memory at a time.

    H v is ∇(∇loss · v) (Pearlmutter, 1994); P counts the parameters that need gradients. A loss of one part keeps
    its gradient's graph between products, which more than halves their time.
    """
    trained = [p for p in parameters if p.requires_grad]

    def gradient(part: Callable[[], Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(part(), trained, create_graph=True, materialize_grads=True))

    kept = gradient(parts[0]) if len(parts) == 1 else None

    def product(v_P: Tensor) -> Tensor:
        vectors, total_P = _split(v_P, trained), torch.zeros_like(v_P)
        for part in parts:
            total_P += _differentiate(kept or gradient(part), vectors, trained)
        return total_P

    return product


def _differentiate(gradients: list[Tensor], vectors: list[Tensor], parameters: list[nn.Parameter]) -> Tensor:
    """∇(gradient · v) [P]; a constant gradient contributes nothing."""
    bent = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g.requires_grad]
    if not bent:
        return torch.cat([torch.zeros_like(p).reshape(-1) for p in parameters])
    outputs, along = zip(*bent, strict=True)
    found = torch.autograd.grad(outputs, parameters, along, retain_graph=True, materialize_grads=True)
    return torch.cat([part.reshape(-1) for part in found])


def _split(v_P: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    chunks = torch.split(v_P, [p.numel() for p in parameters])
    return [chunk.reshape(p.shape) for chunk, p in zip(chunks, parameters, strict=True)]


def hutchinson_trace(
    product: Product, size: int, generator: torch.Generator, late: Callable[[], bool] = never
) -> tuple[float, float]:
    """Mean of vᵀHv over random signs v [P], and its standard error: s.d. / √probes (Hutchinson, 1990).

    Both in the loss's unit. ``late`` is called after each probe from the second on; True ends the estimate.
    """
    values: list[float] = []
    while len(values) < _MOST_PROBES:
        v_P = _signs(size, generator)
        values.append(float(torch.dot(v_P.double(), product(v_P).double())))
        mean, error = _mean_and_error(values)
        good = len(values) >= _LEAST_PROBES and not error > _TRACE_TOLERANCE * abs(mean)
        if good or (len(values) > 1 and late()):
            break
    return _mean_and_error(values)


def _signs(size: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (size,), generator=generator, device=generator.device).float().mul_(2).sub_(1)


def _mean_and_error(values: list[float]) -> tuple[float, float]:
    n, mean = len(values), math.fsum(values) / len(values)
    if n < 2:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)


def top_eigenvalue(
    product: Product, size: int, generator: torch.Generator, late: Callable[[], bool] = never
) -> tuple[float, float]:
    """The largest eigenvalue and its residual, by Lanczos iteration with full reorthogonalisation.

    Both in the loss's unit, of vectors [P] (Golub & Van Loan, chapter 10). Where the kept vectors are
    full, it restarts from the best one; ``late`` is called after each product, and True ends it.
    """
    v_P = torch.randn(size, generator=generator, device=generator.device)
    basis = max(2, min(_BASIS, size, _BASIS_NUMBERS // size))
    value, residual, spent = math.nan, math.nan, 0
    while spent < _MOST_PRODUCTS and not late():
        value, residual, v_P, steps = _lanczos(product, v_P, basis, late)
        spent += steps
        if not residual > _TOP_TOLERANCE * abs(value):
            break
    return value, residual


def _lanczos(
    product: Product, start_P: Tensor, size: int, late: Callable[[], bool]
) -> tuple[float, float, Tensor, int]:
    """The largest Ritz value, its residual, its vector [P], and the number of products taken."""
    basis_MP = torch.empty(size, len(start_P), device=start_P.device)
    basis_MP[0] = start_P / start_P.norm()
    diagonal, beside = list[float](), list[float]()
    while True:
        m = len(diagonal) + 1
        w_P = product(basis_MP[m - 1])
        diagonal.append(float(torch.dot(w_P, basis_MP[m - 1])))
        if not math.isfinite(diagonal[-1]):
            return math.nan, math.nan, start_P, m
        for _ in range(2):  # orthogonalising twice is enough (Kahan, Parlett)
            w_P = w_P - basis_MP[:m].T @ (basis_MP[:m] @ w_P)
        beta = float(w_P.norm())
        values_M, vectors_MM = torch.linalg.eigh(_tridiagonal(diagonal, beside))
        value, best_M = float(values_M[-1]), vectors_MM[:, -1]
        residual = beta * abs(float(best_M[-1]))
        if m == size or residual <= _TOP_TOLERANCE * abs(value) or beta == 0.0 or late():
            ritz_P = best_M.to(basis_MP) @ basis_MP[:m]
            return value, residual, ritz_P, m
        beside.append(beta)
        basis_MP[m] = w_P / beta


def _tridiagonal(diagonal: list[float], beside: list[float]) -> Tensor:
    """The projected Hessian [M, M] in float64."""
    middle, off = torch.tensor(diagonal, dtype=torch.float64), torch.tensor(beside, dtype=torch.float64)
    return torch.diag(middle) + torch.diag(off, 1) + torch.diag(off, -1)
