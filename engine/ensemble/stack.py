"""The ensemble for an accelerator: members stacked into one batched matrix product, on any torch device.

On a CPU the compiled code of ``ensemble.member`` is faster; there only tests use this. Every member draws from
generators of its own in ``Trainer``'s order, so that on the same device a member is ``Trainer``'s network up to
rounding, noise included.

Shape legend: M members, B batch, D input features, H width (or a layer's inputs and outputs I and O), K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import torch
from torch import Tensor, nn

from ..errors import DivergedError
from ..networks.network import Knobs, Network
from ..networks.trainer import Measurement
from ..settings.fields import make
from ..settings.train import TrainConfig
from .layers import BN_EPS, BN_MOMENTUM
from .member import Group, Member, MemberResult, initial_network, judge, measure_network

_SAVED = 8
"""Activations of a layer that a step holds at once, its gradients included."""


def members_within(group: Group, memory: int) -> int:
    """How many members of a group train at once in ``memory`` bytes; at least one."""
    plan = group.plan
    each = 4 * _SAVED * (plan.hidden + 1) * plan.batch * max(plan.width, plan.inputs)
    return max(1, memory // each)


class Stack:
    """Members that take their steps together; one that stopped early or diverged keeps its weights.

    Args:
        group: what they share.
        members: M of them.
        device: where they train.

    Raises:
        ConfigError: a member's settings are out of range.
    """

    def __init__(self, group: Group, members: Sequence[Member], device: torch.device) -> None:
        self.group, self.members, self.device = group, members, device
        self.epoch = self.steps = 0
        self.configs = [make(TrainConfig, msgspec.structs.asdict(member), group.config) for member in members]
        knobs = [Knobs(c.negative_slope, c.dropout, torch.Generator()) for c in self.configs]
        self._networks = [initial_network(c, group, knob) for c, knob in zip(self.configs, knobs, strict=True)]
        self._weights = self._stacked("parameters")
        self._running = self._stacked("buffers")
        self._first = [torch.zeros_like(w) for w in self._weights]
        self._second = [torch.zeros_like(w) for w in self._weights]
        self._orders = [torch.Generator().manual_seed(m.seed) for m in members]
        self._draws = [torch.Generator(device).manual_seed(m.seed + 1) for m in members]
        self._x, self._y = group.x_train.to(device), group.y_train.to(device)
        self._slope = self._column("negative_slope")
        self._lr = self._column("lr")
        self.losses = [math.nan] * len(members)
        self.diverged = [""] * len(members)
        self.converged = [False] * len(members)
        self.epochs = [0] * len(members)

    def _stacked(self, what: str) -> list[Tensor]:
        parts = [list(getattr(network, what)()) for network in self._networks]
        return [torch.stack(same).detach().to(self.device) for same in zip(*parts, strict=True)]

    def _column(self, name: str) -> Tensor:
        values = [getattr(config, name) for config in self.configs]
        return torch.tensor(values, device=self.device, dtype=torch.float32)[:, None, None]

    @property
    def active(self) -> list[int]:
        """Indices of the members that still train."""
        over = self.epoch >= self.group.config.epochs
        return [] if over else [i for i, text in enumerate(self.diverged) if not text and not self.converged[i]]

    @property
    def finished(self) -> bool:
        """Whether no member trains any more."""
        return not self.active

    def run_epoch(self, stop: Callable[[], bool] | None = None) -> bool:
        """Train all members for one epoch and mark those that end with it; False where ``stop`` ended it early."""
        active = self.active
        n, batch = self.group.plan.samples, self.group.plan.batch
        orders = torch.stack([torch.randperm(n, generator=g) for g in self._orders]).to(self.device)
        learns = torch.zeros(len(self.members), device=self.device)
        learns[active] = 1.0
        total_M = torch.zeros(len(self.members), device=self.device)
        for start in range(0, n, batch):
            rows_MB = orders[:, start : start + batch]
            if rows_MB.shape[1] == 1 and n > 1:
                break  # BatchNorm has no variance over one sample
            if stop is not None and stop():
                return False
            total_M += self._step(rows_MB, learns[:, None]) * rows_MB.shape[1]
        self.epoch += 1
        for i, total in enumerate(total_M.tolist()):
            if i in active:
                self._judge(i, total / n)
        return True

    def _judge(self, i: int, loss: float) -> None:
        self.epochs[i] = self.epoch
        try:
            self.converged[i] = judge(loss, self.losses[i], self.epoch, self.configs[i])
        except DivergedError as error:
            self.diverged[i] = str(error)
        self.losses[i] = loss

    def _step(self, rows_MB: Tensor, learns_M1: Tensor) -> Tensor:
        full = rows_MB.shape[1] == self.group.plan.samples
        count = len(self.members)
        x_MBD = self._x.expand(count, -1, -1) if full else self._x[rows_MB]
        y_MB = self._y.expand(count, -1) if full else self._y[rows_MB]
        x_MBD, y_MB = self._noisy(x_MBD, y_MB)
        for w in self._weights:
            w.requires_grad_(True)
        logits_MBK = self._forward(x_MBD, learns_M1)
        loss_MB = nn.functional.cross_entropy(logits_MBK.flatten(0, 1), y_MB.flatten(), reduction="none")
        loss_M = loss_MB.view(y_MB.shape).mean(1)
        grads = torch.autograd.grad(loss_M.sum(), self._weights)
        self._adam(grads, learns_M1)
        return loss_M.detach()

    def _noisy(self, x_MBD: Tensor, y_MB: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Trainer``, member by member."""
        if all(config.data_noise == 0.0 for config in self.configs):
            return x_MBD, y_MB
        x_MBD, y_MB, classes = x_MBD.clone(), y_MB.clone(), self.group.plan.classes
        for i, (config, draw) in enumerate(zip(self.configs, self._draws, strict=True)):
            q, x_BD = config.data_noise, x_MBD[i]
            if q == 0.0:
                continue
            x_BD += q * x_BD.std() * torch.randn(x_BD.shape, generator=draw, device=self.device)
            count = round(q * len(x_BD))
            hit = torch.randperm(len(x_BD), generator=draw, device=self.device)[:count]
            y_MB[i, hit] = torch.randint(classes, (count,), generator=draw, device=self.device)
        return x_MBD, y_MB

    def _forward(self, x: Tensor, learns_M1: Tensor) -> Tensor:
        """Logits [M, B, K]. Weights come in the order of a network's parameters, moments in that of buffers."""
        weights = iter(self._weights)
        x = self._norm(x, next(weights), next(weights), 0, learns_M1)
        for layer in range(1, self.group.plan.hidden + 1):
            x = self._linear(x, next(weights), next(weights))
            x = self._norm(x, next(weights), next(weights), layer, learns_M1)
            x = self._dropped(torch.where(x > 0, x, self._slope * x))
        return self._linear(x, next(weights), next(weights))

    def _linear(self, x_MBI: Tensor, w_MOI: Tensor, b_MO: Tensor) -> Tensor:
        return torch.baddbmm(b_MO[:, None], x_MBI, w_MOI.transpose(1, 2))

    def _norm(self, x_MBH: Tensor, gain_MH: Tensor, offset_MH: Tensor, layer: int, learns_M1: Tensor) -> Tensor:
        n = x_MBH.shape[1]
        var_M1H, mean_M1H = torch.var_mean(x_MBH, 1, correction=0, keepdim=True)
        with torch.no_grad():
            mean, variance = self._running[3 * layer], self._running[3 * layer + 1]
            toward = BN_MOMENTUM * learns_M1
            mean += torch.where(learns_M1 > 0, toward * (mean_M1H[:, 0] - mean), 0.0)
            variance += torch.where(learns_M1 > 0, toward * (var_M1H[:, 0] * (n / (n - 1)) - variance), 0.0)
        scale = torch.rsqrt(var_M1H + BN_EPS) * gain_MH[:, None]
        return (x_MBH - mean_M1H) * scale + offset_MH[:, None]

    def _dropped(self, x_MBH: Tensor) -> Tensor:
        if all(config.dropout == 0.0 for config in self.configs):
            return x_MBH
        factor = torch.ones_like(x_MBH)
        for i, (config, draw) in enumerate(zip(self.configs, self._draws, strict=True)):
            if config.dropout > 0.0:
                drawn = torch.rand(x_MBH.shape[1:], generator=draw, device=self.device)
                factor[i] = (drawn >= config.dropout) / (1.0 - config.dropout)
        return x_MBH * factor

    @torch.no_grad()
    def _adam(self, grads: Sequence[Tensor], learns_M1: Tensor) -> None:
        self.steps += 1
        size = self._lr / (1.0 - 0.9**self.steps)
        root = math.sqrt(1.0 - 0.999**self.steps)
        for w, g, first, second in zip(self._weights, grads, self._first, self._second, strict=True):
            first.lerp_(g, 0.1)
            second.mul_(0.999).addcmul_(g, g, value=0.001)
            move = size.view(-1, *[1] * (w.ndim - 1)) * first / (second.sqrt() / root + 1e-8)
            # A diverged member's moments are NaN: a factor of zero would not keep its last weights.
            w.copy_(torch.where(learns_M1.view(-1, *[1] * (w.ndim - 1)) > 0, w - move, w))

    @torch.no_grad()
    def network(self, i: int) -> Network:
        """A member as it is now, in eval mode on the CPU; every call for it returns the same object, updated."""
        network = self._networks[i]
        for tensors, stacked in ((network.parameters(), self._weights), (network.buffers(), self._running)):
            for tensor, same in zip(tensors, stacked, strict=True):
                tensor.copy_(same[i])
        return network

    def measure(self, i: int) -> Measurement:
        """A member's load curves and accuracies, as ``Trainer.measure``.

        Raises:
            DivergedError: the activations are no longer finite.
        """
        return measure_network(self.network(i), self.group, self.epochs[i])

    def result(self, i: int) -> MemberResult:
        """The result of one member so far."""
        measured, text = None, self.diverged[i]
        try:
            measured = None if text else self.measure(i)
        except DivergedError as error:
            text = str(error)
        done = bool(text) or self.converged[i] or self.epoch >= self.group.config.epochs
        return MemberResult(self.members[i], self.epochs[i], measured, self.converged[i], text, done)
