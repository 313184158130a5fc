"""The fixed probe batch of ``LoadProbe``: a model's inputs, split into chunks of samples.

Shape legend: N samples, T tokens.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ..leaves import leaves_of, tensors_in
from .graphs import is_graph, row_samples
from .masks import Masks
from .ragged import PackedSequence, copy_of, longest_of, padded, sample_count, samples_of

_ALLOWED = "a tensor, an array, a tuple of them (positional arguments) or a dict of them (named arguments)"
_HALF = (torch.float16, torch.bfloat16)


class ProbeBatch:
    """Copied inputs of N samples; a later change of the originals does not change the batch.

    Args:
        inputs: a tensor or array [N, …]; a tuple or list of positional arguments; or a mapping of named arguments.
            Tensors whose first dimension is N, packed sequences and nested tensors are split into chunks;
            everything else is passed whole. A list of N tensors, one a sample, as models for detection take it, is
            an argument of its own. A graph object of PyTorch Geometric is passed whole, and so are inputs
            whose rows belong to samples as ``samples`` says.
        mask: True where a token is real, [N, T]; by default from the masks and lengths among the inputs.
        samples: the sample of each row, as ``LoadProbe``.
        names: names of the model's positional parameters.
        labels: number of labels, where it is known.

    Raises:
        DataError: the inputs have no tensor, or fewer than 3 samples; or an argument does not fit them.
    """

    def __init__(
        self,
        inputs: Any,
        *,
        mask: Any = None,
        samples: Any = None,
        names: Sequence[str] = (),
        labels: int | None = None,
    ) -> None:
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        if isinstance(inputs, list) and is_list_of_samples(inputs, labels):
            inputs = (inputs,)
        if isinstance(inputs, Mapping):
            self._kwargs = {str(name): _copied(value) for name, value in inputs.items()}
        elif isinstance(inputs, tuple | list) and not isinstance(inputs, PackedSequence):
            if inputs and all(map(is_graph, inputs)):
                raise DataError("inputs are a list of graphs; give them as one: Batch.from_data_list(graphs)")
            self._args = tuple(_copied(value) for value in inputs)
        else:
            self._args = (_copied(inputs),)
        tensors = [tensor for tensor in leaves_of((self._args, self._kwargs)) if sample_count(tensor)]
        if not tensors:
            raise DataError(f"inputs hold no tensor (they are a {type(inputs).__name__}); allowed: {_ALLOWED}")
        arguments = [*self._args, *self._kwargs.values()]
        self.has_lists = any(isinstance(value, list) and is_list_of_samples(value, labels) for value in arguments)
        """Whether an argument is a list of one tensor a sample."""
        named = list(_named(self._args, self._kwargs, names))
        self.rows = row_samples(samples, named, labels)
        """Which sample each row belongs to, where the inputs are graphs; else None."""
        self.n = sample_count(tensors[0]) if self.rows is None else self.rows.count
        if self.has_lists and labels is not None:
            self.n = labels
        if self.rows is not None and mask is not None:
            raise DataError(
                "mask= marks tokens of sequences, and these inputs are graphs; choose nodes with samples="
            )
        self._longest = max((longest_of(leaf) for leaf in tensors), default=0)
        self.masks = Masks([] if self.rows is not None else named, self.n, mask)
        if self.n < 3:
            raise DataError(f"inputs hold {self.n} samples; a load curve needs at least 3, better some hundred")

    def chunk(self, start: int, stop: int, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
        """Arguments and named arguments of samples ``start`` … ``stop`` - 1, copied to the model's device.

        Graphs are given whole. float32 becomes ``dtype`` where that is float16 or bfloat16, as models in half
        precision take no other.
        """
        shared: dict[int, Tensor] = {}

        def part(tensor: Any) -> Any:
            if self.rows is None and sample_count(tensor) == self.n:
                tensor = samples_of(tensor, start, stop, shared)
            lowered = dtype in _HALF and tensor.data.dtype == torch.float32
            if isinstance(tensor, PackedSequence):
                packed: Any = tensor  # its stub knows of no device
                return packed.to(device, dtype if lowered else tensor.data.dtype)
            to = dtype if lowered else tensor.dtype
            own = tensor.detach().to(device, to, non_blocking=True, copy=True)
            return own.requires_grad_(tensor.requires_grad)

        def argument(value: Any) -> Any:
            if self.has_lists and isinstance(value, list) and is_list_of_samples(value, self.n):
                value = value[start:stop]
            return _mapped(value, part)

        return tuple(map(argument, self._args)), {name: argument(value) for name, value in self._kwargs.items()}

    @property
    def is_whole(self) -> bool:
        """Whether the model must run on all samples at once."""
        return self.rows is not None

    @property
    def token_ids(self) -> Tensor | None:
        """Token ids, [N, T]: the argument ``input_ids``, else the first tensor of whole numbers; or None."""
        if self.is_whole:
            return None
        named = self._kwargs.get("input_ids")
        given = [named] if isinstance(named, Tensor) else list(tensors_in((self._args, self._kwargs)))
        given = [t for t in given if not t.is_nested and t.ndim == 2 and t.shape[0] == self.n]
        return next((t for t in given if not t.is_floating_point() and t.dtype != torch.bool), None)

    @property
    def mask(self) -> Tensor | None:
        """True where a token is real, [N, T]; None where nothing says it."""
        return self.masks.main

    def by_sample(self, value: Tensor | PackedSequence | None) -> tuple[Tensor | None, Tensor | None]:
        """Features with the samples of a pass in front, [n, …], and their own mask [n, T] where they are ragged.

        Packed sequences and nested tensors are padded, and rows of graphs are averaged over their sample. None
        where the features have no samples, as those of edges.
        """
        if value is None:
            return None, None
        x, mask = padded(value, self.masks.length or self._longest)
        return (x if self.rows is None else self.rows.pooled(x)), mask


def real_leaves(value: Any) -> list[Tensor | PackedSequence]:
    """The floating-point tensors and packed sequences, of any shape, in nested containers, in order."""
    return [leaf for leaf in leaves_of(value) if _is_real(leaf)]


def first_features(value: Any) -> Tensor | PackedSequence | None:
    """The first floating-point tensor or packed sequence of any shape in nested containers, or None."""
    return next((leaf for leaf in leaves_of(value) if _is_real(leaf)), None)


def _is_real(leaf: Tensor | PackedSequence) -> bool:
    """Whether a tensor has real or complex numbers, not whole ones."""
    return leaf.data.is_floating_point() or leaf.data.is_complex()


def first_real(value: Any) -> Tensor | None:
    """The first tensor of real or complex numbers in nested containers, of any shape; None without one."""
    return next((t for t in tensors_in(value) if t.is_floating_point() or t.is_complex()), None)


def is_list_of_samples(value: list[Any], samples: int | None) -> bool:
    """Whether a list holds one tensor a sample, and not one argument each with all samples in front."""
    return len(value) == samples and all(
        isinstance(one, Tensor | np.ndarray) and one.ndim > 0 and one.shape[0] != samples for one in value
    )


def _copied(value: Any) -> Any:
    """A copy of an argument, arrays as tensors on the CPU."""
    if hasattr(value, "__array__") and not isinstance(value, Tensor | np.generic):
        value = np.asarray(value)  # also of pandas, Arrow and JAX
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiubc":
            raise DataError(
                f"inputs hold an array of type {value.dtype}; allowed: numbers. Turn columns or rows of other "
                f"objects into one array of numbers, as np.stack(rows) or frame.to_numpy(float)"
            )
        if value.dtype.kind == "f" and value.dtype.itemsize > 8:
            value = value.astype(np.float64)
        return torch.tensor(value.astype(value.dtype.newbyteorder("=")), device="cpu")
    if isinstance(value, list):
        value = [_copied(one) for one in value]
    return _mapped(value, copy_of)


def _mapped(value: Any, change: Any) -> Any:
    """Nested containers with ``change`` applied to every tensor in them."""
    if isinstance(value, Tensor | PackedSequence):
        return change(value)
    if is_graph(value):
        return copy.copy(value).apply(change)
    if isinstance(value, Mapping):
        return {name: _mapped(inner, change) for name, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(inner, change) for inner in value))
    if isinstance(value, tuple | list):
        return type(value)(_mapped(inner, change) for inner in value)
    return value


def _named(args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The model's inputs with their names, "" where it is not known; those inside a graph object with theirs."""
    positional = ((names[i] if i < len(names) else "", value) for i, value in enumerate(args))
    for name, value in itertools.chain(positional, kwargs.items()):
        yield from value.to_dict().items() if is_graph(value) else [(name, value)]


def chunk_bounds(n: int, size: int) -> list[tuple[int, int]]:
    """(first, last + 1) of each chunk of ``n`` samples; chunks are nearly equal and at most ``size`` long."""
    count = math.ceil(n / size)
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]
