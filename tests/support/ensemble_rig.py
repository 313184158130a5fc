"""Random samples, small networks, and an ensemble's member with the torch network of the same weights."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from engine.datasets.load import Dataset
from engine.ensemble.member import Group, MemberTrainer, member_of
from engine.ensemble.state import State, Workspace, store_weights
from engine.networks.network import Knobs, build_network
from engine.settings.train import TrainConfig


def some_data(n: int, d: int, classes: int = 10, seed: int = 0) -> Dataset:
    """Overlapping Gaussian classes, n samples of d features; feature 0 is constant, as an image's corner."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = (rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d))).astype(np.float32)
    x[:, 0] = 0.5
    return Dataset("made", x, y, x[: n // 4], y[: n // 4], classes)


def small(**settings: object) -> TrainConfig:
    return msgspec.structs.replace(TrainConfig(width=20, depth=4, negative_slope=0.2), **settings)


class Rig:
    """A member, and the torch network with its initial weights."""

    def __init__(self, config: TrainConfig, data: Dataset) -> None:
        self.group = Group(config, data)
        self.trainer = MemberTrainer(self.group, member_of(config))
        self.state: State = self.trainer._state
        self.work: Workspace = self.group.workspace()
        knobs = Knobs(config.negative_slope, 0.0, torch.Generator())
        self.network = build_network(config, data.x_train.shape[1:], data.n_classes, knobs)

    def as_network(self, flat: np.ndarray) -> list[torch.Tensor]:
        """Flat weights as a network's parameters, in their order."""
        copy = build_network(
            self.group.config, self.group.dataset.x_train.shape[1:], 10, Knobs(0, 0, torch.Generator())
        )
        store_weights(self.state._replace(weights=flat), copy)
        return [p.detach() for p in copy.parameters()]
