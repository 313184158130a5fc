"""A chain without friction that is pulled at both ends, each for a time of its own (docs/theory.md; ours).

The chain has unit length and H springs. Its H - 1 blocks start at rest, so that a pull is felt first by the spring
at the hand, and later by all alike: the overdamped linear chain ẋ = M k (x_(l+1) - 2 x_l + x_(l-1)). Times are in
units of 1/(k M), M being the mobility. Noisy friction in the creep limit, F much smaller than μ and ε, is such a
chain with a small mobility.

Shape legend: C chains, H springs.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats


@functools.cache
def _modes(springs: int) -> tuple[Floats, Floats]:
    """Decay rates of the modes, [H - 1], and each mode's part in a fresh pull, by point, [H - 1, H + 1]."""
    block, mode = np.arange(1, springs), np.arange(1, springs)[:, None]
    shapes = math.sqrt(2.0 / springs) * np.sin(mode * block * (math.pi / springs))
    rates = 2.0 - 2.0 * np.cos(mode[:, 0] * (math.pi / springs))
    return rates, np.pad((shapes @ (block / springs))[:, None] * shapes, ((0, 0), (1, 1)))


def pulled_at_output(time: ArrayLike, springs: int) -> Floats:
    """Positions of blocks at rest at 0 whose last spring's end is held at 1 for a time, [C, H + 1] or [H + 1].

        V_l(τ) = l/H - Σ_k u_k(l) e^(-λ_k τ) Σ_m u_k(m) m/H,
        λ_k = 2 - 2 cos(k π/H),   u_k(l) = √(2/H) sin(k π l/H)

    Args:
        time: τ of each chain, [C], or one; in units of 1/(k M), not negative.
        springs: H.
    """
    rates, parts = _modes(springs)
    fades = np.exp(-np.asarray(time, np.float64)[..., None] * rates)
    return np.asarray(np.arange(springs + 1) / springs - fades @ parts)


def pulled_at_input(time: ArrayLike, springs: int) -> Floats:
    """Positions where the hand at the input pulls: 1 - V_(H-l)(τ), in shapes as ``pulled_at_output``.

    They are relative to that hand, so that the first spring stretches first.
    """
    return np.asarray(1.0 - pulled_at_output(time, springs)[..., ::-1])


def pulled_by_both(input_share: ArrayLike, input_time: ArrayLike, output_time: ArrayLike, springs: int) -> Floats:
    """Positions p W_l(τ_w) + (1 - p) V_l(τ_h), from 0 to 1, in shapes as ``pulled_at_output``.

    Args:
        input_share: p, the part of the length that the input's hand pulls, in [0, 1]; [C] or one number.
        input_time: τ_w, for which that hand has pulled.
        output_time: τ_h, for which the output's hand has pulled.
        springs: H.
    """
    share = np.asarray(input_share, np.float64)[..., None]
    return np.asarray(
        share * pulled_at_input(input_time, springs) + (1.0 - share) * pulled_at_output(output_time, springs)
    )
