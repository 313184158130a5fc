"""Classes of a probe batch: labels, bins of a target, the next token, or a grouping that the user gives.

Shape legend: N samples (sequences), T tokens, M samples that are measured, C groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError

NEXT = "next token"
IGNORED = -100
"""The label that PyTorch's losses ignore."""
POSITIONS = 2048
"""Most token positions that are measured; drawn with a fixed seed where there are more."""
_MISSING = {"NAType", "NaTType"}
"""Classes of values that pandas writes where there is none."""
_FEW = 20
"""Floats that are whole numbers count as classes up to so many distinct values, else as a target to bin."""
_REMEDY = (
    "give labels=, one class a sample ([N] whole numbers or text); springtui.bins(target) for a regression's "
    "target; or springtui.next_token(token_ids) for a language model"
)


@dataclass(frozen=True)
class Groups:
    """The group of each measured sample."""

    y_M: Tensor
    """Index of each sample's group, [M], int64, from 0 without gaps."""
    how: str
    """Short description of their origin."""
    positions: tuple[Tensor, Tensor] | None = None
    """Where samples are token positions: rows (ascending) and columns in [N, T], each [M]; else None."""
    length: int = 0
    """T where samples are token positions, else 0."""
    tokens: Tensor | None = None
    """The token of each group, [C], where groups are next tokens; else None."""

    @property
    def count(self) -> int:
        """Number of groups, C."""
        return int(self.y_M.max()) + 1


def bins(target: Any, count: int = 10) -> Groups:
    """Groups of a regression's target: ``count`` quantile bins; equal values share a bin.

    Args:
        target: one number a sample, [N] or [N, 1].
        count: number of bins, at least 2.

    Raises:
        DataError: the target is not one finite number a sample, or all its values are equal.
    """
    values = _tensor(target)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"a target of shape {tuple(values.shape)} has several values a sample and cannot be binned; bin one "
            f"column, springtui.bins(target[:, 0]), or group by something else: {_REMEDY}"
        )
    values = values.double()
    if not torch.isfinite(values).all():
        raise DataError(f"the target holds {int((~torch.isfinite(values)).sum())} values that are not finite")
    if count < 2:
        raise DataError(f"bins = {count} is not allowed; allowed: a whole number >= 2")
    edges = torch.from_numpy(np.unique(np.quantile(values.numpy(), np.arange(1, count) / count)))
    bin_M = torch.bucketize(values, edges, right=True)
    groups = _numbered(bin_M, f"{count} bins of the target")
    return _checked(groups)


def next_token(token_ids: Any, k: int = 10, *, limit: int = POSITIONS, ignore: int = IGNORED) -> Groups:
    """Groups of a language model: token positions by the token that follows, for the ``k`` most frequent ones.

    Args:
        token_ids: [N, T]; position t belongs to the group of token t + 1.
        k: number of following tokens that are groups; other positions are not measured.
        limit: most positions that are measured; drawn with a fixed seed where there are more.
        ignore: a token that is no group, as padding.

    Raises:
        DataError: ``token_ids`` is not [N, T] whole numbers, or fewer than two tokens follow others.
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
    """Groups of token positions by their label, for the ``k`` most frequent labels."""
    if k < 2:
        raise DataError(f"k = {k} is not allowed; allowed: a whole number >= 2")
    values, counts = torch.unique(label_NT[label_NT != ignore], return_counts=True)
    order = torch.sort(counts, descending=True, stable=True).indices[:k]
    tokens = values[order].sort().values
    rows, cols = torch.isin(label_NT, tokens).nonzero(as_tuple=True)
    if len(rows) > limit:
        # drawn at random, since regular steps could coincide with a pattern of the tokens; with a fixed seed
        draw = torch.Generator("cpu").manual_seed(0)
        at = torch.randperm(len(rows), generator=draw, device="cpu")[:limit].sort().values
        rows, cols = rows[at], cols[at]
    picked = label_NT[rows, cols]
    tokens = torch.unique(picked)
    y = torch.searchsorted(tokens, picked)
    how = f"{what}, {len(tokens)} most frequent"
    return _checked(Groups(y, how, (rows, cols), label_NT.shape[1], tokens if what == NEXT else None))


def group(labels: Any, n: int, token_ids: Tensor | None, mask: Tensor | None, k: int) -> Groups:
    """Groups from a user's labels, or from the inputs where ``labels`` is None.

    Args:
        labels: integers, booleans or text [N] are classes. Floats [N] or [N, 1] are a target and are binned,
            unless they are few whole numbers. One-hot rows or probabilities [N, C] count as their largest entry.
            Integers [N, T] of the tokens' shape are next tokens (Hugging Face's labels, or shifted by one) or else
            a class a token. None: groups by next token.
        n: samples of the probe batch, N.
        token_ids, mask: of the probe batch, [N, T], or None.
        k: bins, or next tokens.

    Raises:
        DataError: no grouping fits; the message says what to give.
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


def label_count(labels: Any) -> int | None:
    """Number of labels; None where it is not known."""
    if isinstance(labels, Groups):
        return len(labels.y_M) if labels.positions is None else None
    return len(labels) if hasattr(labels, "__len__") and getattr(labels, "ndim", 1) > 0 else None


