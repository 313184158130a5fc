"""Sees the operations of a forward pass: which tensors they write to, and how much memory is in use at once.

PyTorch's dispatcher names the tensors that each operation writes to. So a write is known before it happens, also
through ``.data`` and from kernels that do not count their changes, and the memory in use is that of the tensors
themselves, whatever the device and its allocator.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..leaves import tensors_in
from .contents import storage_of
from .dispatch import Mode, written_to


class Operations(Mode):
    """Within this context, calls ``before_write`` with each tensor that is about to be written to.

    Args:
        before_write: takes the tensor.
        counts_memory: whether ``peak`` is measured.
    """

    def __init__(self, before_write: Callable[[Tensor], None], *, counts_memory: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        """Most bytes at once in tensors that the operations made."""
        self._before_write, self._counts = before_write, counts_memory
        self._bytes = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation."""
        for tensor in written_to(func, args, kwargs or {}):
            self._before_write(tensor)
        out = func(*args, **(kwargs or {}))
        if self._counts:
            given = {id(storage_of(tensor)) for tensor in tensors_in((args, kwargs or {}))}
            for tensor in tensors_in(out):
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
