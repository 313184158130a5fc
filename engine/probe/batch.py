"""The fixed probe batch of ``LoadProbe``: a model's inputs, split into chunks of samples.

Shape legend: N samples, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError

_ALLOWED = "a tensor, an array, a tuple of them (positional arguments) or a dict of them (named arguments)"
_HALF = (torch.float16, torch.bfloat16)


class ProbeBatch:
    """Copied inputs of N samples; a later change of the originals does not change the batch.

    Args:
        inputs: a tensor or array [N, …]; a tuple or list of positional arguments; or a mapping of named arguments.
            Tensors whose first dimension is N are split into chunks; everything else is passed whole. A list of N
            tensors, one a sample, as models for detection take it, is an argument of its own.
        samples: N as the labels tell it; None where they do not.

    Raises:
        DataError: the inputs have no tensor, or fewer than 3 samples.
    """

    def __init__(self, inputs: Any, samples: int | None = None) -> None:
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        if isinstance(inputs, list) and _is_list_of_samples(inputs, samples):
            inputs = (inputs,)
        if isinstance(inputs, Mapping):
            self._kwargs = {str(name): _copied(value) for name, value in inputs.items()}
        elif isinstance(inputs, tuple | list):
            self._args = tuple(_copied(value) for value in inputs)
        else:
            self._args = (_copied(inputs),)
        tensors = [tensor for tensor in _tensors((self._args, self._kwargs)) if tensor.ndim]
        if not tensors:
            raise DataError(f"inputs hold no tensor (they are a {type(inputs).__name__}); allowed: {_ALLOWED}")
        arguments = [*self._args, *self._kwargs.values()]
        self.has_lists = any(
            isinstance(value, list) and _is_list_of_samples(value, samples) for value in arguments
        )
        self.n = samples if self.has_lists and samples is not None else tensors[0].shape[0]
        if self.n < 3:
            raise DataError(f"inputs hold {self.n} samples; a load curve needs at least 3, better some hundred")

    def chunk(self, start: int, stop: int, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
        """Arguments and named arguments of samples ``start`` … ``stop`` - 1, copied to the model's device.

        float32 becomes ``dtype`` where that is float16 or bfloat16, as models in half precision take no other.
        """

        def part(tensor: Tensor) -> Tensor:
            if tensor.ndim and tensor.shape[0] == self.n:
                tensor = tensor[start:stop]
            lowered = dtype in _HALF and tensor.dtype == torch.float32
            own = tensor.detach().to(device, dtype if lowered else tensor.dtype, non_blocking=True, copy=True)
            return own.requires_grad_(tensor.requires_grad)

        def argument(value: Any) -> Any:
            if self.has_lists and isinstance(value, list) and _is_list_of_samples(value, self.n):
                value = value[start:stop]
            return _mapped(value, part)

        return tuple(map(argument, self._args)), {name: argument(value) for name, value in self._kwargs.items()}

    @property
    def token_ids(self) -> Tensor | None:
        """Token ids, [N, T]: the argument ``input_ids``, else the first tensor of whole numbers; or None."""
        named = self._kwargs.get("input_ids")
        given = [named] if isinstance(named, Tensor) else list(_tensors((self._args, self._kwargs)))
        return next((t for t in given if t.ndim == 2 and not t.is_floating_point() and t.shape[0] == self.n), None)

    @property
    def mask(self) -> Tensor | None:
        """The argument ``attention_mask``, [N, T], True where a token is no padding; None where there is none."""
        mask = self._kwargs.get("attention_mask")
        fits = isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[0] == self.n
        return mask.bool() if fits and mask is not None else None


def first_real(value: Any) -> Tensor | None:
    """The first tensor of real or complex numbers in nested containers, of any shape; None without one."""
    return next((t for t in _tensors(value) if t.is_floating_point() or t.is_complex()), None)


def _is_list_of_samples(value: list[Any], samples: int | None) -> bool:
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
    return _mapped(value, lambda tensor: tensor.detach().clone().requires_grad_(tensor.requires_grad))


def _mapped(value: Any, change: Any) -> Any:
    """Nested containers with ``change`` applied to every tensor in them."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(inner, change) for name, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(inner, change) for inner in value))
    if isinstance(value, tuple | list):
        return type(value)(_mapped(inner, change) for inner in value)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested containers, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _tensors(inner)


def chunk_bounds(n: int, size: int) -> list[tuple[int, int]]:
    """(first, last + 1) of each chunk of ``n`` samples; chunks are nearly equal and at most ``size`` long."""
    count = math.ceil(n / size)
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]
