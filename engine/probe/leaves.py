"""The tensors in nested containers: the one order in which inputs, arguments and outputs are gone through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .batch.graphs import is_graph


def leaves_of(value: Any) -> Iterator[Tensor | PackedSequence]:
    """Every tensor and packed sequence, of any shape, in nested containers, data classes and graphs, in order."""
    if isinstance(value, Tensor | PackedSequence):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves_of(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from leaves_of(inner)
    elif is_graph(value):
        yield from leaves_of(value.to_dict())
    elif is_dataclass(value):
        for field in fields(value):
            yield from leaves_of(getattr(value, field.name))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor, as ``leaves_of``; of packed sequences their numbers, [tokens of all samples, …].

    Their sizes and their order go through the layers unchanged, and tell no flow of data.
    """
    return (leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in leaves_of(value))
