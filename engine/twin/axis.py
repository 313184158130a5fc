"""A noise axis as the coordinate in which the twin's map is linear (ours). No torch, no NumPy."""

from __future__ import annotations

import math

AXES: dict[str, tuple[float, float, bool]] = {
    "data_noise": (0.0, 1.0, False),
    "dropout": (0.0, 1.0, False),
    "lr": (1e-4, 0.5, True),
    "batch_size": (2560.0, 5.0, True),
}
"""The calm and the noisy end of the paper's axis, and whether the coordinate is logarithmic between them."""


def noise_coordinate(axis: str, value: float) -> float:
    """The dimensionless coordinate, 0 at the calm end and 1 at the noisy end, of a value in the axis' own unit.

    On an axis that is not one of the paper's it is the value itself.
    """
    calm, noisy, by_factors = AXES.get(axis, (0.0, 1.0, False))
    if by_factors:
        return math.log(value / calm) / math.log(noisy / calm)
    return (value - calm) / (noisy - calm)
