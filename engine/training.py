"""Trains one network, step by step, with settings that may move between steps.

Shape legend: N samples, B batch, … the sample's own dimensions, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from .config import TrainConfig, make
from .datasets import Dataset
from .errors import ConfigError, DivergedError, RunDirectoryError
from .networks import Knobs, build_network
from .optimisers import build_optimiser
from .separation import separation_measures

LOSS_FLOOR = 1e-4
"""Training stops early at a mean loss below this (Shi et al.)."""
LOSS_CHANGE = 1e-10
"""… or where an epoch changes it by less than this."""


class Measurement(NamedTuple):
    """What is measured of a network at one moment, in eval mode on clean data."""

    curves: dict[str, list[float]]
    """D_0 … D_L by measure; with ``measure_test`` also under ``test_…``."""
    scalars: dict[str, float]


class _Progress(msgspec.Struct):
    """The part of the state that is not tensors; JSON in the checkpoint's metadata."""

    epoch: int = 0
    step: int = 0
    last_loss: float | None = None
    converged: bool = False
    settings: dict[str, Any] = {}
    optimiser: list[dict[str, Any]] = []


class Trainer:
    """One network, its optimiser and its random numbers. Same configuration, same machine: same bits.

    Raises:
        ConfigError: the device is not there, or settings do not fit each other.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset) -> None:
        self.config = config
        self.device = _device(config.device)
        self.epoch = 0
        self.step_count = 0
        self.converged = False
        self._last_loss: float | None = None
        self.n_classes = dataset.n_classes
        self.x_train = torch.from_numpy(dataset.x_train).to(self.device)
        self.y_train = torch.from_numpy(dataset.y_train).to(self.device)
        self.x_test = torch.from_numpy(dataset.x_test).to(self.device)
        self.y_test = torch.from_numpy(dataset.y_test).to(self.device)
        self.order_generator = torch.Generator().manual_seed(config.seed)
        self.generator = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.knobs = Knobs(config.negative_slope, config.dropout, self.generator)
        shape = tuple(dataset.x_train.shape[1:])
        self.network = build_network(config, shape, dataset.n_classes, self.knobs).to(self.device)
        self.optimiser = build_optimiser(config, self.network.parameters(), self.generator)

    def change(self, settings: Mapping[str, Any]) -> None:
        """Take settings on from the next step; early stopping compares no loss with one from before.

        Raises:
            ConfigError: a setting is not allowed, or not alterable while training.
        """
        fixed = sorted(set(settings) - TrainConfig.live)
        if fixed:
            raise ConfigError(
                f"{fixed[0]!r} cannot change while training; these can: {', '.join(sorted(TrainConfig.live))}"
            )
        self.config = make(TrainConfig, settings, self.config)
        self.knobs.negative_slope, self.knobs.dropout = self.config.negative_slope, self.config.dropout
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr
        self.converged, self._last_loss = False, None

    def run_epoch(self) -> Iterator[None]:
        """Train one epoch; yields before each step, where settings may change.

        Raises:
            DivergedError: the loss is no longer finite; names the epoch.
        """
        self.network.train()
        n = len(self.x_train)
        order_N = torch.randperm(n, generator=self.order_generator).to(self.device)
        total = torch.zeros((), device=self.device)
        start = 0
        while start < n:
            yield
            rows_B = order_N[start : self._batch_end(start)]
            total += self._step(rows_B) * len(rows_B)
            start += len(rows_B)
        self.epoch += 1
        self._judge(float(total) / n)

    def _batch_end(self, start: int) -> int:
        """Where a batch ends. BatchNorm has no variance over one sample, so it is left none alone."""
        n, size = len(self.x_train), self.config.batch_size
        if not self.config.batch_norm:
            return start + size
        end = start + max(size, 2)
        return n if end == n - 1 else end

    def _step(self, rows_B: Tensor) -> Tensor:
        full = len(rows_B) == len(self.x_train)
        x, y_B = (self.x_train, self.y_train) if full else (self.x_train[rows_B], self.y_train[rows_B])
        x, y_B = self._noisy(x, y_B)
        loss = self._loss(self.network(x), y_B)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step_count += 1
        return loss.detach()

    def _noisy(self, x: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
        """A fraction q of labels uniform, and Gaussian noise of s.d. q x the batch's pixel s.d."""
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
        was = self.network.training
        self.network.eval()
        try:
            features = self.network.features(self.x_train)
            out_test = self.network.features(self.x_test) if self.config.measure_test else []
            logits = out_test[-1] if out_test else self.network(self.x_test)
        finally:
            self.network.train(was)
        loss = float(self._loss(features[-1], self.y_train))
        if not math.isfinite(loss):
            raise DivergedError(
                f"the network diverged at epoch {self.epoch}: its outputs are not finite; lower lr"
            )
        curves = self._curves(features, self.y_train, "")
        curves |= self._curves(out_test, self.y_test, "test_")
        scalars = {
            "train_loss": loss,
            "train_accuracy": self._accuracy(features[-1], self.y_train),
            "test_accuracy": self._accuracy(logits, self.y_test),
        }
        return Measurement(curves, scalars)

    def _curves(self, features: list[Tensor], y_N: Tensor, prefix: str) -> dict[str, list[float]]:
        points = [separation_measures(x, y_N, self.n_classes) for x in features]
        names = points[0] if points else {}
        return {prefix + name: [point[name] for point in points] for name in names}

    def _accuracy(self, out: Tensor, y_N: Tensor) -> float:
        if self.config.loss == "mse":
            guess = out.squeeze(-1).round().clamp(0, self.n_classes - 1).long()
        else:
            guess = out.argmax(1)
        return float((guess == y_N).double().mean())

    # checkpoints

    def state(self) -> bytes:
        """Everything needed to go on bit for bit, as safetensors."""
        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        saved = self.optimiser.state_dict()
        for index, entry in saved["state"].items():
            for name, value in entry.items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
        tensors["random.order"] = self.order_generator.get_state()
        tensors["random.noise"] = self.generator.get_state()
        progress = _Progress(
            epoch=self.epoch,
            step=self.step_count,
            last_loss=self._last_loss,
            converged=self.converged,
            settings={name: getattr(self.config, name) for name in sorted(TrainConfig.live)},
            optimiser=saved["param_groups"],
        )
        return save_tensors(tensors, {"progress": msgspec.json.encode(progress).decode()})

    def load_state(self, data: bytes) -> None:
        """Go on from ``state()``.

        Raises:
            RunDirectoryError: the checkpoint is damaged or of another network.
        """
        try:
            tensors = load_tensors(data)
            progress = msgspec.json.decode(_metadata(data), type=_Progress)
            self._restore(tensors, progress)
        except (KeyError, ValueError, RuntimeError, msgspec.MsgspecError) as error:
            raise RunDirectoryError(f"the checkpoint does not fit this run: {error}") from error
        except Exception as error:  # safetensors' own error derives from Exception alone
            raise RunDirectoryError(f"the checkpoint is damaged: {error}") from error

    def _restore(self, tensors: dict[str, Tensor], progress: _Progress) -> None:
        self.network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({"state": state, "param_groups": progress.optimiser})
        self.change(progress.settings)
        self.order_generator.set_state(tensors["random.order"])
        self.generator.set_state(tensors["random.noise"])
        self.epoch, self.step_count = progress.epoch, progress.step
        self._last_loss, self.converged = progress.last_loss, progress.converged


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
