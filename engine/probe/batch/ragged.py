"""Sequences of different lengths: packed sequences and nested tensors, cut into chunks and padded.

Shape legend: n samples, T tokens of the longest of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

__all__ = ["PackedSequence", "copy_of", "dense_attention", "longest_of", "padded", "sample_count", "samples_of"]


@contextlib.contextmanager
def dense_attention() -> Iterator[None]:
    """Keep ``nn.TransformerEncoder`` from its fast path of eval mode, whose layers are not called, or see nested
    tensors."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def sample_count(value: Tensor | PackedSequence) -> int:
    """Number of samples, n, of [n, …]; 0 of a single number."""
    if isinstance(value, PackedSequence):
        return int(value.batch_sizes[0])
    return value.size(0) if value.ndim else 0


def longest_of(value: Tensor | PackedSequence) -> int:
    """Number of tokens of the longest sample of a packed sequence or nested tensor, [n, T, …]; 0 for others."""
    if isinstance(value, PackedSequence):
        return len(value.batch_sizes)
    return max(map(len, value.unbind())) if value.is_nested and value.dim() > 1 else 0


def copy_of(value: Tensor | PackedSequence) -> Tensor | PackedSequence:
    """A copy of the same shape that shares no memory with the original."""
    if isinstance(value, PackedSequence):
        return PackedSequence(value.data.detach().clone(), *value[1:])
    return value.detach().clone().requires_grad_(value.requires_grad)


def padded(value: Tensor | PackedSequence, length: int = 0) -> tuple[Tensor, Tensor | None]:
    """A packed sequence or nested tensor with zeros at its ends, [n, T, …], and its mask, True where it is real.

    Samples are in the order of the batch, also where a packed sequence sorts them by length. Any other tensor is
    returned as it is, without a mask.

    Args:
        length: T, where it is at least that of the longest sample; else its length.
    """
    if isinstance(value, PackedSequence):
        total = length if length >= len(value.batch_sizes) else None
        x, lengths = pad_packed_sequence(value, batch_first=True, total_length=total)
        return x, _mask(lengths.to(x.device), x.shape[1])
    if not value.is_nested:
        return value, None
    parts = value.unbind()
    lengths = torch.tensor([len(part) for part in parts], device=value.device)
    longest = max(map(len, parts))
    total = max(length, longest)
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):  # ragged in a later dimension, as [n, C, T]
        return value.to_padded_tensor(0.0), None
    x = torch.zeros(len(parts), total, *parts[0].shape[1:], dtype=value.dtype, device=value.device)
    for row, part in zip(x, parts, strict=True):
        row[: len(part)] = part
    return x, _mask(lengths, total)


def _mask(lengths: Tensor, total: int) -> Tensor:
    return torch.arange(total, device=lengths.device)[None] < lengths[:, None]


def samples_of(value: Tensor | PackedSequence, start: int, stop: int, shared: dict[int, Tensor]) -> Any:
    """Samples start … stop - 1 of a tensor, packed sequence or nested tensor [n, …], of the same kind.

    Args:
        shared: offsets of the jagged tensors of this chunk by those that they come from; tensors of one raggedness
            must share them, else PyTorch refuses to combine them.
    """
    if isinstance(value, PackedSequence):
        x, lengths = pad_packed_sequence(value, batch_first=True)
        x, lengths, in_order = x[start:stop], lengths[start:stop], value.sorted_indices is None
        return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=in_order)
    if not value.is_nested:
        return value[start:stop]
    parts = list(value.unbind()[start:stop])
    if value.layout is not torch.jagged:
        return torch.nested.as_nested_tensor(parts)
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        return torch.nested.as_nested_tensor(parts, layout=torch.jagged)
    jagged: Any = value  # of a subclass with methods of its own
    known = id(jagged.offsets())
    if known not in shared:
        shared[known] = torch.tensor([0, *map(len, parts)], device=value.device).cumsum(0)
    return torch.nested.nested_tensor_from_jagged(torch.cat(parts), shared[known])
