"""Trains one network, step by step, with settings that may change between steps.

Shape legend: N samples, B batch, K classes; … stands for the dimensions of a sample.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim import Optimizer

from ..datasets.load import Dataset
from ..errors import ConfigError, DivergedError, RunDirectoryError
from ..measures.curve_error import errors_over_samples
from ..measures.hessian import Curvature, always, curvature, hessian_product
from ..measures.registry import DEFAULT_MEASURE, PROBES
from ..measures.separation import separation_and_influence
from ..settings.fields import make
from ..settings.train import TrainConfig
from .network import Knobs, Network, build_network
from .optimisers import build_optimiser

LOSS_FLOOR = 1e-4
"""Training stops early at a mean loss below this (Shi et al.)."""
LOSS_CHANGE = 1e-10
"""Training stops early where the mean loss changes by less than this in an epoch (Shi et al.)."""
_NO_KNOBS = frozenset({"hold", PROBES})
"""Live settings that training does not depend on."""
_CHUNK = 4096
"""Samples whose graph is kept at once for products with the Hessian."""


class Measurement(NamedTuple):
    """What is measured of a network at one moment, in eval mode on clean data."""

    curves: dict[str, list[float]]
    """D_0 … D_L by measure, natural logs; with ``measure_test`` also under ``test_…``."""
    scalars: dict[str, float]
    """``train_loss`` (in nats where it is cross-entropy), ``train_accuracy`` and ``test_accuracy`` in [0, 1];
    where known ``friction_error`` and ``curve_error``, by ``curve_error.errors_over_samples``."""
    probes: list[float] | None = None
    """With ``linear_probes``: test accuracy in [0, 1] of a linear classifier at D_0 … D_L."""


class Progress(msgspec.Struct):
    """What a checkpoint holds besides tensors, as JSON in its metadata."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Optimiser steps done."""
    start: int = 0
    """Samples done of the epoch under way."""
    last_loss: float | None = None
    """Mean over the last whole epoch."""
    converged: bool = False
    settings: dict[str, Any] = {}
    """The live settings in force."""
    optimiser: list[dict[str, Any]] = []
    """The optimiser's parameter groups, parameters by index."""
    notes: dict[str, Any] = {}
    """The ``notes`` given to ``state``."""
    began: int = 0
    began_step: int = 0
    """Epochs and steps done when the present training began."""


def one_step() -> int:
    """Returns 1: settings may change before every step (default of ``at_once``)."""
    return 1


