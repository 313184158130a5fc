"""The networks of a sweep, one at a time: compiled members where they can be, PyTorch where not.

Both are driven as a ``Learner``: epoch by epoch, measured in between, put aside and taken up again bit for bit.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..datasets.load import Dataset, load_dataset
from ..ensemble.member import Group, Member, MemberTrainer, build_lock, member_of, why_not
from ..ensemble.state import Workspace
from ..errors import DivergedError
from ..measures.hessian import hessian_product, hutchinson_trace
from ..networks.trainer import Measurement, Trainer
from ..runs.records import Cell
from ..settings.fields import make
from ..settings.train import TrainConfig

PRESENT_EVERY = 1.0
"""Seconds between two curves of one unfinished network: each costs some epochs' time."""
Task = tuple[int, int]
"""A cell and a member of it."""
_MOST_KEPT = 12
_HESSIAN_ROWS = 4096
_data_lock = threading.Lock()
_datasets: dict[str, Dataset] = {}
_groups: dict[str, Group] = {}
_here = threading.local()
"""Each thread's scratch for the group that it trained last."""


class Learner(Protocol):
    """A network under way."""

    @property
    def epoch(self) -> int:
        """Epochs done."""

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or training stopped early."""

    def run_epoch(self, stop: Callable[[], bool]) -> bool:
        """Train one epoch; False where ``stop`` broke it off.

        Raises:
            DivergedError: the loss is no longer finite.
        """

    def measure(self) -> Measurement:
        """Curves and scalars as the network stands.

        Raises:
            DivergedError: the activations are no longer finite.
        """

    def hessian_trace(self) -> float:
        """Trace of the Hessian of the mean training loss, estimated."""

    def state(self) -> bytes:
        """What ``load_state`` goes on from."""

    def load_state(self, data: bytes) -> object:
        """Go on where another was.

        Raises:
            RunDirectoryError: the state is damaged, or of another network.
        """


class _Compiled(MemberTrainer):
    """An ensemble's member, with its thread's scratch."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(group_of(config), member_of(config))

    def run_epoch(self, stop: Callable[[], bool]) -> bool:  # type: ignore[override]
        return super().run_epoch(_scratch(self.group), stop)

    def hessian_trace(self) -> float:
        return hessian_trace(self.network(), self.group, self.config.seed)


class _Eager:
    """PyTorch's own operations."""

    def __init__(self, config: TrainConfig) -> None:
        dataset = _dataset(config)
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
    """A network at its first step.

    Raises:
        ConfigError: a setting does not fit, or the device is not there.
        DataError: the data set cannot be read here.
    """
    return _Eager(config) if why_not(config) else _Compiled(config)


def _part_of_loss(network: nn.Module, group: Group, rows: slice) -> Tensor:
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

    The same numbers whenever and wherever: probes end at a tolerance, never at a time.
    """
    product = hessian_product(parts, parameters)
    size = sum(p.numel() for p in parameters)
    generator = torch.Generator(parameters[0].device).manual_seed(seed)
    return hutchinson_trace(product, size, generator)[0]


def finished_cell(task: Task, learner: Learner, config: TrainConfig) -> Cell:
    """A cell for good.

    Raises:
        DivergedError: the activations are no longer finite.
    """
    cell = cell_of(task, learner.epoch, learner.measure(), final=True)
    if config.hessian:
        cell.scalars["hessian_trace"] = finite(learner.hessian_trace())
    return cell


class Networks:
    """Trains one network after another on the calling thread; many threads may share it."""

    def __init__(
        self, may_continue: Callable[[], bool], present: Callable[[Cell], None], threads: int = 1
    ) -> None:
        self._threads = threads
        """Of each network that the plain trainer trains."""
        self._may_continue = may_continue
        self._present = present

    def train(self, config: TrainConfig, task: Task) -> Cell | None:
        """The finished network's cell, without curves where it diverged; None where it was broken off.

        Raises:
            ConfigError, DataError: as ``begin``.
        """
        torch.set_num_threads(self._threads if why_not(config) else 1)
        shown = time.monotonic()
        try:
            learner = begin(config)
            while not learner.finished:
                if not learner.run_epoch(lambda: not self._may_continue()) or not self._may_continue():
                    return None
                if not learner.finished and time.monotonic() - shown >= PRESENT_EVERY:
                    self._present(cell_of(task, learner.epoch, learner.measure(), final=False))
                    shown = time.monotonic()
            return finished_cell(task, learner, config)
        except DivergedError as error:
            return diverged_cell(task, error)


def diverged_cell(task: Task, error: DivergedError) -> Cell:
    """A cell that came to nothing."""
    return Cell(cell=task[0], member=task[1], final=True, at=0, text=str(error))


def cell_of(task: Task, epoch: int, measured: Measurement, *, final: bool) -> Cell:
    """A measurement as a record."""
    curves = {name: [finite(v) for v in curve] for name, curve in measured.curves.items()}
    scalars = {name: finite(value) for name, value in measured.scalars.items()}
    return Cell(cell=task[0], member=task[1], final=final, at=epoch, curves=curves, scalars=scalars)


def _scratch(group: Group) -> Workspace:
    known: tuple[Group, Workspace] | None = getattr(_here, "scratch", None)
    if known is None or known[0] is not group:
        known = _here.scratch = (group, group.workspace())
    return known[1]


def _data_key(config: TrainConfig) -> str:
    """What a data set depends on; those made on the spot come from the network's own seed."""
    names = ["dataset", "data_dir", "train_size", "image_size", "mixture_mu", "mixture_features", "model"]
    made_here = config.dataset.startswith("gaussian-")
    return repr([getattr(config, name) for name in (*names, *(["seed"] if made_here else []))])


def _dataset(config: TrainConfig) -> Dataset:
    """Loaded once for all networks that share it."""
    with _data_lock:
        return _kept(_datasets, _data_key(config), lambda: load_dataset(config))


def _shared(config: TrainConfig) -> TrainConfig:
    return make(TrainConfig, {name: getattr(Member(), name) for name in Member.__struct_fields__}, config)


def group_key(config: TrainConfig) -> str:
    """The same for networks that may train in one group."""
    return repr(_shared(config)) + _data_key(config)


def group_of(config: TrainConfig) -> Group:
    """What a network shares with others of its shape, batch size and data; made once."""
    dataset = _dataset(config)
    with _data_lock:
        return _kept(_groups, group_key(config), lambda: Group(_shared(config), dataset))


T = TypeVar("T")


def _kept(known: dict[str, T], key: str, made: Callable[[], T]) -> T:
    """From a small store that forgets the oldest; the lock is the caller's."""
    if key not in known:
        if len(known) >= _MOST_KEPT:
            known.pop(next(iter(known)))
        known[key] = made()
    return known[key]


def finite(value: float) -> float | None:
    """The value, or None where it is not finite."""
    return value if math.isfinite(value) else None
