"""Training of one network by the ensemble's compiled code, with settings that may change between steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import msgspec
import numpy as np
import torch
from torch import Tensor

from ..datasets.load import Dataset
from ..jit import is_kept
from ..networks.network import Network
from ..networks.trainer import Progress, Trainer
from ..settings.train import TrainConfig
from .kernels import train_steps
from .member import Group, MemberTrainer, member_of, train_on, turn_knobs, why_not
from .random import shuffle
from .state import State, Workspace, make_state, store_weights
from .threads import single_threaded

_SLICE = 0.005
"""Seconds of steps between two points where settings may change; one step, where a step takes longer."""


class CompiledTrainer(Trainer):
    """A ``Trainer`` whose steps are an ensemble's: bit for bit a sweep's network, as long as no setting changes.

    A last batch of a single sample is left out, as in an ensemble. Measurements are ``Trainer``'s.

    Raises:
        ConfigError: these settings are not trained in ensembles.
    """

    kind: ClassVar[str] = "compiled"

    def __init__(self, config: TrainConfig, dataset: Dataset) -> None:
        super().__init__(msgspec.structs.replace(config, device="cpu"), dataset)
        self._dataset = dataset
        self._group = Group(self.config, dataset)
        self._work: Workspace | None = None
        self._step_seconds = _SLICE
        self._state = make_state(self._network, config.seed)
        turn_knobs(self._state, self.config)
        self._stored_at = 0
        """Number of the step after which the weights were copied into the network."""

    @property
    def network(self) -> Network:
        if self._stored_at != self.step_count:
            store_weights(self._state, self._network)
            self._stored_at = self.step_count
        return self._network

    def limits(self) -> AbstractContextManager[None]:
        return single_threaded(self.config.threads)

    def change(self, settings: Mapping[str, Any]) -> None:
        batch = self.config.batch_size
        super().change(settings)
        turn_knobs(self._state, self.config)
        if self.config.batch_size != batch:
            self._group, self._work, self._step_seconds = Group(self.config, self._dataset), None, _SLICE

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._state = make_state(self._network, self.config.seed)
        self._stored_at = self.step_count

    def _new_epoch(self, n: int) -> tuple[Tensor, Tensor]:
        return torch.arange(n), torch.zeros((), dtype=torch.float64)

    def _advance(self, order_N: Tensor, most: int) -> None:
        """Take as many steps as fit into ``_SLICE`` by the time of earlier ones; this changes no result."""
        if self._work is None:
            self._work = self._group.workspace()
        most = max(1, min(most, int(_SLICE / self._step_seconds)))
        began = time.perf_counter()
        self._start, total = train_on(
            self._group, self._state, self._work, order_N.numpy(), self._start, float(self._total), most
        )
        self._total.fill_(total)
        taken = int(self._state.steps[0]) - (self.step_count - self.began_step)
        self.step_count += taken
        self._step_seconds = max(time.perf_counter() - began, 1e-9) / taken

    def _groups(self) -> list[dict[str, Any]]:
        return []  # the state has all

    def _memory(self) -> dict[str, Tensor]:
        return _tensors_of(self._state)

    def _remember(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        state = make_state(self._network, self.config.seed)
        for name, mine in _tensors_of(state).items():
            theirs = tensors[name]
            if (theirs.shape, theirs.dtype) != (mine.shape, mine.dtype):
                raise ValueError(f"its {name} is of another network")
            mine.copy_(theirs)
        state.steps[0], self._stored_at = progress.step - progress.began_step, progress.step
        self._state = state


def _tensors_of(state: State) -> dict[str, Tensor]:
    """Adam's moments and the two random generators, in the state's own memory; the network has all else."""
    return {
        "member.first": torch.from_numpy(state.first),
        "member.second": torch.from_numpy(state.second),
        "member.lanes": torch.from_numpy(state.lanes.view(np.int32)),
        "member.sequence": torch.from_numpy(state.sequence.view(np.int64)),
    }


def trainer_for(config: TrainConfig, dataset: Dataset, kind: str = "") -> Trainer:
    """The trainer of a network: compiled on a CPU where the ensemble trains such networks, else PyTorch's.

    Args:
        config: its settings.
        dataset: what it trains on.
        kind: of the trainer that earlier workers of the run used, and this one uses; empty where there were none.

    Raises:
        ConfigError: the device is not there, or settings do not fit each other.
    """
    here = config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available())
    fits = here and dataset.x_train.ndim == 2 and not why_not(config)
    compiled = kind == CompiledTrainer.kind if kind else fits
    return CompiledTrainer(config, dataset) if compiled else Trainer(config, dataset)


def load_compiled(note: Callable[[str], object]) -> None:
    """Load the compiled training code; ``note`` is called with a sentence before it has to be compiled."""
    if not (is_kept(train_steps) and is_kept(shuffle)):
        note("compiling the training code, once on this machine (about 20 s)")
    with single_threaded():
        y = np.arange(8) % 2
        x = np.linspace(0.0, 1.0, 16, dtype=np.float32).reshape(8, 2)
        group = Group(TrainConfig(width=2, depth=3, batch_size=4), Dataset("tiny", x, y, x, y, 2))
        MemberTrainer(group, member_of(group.config)).run_epoch(group.workspace())
