"""Records the flow of data through a model's forward pass: what each operation was made from, back to the inputs.

Operations are seen as PyTorch's dispatcher runs them, so functions between modules are seen as well as modules. A
tensor is known by its storage: a view belongs to the operation that filled its memory, and an operation in place
makes a new entry for that memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from ..leaves import tensors_in
from ..state.dispatch import Mode, written_to

__all__ = ["DataFlow", "Recording"]

_OF_SHAPE_ONLY = ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like")
"""Operations that take nothing from their input but its shape; so do those that begin with ``new_``."""

_TAKING = {"index", "index_select", "gather"}
"""Operations that take a part of their features; the indices say which, and are no features."""


class DataFlow:
    """The operations that depend on the model's inputs, by number; each was made from earlier ones."""

    def __init__(self) -> None:
        self.made_from: list[tuple[int, ...]] = []
        self.operations: list[str] = []
        """Name of each operation, as ``add``; ``input`` for an input of the model."""
        self.sizes: list[int] = []
        """Number of elements of each operation's largest output."""
        self.is_real: list[bool] = []
        """Whether an operation gives floating-point numbers: features, not masks or indices."""
        self.inputs: list[int] = []
        """The operations that stand for the model's input tensors, in order."""

    def __len__(self) -> int:
        return len(self.made_from)

    def add(self, operation: str, made_from: Iterable[int], outputs: Iterable[Tensor]) -> int:
        """Append an operation whose outputs have any shape, and return its number."""
        outputs = list(outputs)
        self.made_from.append(tuple(sorted(set(made_from))))
        self.operations.append(operation)
        self.sizes.append(max((tensor.numel() for tensor in outputs), default=0))
        self.is_real.append(any(tensor.is_floating_point() or tensor.is_complex() for tensor in outputs))
        return len(self.made_from) - 1


class Recording(Mode):
    """A context that records a forward pass; ``flow`` is the graph.

    Args:
        inputs: the model's arguments, in any containers.
        bridges: whether a module whose outputs are made from nothing known counts as made from its inputs, as
            where it calls a kernel that the dispatcher does not see.
    """

    def __init__(self, inputs: Any, *, bridges: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow = DataFlow()
        self.failure: Exception | None = None
        """What could not be recorded; None where everything was."""
        self.bridges = bridges
        self._by_memory: dict[Any, int] = {}
        self._read: set[Any] = set()
        self._kept: list[Tensor] = []
        for tensor in tensors_in(inputs):
            self.flow.inputs.append(self.flow.add("input", (), [tensor]))
            self._by_memory[self._memory(tensor)] = self.flow.inputs[-1]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            sources = self._sources(args, kwargs)
        except Exception as error:  # of tensors of any make; the model's pass must not fail by it
            self.failure = error
            return function(*args, **kwargs)
        result = function(*args, **kwargs)
        try:
            self._note(function, sources, args, kwargs, result)
        except Exception as error:
            self.failure = error
        return result

    def number_of(self, tensor: Tensor | None) -> int | None:
        """The operation that a tensor of any shape comes from; None where that is no input's."""
        if tensor is None:
            return None
        try:
            return self._by_memory.get(self._memory(tensor))
        except Exception as error:
            self.failure = error
            return None

    def has_read(self, tensor: Tensor) -> bool:
        """Whether an operation has read the memory of a tensor of any shape."""
        return self._memory(tensor) in self._read

    def bridge(self, outputs: Any, made_from: Iterable[int]) -> None:
        """Note that a module's outputs were made from its inputs, where nothing else is known of them."""
        made_from = list(made_from)
        fresh = [tensor for tensor in tensors_in(outputs) if self.number_of(tensor) is None]
        if not made_from or not fresh or len(fresh) < sum(1 for _ in tensors_in(outputs)):
            return
        number = self.flow.add("module", made_from, fresh)
        self._by_memory |= {self._memory(tensor): number for tensor in fresh}

    def _sources(self, args: Any, kwargs: Any) -> dict[Any, int | None]:
        """The memory of each tensor among the arguments, with the operation that it comes from."""
        memories = [self._memory(tensor) for tensor in tensors_in((args, kwargs))]
        sources = {memory: self._by_memory.get(memory) for memory in memories}
        self._read.update(sources)
        return sources

    def _note(self, function: Any, sources: dict[Any, int | None], args: Any, kwargs: Any, result: Any) -> None:
        made_from = {number for number in sources.values() if number is not None}
        name = _name(function)
        if not made_from or name in _OF_SHAPE_ONLY or name.startswith("new_"):
            for tensor in tensors_in(result):  # its memory may have been another tensor's, as in a pool of buffers
                if self._memory(tensor) not in sources:
                    self._by_memory.pop(self._memory(tensor), None)
            return
        written = list(written_to(function, args, kwargs))
        outputs = [tensor for tensor in tensors_in(result) if self._memory(tensor) not in sources]
        if not written and not outputs:
            return  # a view: it belongs to the operation that filled its memory
        if name in _TAKING:
            made_from = self._of_features(args, kwargs) or made_from
        changed = [*written, *outputs]
        memories = {self._memory(tensor) for tensor in changed}
        made_from |= {self._by_memory[memory] for memory in memories if memory in self._by_memory}
        number = self.flow.add(name, made_from, changed)
        self._by_memory |= dict.fromkeys(memories, number)

    def _of_features(self, args: Any, kwargs: Any) -> set[int]:
        """The operations that the floating-point tensors among the arguments come from."""
        real = (tensor for tensor in tensors_in((args, kwargs)) if tensor.is_floating_point())
        return {number for tensor in real if (number := self.number_of(tensor)) is not None}

    def _memory(self, tensor: Tensor) -> Any:
        """What a tensor's memory is known by; it is not given to other memory as long as this object lives."""
        try:
            return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        except (NotImplementedError, RuntimeError):  # sparse tensors and wrappers have no storage
            self._kept.append(tensor)
            return id(tensor)


def _name(function: Any) -> str:
    """Name of an operation without its library, overload and the mark of operations in place: ``add``."""
    return str(getattr(function, "__name__", function)).split(".")[0].rstrip("_").lstrip("_")
