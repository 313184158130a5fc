"""A noise axis as the coordinate in which the twin's map is linear. Light (ours)."""

from __future__ import annotations

import math

AXES: dict[str, tuple[float, float, bool]] = {
    "data_noise": (0.0, 1.0, False),
    "dropout": (0.0, 1.0, False),
    "lr": (1e-4, 0.5, True),
    "batch_size": (2560.0, 5.0, True),
}
"""The calm and the noisy end, and whether steps are factors: learning rates and batch sizes are taken as
logarithms, and from 0 to 1 over the paper's axis; data noise and dropout as they are."""


def noise_coordinate(axis: str, value: float) -> float:
    """A value of the axis' own unit as a dimensionless coordinate: 0 calm, 1 the noisy end.

    An axis that is not one of the paper's is taken as it is.
    """
    calm, noisy, by_factors = AXES.get(axis, (0.0, 1.0, False))
    if by_factors:
        return math.log(value / calm) / math.log(noisy / calm)
    return (value - calm) / (noisy - calm)
