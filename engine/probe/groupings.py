"""What a probe takes for classes: labels, bins of a target, the next token, or any grouping the user gives.

Shape legend: N samples (sequences), T tokens, M samples that are measured, C groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError

NEXT = "next token"
IGNORED = -100
"""The label that losses pass over."""
POSITIONS = 2048
"""Most token positions that are measured, drawn once and for all."""
_FEW = 20
"""Whole numbers in floating point count as classes up to so many; more are a target to be binned."""
_REMEDY = (
    "give labels=, one class a sample ([N] whole numbers or text); springtui.bins(target) for a regression's "
    "target; or springtui.next_token(token_ids) for a language model"
)


@dataclass(frozen=True)
class Groups:
    """Which group each measured sample belongs to."""

    y_M: Tensor
    """Numbers of the groups, [M], int64, from 0 without gaps."""
    how: str
    """Where they come from, in a few words."""
    positions: tuple[Tensor, Tensor] | None = None
    """Where the samples are tokens: their rows (ascending) and columns in [N, T], each [M]."""
    length: int = 0
    """Of token positions: T."""
    tokens: Tensor | None = None
    """Of next-token groups: the token of each group, [C]."""

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.y_M.max()) + 1


def bins(target: Any, count: int = 10) -> Groups:
    """Groups of a regression's target: ``count`` bins with equally many samples in each, ties kept together.

    Args:
        target: one number a sample, [N] or [N, 1].
        count: of bins, at least 2.

    Raises:
        DataError: it is not one finite number a sample, or takes one value only.
    """
    values = _tensor(target)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"a target of shape {tuple(values.shape)} has no one order to bin by; bin one of its columns, "
            f"springtui.bins(target[:, 0]), or group by something else: {_REMEDY}"
        )
    values = values.double()
    if not torch.isfinite(values).all():
        raise DataError(f"the target holds {int((~torch.isfinite(values)).sum())} values that are not finite")
    if count < 2:
        raise DataError(f"bins = {count} is not allowed; allowed: a whole number >= 2")
    edges = torch.from_numpy(np.unique(np.quantile(values.numpy(), np.arange(1, count) / count)))
    found = torch.bucketize(values, edges, right=True)
    groups = _numbered(found, f"{count} bins of the target")
    return _checked(groups)


def next_token(token_ids: Any, k: int = 10, *, limit: int = POSITIONS, ignore: int = IGNORED) -> Groups:
    """Groups of a language model: each token position by the token that comes next, the ``k`` most frequent alone.

    Args:
        token_ids: [N, T]; position t belongs to the group of token t + 1.
        k: how many of the tokens that come next count; positions before any other are not measured.
        limit: most positions that are measured, drawn with a seed of their own.
        ignore: a token that never counts, as padding.

    Raises:
        DataError: it is not [N, T] whole numbers, or fewer than two tokens come next.
    """
    ids = _tensor(token_ids)
    if ids.ndim != 2 or ids.is_floating_point():
        raise DataError(
            f"token_ids of shape {tuple(ids.shape)} and type {ids.dtype}; allowed: [N, T] whole numbers"
        )
    ahead = torch.full_like(ids, ignore)
    ahead[:, :-1] = ids[:, 1:]
    return _by_position(ahead, k, limit, ignore, NEXT)


def _by_position(label_NT: Tensor, k: int, limit: int, ignore: int, what: str) -> Groups:
    if k < 2:
        raise DataError(f"k = {k} is not allowed; allowed: a whole number >= 2")
    values, counts = torch.unique(label_NT[label_NT != ignore], return_counts=True)
    order = torch.sort(counts, descending=True, stable=True).indices[:k]
    tokens = values[order].sort().values
    rows, cols = torch.isin(label_NT, tokens).nonzero(as_tuple=True)
    if len(rows) > limit:
        # drawn, for any even step may fall in with a pattern of the tokens; the same each time
        draw = torch.Generator("cpu").manual_seed(0)
        at = torch.randperm(len(rows), generator=draw, device="cpu")[:limit].sort().values
        rows, cols = rows[at], cols[at]
    picked = label_NT[rows, cols]
    tokens = torch.unique(picked)
    y = torch.searchsorted(tokens, picked)
    how = f"{what}, {len(tokens)} most frequent"
    return _checked(Groups(y, how, (rows, cols), label_NT.shape[1], tokens if what == NEXT else None))


def group(labels: Any, n: int, token_ids: Tensor | None, mask: Tensor | None, k: int) -> Groups:
    """Groups from what a user gave, or from the inputs where that is nothing.

    Whole numbers, switches and text [N] are classes. Numbers [N] or [N, 1] are a regression's target and are
    binned, unless they are few whole ones. One-hot rows, and rows of probabilities, [N, C] count as their largest.
    Whole numbers [N, T] of the shape of the tokens are a language model's labels (Hugging Face's, or shifted by
    one), or, where they are not the tokens themselves, one class a token. Without labels the tokens' successors
    are taken.

    Raises:
        DataError: no grouping makes sense; says what to give.
    """
    ids = None if token_ids is None else token_ids.cpu()
    if ids is not None and mask is not None and mask.shape == ids.shape:
        ids = ids.masked_fill(~mask.cpu(), IGNORED)
    if isinstance(labels, Groups):
        return _fitting(labels, n)
    if labels is None:
        if ids is None:
            raise DataError(f"without labels there is nothing to separate: {_REMEDY}")
        return next_token(ids, k)
    values = _tensor(labels)
    if values.ndim == 0 or values.shape[0] != n:
        raise DataError(f"labels have the shape {tuple(values.shape)}, inputs hold {n} samples; allowed: [{n}]")
    if values.ndim == 2 and values.shape[1] > 1:
        return _from_rows(values, ids, k)
    if values.ndim > 2:
        raise DataError(f"labels of shape {tuple(values.shape)} give a sample many classes; {_REMEDY}")
    values = values.reshape(n)
    if values.is_floating_point() and not _are_classes(values):
        return bins(values, k)
    return _checked(_numbered(values, "labels"))


def _from_rows(values: Tensor, ids: Tensor | None, k: int) -> Groups:
    if values.is_floating_point() or ids is None or values.shape != ids.shape:
        real = values.double()
        if bool((real >= 0).all()) and torch.allclose(real.sum(1), torch.ones_like(real[:, 0]), atol=1e-3):
            return _checked(_numbered(real.argmax(1), "labels, the largest of each row"))
        raise DataError(f"labels of shape {tuple(values.shape)} give a sample many values; {_REMEDY}")
    counts = values != IGNORED
    if torch.equal(values[:, :-1][counts[:, :-1]], ids[:, 1:][counts[:, :-1]]) and not torch.equal(values, ids):
        return _by_position(values, k, POSITIONS, IGNORED, NEXT)
    if torch.equal(values[counts], ids[counts]):
        return next_token(values, k)
    return _by_position(values, k, POSITIONS, IGNORED, "class of each token")


def _are_classes(values: Tensor) -> bool:
    return bool((values == values.round()).all()) and len(torch.unique(values)) <= _FEW


def _tensor(values: Any) -> Tensor:
    """On the processor; text becomes its number in alphabetical order."""
    if isinstance(values, Tensor):
        if values.is_complex():
            raise DataError(f"labels of type {values.dtype} cannot be grouped; {_REMEDY}")
        return values.detach().cpu()
    array = np.asarray(values)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
        array = array.astype(str)  # text as pandas keeps it
    if array.dtype.kind in "US":
        array = np.unique(array, return_inverse=True)[1].reshape(array.shape)
    if array.dtype.kind not in "fiub":
        raise DataError(f"labels of type {array.dtype} cannot be grouped; {_REMEDY}")
    return torch.tensor(array, device="cpu")


def _numbered(values: Tensor, how: str) -> Groups:
    return Groups(torch.unique(values, return_inverse=True)[1].long(), how)


def _fitting(groups: Groups, n: int) -> Groups:
    rows = len(groups.y_M) if groups.positions is None else int(groups.positions[0].max()) + 1
    if rows > n or (groups.positions is None and rows != n):
        raise DataError(f"the grouping is of {rows} samples, inputs hold {n}; allowed: one group for each sample")
    return groups


def _checked(groups: Groups) -> Groups:
    if len(groups.y_M) == 0 or groups.count < 2:
        raise DataError(f"all samples fall in one group ({groups.how}): nothing to separate; {_REMEDY}")
    if groups.count == len(groups.y_M):
        raise DataError(f"every sample is a group of its own ({groups.how}): no spread to measure; {_REMEDY}")
    return groups
