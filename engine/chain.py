"""The chain of blocks and springs, first order (overdamped), many replicas at once.

Shape legend: R replicas, L blocks. Source: Shi, Pan, Dokmanić, arXiv:2407.19353; DESIGN.md, section 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .config import ChainConfig
from .errors import DivergedError

Floats = NDArray[np.float64]


class Chain:
    """L blocks between a wall at 0 and a target at y, all at the wall to begin with.

    A step is x ← x + η σ(F + ε̄ ξ), F_l = k (x_(l+1) - 2 x_l + x_(l-1)), ξ ~ N(0, 1) per block and step, all blocks
    from their old positions; σ(z) = z - μ→ above μ→, z + μ← below -μ←, 0 between.
    """

    def __init__(self, config: ChainConfig) -> None:
        self.config = config
        self.steps = 0
        self._generator = np.random.Generator(np.random.SFC64(config.seed))
        self._padded = np.zeros((config.replicas, config.blocks + 2))
        self._padded[:, -1] = config.target

    @property
    def x_RL(self) -> Floats:
        """Positions of the blocks, [R, L]."""
        return self._padded[:, 1:-1]

    def change(self, config: ChainConfig) -> None:
        """Take friction and noise on from the next step; positions stay."""
        self.config = config

    def advance(self, steps: int) -> None:
        """Take a number of steps.

        Raises:
            DivergedError: a position is no longer finite.
        """
        c, p = self.config, self._padded
        for _ in range(steps):
            z_RL = c.k * (p[:, 2:] - 2.0 * p[:, 1:-1] + p[:, :-2])
            if c.noise:
                z_RL += c.noise * self._generator.standard_normal(z_RL.shape)
            p[:, 1:-1] += c.eta * (np.maximum(z_RL - c.mu_right, 0.0) + np.minimum(z_RL + c.mu_left, 0.0))
        self.steps += steps
        if not np.isfinite(p).all():
            raise DivergedError(f"the chain diverged by step {self.steps}; choose a smaller eta (now {c.eta:g})")

    def mean(self) -> Floats:
        """Mean over replicas of x_1 … x_L, [L]."""
        return np.asarray(self.x_RL.mean(0))

    def sd(self) -> Floats:
        """Sample s.d. over replicas, [L]; zero for a single one."""
        return np.asarray(self.x_RL.std(0, ddof=1)) if self.config.replicas > 1 else np.zeros(self.config.blocks)
