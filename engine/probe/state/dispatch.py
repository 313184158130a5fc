"""Modes that see the operations of PyTorch's dispatcher, and which arguments an operation writes to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..leaves import tensors_in


class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context whose ``__torch_dispatch__`` is called with each operation."""

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: nothing is compiled within, and PyTorch would import its compiler, which takes seconds."""
        return False


def written_to(function: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors among its arguments that an operation writes to, of any shape.

    Args:
        function: the operation, as the dispatcher gives it.
        args, kwargs: its arguments.
    """
    for place, name in _writes(function):
        yield from tensors_in(args[place] if place < len(args) else kwargs.get(name))


@functools.lru_cache(maxsize=4096)
def _writes(function: Any) -> list[tuple[int, str]]:
    """Positions and names of the arguments that an operation writes to; a position above all is given by name."""
    arguments = getattr(getattr(function, "_schema", None), "arguments", [])  # operators on functions have none
    return [
        (place, argument.name)
        for place, argument in enumerate(arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
