"""What modules of other libraries and of the user's own are, by the names of their classes."""

from __future__ import annotations

import re

ACTIVATION = re.compile(
    r"relu|elu|gelu|silu|swish|mish|tanh|sigmoid|softplus|softsign|hardswish|^glu$|activation$", re.I
)
"""Functions of each number by itself, and gated linear units."""
NORMALISATION = re.compile(r"(BatchNorm|LayerNorm|GroupNorm|InstanceNorm|RMSNorm|Norm(2d)?$)", re.I)
POOLING = re.compile(r"Pool(ing)?\d?d?$")
