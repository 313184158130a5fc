"""The length of the gradient of a layer's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence


def grad_norm(lengths: Sequence[float]) -> float:
    """‖g‖₂ of a layer, from the length of each of its parameters' gradients (``scale.length``).

    NaN where no parameter has a gradient, infinite where a gradient is not finite.
    """
    if not lengths:
        return math.nan
    total = math.hypot(*lengths)
    return total if math.isfinite(total) else math.inf
