"""The target's position and the noise's amplitude at each step of a pull.

The schedules are ours, after the folding ruler of Shi et al. (arXiv:2407.19353), which opens one way when it is
pulled slowly and steadily and another when quickly and jerkily.
"""

from __future__ import annotations

import math

import numpy as np

from ..arrays import Floats
from ..settings.chain import ChainConfig

CHUNK = 8
"""Steps for which compiled code draws noise at once; calls of whole chunks give the numbers of a single call."""
JERKS = 10
"""Number of jumps of a jerky pull."""
OVERSHOOT, OVERSHOOT_PART = 1.0, 0.25
"""By how many jumps a jump overshoots, and for what fraction of the time to the next jump."""


def targets(config: ChainConfig, start: int, steps: int) -> Floats:
    """The target's position at steps ``start`` … ``start + steps - 1``, [steps], a length.

    ``at_once``: at ``target`` from the first step. ``steady``: at constant speed, there after ``pull_time``.
    ``jerky``: in ``JERKS`` equal jumps over ``pull_time``; each overshoots by its own length and then falls back.
    """
    if config.pulling == "at_once":
        return np.full(steps, config.target)
    part = np.arange(start + 1, start + steps + 1) * (config.eta / config.pull_time)
    if config.pulling == "steady":
        return np.asarray(config.target * np.minimum(part, 1.0))
    jumps = np.floor(part * JERKS)
    too_far = np.where(part * JERKS - jumps < OVERSHOOT_PART, OVERSHOOT, 0.0)
    reached = np.minimum((jumps + 1.0 + too_far) / JERKS, 1.0 + too_far / JERKS)
    return np.asarray(config.target * np.where(part >= 1.0, 1.0, reached))


def amplitudes(config: ChainConfig, start: int, steps: int) -> Floats:
    """S.d. of a step's random force (order 1) or impulse (order 2) on a block, [steps].

    ε e^(-λt), t = step x eta; times √eta in the second order, a Wiener increment; times √L where it is common,
    since the authors' code adds the noise of L unit sources (docs/theory.md).
    """
    scale = config.noise * (math.sqrt(config.eta) if config.order == 2 else 1.0)
    if config.common_noise:
        scale *= math.sqrt(config.blocks)
    if config.noise_decay == 0.0:
        return np.full(steps, scale)
    time = np.arange(start, start + steps) * config.eta
    return np.asarray(scale * np.exp(-config.noise_decay * time))


FORCES = ("mu_right", "mu_left", "noise", "noise_decay", "gamma", "target")
"""Settings whose change makes a chain that is to be held be pulled anew."""


def hold_steps(config: ChainConfig) -> int | None:
    """Steps of a pull after which the chain is held; None where it never is."""
    return max(1, round(config.hold / config.eta)) if config.hold else None


def is_pulled_anew(old: ChainConfig, new: ChainConfig, steps: int) -> bool:
    """Whether a chain that was pulled for a number of steps is pulled anew when its settings change.

    It is where it is to be held, and a force changes or it has been pulled beyond the time of ``hold``.
    """
    held = hold_steps(new)
    return held is not None and (steps > held or any(getattr(old, name) != getattr(new, name) for name in FORCES))
