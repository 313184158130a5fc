"""The chain in compiled code: 64 replicas side by side, both orders, Gaussian noise.

Shape legend: L blocks, V = LANES replicas (the lanes of a group), T steps. A group has a generator of its own,
seeded by the run's seed, its cell and its number alone: no result depends on the number of threads or on which
groups run beside it. Positions are float32: rounding adds some 1e-6 to a chain of length 1, far below the standard
error of any number of replicas that fits in memory. Source: Shi, Pan, Dokmanić, arXiv:2407.19353.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cores import core_count
from ..ensemble.random import lanes_from_seed
from ..jit import jit
from .gaussians import LANES, fill_gaussians
from .pulling import CHUNK

Floats = NDArray[np.float32]

_F = np.float32
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


class Physics(NamedTuple):
    """Parameters of T steps; one value a step of what changes in time. Units as in ``ChainConfig``."""

    targets_T: Floats
    """Where the last spring is held at each step, [T]."""
    amplitudes_T: Floats
    """S.d. of the random force (first order) or impulse (second order) on a block at each step, [T]."""
    k: float
    """Stiffness, force per length."""
    eta: float
    """Length of a step, in time."""
    mu_right: float
    mu_left: float
    """Friction against moving right and left, forces."""
    common: bool
    """Whether all blocks of a replica get the same noise."""
    mass: float = 0.0
    """0 for the first order."""
    gamma: float = 0.0
    """Drag, force per velocity."""


class Group(NamedTuple):
    """The state of one group of replicas."""

    x_LV: Floats
    """Positions with wall and target, [L + 2, V]."""
    v_LV: Floats
    """Velocities, [L, V]; zero in the first order."""
    generator: NDArray[np.uint32]
    """Four words a lane, [4 V]: ``ensemble.random.lanes_from_seed``."""


def new_group(blocks: int, seed: int, cell: int, number: int) -> Group:
    """A group with all blocks at rest at the wall; streams of different (seed, cell, number) are independent."""
    mixed = (seed * 0x9E3779B97F4A7C15 + cell * 0xBF58476D1CE4E5B9 + number * 0x94D049BB133111EB + 1) % (1 << 64)
    return Group(
        np.zeros((blocks + 2, LANES), np.float32), np.zeros((blocks, LANES), np.float32), lanes_from_seed(mixed)
    )


@jit
def _first_order(
    x: Any,
    generator: Any,
    targets: Any,
    amplitudes: Any,
    k: Any,
    eta: Any,
    mu_right: Any,
    mu_left: Any,
    common: bool,
) -> None:
    """Take the steps x ← x + η σ(F + noise), all blocks from their old positions; x is [L + 2, V], flat."""
    size = x.size - 2 * LANES
    drawn = LANES if common else size
    noise, z, moved = _scratch(size, common), np.zeros(size, np.float32), np.zeros(size, np.float32)
    for start in range(0, targets.size, CHUNK):
        stop = min(start + CHUNK, targets.size)
        fill_gaussians(generator, noise[: _pairs((stop - start) * drawn)])
        for t in range(start, stop):
            amplitude = amplitudes[t]
            force_noise = _of_step(noise, (t - start) * drawn, drawn, z)
            x[size + LANES :] = targets[t]
            for i in range(size):
                old = x[i + LANES]
                pull = k * (x[i + 2 * LANES] - _TWO * old + x[i]) + amplitude * force_noise[i]
                moved[i] = old + eta * (max(pull - mu_right, _ZERO) + min(pull + mu_left, _ZERO))
            for i in range(size):
                x[i + LANES] = moved[i]


@jit
def _second_order(
    x: Any, v: Any, generator: Any, targets: Any, amplitudes: Any,
    k: Any, dt: Any, mu_right: Any, mu_left: Any, mass: Any, gamma: Any, common: bool,
) -> None:  # fmt: skip
    """Take steps implicit in friction: (m + γ dt) v' is m v + dt F + noise brought towards zero by dt μ.

    This solves Coulomb's law over a step exactly: v' = 0 is its solution if and only if the impulse lies in the
    friction band.
    """
    size = x.size - 2 * LANES
    drawn = LANES if common else size
    noise, z = _scratch(size, common), np.zeros(size, np.float32)
    ahead, back, share = dt * mu_right, dt * mu_left, _ONE / (mass + gamma * dt)
    for start in range(0, targets.size, CHUNK):
        stop = min(start + CHUNK, targets.size)
        fill_gaussians(generator, noise[: _pairs((stop - start) * drawn)])
        for t in range(start, stop):
            amplitude = amplitudes[t]
            force_noise = _of_step(noise, (t - start) * drawn, drawn, z)
            x[size + LANES :] = targets[t]
            for i in range(size):
                force = k * (x[i + 2 * LANES] - _TWO * x[i + LANES] + x[i])
                impulse = mass * v[i] + dt * force + amplitude * force_noise[i]
                v[i] = share * (max(impulse - ahead, _ZERO) + min(impulse + back, _ZERO))
            for i in range(size):
                x[i + LANES] += dt * v[i]


@jit
def _scratch(size: int, common: bool) -> Any:
    return np.zeros(_pairs(CHUNK * (LANES if common else size)), np.float32)


@jit
def _pairs(count: int) -> int:
    """``count`` rounded up to a multiple of 2 ``LANES``: normal numbers are drawn in pairs."""
    return (count + 2 * LANES - 1) // (2 * LANES) * (2 * LANES)


@jit
def _of_step(noise: Any, start: int, drawn: int, z: Any) -> Any:
    """One step's noise for every block, [L V]: each block's own, or copies in ``z`` of the common one."""
    if drawn == z.size:
        return noise[start : start + drawn]
    for first in range(0, z.size, drawn):
        for i in range(drawn):
            z[first + i] = noise[start + i]
    return z[: z.size]


def advance(group: Group, physics: Physics) -> None:
    """Take T steps of one group, in place, without the interpreter lock."""
    p = physics
    shared = p.targets_T, p.amplitudes_T, _F(p.k), _F(p.eta), _F(p.mu_right), _F(p.mu_left)
    if p.mass > 0.0:
        _second_order(
            group.x_LV.reshape(-1),
            group.v_LV.reshape(-1),
            group.generator,
            *shared,
            _F(p.mass),
            _F(p.gamma),
            p.common,
        )
    else:
        _first_order(group.x_LV.reshape(-1), group.generator, *shared, p.common)


def advance_all(jobs: list[tuple[Group, Physics]], threads: int | None = None) -> None:
    """Take the steps of many groups on several threads, whose number changes no result."""
    threads = min(threads or core_count(), len(jobs))
    if threads <= 1:
        for group, physics in jobs:
            advance(group, physics)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda job: advance(*job), jobs))
