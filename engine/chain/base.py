"""The interface that the plain and the compiled chain share, and the check that positions are finite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..errors import DivergedError
from ..settings.chain import ChainConfig
from .pulling import hold_steps, is_pulled_anew


class ChainBase(ABC):
    """A chain of L blocks in R replicas, which are advanced together step by step."""

    config: ChainConfig
    steps: int
    """Steps taken, over all pulls."""
    began: int = 0
    """Step at which the present pull began."""

    @property
    @abstractmethod
    def x_RL(self) -> Floats:
        """Positions of the blocks, [R, L]."""

    @abstractmethod
    def advance(self, steps: int) -> None:
        """Take a number of steps of length eta.

        Raises:
            DivergedError: a position is no longer finite.
        """

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that the next step depends on, besides ``config`` and ``steps``, by name.

        x are positions, v velocities, random the generators' words; their shapes are the subclass's own. They are
        the chain's own memory: a checkpoint is written from them and read into them.
        """

    def arrays_changed(self) -> None:  # noqa: B027 (a chain that reads the arrays in each step need not)
        """Take up what was written into the arrays that ``arrays`` returned."""

    @property
    def pulled_steps(self) -> int:
        """Steps of the present pull."""
        return self.steps - self.began

    @property
    def is_held(self) -> bool:
        """Whether the present pull has come to its time of ``hold``; then no further step is to be taken."""
        held = hold_steps(self.config)
        return held is not None and self.pulled_steps >= held

    def change(self, config: ChainConfig) -> None:
        """Put live settings in force from the next step on.

        Positions stay as they are, but for a chain that is to be held: it is pulled anew where
        ``pulling.is_pulled_anew``.
        """
        if is_pulled_anew(self.config, config, self.pulled_steps):
            for name, array in self.arrays().items():
                if name[0] in "xv":
                    array[...] = 0
            self.began = self.steps
        self.config = config

    def mean(self) -> Floats:
        """Mean over replicas of x_1 … x_L, [L]."""
        return np.asarray(self.x_RL.mean(0))

    def sd(self) -> Floats:
        """Sample s.d. over replicas, [L]; zero for a single one."""
        return np.asarray(self.x_RL.std(0, ddof=1)) if self.config.replicas > 1 else np.zeros(self.config.blocks)


def check_finite(positions: NDArray[np.floating], config: ChainConfig, steps: int) -> None:
    """Check that all positions, of any shape, are finite.

    Raises:
        DivergedError: one is not; names the step and eta.
    """
    if not np.isfinite(positions).all():
        raise DivergedError(f"the chain diverged by step {steps}; choose a smaller eta (now {config.eta:g})")
