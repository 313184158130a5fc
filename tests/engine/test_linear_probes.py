"""Linear probes: accuracies of known cases, and their place in the records."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.datasets.load import Dataset, load_dataset
from engine.measures.linear_probes import probe_accuracies, probe_accuracy
from engine.networks.trainer import Trainer
from engine.settings.train import TrainConfig


def blobs(n: int, distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two unit Gaussians in five dimensions whose means lie so far apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 5))
    x[:, 0] += distance * y
    return x, y


def test_two_gaussians() -> None:
    """Bayes: Φ(distance / 2) = Φ(1) = .8413; 4 s.e. of a fraction of 20,000 and a little for the fit."""
    x, y = blobs(4000, 2.0)
    x_test, y_test = blobs(20_000, 2.0, seed=1)
    assert probe_accuracy(x, y, x_test, y_test) == pytest.approx(0.8413, abs=4 * 0.0026 + 0.002)


def test_circles_are_beyond_a_line() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 2
    angle = rng.uniform(0, 2 * np.pi, 2000)
    x = np.stack([np.cos(angle), np.sin(angle)], 1) * (1 + y)[:, None]
    assert probe_accuracy(x[:1000], y[:1000], x[1000:], y[1000:]) < 0.65


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_unit_does_not_matter(scale: float) -> None:
    x, y = blobs(300, 1.0)
    plain = probe_accuracy(x[:200], y[:200], x[200:], y[200:])
    assert probe_accuracy(scale * x[:200], y[:200], scale * x[200:], y[200:]) == plain


def test_degenerate() -> None:
    x, y = blobs(100, 3.0)
    ones = np.ones(100, dtype=np.int64)
    assert probe_accuracy(x, ones, x, y) == pytest.approx(y.mean())
    constant = np.zeros_like(x)
    assert 0.0 <= probe_accuracy(constant, y, constant, y) <= 1.0


def test_more_features_than_samples() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.normal(size=(60, 400)) + 2 * rng.normal(size=(3, 400))[y]
    assert probe_accuracy(x[:30], y[:30], x[30:], y[30:]) > 0.95


def test_convolutional_activations_are_flattened() -> None:
    x, y = blobs(60, 8.0)
    images = torch.from_numpy(np.repeat(x, 4, 1).reshape(60, 5, 2, 2))
    labels = torch.from_numpy(y)
    assert probe_accuracies([images], labels, [images], labels) == [1.0]


class TestTrainer:
    def test_a_value_for_each_point(self) -> None:
        config = TrainConfig(linear_probes=True, depth=4, width=20)
        trainer = Trainer(config, load_dataset(config))
        before = trainer.state()
        found = trainer.measure()
        assert found.probes is not None
        assert len(found.probes) == len(trainer.network.points)
        assert found.probes[0] > 0.9  # digits are nearly separable by planes
        assert "test_trace_ratio" not in found.curves
        assert trainer.measure() == found
        assert trainer.state() == before

    def test_only_on_request(self) -> None:
        x, y = blobs(40, 1.0)
        data = Dataset("blobs", x.astype(np.float32), y, x.astype(np.float32), y, 2)
        assert Trainer(TrainConfig(depth=3, width=4), data).measure().probes is None
