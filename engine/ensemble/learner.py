"""Networks in training, by compiled code where that supports them, else by PyTorch; for sweeps and trials.

Both are a ``Learner``: trained epoch by epoch, measured in between, saved and restored bit for bit.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from torch import Generator, Tensor, nn

from ..datasets.load import Dataset, load_dataset
from ..measures.hessian import hessian_product, hutchinson_trace
from ..networks.trainer import Measurement, Trainer
from ..settings.fields import make
from ..settings.train import TrainConfig
from .member import Group, Member, MemberTrainer, build_lock, member_of, why_not
from .state import Workspace

_CACHE_SIZE = 12
"""Data sets, and groups, that are kept at most."""
_HESSIAN_ROWS = 4096
"""Samples that go through the network at once for Hessian products."""
_data_lock = threading.Lock()
_datasets: dict[str, Dataset] = {}
_groups: dict[str, Group] = {}
_local = threading.local()
"""Holds each thread's workspace for the group that it trained last."""


class Learner(Protocol):
    """A network in training."""

    @property
    def epoch(self) -> int:
        """Epochs done."""

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or training stopped early."""

    def run_epoch(self, stop: Callable[[], bool]) -> bool:
        """Train one epoch; False where ``stop`` returned True and ended it early.

        Raises:
            DivergedError: the loss is no longer finite.
        """

    def measure(self) -> Measurement:
        """Curves and scalars of the network now.

        Raises:
            DivergedError: the activations are no longer finite.
        """

    def hessian_trace(self) -> float:
        """Estimated trace of the Hessian of the mean training loss."""

    def state(self) -> bytes:
        """The whole state of training, for ``load_state``."""

    def load_state(self, data: bytes) -> object:
        """Restore a state that ``state`` returned.

        Raises:
            RunDirectoryError: the state is damaged, or of a network of another shape.
        """


class _Compiled(MemberTrainer):
    """A compiled network, trained in its thread's workspace."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(group_of(config), member_of(config))

    def run_epoch(self, stop: Callable[[], bool]) -> bool:  # type: ignore[override]
        return super().run_epoch(_workspace(self.group), stop)

    def hessian_trace(self) -> float:
        return hessian_trace(self.network(), self.group, self.config.seed)


class _Eager:
    """A network trained by PyTorch's operations."""

    def __init__(self, config: TrainConfig) -> None:
        dataset = dataset_of(config)
        with build_lock:
            self._trainer = Trainer(config, dataset)

    @property
    def epoch(self) -> int:
        return self._trainer.epoch

    @property
    def finished(self) -> bool:
        return self._trainer.converged or self._trainer.epoch >= self._trainer.config.epochs

    def run_epoch(self, stop: Callable[[], bool]) -> bool:
        return not any(stop() for _ in self._trainer.run_epoch())

    def measure(self) -> Measurement:
        return self._trainer.measure()

    def hessian_trace(self) -> float:
        network = self._trainer.network.eval()
        return trace_of(self._trainer.loss_parts(), list(network.parameters()), self._trainer.config.seed)

    def state(self) -> bytes:
        return self._trainer.state()

    def load_state(self, data: bytes) -> object:
        return self._trainer.load_state(data)


def begin(config: TrainConfig) -> Learner:
    """An untrained network with a trainer.

    Raises:
        ConfigError: settings do not fit each other, or the device does not exist.
        DataError: the data set cannot be read on this machine.
    """
    return _Eager(config) if why_not(config) else _Compiled(config)


def _part_of_loss(network: nn.Module, group: Group, rows: slice) -> Tensor:
    """The contribution of some training samples to the mean loss over all, []."""
    y_B = group.y_train[rows]
    loss = nn.functional.cross_entropy(network(group.x_train[rows]), y_B)
    return loss * (len(y_B) / group.plan.samples)


def hessian_trace(network: nn.Module, group: Group, seed: int) -> float:
    """Trace of the Hessian of the mean cross-entropy of a group's network on its clean training data, in nats."""
    starts = range(0, group.plan.samples, _HESSIAN_ROWS)
    parts = [functools.partial(_part_of_loss, network, group, slice(i, i + _HESSIAN_ROWS)) for i in starts]
    return trace_of(parts, list(network.parameters()), seed)


def trace_of(parts: Sequence[Callable[[], Tensor]], parameters: list[nn.Parameter], seed: int) -> float:
    """Trace of the Hessian of a loss that is the sum of ``parts``, [] each: ``hessian.hutchinson_trace``.

    Deterministic: the number of probes depends on a tolerance, not on time.
    """
    product = hessian_product(parts, parameters)
    size = sum(p.numel() for p in parameters)
    generator = Generator(parameters[0].device).manual_seed(seed)
    return hutchinson_trace(product, size, generator)[0]


def _workspace(group: Group) -> Workspace:
    """This thread's workspace for a group, kept until it trains another group."""
    known: tuple[Group, Workspace] | None = getattr(_local, "workspace", None)
    if known is None or known[0] is not group:
        known = _local.workspace = (group, group.workspace())
    return known[1]


def _data_key(config: TrainConfig) -> str:
    """A text that is equal for settings with the same data set; a generated one depends on the seed too."""
    names = ["dataset", "data_dir", "train_size", "image_size", "mixture_mu", "mixture_features", "model"]
    is_generated = config.dataset.startswith("gaussian-")
    return repr([getattr(config, name) for name in (*names, *(["seed"] if is_generated else []))])


def dataset_of(config: TrainConfig) -> Dataset:
    """The data set of a network, loaded once for all networks that share it."""
    with _data_lock:
        return _cached(_datasets, _data_key(config), lambda: load_dataset(config))


def _shared(config: TrainConfig) -> TrainConfig:
    """Settings with those that members of a group may differ in set to their defaults."""
    return make(TrainConfig, {name: getattr(Member(), name) for name in Member.__struct_fields__}, config)


def group_key(config: TrainConfig) -> str:
    """A text that is equal for networks that can train in one group."""
    return repr(_shared(config)) + _data_key(config)


def group_of(config: TrainConfig) -> Group:
    """The group of networks with the same shape, batch size and data; created once."""
    dataset = dataset_of(config)
    with _data_lock:
        return _cached(_groups, group_key(config), lambda: Group(_shared(config), dataset))


T = TypeVar("T")


def _cached(cache: dict[str, T], key: str, create: Callable[[], T]) -> T:
    """The cached value of a key, created where absent; the cache drops its oldest. The caller holds the lock."""
    if key not in cache:
        if len(cache) >= _CACHE_SIZE:
            cache.pop(next(iter(cache)))
        cache[key] = create()
    return cache[key]
