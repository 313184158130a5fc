"""Optimisers by name: PyTorch's Adam and SGD, and two Langevin samplers of our own.

SGLD: Welling & Teh, ICML 2011. Preconditioned SGLD: Li, Chen, Carlson, Carin, AAAI 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from ..settings.train import TrainConfig


class SGLD(Optimizer):
    """θ ← θ - lr G ∇ + N(0, 2 lr T G); G = 1, or with ``rms`` 1/(√v + 1e-5), v a running mean of ∇².

    The term with the derivative of G is left out, as is usual; it is of the order of 1 - ``decay``.
    SGLD: Welling & Teh, ICML 2011, eq. 4; with ``rms`` Li et al., AAAI 2016, algorithm 1.

    Args:
        params: the parameters θ, of any shape.
        lr: the learning rate.
        temperature: T; with exact gradients, θ is distributed as exp(-loss / T).
        generator: of the noise.
        rms: whether to precondition.
        decay: of the running mean of ∇².
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        temperature: float,
        generator: torch.Generator,
        *,
        rms: bool,
        decay: float = 0.99,
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.temperature = temperature
        self.generator = generator
        self.rms = rms
        self.decay = decay

    @torch.no_grad()
    def step(self, _closure: Any = None) -> None:  # type: ignore[override]
        """One step; a closure is not called."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group["lr"])

    def _move(self, p: Tensor, grad: Tensor, lr: float) -> None:
        noise = torch.randn(p.shape, generator=self.generator, device=p.device)
        scale = math.sqrt(2.0 * lr * self.temperature)
        if not self.rms:
            p.add_(grad, alpha=-lr).add_(noise, alpha=scale)
            return
        state = self.state[p]
        if "square" not in state:
            state["square"] = torch.zeros_like(p)
        square = state["square"].mul_(self.decay).addcmul_(grad, grad, value=1.0 - self.decay)
        precondition = 1.0 / (square.sqrt() + 1e-5)
        p.addcmul_(precondition, grad, value=-lr).addcmul_(precondition.sqrt(), noise, value=scale)


def build_optimiser(config: TrainConfig, params: Iterable[Tensor], generator: torch.Generator) -> Optimizer:
    """The optimiser that a configuration asks for, of parameters of any shape.

    Adam and SGD are PyTorch's; the samplers draw their noise from ``generator``.
    """
    if config.optimizer == "adam":
        return Adam(params, lr=config.lr)
    if config.optimizer == "sgd":
        return SGD(params, lr=config.lr)
    return SGLD(params, config.lr, config.temperature, generator, rms=config.optimizer == "psgld")
