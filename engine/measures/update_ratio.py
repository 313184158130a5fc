"""How far one step of the optimiser moved a layer's parameters, relative to their length."""

from __future__ import annotations

import math
from collections.abc import Sequence


def update_ratio(changes: Sequence[float], lengths: Sequence[float]) -> float:
    """‖w_new − w_old‖₂ / ‖w_old‖₂ of a layer, dimensionless.

    Args:
        changes: ‖w_new − w_old‖₂ of each parameter.
        lengths: ‖w_old‖₂ of each parameter.

    NaN where the layer has no trained parameter or all of them were zero; infinite where one is not finite.
    """
    before, change = math.hypot(*lengths), math.hypot(*changes)
    if before == 0:
        return math.nan
    return change / before if math.isfinite(change / before) else math.inf
