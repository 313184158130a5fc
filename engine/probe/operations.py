"""Sees the operations of a forward pass: which tensors they write to, and how much memory is in use at once.

PyTorch's dispatcher names the tensors that each operation writes to. So a write is known before it happens, also
through ``.data`` and from kernels that do not count their changes, and the memory in use is that of the tensors
themselves, whatever the device and its allocator.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .contents import storage_of


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this context, calls ``before_write`` with each tensor that is about to be written to.

    Args:
        before_write: takes the tensor.
        counts_memory: whether ``peak`` is measured.
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: nothing is compiled within, and PyTorch would import its compiler, which takes seconds."""
        return False

    def __init__(self, before_write: Callable[[Tensor], None], *, counts_memory: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        """Most bytes at once in tensors that the operations made."""
        self._before_write, self._counts = before_write, counts_memory
        self._bytes = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation."""
        for place in _written(func):
            values = args[place] if isinstance(place, int) and place < len(args) else (kwargs or {}).get(place)
            for tensor in _tensors(values):
                self._before_write(tensor)
        out = func(*args, **(kwargs or {}))
        if self._counts:
            given = {id(storage_of(tensor)) for tensor in _tensors([*args, *(kwargs or {}).values()])}
            for tensor in _tensors(out):
                self._count(tensor, given)
        return out

    def _count(self, tensor: Tensor, given: set[int]) -> None:
        """Count a tensor's memory where the operation made it: not of views, as of a weight."""
        storage = storage_of(tensor)
        if storage is None or id(storage) in self._alive or id(storage) in given:
            return
        key, size = id(storage), storage.nbytes()

        def freed(_: Any) -> None:
            self._bytes -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, freed)
        self._bytes += size
        self.peak = max(self.peak, self._bytes)


@functools.lru_cache(maxsize=4096)
def _written(func: Any) -> tuple[int | str, ...]:
    """Positions and names of the arguments that an operation writes to."""
    schema = getattr(func, "_schema", None)  # operators on functions have none
    places: list[int | str] = []
    for number, argument in enumerate([] if schema is None else schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            places += [argument.name] if argument.kwarg_only else [number, argument.name]
    return tuple(places)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
