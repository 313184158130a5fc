"""The root mean square of a layer's activations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def length(x: Tensor) -> Tensor:
    """Euclidean length of a tensor of any shape, in float32 at least: a tensor of shape [], on its device."""
    x = x.detach()
    if x.layout != torch.strided:
        x = x.coalesce().values()
    half = x.dtype in {torch.float16, torch.bfloat16}
    norm: Tensor = torch.linalg.vector_norm(x, dtype=torch.float32 if half else None)
    return norm


def root_mean_square(lengths: Sequence[float], count: int) -> float:
    """√⟨a²⟩ of ``count`` activations, from the ``length`` of each part of them.

    NaN where there is no activation, infinite where one is not finite.
    """
    total = math.hypot(*lengths)
    if not count:
        return math.nan
    return total / math.sqrt(count) if math.isfinite(total) else math.inf
