"""The chain of blocks and springs in plain NumPy, both orders; the compiled kernels are tested against it.

Shape legend: R replicas, L blocks. Source: Shi, Pan, Dokmanić, arXiv:2407.19353; docs/theory.md.
Units are the chain's own: lengths as ``target``, forces as k times a length, times as steps x eta.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..settings.chain import ChainConfig
from .base import ChainBase, check_finite
from .pulling import amplitudes, targets


class Chain(ChainBase):
    """L blocks between a wall at 0 and a target at y, all at rest at the wall to begin with; float64.

    First order: x ← x + η σ(F + noise), F_l = k (x_(l+1) - 2 x_l + x_(l-1)), all blocks from their old positions;
    σ(z) = z - μ→ above μ→, z + μ← below -μ←, 0 between.

    Second order: m v̇ = F - γ v + friction + noise, friction -μ→ while moving right, +μ← while moving left; at
    rest it cancels the other forces as long as they lie between -μ← and μ→. A step is implicit in drag and
    friction: (m + γη) v' is the impulse m v + η F + noise brought towards zero by η μ, and zero if it lies within
    that band; then x' = x + η v'. Sticking is exact: v' = 0 solves Coulomb's law if and only if the impulse lies
    within the band.
    """

    def __init__(self, config: ChainConfig) -> None:
        self.config = config
        self.steps = 0
        self._generator = np.random.Generator(np.random.SFC64(config.seed))
        self._padded = np.zeros((config.replicas, config.blocks + 2))
        self.v_RL = np.zeros((config.replicas, config.blocks))
        """Velocities, [R, L]; zero in the first order."""

        self._random: NDArray[np.uint64] = self._generator_state()["state"]["state"]

    @property
    def x_RL(self) -> Floats:
        return self._padded[:, 1:-1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        self._random = self._generator_state()["state"]["state"]
        return {"x": self._padded, "v": self.v_RL, "random": self._random}

    def arrays_changed(self) -> None:
        found = self._generator_state()
        self._generator.bit_generator.state = {**found, "state": {"state": self._random}}

    def _generator_state(self) -> dict[str, Any]:
        return dict(self._generator.bit_generator.state)

    def advance(self, steps: int) -> None:
        step = self._first_order if self.config.order == 1 else self._second_order
        pulled = zip(
            targets(self.config, self.pulled_steps, steps),
            amplitudes(self.config, self.pulled_steps, steps),
            strict=True,
        )
        for target, amplitude in pulled:
            self._padded[:, -1] = target
            step(self._noise(float(amplitude)))
        self.steps += steps
        check_finite(self._padded, self.config, self.steps)

    def _noise(self, amplitude: float) -> Floats | float:
        if not amplitude:
            return 0.0
        shape = (self.config.replicas, 1 if self.config.common_noise else self.config.blocks)
        return amplitude * self._generator.standard_normal(shape)

    def _forces(self) -> Floats:
        p = self._padded
        return np.asarray(self.config.k * (p[:, 2:] - 2.0 * p[:, 1:-1] + p[:, :-2]))

    def _first_order(self, noise_RL: Floats | float) -> None:
        c = self.config
        self.x_RL[:] += c.eta * friction_response(self._forces() + noise_RL, c.mu_right, c.mu_left)

    def _second_order(self, noise_RL: Floats | float) -> None:
        c = self.config
        impulse_RL = c.mass * self.v_RL + c.eta * self._forces() + noise_RL
        self.v_RL = friction_response(impulse_RL, c.eta * c.mu_right, c.eta * c.mu_left) / (
            c.mass + c.gamma * c.eta
        )
        self.x_RL[:] += c.eta * self.v_RL


def friction_response(force: Floats, right: float, left: float) -> Floats:
    """σ (docs/theory.md): a force brought towards zero by friction, and to zero within its band.

    Of any shape, and in that shape; force and the frictions against moving ``right`` and ``left`` in one unit.
    """
    return np.asarray(np.maximum(force - right, 0.0) + np.minimum(force + left, 0.0))