def _from_rows(values: Tensor, ids: Tensor | None, k: int) -> Groups:
    """Groups from labels with several columns, [N, C] or [N, T]."""
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
    """Whether floats [N] are few whole numbers."""
    return bool((values == values.round()).all()) and len(torch.unique(values)) <= _FEW


def _tensor(values: Any) -> Tensor:
    """A tensor on the CPU, whole numbers as int64; text becomes its index in alphabetical order.

    Raises:
        DataError: these are no labels; the message says what they are.
    """
    if isinstance(values, list | tuple) and values and all(isinstance(value, Tensor) for value in values):
        if len({value.shape for value in values}) > 1:
            raise _unlike(values)
        values = torch.stack([value.detach().cpu() for value in values])
    if isinstance(values, Tensor):
        if values.is_nested:
            raise _unlike(list(values.unbind()))
        if values.is_complex():
            raise DataError(f"labels of type {values.dtype} cannot be grouped; {_REMEDY}")
        own: Tensor = values.detach().cpu()
        own = own if own.layout is torch.strided else own.to_dense()
        return own if own.is_floating_point() or own.dtype == torch.bool else own.long()
    return _from_array(values)


def _from_array(values: Any) -> Tensor:
    """A tensor from an array, or from what NumPy makes one of, as lists and columns of tables."""
    if isinstance(values, Mapping | set) or not (hasattr(values, "__array__") or hasattr(values, "__len__")):
        raise DataError(f"labels are a {type(values).__name__}; {_REMEDY}")
    try:
        array = np.asarray(values)
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ):  # NumPy's words for rows of different lengths, and for tensors on GPUs
        raise _unlike(list(values)) from None
    if array.dtype.kind == "O":
        array = _from_objects(array)
    if array.dtype.kind in "UST":
        array = np.unique(array, return_inverse=True)[1].reshape(array.shape)
    if array.dtype.kind not in "fiub":
        raise DataError(f"labels of type {array.dtype} cannot be grouped; {_REMEDY}")
    return torch.tensor(
        array.astype({"f": np.float64, "b": np.bool_}.get(array.dtype.kind, np.int64)), device="cpu"
    )


def _from_objects(array: Any) -> Any:
    """An array of text or numbers from one of objects, as pandas keeps text and columns with missing values."""
    items = list(array.flat)
    missing = [number for number, item in enumerate(items) if item is None or type(item).__name__ in _MISSING]
    if missing:
        raise DataError(
            f"{len(missing)} labels are missing, first that of sample {missing[0]}; leave these samples out"
        )
    if any(hasattr(item, "__len__") and not isinstance(item, str | bytes) for item in items):
        raise _unlike(items)
    if all(isinstance(item, str) for item in items):
        return array.astype(str)
    if all(isinstance(item, int | float | np.number | np.bool_) for item in items):
        return np.array([item.item() if isinstance(item, np.generic) else item for item in items]).reshape(
            array.shape
        )
    kinds = sorted({type(item).__name__ for item in items})
    raise DataError(f"labels of type {' and '.join(kinds[:3])} cannot be grouped; {_REMEDY}")


def _unlike(values: Sequence[Any]) -> DataError:
    """The error of labels whose parts have different lengths."""
    lengths = [len(value) if getattr(value, "ndim", 1) and hasattr(value, "__len__") else 1 for value in values]
    if len(values) <= 4 and max(lengths) > len(values):
        return DataError(
            f"labels have {len(values)} parts of different kinds, as of mixup ({', '.join(map(_word, values))}). "
            f"Mixed samples belong to no class: give inputs= that are not mixed, and their one class a sample"
        )
    at = next((number for number, length in enumerate(lengths) if length != lengths[0]), 0)
    return DataError(
        f"labels are ragged: sample 0 has {lengths[0]} of them, sample {at} has {lengths[at]}; {_REMEDY}"
    )


def _word(value: Any) -> str:
    """A value's shape or number in words."""
    shape = getattr(value, "shape", None)
    return f"[{', '.join(map(str, shape))}]" if shape else repr(value)[:20]


def _numbered(values: Tensor, how: str) -> Groups:
    """One group for each distinct value of [N]."""
    return Groups(torch.unique(values, return_inverse=True)[1].long(), how)


def _fitting(groups: Groups, n: int) -> Groups:
    """The groups themselves; raises DataError where they are not of n samples."""
    rows = len(groups.y_M) if groups.positions is None else int(groups.positions[0].max()) + 1
    if rows > n or (groups.positions is None and rows != n):
        raise DataError(f"the grouping is of {rows} samples, inputs hold {n}; allowed: one group for each sample")
    return groups


def _checked(groups: Groups) -> Groups:
    """The groups themselves; raises DataError where there is one group only, or one for each sample."""
    if len(groups.y_M) == 0 or groups.count < 2:
        raise DataError(f"all samples fall in one group ({groups.how}): nothing to separate; {_REMEDY}")
    if groups.count == len(groups.y_M):
        raise DataError(f"every sample is a group of its own ({groups.how}): no spread to measure; {_REMEDY}")
    return groups
