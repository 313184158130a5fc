"""Where a chain without noise comes to rest, in closed form."""

from __future__ import annotations

import math

import numpy as np

from engine.arrays import Floats
from engine.settings.chain import ChainConfig


def quasi_static(config: ChainConfig) -> Floats:
    """Positions x_1 … x_L, [L], where a chain without noise comes to rest after a pull at once.

    For y > 0 the moved blocks all end on the edge of friction, F = μ→; the others keep x = 0. With m moved blocks
    (those nearest the target) the m + 1 springs have extensions e, e + f, e + 2f, … from the innermost, f = μ→/k,
    summing to y; m is the largest number for which the innermost extension e stays positive. For y < 0: mirrored.
    """
    f = (config.mu_right if config.target >= 0 else config.mu_left) / config.k
    y, blocks = abs(config.target), config.blocks
    moved = max((m for m in range(1, blocks + 1) if _innermost(y, f, m) > 0.0), default=0)
    x = np.zeros(blocks)
    if moved:
        first = _innermost(y, f, moved)
        x[blocks - moved :] = np.cumsum(first + f * np.arange(moved))
    return math.copysign(1.0, config.target) * x


def _innermost(y: float, f: float, moved: int) -> float:
    """Extension of the spring on the wall's side of the innermost moved block."""
    return (y - f * moved * (moved + 1) / 2.0) / (moved + 1)
