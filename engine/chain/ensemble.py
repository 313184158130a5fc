"""Many replicas of a chain, and many cells of a diagram, in compiled code across cores.

Shape legend: C cells, R replicas, L blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..cores import core_count
from ..settings.chain import ChainConfig
from .base import ChainBase, check_finite
from .gaussians import LANES
from .kernels import Physics, advance, advance_all, new_group
from .pulling import amplitudes, targets

_SLICE = 20_000
"""Steps whose targets and amplitudes are computed at once."""


class ChainEnsemble(ChainBase):
    """The chain of ``chain.chain``, its R replicas in groups of 64 over all cores; positions in float32.

    Args:
        config: the chain.
        cell: number of the stream, so that chains of one seed do not share noise.
        threads: by default one per core; no result depends on it.
    """

    def __init__(self, config: ChainConfig, cell: int = 0, threads: int | None = None) -> None:
        self.config = config
        self.steps = 0
        self._threads = threads
        groups = -(-config.replicas // LANES)
        self.groups = [new_group(config.blocks, config.seed, cell, number) for number in range(groups)]

    @property
    def x_RL(self) -> Floats:
        lanes = np.concatenate([group.x_LV[1:-1] for group in self.groups], axis=1)
        return np.asarray(lanes[:, : self.config.replicas].T, np.float64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            f"{name}.{number}": array
            for number, group in enumerate(self.groups)
            for name, array in (("x", group.x_LV), ("v", group.v_LV), ("random", group.generator))
        }

    def advance(self, steps: int) -> None:
        """Take a number of steps of length eta, as ``ChainBase.advance``.

        Noise is drawn for ``CHUNK`` steps at once: several calls give the numbers of a single one only where each
        call but the last takes a multiple of ``CHUNK`` steps.
        """
        for physics in _slices(self.config, self.pulled_steps, steps):
            advance_all([(group, physics) for group in self.groups], self._threads)
            self.steps += len(physics.targets_T)
        for group in self.groups:
            check_finite(group.x_LV, self.config, self.steps)


class CellResult(NamedTuple):
    """A cell's replicas at the end of the pull."""

    mean_L: Floats
    """Mean over replicas of x_1 … x_L, [L], in the unit of ``target``."""
    sd_L: Floats
    """Sample s.d. over replicas, [L]; zero for a single one."""


def pull_cells(
    configs: Sequence[ChainConfig],
    *,
    threads: int | None = None,
    first_cell: int = 0,
    on_cell: Callable[[int, CellResult], None] | None = None,
) -> list[CellResult]:
    """Pull every cell's replicas to the end, over all cores; the results in the order of ``configs``.

    ``on_cell`` is called with each cell's index in ``configs`` and its result, in order.
    A cell's random stream follows from its seed and its number, counted from ``first_cell``: none share noise.

    Raises:
        DivergedError: a position is no longer finite.
    """
    results = []
    with ThreadPoolExecutor(threads or core_count()) as pool:
        pulls = [
            [pool.submit(_pull_group, config, cell, group) for group in range(-(-config.replicas // LANES))]
            for cell, config in enumerate(configs, first_cell)
        ]
        for number, (config, groups) in enumerate(zip(configs, pulls, strict=True)):
            x_LR = np.concatenate([group.result() for group in groups], axis=1)[:, : config.replicas]
            sd_L = x_LR.std(1, ddof=1) if config.replicas > 1 else np.zeros(config.blocks)
            results.append(CellResult(x_LR.mean(1), sd_L))
            if on_cell is not None:
                on_cell(number, results[-1])
    return results


def _pull_group(config: ChainConfig, cell: int, number: int) -> Floats:
    """One group's positions at the end of the pull, [L, V]."""
    group = new_group(config.blocks, config.seed, cell, number)
    for physics in _slices(config, 0, config.steps):
        advance(group, physics)
    check_finite(group.x_LV, config, config.steps)
    return np.asarray(group.x_LV[1:-1], np.float64)


def _slices(config: ChainConfig, start: int, steps: int) -> Iterator[Physics]:
    for first in range(start, start + steps, _SLICE):
        count = min(_SLICE, start + steps - first)
        yield Physics(
            targets_T=targets(config, first, count).astype(np.float32),
            amplitudes_T=amplitudes(config, first, count).astype(np.float32),
            k=config.k,
            eta=config.eta,
            mu_right=config.mu_right,
            mu_left=config.mu_left,
            common=config.common_noise,
            mass=config.mass if config.order == 2 else 0.0,
            gamma=config.gamma,
        )
