"""Many paper networks of one shape, each trained by compiled code on one thread at a time.

A member's numbers follow from its settings and seed alone; neither the other members nor the number of threads
change them. Training is what ``networks.trainer.Trainer`` defines; here it is faster.

Shape legend: N samples, B batch, D input features, K classes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import nn

from ..datasets.load import Dataset
from ..errors import ConfigError, DivergedError, RunDirectoryError
from ..networks.network import Knobs, Network, build_network
from ..networks.trainer import LOSS_CHANGE, LOSS_FLOOR, Measurement, curves_and_errors
from ..settings.fields import make
from ..settings.train import TrainConfig
from .kernels import train_steps
from .random import shuffle
from .state import State, Workspace, make_data, make_plan, make_state, make_workspace, store_weights

_STEPS_AT_ONCE = 1000
"""Steps between two calls of ``stop``."""
build_lock = threading.Lock()
"""Held while initial weights are drawn, since they come from torch's global generator."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """What may differ between the members of a group; ranges as in ``TrainConfig``."""

    seed: int = 0
    negative_slope: float = 0.0
    dropout: float = 0.0
    lr: float = 1e-3
    data_noise: float = 0.0


def member_of(config: TrainConfig) -> Member:
    """The member that a configuration describes."""
    return Member(**{name: getattr(config, name) for name in Member.__struct_fields__})


def why_not(config: TrainConfig) -> str:
    """Why an ensemble cannot train this configuration; empty where it can. The device is the caller's choice."""
    needed: dict[str, tuple[Any, ...]] = {
        "model": ("mlp",),
        "activation": ("leaky_relu",),
        "batch_norm": (True,),
        "bias": ("on", "zero"),
        "optimizer": ("adam",),
        "loss": ("cross_entropy",),
        "init": ("default", "orthogonal", "kaiming", "normal", "identity"),
    }
    for name, allowed in needed.items():
        if getattr(config, name) not in allowed:
            return f"{name} = {getattr(config, name)!r} is not trained in ensembles; allowed: {allowed}"
    return ""


