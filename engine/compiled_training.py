"""One network trained by the ensemble's compiled code: an ensemble of one, and its settings may move."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import msgspec
import numpy as np
import torch
from torch import Tensor

from .config import TrainConfig
from .datasets import Dataset
from .ensemble import Group, MemberTrainer, member_of, train_on, turn_knobs, why_not
from .ensemble_jit import is_kept
from .ensemble_kernels import train_steps
from .ensemble_random import shuffle
from .ensemble_state import State, Workspace, make_state, store_weights
from .ensemble_threads import single_threaded
from .networks import Network
from .training import Progress, Trainer

_SLICE = 0.005
"""Seconds between two looks at what is asked, or one step."""


class CompiledTrainer(Trainer):
    """A ``Trainer`` whose steps are an ensemble's: a sweep's network bit for bit, as long as no setting moves.

    A sample that would be left alone at an epoch's end is left out, as in an ensemble. What is measured, and how,
    is the ``Trainer``'s.

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
        """The step whose weights the network holds."""

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

    def _new_epoch(self, n: int) -> tuple[Tensor, Tensor]:
        return torch.arange(n), torch.zeros((), dtype=torch.float64)

    def _advance(self, order_N: Tensor, most: int) -> None:
        """As many steps as fit into a slice, by the time of those before; how many changes no bit."""
        if self._work is None:
            self._work = self._group.workspace()
        most = max(1, min(most, int(_SLICE / self._step_seconds)))
        began = time.perf_counter()
        self._start, total = train_on(
            self._group, self._state, self._work, order_N.numpy(), self._start, float(self._total), most
        )
        self._total.fill_(total)
        taken = int(self._state.steps[0]) - self.step_count
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
        state.steps[0] = self._stored_at = progress.step
        self._state = state


def _tensors_of(state: State) -> dict[str, Tensor]:
    """Adam's moments and the two random streams, in the state's own memory; all else is in the network."""
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
        dataset: what it learns.
        kind: of the trainer that earlier workers of the run had, which is kept to; empty where there were none.

    Raises:
        ConfigError: the device is not there, or settings do not fit each other.
    """
    here = config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available())
    fits = here and dataset.x_train.ndim == 2 and not why_not(config)
    compiled = kind == CompiledTrainer.kind if kind else fits
    return CompiledTrainer(config, dataset) if compiled else Trainer(config, dataset)


def load_compiled(note: Callable[[str], object]) -> None:
    """Have the compiled training code ready; where this takes long, ``note`` is told so in a sentence first."""
    if not (is_kept(train_steps) and is_kept(shuffle)):
        note("compiling the training code, once on this machine (about 20 s)")
    with single_threaded():
        y = np.arange(8) % 2
        x = np.linspace(0.0, 1.0, 16, dtype=np.float32).reshape(8, 2)
        group = Group(TrainConfig(width=2, depth=3, batch_size=4), Dataset("tiny", x, y, x, y, 2))
        MemberTrainer(group, member_of(group.config)).run_epoch(group.workspace())
