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
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Floats
from ..settings.chain import ChainConfig
from .base import ChainBase, check_finite

APPROACH = 10.0
"""Time in which the distance to a new shape falls to 1/e, in units of steps x eta."""


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


def held_by_both(config: ChainConfig) -> Floats:
    """Positions x_1 … x_L that the two hands of a configuration give, [L], in the unit of ``target``."""
    inside = pulled_by_both(config.input_share, config.input_time, config.output_time, config.blocks + 1)[1:-1]
    return np.asarray(config.target * inside)


class TwoHandsChain(ChainBase):
    """L blocks between two hands, trembling about a shape; when its settings change it goes to the new one.

    The closed form gives the shape at each knob, not the way from one to another: every block goes straight to its
    place, x ← x* + (x - x*) e^(-η/T) with T = ``APPROACH``, so that none passes it and no springs cross. About its
    place a block trembles as one of a first-order chain without friction and of the same noise ε̄.
    The strength of the trembling is fitted to nothing.
    """

    def __init__(self, config: ChainConfig) -> None:
        self.config = config
        self.steps = 0
        self._generator = np.random.Generator(np.random.SFC64(config.seed))
        self._shape_L = np.zeros(config.blocks)
        self._padded = np.zeros((config.replicas, config.blocks + 2))
        """Trembling of the blocks, [R, L + 2], with the hands, which do not."""
        self._random: NDArray[np.uint64] = self._generator_state()["state"]["state"]

    @property
    def x_RL(self) -> Floats:
        return self._shape_L + self._padded[:, 1:-1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        self._random = self._generator_state()["state"]["state"]
        return {"x": self._padded, "shape": self._shape_L, "random": self._random}

    def arrays_changed(self) -> None:
        state = self._generator_state()
        self._generator.bit_generator.state = {**state, "state": {"state": self._random}}

    def _generator_state(self) -> dict[str, Any]:
        return dict(self._generator.bit_generator.state)

    def advance(self, steps: int) -> None:
        c, p = self.config, self._padded
        final_L, part = held_by_both(c), -math.expm1(-c.eta / APPROACH)
        for _ in range(steps):  # by single steps, so that the result does not depend on how they are sliced
            self._shape_L += part * (final_L - self._shape_L)
            force_RL = c.k * (p[:, 2:] - 2.0 * p[:, 1:-1] + p[:, :-2])
            if c.noise:
                force_RL += c.noise * self._generator.standard_normal(force_RL.shape)
            p[:, 1:-1] += c.eta * force_RL
        self.steps += steps
        check_finite(p, c, self.steps)
