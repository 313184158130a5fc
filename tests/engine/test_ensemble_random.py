"""The ensemble's random numbers are what they claim to be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.ensemble.random import (
    LANES,
    add_gaussians,
    draw_below,
    draw_mask,
    lanes_from_seed,
    sequence_from_seed,
    shuffle,
)


def test_gaussians_are_gaussian() -> None:
    from scipy import stats

    x = np.zeros(400_003, np.float32)
    lanes = lanes_from_seed(3)
    add_gaussians(lanes, np.empty(4 * LANES, np.uint32), x, x, np.float32(1.0))
    assert stats.kstest(x, "norm").pvalue > 1e-3
    assert abs(float(stats.kurtosis(x))) < 0.05
    pairs = x[: x.size // 128 * 128].reshape(-1, 2, 64)
    assert abs(float(np.corrcoef(pairs[:, 0].ravel(), pairs[:, 1].ravel())[0, 1])) < 0.01
    again = np.zeros_like(x)
    add_gaussians(lanes, np.empty(4 * LANES, np.uint32), again, again, np.float32(1.0))
    assert abs(float(np.corrcoef(x, again)[0, 1])) < 0.01


@pytest.mark.parametrize("p", [0.02, 0.3, 0.9])
def test_masks_drop_a_fraction_p(p: float) -> None:
    mask = np.empty(300_001, np.uint8)
    draw_mask(lanes_from_seed(1), np.empty(1 << 18, np.uint32), mask, p)
    assert set(np.unique(mask)) == {0, 1}
    assert abs(mask.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / mask.size)


def test_small_draws_are_uniform() -> None:
    state = sequence_from_seed(5)
    counts = np.bincount([draw_below(state, 10) for _ in range(50_000)], minlength=10)
    assert np.abs(counts - 5000).max() < 5 * math.sqrt(4500)
    order = np.arange(1000)
    shuffle(state, order, 1000)
    assert sorted(order) == list(range(1000))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.2
