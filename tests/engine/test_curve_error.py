"""The error of the scaled curve: over samples against a bootstrap, over seeds against many repetitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.datasets.load import load_dataset
from engine.measures.curve_error import curve_error, curve_error_over_seeds, errors_over_samples
from engine.measures.friction import friction_error, scaled
from engine.measures.separation import separation_and_influence, separation_measures
from engine.networks.trainer import Trainer
from engine.settings.train import TrainConfig


def root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("strengths", [(0.3, 0.5, 0.9, 1.2, 2.0), (0.5, 0.52, 0.5, 0.55, 0.6)])
def test_over_samples_it_is_that_of_a_bootstrap(strengths: tuple[float, ...]) -> None:
    """Of a curve that falls far, and of one that hardly falls; 300 resamples give a s.d. to 4 %."""
    rng = np.random.default_rng(5)
    y = torch.arange(600) % 4
    centres, noise = rng.normal(size=(4, 12)), rng.normal(size=(600, 12))
    layers = [torch.tensor(c * centres[y] + noise * rng.normal(1.0, 0.2, (600, 1))) for c in strengths]
    found = [separation_and_influence(x, y) for x in layers]
    curve = [measures["trace_ratio"] for measures, _ in found]
    influences = [influence.numpy() for _, influence in found if influence is not None]
    again = []
    for _ in range(300):
        rows = torch.tensor(rng.integers(0, 600, 600))
        again.append(scaled([separation_measures(x[rows], y[rows])["trace_ratio"] for x in layers]))
    expected = root_mean_square(np.std(again, axis=0, ddof=1))
    assert curve_error(curve, influences) == pytest.approx(expected, rel=0.2)
    assert errors_over_samples(curve, influences) == {
        "friction_error": friction_error(curve, influences),
        "curve_error": curve_error(curve, influences),
    }


def test_a_trained_network_records_it() -> None:
    """As a bootstrap of its own samples gives it; 100 resamples give a s.d. to 7 %."""
    config = TrainConfig(epochs=9, train_size=300, batch_size=50)
    trainer = Trainer(config, load_dataset(config))
    for _ in range(9):
        for _ in trainer.run_epoch():
            pass
    scalars = trainer.measure().scalars
    rng = np.random.default_rng(1)
    with torch.no_grad():
        layers = trainer.network.eval().features(trainer.x_train)[:-1]
    again = []
    for _ in range(100):
        rows = torch.tensor(rng.integers(0, 300, 300))
        curve = [separation_measures(x[rows], trainer.y_train[rows], 10, ["trace_ratio"]) for x in layers]
        again.append(scaled([point["trace_ratio"] for point in curve]))
    assert scalars["curve_error"] == pytest.approx(root_mean_square(np.std(again, axis=0, ddof=1)), rel=0.25)
    assert 0 < scalars["curve_error"] < 0.1


@pytest.mark.parametrize("seeds", [3, 10])
def test_over_seeds_it_is_the_spread_of_the_scaled_mean(seeds: int) -> None:
    """Of 400 experiments the s.d. is known to 4 %, the mean square error to less; 3 of that and some."""
    rng = np.random.default_rng(7)
    truth = np.array([2.0, 1.8, 1.4, 0.7, 0.0])
    runs = [truth + 0.1 * rng.standard_normal((seeds, 5)) for _ in range(400)]
    expected = root_mean_square(np.std([scaled(run.mean(0)) for run in runs], axis=0, ddof=1))
    assert root_mean_square(np.array([curve_error_over_seeds(run) for run in runs])) == pytest.approx(
        expected, rel=0.15
    )


def test_a_seed_that_hardly_falls_does_no_harm() -> None:
    """Its own scaled curve is in the thousands; that of the mean is as good as the others make it."""
    curves = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 2.1, 1.0, 0.0], [0.001, 0.1, -0.1, 0.0]])
    assert abs(scaled(curves[2])).max() > 99
    assert curve_error_over_seeds(curves) < 0.05


def test_a_mean_that_hardly_falls_has_a_large_error() -> None:
    curves = np.array([[1.0, 0.3, 0.4, 0.8], [0.0, 0.6, 0.1, 0.15], [0.0, 0.2, 0.9, 0.02]])
    assert curve_error_over_seeds(curves) > 0.5


@pytest.mark.parametrize(
    "curves", [[[3.0, 2.0, 1.0]], [[1.0, 2.0, 3.0]] * 2, [[1.0, 0.0]] * 2, [[math.nan, 1.0, 0.0]] * 2, []]
)
def test_where_there_is_none_it_is_nan(curves: list[list[float]]) -> None:
    assert math.isnan(curve_error_over_seeds(curves))


def test_without_a_fall_there_is_no_error_over_samples() -> None:
    assert errors_over_samples([0.0, 1.0, 2.0], np.zeros((3, 9))) == {}
    assert math.isnan(curve_error([1.0, 0.0], np.zeros((2, 9))))
