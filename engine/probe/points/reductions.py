"""Reduces features of any shape to one vector a sample.

Shape legend: n samples of a chunk, T tokens, D features, C channels, M samples that are measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from ...errors import ConfigError
from ...settings.probe import ReductionName
from ..batch.ragged import PackedSequence

REDUCTIONS: tuple[str, ...] = get_args(ReductionName)
FLAT = 4096
"""Features of images are flattened whole where no layer has more numbers a sample than this."""
_PREFERRED = ("logits", "last_hidden_state", "hidden_states", "sample", "out")
"""Named outputs that are measured, in this order; without one of them, the first tensor."""


class Rows(NamedTuple):
    """Mask and measured token positions of a chunk; None each where there are none."""

    mask_nT: Tensor | None = None
    """True where a token is no padding."""
    at: tuple[Tensor, Tensor] | None = None
    """Rows and columns of the measured token positions, [m] each."""
    length: int = 0
    """T where samples are token positions, else 0."""


def feature_tensor(value: Any) -> Tensor | None:
    """The measured tensor of a module's output, [n, …]: the first of real or complex numbers (``_PREFERRED``)."""
    found = features_in(value)
    return found.data if isinstance(found, PackedSequence) else found


def features_in(value: Any) -> Tensor | PackedSequence | None:
    """As ``feature_tensor``, [n, …], but packed sequences whole."""
    if isinstance(value, PackedSequence):
        return value if value.data.is_floating_point() or value.data.is_complex() else None
    if isinstance(value, Tensor):
        return value if (value.is_floating_point() or value.is_complex()) and value.ndim else None
    if isinstance(value, Mapping):
        keys = [key for key in _PREFERRED if key in value] + list(value)
        return _first(value[key] for key in keys)
    if isinstance(value, tuple | list):
        return _first(value)
    if is_dataclass(value):
        return features_in({field.name: getattr(value, field.name) for field in fields(value)})
    return None


def _first(values: Any) -> Tensor | PackedSequence | None:
    return next((t for value in values if (t := features_in(value)) is not None), None)


def positions(x: Tensor, how: str) -> int:
    """Number of tokens T of [n, T, …], or positions of [n, C, T], that a reduction averages; else 0."""
    if x.ndim < 3:
        return 0
    if how == "spatial_mean":
        return x.shape[2] if x.ndim == 3 else 0
    return x.shape[1] if how in ("token_mean", "last_token") else 0


def reduce(x: Tensor, how: str, rows: Rows) -> Tensor:
    """One vector a sample, [M, D], from features [n, …].

    ``flatten`` takes all numbers; ``spatial_mean`` the mean over all dimensions after the channels, [n, C, …],
    in one dimension without padding;
    ``token_mean`` the mean over all dimensions between samples and features, [n, …, D], without padding;
    ``class_token`` the first token; ``last_token`` the last one without padding; ``position`` each measured token.

    Raises:
        ConfigError: the features have no dimension of tokens, or another number of tokens than the groups.
    """
    if how == "flatten" or (x.ndim <= 2 and how != "position"):
        return x.flatten(1) if x.ndim > 1 else x[:, None]
    if how == "position" and x.ndim == 2 and x.shape[1] == rows.length:
        x = x[..., None]  # one number a token
    if x.ndim < 3:
        raise ConfigError(f"features of shape {tuple(x.shape)} have no token positions; leave this layer out")
    mask = rows.mask_nT if rows.mask_nT is not None and rows.mask_nT.shape == (len(x), positions(x, how)) else None
    if how == "spatial_mean":
        if mask is None:
            return x.flatten(2).mean(2)
        x = x.mT
    if how == "position":
        if rows.at is None or x.shape[1] != rows.length:
            raise ConfigError(
                f"features of shape {tuple(x.shape)} do not belong to the {rows.length} tokens that are grouped; "
                f"leave this layer out, or give one class a sample"
            )
        return x[rows.at].flatten(1)
    if how == "class_token":
        return x[:, 0].flatten(1)
    if how == "last_token":
        return (x[:, -1] if mask is None else x[torch.arange(len(x), device=x.device), _last(mask)]).flatten(1)
    if mask is None:
        return x.flatten(1, -2).mean(1)
    x = x if x.ndim == 3 else x.flatten(2, -2).mean(2)
    weights = mask.to(x.dtype)[..., None]
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1)


def _last(mask_nT: Tensor) -> Tensor:
    """Column of each row's last token that is no padding, [n]; padding may be on either side."""
    columns = torch.arange(mask_nT.shape[1], device=mask_nT.device)
    return (mask_nT * columns).argmax(1)
