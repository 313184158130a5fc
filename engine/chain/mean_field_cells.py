"""The mean field of many chains at once, compiled: for phase diagrams and for the fit of twins.

Shape legend: C cells, L blocks. Equations: ``mean_field`` (docs/theory.md; ours).
"""

from __future__ import annotations

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Floats
from ..cores import core_count
from ..jit import jit

_REACH = 8.0
"""Half width of the table: beyond 8 s.d. φ(a) + a Φ(a) is 0 or a, to 1e-16."""
_PER_UNIT = 512
"""Entries of the table per unit: linear interpolation errs by at most φ(0) / (8 x 512²) = 2e-7 of the noise."""


@functools.cache
def _ramp_table() -> Floats:
    """φ(a) + a Φ(a) at a = -8 … 8."""
    at = np.arange(-_REACH * _PER_UNIT, _REACH * _PER_UNIT + 2) / _PER_UNIT
    below = np.array([0.5 * math.erfc(-a / math.sqrt(2.0)) for a in at])
    return np.asarray(np.exp(-0.5 * at * at) / math.sqrt(2.0 * math.pi) + at * below)


@jit
def _ramp(table: Any, a: float) -> float:
    if a >= 8.0:
        return a
    if a <= -8.0:
        return 0.0
    place = (a + 8.0) * 512.0
    whole = int(place)
    return float(table[whole] + (place - whole) * (table[whole + 1] - table[whole]))


@jit
def _settle(
    table: Any, x: Any, mu_right: Any, mu_left: Any, noise: Any, k: float, eta: float, target: float, steps: int
) -> None:
    """Take the steps x ← x + η g(F) of every cell, x [C, L]; a cell ends early once it is at rest."""
    cells, blocks = x.shape
    for c in range(cells):
        right, left, sd = mu_right[c], mu_left[c], noise[c]
        inverse = 1.0 / sd if sd > 0.0 else 0.0
        here = x[c]
        for _ in range(steps):
            before, fastest = 0.0, 0.0
            for l in range(blocks):  # noqa: E741
                after = here[l + 1] if l + 1 < blocks else target
                force = k * (after - 2.0 * here[l] + before)
                if sd > 0.0:
                    speed = sd * (
                        _ramp(table, (force - right) * inverse) - _ramp(table, (-force - left) * inverse)
                    )
                else:
                    speed = max(force - right, 0.0) + min(force + left, 0.0)
                before = here[l]
                here[l] = before + eta * speed
                fastest = max(fastest, abs(speed))
            if eta * fastest < 1e-13:  # all blocks are at rest
                break


def mean_field_cells(
    mu_right: ArrayLike,
    mu_left: ArrayLike,
    noise: ArrayLike,
    *,
    blocks: int,
    k: float = 1.0,
    eta: float = 0.05,
    steps: int = 4000,
    target: float = 1.0,
    threads: int | None = None,
) -> Floats:
    """Mean positions x_1 … x_L of every cell after a pull at once, [C, L].

    The first three broadcast to [C]. Agrees with ``mean_field.MeanField`` to 1e-6 of the chain's length.

    Args:
        mu_right, mu_left: friction against moving right and left, forces.
        noise: ε̄, s.d. of the random force per block and step.
        blocks: L.
        k: stiffness, force per length.
        eta: length of a step, in time.
        steps: the largest number; a cell ends early once it is at rest.
        target: where the last spring is held, a length.
        threads: by default one per core; no result depends on it.
    """
    given = (np.atleast_1d(np.asarray(a, np.float64)) for a in (mu_right, mu_left, noise))
    right_C, left_C, noise_C = (np.ascontiguousarray(a) for a in np.broadcast_arrays(*given))
    x_CL = np.zeros((right_C.size, blocks))
    table = _ramp_table()
    parts = np.array_split(np.arange(right_C.size), min(right_C.size, threads or core_count()))

    def settle(part: NDArray[np.intp]) -> None:
        rows = slice(int(part[0]), int(part[-1]) + 1)
        shared = right_C[rows], left_C[rows], noise_C[rows], k, eta, target, steps
        _settle(table, x_CL[rows], *shared)

    if len(parts) == 1:
        settle(parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(settle, parts))
    return x_CL
