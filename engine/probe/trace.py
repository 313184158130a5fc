"""What happens in a model's forward pass: which module is called when, inside which, and what comes out."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .batch import first_real
from .isolation import hooked
from .reductions import feature_tensor

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_NEWEST = 4
"""So many outputs are kept alive, to see which of them is the model's."""


@dataclass
class Call:
    """One call of a module, in the order in which calls end."""

    name: str
    """The module's qualified name."""
    number: int
    """0 for the module's first call."""
    module: nn.Module
    parents: list[Call]
    """The calls that it is part of, outermost first, the model's own left out."""
    inner: int = 0
    """How many calls of modules are part of it."""
    input: weakref.ref[Tensor] | None = None
    input_shape: tuple[int, ...] = ()
    output: weakref.ref[Tensor] | None = None
    shape: tuple[int, ...] = ()
    """Of its feature tensor; empty where it has none."""
    features_last: bool | None = None
    """Whether features are the last dimension: so after a linear or recurrent map, not after a convolution; None
    where no map was run yet."""

    @property
    def label(self) -> str:
        """Its name, and from the second call on the number of the call: ``fc#2``."""
        return self.name if self.number == 0 else f"{self.name}#{self.number + 1}"

    @property
    def kind(self) -> str:
        """What was called."""
        return type(self.module).__name__


@dataclass
class Trace:
    """A forward pass."""

    calls: list[Call] = field(default_factory=list)
    features_last: bool | None = None
    """In the end."""
    output: Tensor | None = None
    ends: list[Tensor] = field(default_factory=list)
    """The output as its last modules gave it, before views of it were taken, as by ``squeeze``; kept alive."""


def _is_view(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same numbers in the same place."""
    if a is b:
        return True
    plain = all(t.layout is torch.strided and not t.is_nested for t in (a, b))
    return plain and a.numel() == b.numel() and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Every inner module by its qualified name; of a wrapper and what it wraps the inner one, under one name."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        clean = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if clean:
            found[clean] = module
    return found


def trace(model: nn.Module, run: Callable[[], Any]) -> Trace:
    """Run the model once and note every call of its modules; what the tensors hold is let go of."""
    found = Trace()
    counts: dict[str, int] = {}
    stack: list[Call] = []
    newest: deque[Tensor] = deque(maxlen=_NEWEST)

    def entering(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            call = Call(name, counts.get(name, 0), module, list(stack))
            counts[name] = call.number + 1
            tensor = first_real((args, kwargs))
            if tensor is not None:
                call.input, call.input_shape = weakref.ref(tensor), tuple(tensor.shape)
            for parent in stack:
                parent.inner += 1
            stack.append(call)

        return hook

    def leaving(_module: nn.Module, _args: Any, output: Any) -> None:
        call = stack.pop()
        if isinstance(call.module, nn.Linear | nn.RNNBase | nn.modules.conv._ConvNd):
            found.features_last = not isinstance(call.module, nn.modules.conv._ConvNd)
        call.features_last = found.features_last
        tensor = feature_tensor(output)
        if tensor is not None:
            call.output, call.shape = weakref.ref(tensor), tuple(tensor.shape)
            newest.append(tensor)
        found.calls.append(call)

    handles = []
    for name, module in modules_by_name(model).items():
        handles.append(module.register_forward_pre_hook(entering(name), with_kwargs=True))
        handles.append(module.register_forward_hook(leaving))
    with hooked(handles):
        found.output = output = feature_tensor(run())
    if output is not None:
        found.ends = [tensor for tensor in newest if _is_view(tensor, output)]
    return found