class Group:
    """What members share: a shape, a batch size and a data set.

    Args:
        config: the settings; those of ``Member`` are each member's own.
        dataset: flat samples, x [N, D].

    Raises:
        ConfigError: these settings are not trained in ensembles.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset) -> None:
        problem = why_not(config)
        if not problem and dataset.x_train.ndim != 2:
            problem = f"{dataset.name} holds images; an ensemble takes flat samples, [N, D]"
        if problem:
            raise ConfigError(problem)
        self.config = config
        self.dataset = dataset
        self.plan = make_plan(dataset, config.width, config.depth, config.batch_size)
        self.data = make_data(dataset, self.plan.batch)
        self.x_train = torch.from_numpy(dataset.x_train)
        self.y_train = torch.from_numpy(dataset.y_train)
        self.x_test = torch.from_numpy(dataset.x_test)
        self.y_test = torch.from_numpy(dataset.y_test)

    def workspace(self) -> Workspace:
        """Scratch for one thread; any member of the group may use it, one at a time."""
        return make_workspace(self.plan)


@torch.no_grad()
def measure_network(network: Network, group: Group, epoch: int) -> Measurement:
    """The load curves and accuracies of a network in eval mode on the group's clean data, as ``Trainer.measure``.

    Raises:
        DivergedError: the activations are no longer finite; names the epoch.
    """
    features = network.features(group.x_train)
    out_test = network.features(group.x_test) if group.config.measure_test else []
    logits = out_test[-1] if out_test else network(group.x_test)
    loss = float(nn.functional.cross_entropy(features[-1], group.y_train))
    if not math.isfinite(loss):
        raise DivergedError(f"the network diverged at epoch {epoch}: its outputs are not finite; lower lr")
    classes = group.dataset.n_classes
    curves, errors = curves_and_errors(features, group.y_train, classes)
    if out_test:
        tested, _ = curves_and_errors(out_test, group.y_test, classes)
        curves |= {f"test_{name}": curve for name, curve in tested.items()}
    scalars = {
        "train_loss": loss,
        "train_accuracy": float((features[-1].argmax(1) == group.y_train).double().mean()),
        "test_accuracy": float((logits.argmax(1) == group.y_test).double().mean()),
        **errors,
    }
    return Measurement(curves, scalars)


def initial_network(config: TrainConfig, group: Group, knobs: Knobs) -> Network:
    """The network that ``Trainer`` would begin with, in eval mode."""
    shape = tuple(group.dataset.x_train.shape[1:])
    with build_lock:
        return build_network(config, shape, group.dataset.n_classes, knobs).eval()


def judge(loss: float, before: float, epoch: int, config: TrainConfig) -> bool:
    """Whether training stops early after an epoch: its mean loss is below 1e-4 or changed by less than 1e-10.

    ``before`` is the mean loss of the epoch before, NaN at first. The limits are those of Shi et al.'s code.

    Raises:
        DivergedError: the loss is not finite; names the epoch.
    """
    if not math.isfinite(loss):
        raise DivergedError(
            f"the network diverged at epoch {epoch}: the loss is {loss}; try a smaller lr (now {config.lr:g})"
        )
    return config.early_stop and (loss < LOSS_FLOOR or abs(loss - before) < LOSS_CHANGE)


def turn_knobs(state: State, config: TrainConfig) -> None:
    """Write a configuration's settings into a member's state, in force from the next step on."""
    state.knobs[:] = (config.negative_slope, config.dropout, config.lr, config.data_noise)


def train_on(
    group: Group,
    state: State,
    work: Workspace,
    order_N: NDArray[np.int64],
    start: int,
    total: float,
    most: int,
) -> tuple[int, float]:
    """Take up to ``most`` steps of an epoch; the result does not depend on how steps are divided into calls.

    Args:
        group: shape, batch size and data.
        state: the member's; changed.
        work: scratch for the group.
        order_N: 0 … N - 1 at the epoch's beginning; shuffled here, where an epoch has several steps.
        start: samples done.
        total: loss x samples so far; the loss in nats.
        most: steps.

    Returns:
        The new start, N at the epoch's end, and the new total; not finite where the member diverged.
    """
    plan = group.plan
    if start == 0 and plan.batch < plan.samples:
        shuffle(state.sequence, order_N, plan.samples)
    start, total = train_steps(plan, group.data, state, work, order_N, start, total, most)
    return start, total


class MemberTrainer:
    """Trains one member, epoch by epoch.

    The caller limits BLAS and torch to one thread (``ensemble.threads.single_threaded``): their own threads would
    slow small products.

    Raises:
        ConfigError: the member's settings are out of range.
    """

    def __init__(self, group: Group, member: Member) -> None:
        self.group = group
        self.config = make(TrainConfig, msgspec.structs.asdict(member), group.config)
        self.epoch = 0
        self.converged = False
        self.train_loss = math.nan
        """Mean training loss over the last epoch's batches, in nats; NaN before the first epoch."""
        self._knobs = Knobs(member.negative_slope, member.dropout, torch.Generator())
        self._network = initial_network(self.config, group, self._knobs)
        self._state = make_state(self._network, member.seed)
        self._turn_knobs()

    @property
    def step_count(self) -> int:
        """Steps taken."""
        return int(self._state.steps[0])

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or training stopped early."""
        return self.converged or self.epoch >= self.config.epochs

    def change(self, settings: Mapping[str, Any]) -> None:
        """Put ``negative_slope``, ``dropout``, ``lr`` or ``data_noise`` in force from the next epoch on.

        Raises:
            ConfigError: a setting is not allowed, or not alterable while training.
        """
        fixed = sorted(set(settings) - (set(Member.__struct_fields__) - {"seed"}))
        if fixed:
            raise ConfigError(f"{fixed[0]!r} cannot change while an ensemble trains")
        self.config = make(TrainConfig, settings, self.config)
        self._turn_knobs()
        self.converged = False

    def _turn_knobs(self) -> None:
        self._knobs.negative_slope = self.config.negative_slope
        turn_knobs(self._state, self.config)

    def run_epoch(self, work: Workspace, stop: Callable[[], bool] | None = None) -> bool:
        """Train one epoch; False where ``stop`` ended it, with a part of its steps taken.

        Args:
            work: scratch memory of the group, used by no other thread.
            stop: called at least every thousand steps; True ends the epoch.

        Raises:
            DivergedError: the loss is no longer finite; names the epoch.
        """
        samples = self.group.plan.samples
        order_N, start, total = np.arange(samples), 0, 0.0
        while start < samples:
            if stop is not None and stop():
                return False
            start, total = train_on(self.group, self._state, work, order_N, start, total, _STEPS_AT_ONCE)
        self.epoch += 1
        loss = total / samples
        self.converged = judge(loss, self.train_loss, self.epoch, self.config)
        self.train_loss = loss
        return True

    def network(self) -> Network:
        """The network as it is now, in eval mode; every call returns the same object, updated."""
        store_weights(self._state, self._network)
        return self._network

    def measure(self) -> Measurement:
        """The load curves and accuracies in eval mode on clean data, as ``Trainer.measure``.

        Raises:
            DivergedError: the activations are no longer finite.
        """
        return measure_network(self.network(), self.group, self.epoch)

    def state(self) -> bytes:
        """Everything needed to continue bit for bit, as safetensors."""
        progress = {"epoch": self.epoch, "converged": self.converged, "train_loss": self.train_loss}
        return save_arrays(
            self._state._asdict(), {name: msgspec.json.encode(value).decode() for name, value in progress.items()}
        )

    def load_state(self, data: bytes) -> None:
        """Continue from what ``state`` returned.

        Raises:
            RunDirectoryError: the checkpoint is damaged or of another network.
        """
        try:
            arrays = load_arrays(data)
            size = int.from_bytes(data[:8], "little")
            metadata = msgspec.json.decode(data[8 : 8 + size])["__metadata__"]
            state = State(**{name: arrays[name].copy() for name in State._fields})
            progress = {name: msgspec.json.decode(metadata[name]) for name in ("epoch", "converged", "train_loss")}
        except Exception as error:  # safetensors' own error derives from Exception alone
            raise RunDirectoryError(f"the checkpoint is damaged: {error}") from error
        for mine, theirs in zip(map(np.asarray, self._state), map(np.asarray, state), strict=True):
            if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
                raise RunDirectoryError("the checkpoint is of another network")
        self._state = state
        self.epoch, self.converged = progress["epoch"], progress["converged"]
        loss = progress["train_loss"]
        self.train_loss = math.nan if loss is None else loss
        slope, dropout, lr, noise = (float(v) for v in state.knobs)
        settings = {"negative_slope": slope, "dropout": dropout, "lr": lr, "data_noise": noise}
        self.config = make(TrainConfig, settings, self.config)
        self._turn_knobs()


class MemberResult(NamedTuple):
    """The result of training one member."""

    member: Member
    epochs: int
    """Epochs done."""
    measurement: Measurement | None
    """The last one; None where the member diverged before it was measured."""
    converged: bool
    """Whether training stopped early."""
    diverged: str
    """How the member diverged; empty where it did not."""
    finished: bool
    """Whether training ended by itself; False where it was stopped."""

    @property
    def curves(self) -> dict[str, list[float]]:
        """D_0 … D_L by measure, natural logs; empty without a measurement."""
        return self.measurement.curves if self.measurement else {}

    def scalar(self, name: str) -> float:
        """``train_loss``, ``train_accuracy`` or ``test_accuracy``; NaN without a measurement."""
        return self.measurement.scalars[name] if self.measurement else math.nan
