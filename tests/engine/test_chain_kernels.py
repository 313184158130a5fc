"""Compiled noise is Gaussian and independent; compiled chains agree with the authors and heed no thread count."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.chain.ensemble import ChainEnsemble, pull_cells
from engine.chain.gaussians import LANES, fill_gaussians
from engine.chain.kernels import new_group
from engine.chain.pulling import amplitudes, targets
from engine.settings.chain import ChainConfig

FIRST_ORDER = json.loads((Path(__file__).parents[1] / "data" / "chain_first_order.json").read_text())


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    """10⁷ numbers of one group, as [rows, lanes]."""
    out = np.empty(10_000_000 // (2 * LANES) * (2 * LANES), np.float32)
    fill_gaussians(new_group(1, seed=7, cell=0, number=0).generator, out)
    return out.reshape(-1, LANES)


def test_ten_million_draws_are_gaussian(draws: np.ndarray) -> None:
    from scipy import stats  # slow to import

    z = draws.ravel().astype(np.float64)
    n = z.size
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs(stats.skew(z)) < 4 * math.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * math.sqrt(24 / n)


@pytest.mark.parametrize("beyond", [2.0, 3.0, 4.0, 4.5, 5.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_tails_hold_as_many_as_they_should(draws: np.ndarray, beyond: float, sign: int) -> None:
    expected = draws.size * math.erfc(beyond / math.sqrt(2.0)) / 2.0
    assert abs((sign * draws > beyond).sum() - expected) <= 4 * math.sqrt(expected) + 1


def test_lanes_and_successive_draws_are_uncorrelated(draws: np.ndarray) -> None:
    rows = len(draws)
    between = np.corrcoef(draws, rowvar=False)[np.triu_indices(LANES, 1)]
    assert np.abs(between).max() < 5.5 / math.sqrt(rows)  # the largest of 2016
    for values in (draws, draws**2, np.abs(draws)):
        for lag in (1, 2, 7):
            a, b = values[:-lag].ravel(), values[lag:].ravel()
            assert abs(np.corrcoef(a, b)[0, 1]) < 4.5 / math.sqrt(a.size)


def test_streams_of_cells_groups_and_seeds_are_independent() -> None:
    streams = []
    for seed, cell, number in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (2**62, 0, 0)]:
        out = np.empty(200 * 2 * LANES, np.float32)
        fill_gaussians(new_group(1, seed, cell, number).generator, out)
        streams.append(out)
    correlations = np.corrcoef(streams)[np.triu_indices(len(streams), 1)]
    assert np.abs(correlations).max() < 4.5 / math.sqrt(streams[0].size)


@pytest.mark.parametrize("case", FIRST_ORDER, ids=lambda c: f"{c['mu_right']}-{c['mu_left']}-{c['noise_bar']}")
def test_agrees_with_the_authors_within_four_standard_errors(case: dict) -> None:  # type: ignore[type-arg]
    config = ChainConfig(
        blocks=case["blocks"], mu_right=case["mu_right"], mu_left=case["mu_left"], noise=case["noise_bar"],
        k=case["k"], eta=case["eta"], target=case["y"], steps=case["steps"], replicas=1024,
    )  # fmt: skip
    (ours,) = pull_cells([config])
    error = np.hypot(np.asarray(case["sd"]) / math.sqrt(case["replicas"]), ours.sd_L / 32.0)
    assert (np.abs(ours.mean_L - case["mean"]) <= 4 * error + 1e-5).all()  # float32 at rest, and six digits


def test_no_result_depends_on_the_number_of_threads() -> None:
    config = ChainConfig(replicas=300, steps=500)
    runs = []
    for threads in (1, 2, 4):
        chain = ChainEnsemble(config, threads=threads)
        chain.advance(500)
        runs.append(chain.x_RL)
    assert all(np.array_equal(runs[0], other) for other in runs[1:])
    cells = [ChainConfig(replicas=100, steps=200, mu_right=mu) for mu in (0.0, 0.1, 0.2)]
    one, two = pull_cells(cells, threads=1), pull_cells(cells, threads=3)
    assert all(np.array_equal(a.mean_L, b.mean_L) for a, b in zip(one, two, strict=True))


def test_slices_make_the_same_steps_as_one_go() -> None:
    """Noise is drawn for eight steps at once, so slices of whole chunks draw the same numbers."""
    config = ChainConfig(replicas=64, steps=160)
    whole, sliced = ChainEnsemble(config), ChainEnsemble(config)
    whole.advance(160)
    for _ in range(4):
        sliced.advance(40)
    assert np.array_equal(whole.x_RL, sliced.x_RL)


def test_pulling_schedules_reach_the_target_as_they_say() -> None:
    at_once, steady, jerky = (
        targets(ChainConfig(pulling=name, pull_time=10.0, eta=0.1, target=2.0), 0, 200)  # type: ignore[arg-type]
        for name in ("at_once", "steady", "jerky")
    )
    assert (at_once == 2.0).all()
    np.testing.assert_allclose(np.diff(steady[:100]), 0.02)
    assert (steady[100:] == 2.0).all()
    assert jerky.max() == pytest.approx(2.2)
    assert (jerky[100:] == 2.0).all()
    assert (np.diff(jerky) != 0).sum() == 19  # ten jumps and ten falls back; the first jump is from the start
    whole = targets(ChainConfig(pulling="jerky"), 0, 300)
    np.testing.assert_array_equal(whole[120:], targets(ChainConfig(pulling="jerky"), 120, 180))


def test_noise_fades_and_is_shared_as_it_should() -> None:
    fading = ChainConfig(noise=0.5, noise_decay=0.1, eta=0.1)
    np.testing.assert_allclose(amplitudes(fading, 10, 3), 0.5 * np.exp(-0.1 * 0.1 * np.arange(10, 13)))
    assert amplitudes(ChainConfig(noise=0.5, common_noise=True, blocks=9), 0, 1)[0] == pytest.approx(1.5)
    assert amplitudes(ChainConfig(order=2, noise=0.5, eta=0.04), 0, 1)[0] == pytest.approx(0.1)


def test_slow_and_quick_pulls_end_differently_without_noise() -> None:
    """The folding ruler: without noise a slow pull leaves the far blocks alone, jerks pass the load on."""
    from engine.chain.chain import Chain

    ends = {}
    for pulling in ("steady", "jerky"):
        chain = Chain(ChainConfig(order=2, noise=0.0, mu_right=0.1, mu_left=0.02, mass=4.0, gamma=0.2,
                                  pulling=pulling,
                                  pull_time=200.0, replicas=1))  # type: ignore[arg-type]  # fmt: skip
        chain.advance(8000)
        ends[pulling] = chain.mean()
    spread = {name: np.std(np.diff([0.0, *x, 1.0])) for name, x in ends.items()}
    assert spread["jerky"] < 0.9 * spread["steady"]


def test_the_second_start_compiles_nothing(tmp_path: Path) -> None:
    """Two processes share a fresh cache: the first fills it, the second only reads."""
    script = (
        "from engine.chain.ensemble import ChainEnsemble; from engine.settings.run import ChainConfig\n"
        "from engine.chain import kernels as k; ChainEnsemble(ChainConfig(replicas=64)).advance(8)\n"
        "print(sum(k._first_order.stats.cache_hits.values()), sum(k._first_order.stats.cache_misses.values()))"
    )
    told = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        told.append(done.stdout.split())
    assert told == [["0", "1"], ["1", "0"]]
