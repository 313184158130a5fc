"""The fraction of dead units of a layer: those whose activation does not change over the probe batch.

Shape legend: D units (channels, features).
"""

from __future__ import annotations

import torch
from torch import Tensor

EQUAL = 4 * torch.finfo(torch.float32).eps
"""Activations that differ by less than this fraction of the largest are equal: the rest is rounding."""
NOTHING = torch.finfo(torch.float32).eps
"""A unit below this fraction of the layer's largest activation is zero, as GELU's far negative values."""


def dead_fraction(low_D: Tensor, high_D: Tensor) -> float:
    """The fraction of dead units, in [0, 1]; NaN where there is no unit, or an activation is not finite.

    Args:
        low_D, high_D: each unit's smallest and largest activation over samples and positions, [D].

    A unit is dead where its activation is the same everywhere, up to ``EQUAL``, or as good as zero everywhere, up
    to ``NOTHING``.
    """
    size_D = torch.maximum(low_D.abs(), high_D.abs())
    if not len(size_D) or not bool(torch.isfinite(size_D).all()):
        return float("nan")
    is_dead_D = (high_D - low_D <= EQUAL * size_D) | (size_D <= NOTHING * size_D.max())
    return float(is_dead_D.double().mean())
