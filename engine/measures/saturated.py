"""The fraction of activations at the ends of a bounded activation function."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MARGIN = 0.01
"""Activations within this fraction of the range from an end are saturated: tanh and sigmoid slope there less than
4 % of their steepest."""
_BOUNDED: dict[type[nn.Module], tuple[float, float]] = {
    nn.Tanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
}


class Ends:
    """Where activations of a function saturate: at ``low`` and below, at ``high`` and above."""

    def __init__(self, least: float, most: float, *, below: bool = True) -> None:
        margin = MARGIN * (most - least)
        self.low = least + margin if below else -math.inf
        self.high = most - margin

    def count(self, x: Tensor) -> Tensor:
        """Number of saturated activations of any shape: a tensor of shape [], on their device."""
        return torch.count_nonzero((x <= self.low) | (x >= self.high))


def ends_of(module: nn.Module) -> Ends | None:
    """The ends of a module's activations; None where they have no bounds, or are no function of one number each.

    Of ReLU6 only the upper end counts: at the lower one units are off, as in a ReLU. The outputs of LSTM and GRU
    are products and sums of bounded numbers, and tell nothing of their gates: they have no ends here.
    """
    if isinstance(module, nn.ReLU6):
        return Ends(0.0, 6.0, below=False)
    if isinstance(module, nn.Hardtanh):
        return Ends(float(module.min_val), float(module.max_val))
    if isinstance(module, nn.RNN):
        return Ends(-1.0, 1.0) if module.nonlinearity == "tanh" else None
    return next((Ends(*bounds) for kind, bounds in _BOUNDED.items() if isinstance(module, kind)), None)
