"""The networks of a trial in training: by compiled code where that supports them, else by PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import msgspec

from ..datasets.load import Dataset
from ..ensemble.member import Group, Member, MemberTrainer, build_lock, member_of, why_not
from ..ensemble.state import Workspace
from ..networks.trainer import Measurement, Trainer
from ..settings.train import TrainConfig


class StoppedError(Exception):
    """Training was stopped in the middle of an epoch."""


class Learner(Protocol):
    """A network in training."""

    @property
    def epoch(self) -> int:
        """Epochs done."""

    @property
    def converged(self) -> bool:
        """Whether training stopped early."""

    def train_epoch(self) -> None:
        """Train one epoch.

        Raises:
            DivergedError: the loss is no longer finite.
            StoppedError: ``stop`` returned True.
        """

    def measure(self) -> Measurement:
        """Curves and accuracies now.

        Raises:
            DivergedError: the activations are no longer finite.
        """


class Learners:
    """Begins networks on one data set; threads may share it.

    Args:
        dataset: what all train on.
        stop: polled between steps; True stops the training.
    """

    def __init__(self, dataset: Dataset, stop: Callable[[], bool]) -> None:
        self._dataset, self._stop = dataset, stop
        self._groups: dict[TrainConfig, Group] = {}
        self._lock = threading.Lock()
        self._local = threading.local()
        """Each thread's workspace for the group that it trained last."""

    def begin(self, config: TrainConfig) -> Learner:
        """An untrained network.

        Raises:
            ConfigError: settings do not fit each other, or the device does not exist.
        """
        if why_not(config) or self._dataset.x_train.ndim != 2:
            return _Eager(config, self._dataset, self._stop)
        return _Compiled(self._group_of(config), config, self._workspace, self._stop)

    def _group_of(self, config: TrainConfig) -> Group:
        """The group of networks with the same shape and batch size; created once."""
        shared = msgspec.structs.replace(config, **msgspec.structs.asdict(Member()))
        with self._lock:
            if shared not in self._groups:
                self._groups[shared] = Group(shared, self._dataset)
            return self._groups[shared]

    def _workspace(self, group: Group) -> Workspace:
        """This thread's scratch memory for a group, kept until it trains another group."""
        known: tuple[Group, Workspace] | None = getattr(self._local, "workspace", None)
        if known is None or known[0] is not group:
            known = self._local.workspace = (group, group.workspace())
        return known[1]


class _Compiled:
    """A network trained by compiled code."""

    def __init__(
        self,
        group: Group,
        config: TrainConfig,
        workspace: Callable[[Group], Workspace],
        stop: Callable[[], bool],
    ) -> None:
        self._trainer = MemberTrainer(group, member_of(config))
        self._workspace, self._stop = workspace, stop

    @property
    def epoch(self) -> int:
        return self._trainer.epoch

    @property
    def converged(self) -> bool:
        return self._trainer.converged

    def train_epoch(self) -> None:
        if not self._trainer.run_epoch(self._workspace(self._trainer.group), self._stop):
            raise StoppedError

    def measure(self) -> Measurement:
        return self._trainer.measure()


class _Eager:
    """A network trained by PyTorch's operations."""

    def __init__(self, config: TrainConfig, dataset: Dataset, stop: Callable[[], bool]) -> None:
        self._stop = stop
        with build_lock:
            self._trainer = Trainer(config, dataset)

    @property
    def epoch(self) -> int:
        return self._trainer.epoch

    @property
    def converged(self) -> bool:
        return self._trainer.converged

    def train_epoch(self) -> None:
        for _ in self._trainer.run_epoch():
            if self._stop():
                raise StoppedError

    def measure(self) -> Measurement:
        return self._trainer.measure()
