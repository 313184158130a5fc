"""The Langevin samplers against the law that they sample: N(0, T/a) in the well a θ²/2."""

from __future__ import annotations

import pytest
import torch

from engine.networks.optimisers import SGLD

LR = 0.05
STIFFNESS = torch.tensor([0.5, 1.0, 2.0, 4.0])
COPIES = 2000


def sampled(*, temperature: float, steps: int, rms: bool) -> torch.Tensor:
    """θ [4, COPIES] after some steps in four wells of different stiffness, from their law."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(len(STIFFNESS), COPIES, generator=generator) * (temperature / STIFFNESS[:, None]).sqrt()
    optimiser = SGLD([theta], LR, temperature, generator, rms=rms, decay=0.998)
    for _ in range(steps):
        theta.grad = STIFFNESS[:, None] * theta
        optimiser.step()
    return theta


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_sgld_has_the_stationary_variance_of_its_temperature(temperature: float) -> None:
    """θ' = (1 - lr a) θ + √(2 lr T) ξ has the variance (T/a) / (1 - lr a/2); 4 s.e. of a variance: 4 √(2/n)."""
    theta = sampled(temperature=temperature, steps=400, rms=False)
    wanted = temperature / STIFFNESS / (1.0 - LR * STIFFNESS / 2.0)
    assert torch.allclose(theta.var(1), wanted, rtol=4 * (2 / COPIES) ** 0.5)
    assert (theta.mean(1).abs() < 4 * (wanted / COPIES).sqrt()).all()


def test_preconditioning_changes_the_speed_and_not_the_law() -> None:
    """Where G's memory, here 500 steps, is long, G is all but constant, 1/(a s.d.), and every well has its T/a.

    Two errors are left, both upwards: the step's, lr G a/2 = 2.5 %, and the spread of G, a few per cent. Noise
    that is not scaled by √G would be off by factors: G runs from 0.5 to 1.4 here.
    """
    theta = sampled(temperature=1.0, steps=3000, rms=True)
    off = theta.var(1) * STIFFNESS
    error = 4 * (2 / COPIES) ** 0.5
    assert ((off > 1.0 - error) & (off < 1.08 + error)).all(), off
