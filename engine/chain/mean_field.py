"""The chain's mean field: the mean motion, averaged over the noise (docs/theory.md; ours).

    ẋ = g(F),  g(F) = ε̄ [φ(a) + a Φ(a)] - ε̄ [φ(b) + b Φ(b)],  a = (F - μ→)/ε̄,  b = (-F - μ←)/ε̄.

In the long run F_l = F*, the root of g and the chain's friction: x_l = y l/(L+1) - (F*/2k) l (L+1-l).

Shape legend: L blocks, S springs. Units are the chain's own: lengths as ``target``, forces as k times a length,
times as step x eta.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from ..arrays import Floats
from ..measures.friction import asymmetries
from ..settings.chain import ChainConfig
from .hands import held_by_both
from .pulling import amplitudes, is_pulled_anew, targets

_MOST_STEPS = 100_000

_erfc = np.frompyfunc(math.erfc, 1, 1)


def mean_velocity(force: Floats | float, mu_right: float, mu_left: float, noise: float) -> Floats:
    """g(F), the mean of σ(F + ε̄ ξ), of forces of any shape, in that shape; without noise it is σ(F).

    ``noise`` is ε̄. All numbers are forces; the drag is 1, so that a force is also a velocity.
    """
    f = np.asarray(force, dtype=np.float64)
    if noise == 0.0:
        return np.asarray(np.maximum(f - mu_right, 0.0) + np.minimum(f + mu_left, 0.0))
    return np.asarray(noise * (_ramp((f - mu_right) / noise) - _ramp((-f - mu_left) / noise)))


def _ramp(a: Floats) -> Floats:
    """φ(a) + a Φ(a), the mean of max(a + ξ, 0)."""
    density = np.exp(-0.5 * a * a) / math.sqrt(2.0 * math.pi)
    below = 0.5 * np.asarray(_erfc(-a / math.sqrt(2.0)), dtype=np.float64)  # accurate in the tail, unlike 1 + erf
    return np.asarray(density + a * below)


def friction(mu_right: float, mu_left: float) -> float:
    """A chain's friction (μ→ - μ←)/2, the root of g, a force; F* of the parabola to which it settles.

    φ(a) + a Φ(a) increases with a, so that g(F) = 0 means a = b, whatever the noise is. Noise sets how fast the
    chain approaches F*; without noise it comes to rest before, on the edge of friction.
    """
    return 0.5 * (mu_right - mu_left)


def settled(config: ChainConfig) -> Floats:
    """Mean positions x_1 … x_L after a long time, [L]: a parabola, or the shape that two hands give."""
    if config.hands == "both":
        return held_by_both(config)
    n = config.blocks + 1
    at = np.arange(1, n, dtype=np.float64)
    bend = friction(config.mu_right, config.mu_left) / (2.0 * config.k)
    return np.asarray(config.target * at / n - bend * at * (n - at))


class MeanField:
    """The deterministic chain ẋ = g(F), by the steps x ← x + η g(F) of a first-order chain of the same settings.

    Positions are [L], or [L + 2] with wall and target.
    """

    def __init__(self, config: ChainConfig) -> None:
        self.config = config
        self.steps = 0
        self.began = 0
        """Step at which the present pull began."""
        self.padded = np.zeros(config.blocks + 2)
        """Positions with wall and target."""

    @property
    def x_L(self) -> Floats:
        """Mean positions x_1 … x_L, [L]."""
        return self.padded[1:-1]

    def change(self, config: ChainConfig) -> None:
        """Put live settings in force from the next step on; pulled anew where the chain is, see ``ChainBase``."""
        if is_pulled_anew(self.config, config, self.steps - self.began):
            self.padded[:] = 0.0
            self.began = self.steps
        self.config = config

    def advance(self, steps: int) -> None:
        """Take a number of steps of length eta."""
        c, x = self.config, self.padded
        start = self.steps - self.began
        pulled = zip(targets(c, start, steps), amplitudes(c, start, steps), strict=True)
        for target, amplitude in pulled:
            x[-1] = target
            force = c.k * (x[2:] - 2.0 * x[1:-1] + x[:-2])
            x[1:-1] += c.eta * mean_velocity(force, c.mu_right, c.mu_left, float(amplitude))
        self.steps += steps


def mean_field_positions(config: ChainConfig) -> Floats | None:
    """Mean positions x_1 … x_L, [L], by theory, after ``config.steps`` steps from all blocks at the wall.

    First order: the trajectory of ``MeanField``; beyond a hundred thousand steps its step grows in proportion, as
    far as stability lets it. Second order: the parabola to which any steady noise leads (its velocities are then
    spread evenly about zero under the same F*); None where the noise fades or is absent: it may stick before.
    Pulled by both hands: the closed form.
    """
    if config.hands == "both":
        return held_by_both(config)
    if config.order == 2:
        return settled(config) if config.noise and not config.noise_decay else None
    steps, eta = config.steps, config.eta
    if steps > _MOST_STEPS:
        eta = min(0.4 / config.k, eta * steps / _MOST_STEPS)
        steps = min(_MOST_STEPS, math.ceil(config.steps * config.eta / eta))
    theory = MeanField(msgspec.structs.replace(config, steps=steps, eta=eta))
    while theory.steps < steps:
        before = theory.x_L.copy()
        theory.advance(min(500, steps - theory.steps))
        if theory.steps * eta > config.pull_time and float(np.abs(theory.x_L - before).max()) < 1e-14:
            break
    return theory.x_L.copy()


def predicted_curve(mu_right: float, mu_left: float, noise: float, springs: int) -> Floats:
    """The load curve 1 … 0 of a chain of unit length at ``TWIN_TIME`` of its pull, [S + 1].

    Computed in 500 steps of 0.4, which changes the asymmetry by less than 0.01.
    """
    config = ChainConfig(blocks=springs - 1, mu_right=mu_right, mu_left=mu_left, noise=noise, eta=0.4, steps=500)
    theory = MeanField(config)
    theory.advance(config.steps)
    return 1.0 - np.array([0.0, *theory.x_L, config.target])


def predicted_asymmetry(mu_right: float, mu_left: float, noise: float, *, springs: int = 7) -> float:
    """(load of the half at the wall - load of the half at the target) / total of ``predicted_curve``."""
    return float(asymmetries(predicted_curve(mu_right, mu_left, noise, springs)[None])[0])