class Trainer:
    """One network, its optimiser and its random generators; a configuration repeats bit for bit on one machine.

    Raises:
        ConfigError: the device is not there, or settings do not fit each other.
    """

    kind: ClassVar[str] = "torch"
    """Which code takes the steps. Kinds draw different random numbers, so a run keeps the kind it began with."""

    def __init__(self, config: TrainConfig, dataset: Dataset) -> None:
        self.config = config
        self.device = _device(config.device)
        self.epoch = self.step_count = 0
        """Epochs and steps done, over all trainings."""
        self.began = self.began_step = 0
        """Epochs and steps done when the present training began; above 0 where it began anew."""
        self.converged = False
        self._dataset = dataset
        self._last_loss: float | None = None
        self._order_N: Tensor | None = None
        """Order of the samples in the epoch under way, [N]; ``_start`` are done, ``_total`` is their loss."""
        self._start = 0
        self._total = torch.zeros((), device=self.device)
        self.n_classes = dataset.n_classes
        self.x_train, self.y_train = self._samples(dataset.x_train), self._samples(dataset.y_train)
        self.x_test, self.y_test = self._samples(dataset.x_test), self._samples(dataset.y_test)
        self.order_generator = torch.Generator().manual_seed(config.seed)
        self.generator = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.knobs = Knobs(config.negative_slope, config.dropout, self.generator)
        self._network = self._new_network()

    def _new_network(self) -> Network:
        """A network with the initial weights, in the settings in force."""
        shape = tuple(self._dataset.x_train.shape[1:])
        return build_network(self.config, shape, self.n_classes, self.knobs).to(self.device)

    @property
    def is_held(self) -> bool:
        """Whether the present training waits at its epoch of ``hold``, or before it where it stopped early."""
        return self.config.hold > 0 and (self.converged or self.epoch - self.began >= self.config.hold)

    @functools.cached_property
    def optimiser(self) -> Optimizer:
        """The optimiser, created on first use: creating the first one loads PyTorch's compiler (over a second)."""
        return build_optimiser(self.config, self._network.parameters(), self.generator)

    @property
    def network(self) -> Network:
        """The network as it is now, in training mode; always the same object."""
        return self._network

    def limits(self) -> AbstractContextManager[None]:
        """The context that limits the process's threads while it trains; here there is no limit."""
        return contextlib.nullcontext()

    def _samples(self, values: np.ndarray) -> Tensor:
        """Samples in torch's own memory, whose alignment never differs: the order of sums may depend on it."""
        tensor = torch.tensor(values, device=self.device)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    def change(self, settings: Mapping[str, Any]) -> None:
        """Put settings in force from the next step on; early stopping compares no loss with one from before.

        With ``hold``, training begins anew from the initial weights where a setting changes that it depends on, or
        where it has gone beyond the epoch of ``hold``.

        Raises:
            ConfigError: a setting is not allowed, or not alterable while training.
        """
        fixed = sorted(set(settings) - TrainConfig.live)
        if fixed:
            raise ConfigError(
                f"{fixed[0]!r} cannot change while training; these can: {', '.join(sorted(TrainConfig.live))}"
            )
        old = self.config
        self.config = make(TrainConfig, settings, old)
        self.knobs.negative_slope, self.knobs.dropout = self.config.negative_slope, self.config.dropout
        if "optimiser" in self.__dict__:  # else it is made with the new rate
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.lr
        knobs = settings.keys() - _NO_KNOBS
        if knobs or self.config.hold != old.hold:
            self.converged, self._last_loss = False, None
        within = self._order_N is not None and self._start > 0  # an epoch is under way
        if self.config.hold and (
            self.epoch - self.began + within > self.config.hold
            or any(getattr(old, name) != getattr(self.config, name) for name in knobs)
        ):
            self.began, self.began_step, self._order_N, self._start = self.epoch, self.step_count, None, 0
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Restore weights, optimiser and random generators to what they were before the first step."""
        self.order_generator.manual_seed(self.config.seed)
        self.generator.manual_seed(self.config.seed + 1)
        self._network.load_state_dict(self._new_network().state_dict())
        self.__dict__.pop("optimiser", None)

    def run_epoch(self, at_once: Callable[[], int] = one_step) -> Iterator[None]:
        """Train one epoch, or the rest of one; yields before each step, where settings may change or it may end.

        ``at_once`` is called after each yield: how many steps may be taken before the next one, 1 or more. Fewer
        are taken where a step takes long.

        Raises:
            DivergedError: the loss is no longer finite; names the epoch.
        """
        self._network.train()
        n = len(self.x_train)
        while self._order_N is None or self._start < n:
            yield
            if self._order_N is None:  # a new epoch, or training begins anew
                self._start, self._order_N, self._total = 0, *self._new_epoch(n)
            self._advance(self._order_N, at_once())
        self._order_N = None
        self.epoch += 1
        self._judge(float(self._total) / n)

    def _new_epoch(self, n: int) -> tuple[Tensor, Tensor]:
        """The order of the samples in an epoch, [N], and a zero to which their loss is added."""
        order_N = torch.randperm(n, generator=self.order_generator).to(self.device)
        return order_N, torch.zeros((), device=self.device)

    def _advance(self, order_N: Tensor, most: int) -> None:  # noqa: ARG002 (one step takes long enough)
        """Take at least one step of the epoch under way and at most ``most``."""
        rows_B = order_N[self._start : self._batch_end(self._start)]
        self._total += self._step(rows_B) * len(rows_B)
        self._start += len(rows_B)

    def _batch_end(self, start: int) -> int:
        """End of the batch that begins at ``start``; none has a single sample, where BatchNorm has no variance."""
        n, size = len(self.x_train), self.config.batch_size
        if not self.config.batch_norm:
            return start + size
        end = start + max(size, 2)
        return n if end == n - 1 else end

    def _step(self, rows_B: Tensor) -> Tensor:
        full = len(rows_B) == len(self.x_train)
        x, y_B = (self.x_train, self.y_train) if full else (self.x_train[rows_B], self.y_train[rows_B])
        x, y_B = self._noisy(x, y_B)
        loss = self._loss(self._network(x), y_B)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step_count += 1
        return loss.detach()

    def _noisy(self, x: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
        """A batch with Gaussian noise of s.d. q x its pixel s.d. and a fraction q of labels drawn uniformly."""
        q = self.config.data_noise
        if q == 0.0:
            return x, y_B
        x = x + q * x.std() * torch.randn(x.shape, generator=self.generator, device=self.device)
        count = round(q * len(y_B))
        hit = torch.randperm(len(y_B), generator=self.generator, device=self.device)[:count]
        drawn = torch.randint(self.n_classes, (count,), generator=self.generator, device=self.device)
        return x, y_B.index_copy(0, hit, drawn)

    def _loss(self, out: Tensor, y_B: Tensor) -> Tensor:
        if self.config.loss == "cross_entropy":
            return nn.functional.cross_entropy(out, y_B)
        if self.config.loss == "mse":
            return nn.functional.mse_loss(out.squeeze(-1), y_B.to(out.dtype))
        return nn.functional.mse_loss(out, nn.functional.one_hot(y_B, self.n_classes).to(out.dtype))

    def _judge(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"the network diverged at epoch {self.epoch}: the loss is {loss}; try a smaller lr "
                f"(now {self.config.lr:g}) or batch_norm=on"
            )
        settled = self._last_loss is not None and abs(loss - self._last_loss) < LOSS_CHANGE
        self.converged = self.config.early_stop and (loss < LOSS_FLOOR or settled)
        self._last_loss = loss

    @torch.no_grad()
    def measure(self) -> Measurement:
        """The load curves and accuracies in eval mode on clean data; training mode and random state untouched.

        Raises:
            DivergedError: the activations are no longer finite.
        """
        both = self.config.measure_test or self.config.linear_probes
        network = self.network
        was = network.training
        network.eval()
        try:
            features = network.features(self.x_train)
            out_test = network.features(self.x_test) if both else [network(self.x_test)]
        finally:
            network.train(was)
        loss = float(self._loss(features[-1], self.y_train))
        if not math.isfinite(loss):
            raise DivergedError(
                f"the network diverged at epoch {self.epoch}: its outputs are not finite; lower lr"
            )
        curves, errors = curves_and_errors(features, self.y_train, self.n_classes)
        if self.config.measure_test:
            tested, _ = curves_and_errors(out_test, self.y_test, self.n_classes)
            curves |= {f"test_{name}": curve for name, curve in tested.items()}
        scalars = {
            "train_loss": loss,
            "train_accuracy": self._accuracy(features[-1], self.y_train),
            "test_accuracy": self._accuracy(out_test[-1], self.y_test),
            **errors,
        }
        probes = None
        if self.config.linear_probes:
            from ..measures.linear_probes import probe_accuracies  # scikit-learn is slow to import

            probes = probe_accuracies(features, self.y_train, out_test, self.y_test)
        return Measurement(curves, scalars, probes)

    def curvature(self, going: Callable[[], bool] = always) -> Curvature | None:
        """The Hessian of the mean training loss in eval mode on clean data, over all trained parameters.

        None where ``going`` returned False. Training mode and random state stay untouched. See
        ``hessian.curvature``.
        """
        was = self.network.training
        self.network.eval()
        try:
            parts, parameters = self.loss_parts(), list(self.network.parameters())
            generator = torch.Generator(self.device).manual_seed(self.config.seed)
            size = sum(p.numel() for p in parameters)
            return curvature(hessian_product(parts, parameters), size, generator, going)
        finally:
            self.network.train(was)

    def loss_parts(self) -> list[Callable[[], Tensor]]:
        """The mean training loss on clean data as a sum of parts, [] each, whose graphs fit into memory."""
        n = len(self.x_train)
        return [functools.partial(self._part_of_loss, slice(i, i + _CHUNK)) for i in range(0, n, _CHUNK)]

    def _part_of_loss(self, rows: slice) -> Tensor:
        """The contribution of some samples to the mean loss, []."""
        y_B = self.y_train[rows]
        return self._loss(self.network(self.x_train[rows]), y_B) * (len(y_B) / len(self.y_train))

    def _accuracy(self, out: Tensor, y_N: Tensor) -> float:
        if self.config.loss == "mse":
            guess = out.squeeze(-1).round().clamp(0, self.n_classes - 1).long()
        else:
            guess = out.argmax(1)
        return float((guess == y_N).double().mean())

    # checkpoints

    def state(self, notes: Mapping[str, Any] | None = None) -> bytes:
        """Everything needed to continue bit for bit, also in the middle of an epoch, as safetensors.

        ``notes`` are kept with it, as JSON; ``load_state`` returns them.
        """
        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors |= self._memory()
        if self._order_N is not None:
            tensors |= {"epoch.order": self._order_N, "epoch.total": self._total}
        progress = Progress(
            epoch=self.epoch,
            step=self.step_count,
            start=self._start,
            notes=dict(notes or {}),
            last_loss=self._last_loss,
            converged=self.converged,
            settings={name: getattr(self.config, name) for name in sorted(TrainConfig.live)},
            optimiser=self._groups(),
            began=self.began,
            began_step=self.began_step,
        )
        return save_tensors(tensors, {"progress": msgspec.json.encode(progress).decode()})

    def _groups(self) -> list[dict[str, Any]]:
        """The optimiser's settings for each group of parameters."""
        groups: list[dict[str, Any]] = self.optimiser.state_dict()["param_groups"]
        return groups

    def _memory(self) -> dict[str, Tensor]:
        """The state of the optimiser and of the random generators, by name."""
        tensors = {}
        for index, entry in self.optimiser.state_dict()["state"].items():
            for name, value in entry.items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).contiguous()
        random = {"random.order": self.order_generator, "random.noise": self.generator}
        return tensors | {name: generator.get_state() for name, generator in random.items()}

    def load_state(self, data: bytes) -> dict[str, Any]:
        """Continue from what ``state`` returned, and return its notes.

        Raises:
            RunDirectoryError: the checkpoint is damaged or of another network.
        """
        try:
            tensors = load_tensors(data)
            progress = msgspec.json.decode(_metadata(data), type=Progress)
            self._restore(tensors, progress)
        except (KeyError, ValueError, RuntimeError, msgspec.MsgspecError) as error:
            raise RunDirectoryError(f"the checkpoint does not fit this run: {error}") from error
        except Exception as error:  # safetensors' own error derives from Exception alone
            raise RunDirectoryError(f"the checkpoint is damaged: {error}") from error
        return progress.notes

    def _restore(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        self._network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
        self.began, self.began_step = progress.began, progress.began_step
        self.config = make(TrainConfig, {"hold": 0}, self.config)  # so that no training begins anew here
        self._remember(tensors, progress)
        self.change({**progress.settings, "hold": 0})
        self.config = make(TrainConfig, {"hold": progress.settings.get("hold", 0)}, self.config)
        self._order_N, self._start = tensors.get("epoch.order"), progress.start
        if self._order_N is not None:
            self._order_N, self._total = self._order_N.to(self.device), tensors["epoch.total"].to(self.device)
        self.epoch, self.step_count = progress.epoch, progress.step
        self._last_loss, self.converged = progress.last_loss, progress.converged

    def _remember(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Restore what ``_memory`` returned; the network's weights are restored before."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({"state": state, "param_groups": progress.optimiser})
        self.order_generator.set_state(tensors["random.order"])
        self.generator.set_state(tensors["random.noise"])


def curves_and_errors(
    features: list[Tensor], y_N: Tensor, n_classes: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """D_0 … D_L by measure, and their errors over these samples by name, where they are known.

    Args:
        features: at the points of the curve, [N, …] each, the logits last.
        y_N: class indices [N], int64.
        n_classes: how many classes there are.
    """
    found = [separation_and_influence(x, y_N, n_classes) for x in features]
    names = found[0][0] if found else {}
    curves = {name: [measures[name] for measures, _ in found] for name in names}
    moves = [influence.cpu().numpy() for _, influence in found[:-1] if influence is not None]
    whole = len(moves) == len(found) - 1
    return curves, errors_over_samples(curves[DEFAULT_MEASURE][:-1], moves) if whole else {}


def _metadata(data: bytes) -> str:
    """The ``progress`` entry of a safetensors header."""
    size = int.from_bytes(data[:8], "little")
    header = msgspec.json.decode(data[8 : 8 + size])
    return str(header["__metadata__"]["progress"])


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device = {name!r} is not here: no CUDA device was found; allowed: auto, cpu")
    return torch.device(name)
