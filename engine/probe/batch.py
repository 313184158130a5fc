"""The fixed probe batch of ``LoadProbe``: whatever a model takes, cut into chunks of samples.

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

_TAKEN = "a tensor, an array, a tuple of them (positional arguments) or a dict of them (named arguments)"
_HALF = (torch.float16, torch.bfloat16)


class ProbeBatch:
    """Inputs of N samples, copied, so that the batch stays what it is.

    Args:
        inputs: a tensor or array [N, …]; a tuple or list of positional arguments; or a mapping of named arguments.
            Every tensor in it whose first dimension is N is cut into chunks; the rest goes along whole.

    Raises:
        DataError: there is no tensor in it, or no sample.
    """

    def __init__(self, inputs: Any) -> None:
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        if isinstance(inputs, Mapping):
            self._kwargs = {str(name): _copied(value) for name, value in inputs.items()}
        elif isinstance(inputs, tuple | list):
            self._args = tuple(_copied(value) for value in inputs)
        else:
            self._args = (_copied(inputs),)
        found = [tensor for tensor in _tensors((self._args, self._kwargs)) if tensor.ndim]
        if not found:
            raise DataError(f"inputs hold no tensor (they are a {type(inputs).__name__}); allowed: {_TAKEN}")
        self.n = found[0].shape[0]
        if self.n < 3:
            raise DataError(f"inputs hold {self.n} samples; a load curve needs at least 3, better some hundred")

    def chunk(self, start: int, stop: int, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
        """Arguments and named arguments of some samples, on the model's device, and the model's to change.

        Single precision becomes the model's own where that is half: then the model takes nothing else.
        """

        def part(tensor: Tensor) -> Tensor:
            if tensor.ndim and tensor.shape[0] == self.n:
                tensor = tensor[start:stop]
            lowered = dtype in _HALF and tensor.dtype == torch.float32
            return tensor.to(device, dtype if lowered else tensor.dtype, non_blocking=True, copy=True)

        return _mapped(self._args, part), _mapped(self._kwargs, part)

    @property
    def token_ids(self) -> Tensor | None:
        """The model's token numbers, [N, T]: what is named ``input_ids``, else the first such tensor."""
        named = self._kwargs.get("input_ids")
        found = [named] if isinstance(named, Tensor) else list(_tensors((self._args, self._kwargs)))
        return next((t for t in found if t.ndim == 2 and not t.is_floating_point() and t.shape[0] == self.n), None)

    @property
    def mask(self) -> Tensor | None:
        """``attention_mask``, [N, T], true where a token is real; None where there is none."""
        found = self._kwargs.get("attention_mask")
        fits = isinstance(found, Tensor) and found.ndim == 2 and found.shape[0] == self.n
        return found.bool() if fits and found is not None else None


def first_real(value: Any) -> Tensor | None:
    """The first tensor of real numbers, of any shape, in nested containers; None where there is none."""
    return next((t for t in _tensors(value) if t.is_floating_point()), None)


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            raise DataError(f"inputs hold an array of type {value.dtype}; allowed: real numbers")
        return torch.tensor(value, device="cpu")
    return _mapped(value, lambda tensor: tensor.detach().clone())


def _mapped(value: Any, change: Any) -> Any:
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
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _tensors(inner)


def chunk_bounds(n: int, size: int) -> list[tuple[int, int]]:
    """First and last + 1 of the chunks of ``n`` samples: nearly equal, at most ``size`` samples each."""
    count = math.ceil(n / size)
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]
