"""Small data sets and trainings."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.datasets.load import Dataset
from engine.networks.trainer import Trainer

KNOBS: dict[str, Any] = {"lr": 0.02, "dropout": 0.3, "batch_size": 7, "data_noise": 0.4, "negative_slope": 0.5}


def dataset(n: int = 40, d: int = 6, classes: int = 3, *, images: bool = False) -> Dataset:
    """Unit Gaussians about well separated centres, n training samples of d features, or images [2, 6, 6]."""
    rng = np.random.default_rng(0)
    size = 72 if images else d
    y = np.arange(n + 12) % classes
    x = (2.0 * rng.normal(size=(classes, size))[y] + rng.normal(size=(n + 12, size))).astype(np.float32)
    x = x.reshape(-1, 2, 6, 6) if images else x
    return Dataset("drawn", x[:n], y[:n], x[n:], y[n:], classes)


def train(run: Trainer, epochs: int) -> Trainer:
    for _ in range(epochs):
        for _ in run.run_epoch():
            pass
    return run
