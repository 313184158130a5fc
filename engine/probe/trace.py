"""Traces a model's forward pass: the calls of its modules, their order, nesting and output shapes."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .batch import first_real
from .isolation import hooked
from .reductions import feature_tensor

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_NEWEST = 4
"""Number of last outputs that are kept alive, to find the one that is the model's."""

Where = Literal["before", "after"]


@dataclass
class Call:
    """One call of a module."""

    name: str
    """The module's qualified name."""
    number: int
    """0 for the module's first call."""
    module: nn.Module
    parents: list[Call]
    """The calls that it is part of, outermost first, without the model's own."""
    inner: int = 0
    """Number of calls of modules inside it, at any depth."""
    input: weakref.ref[Tensor] | None = None
    input_shape: tuple[int, ...] = ()
    output: weakref.ref[Tensor] | None = None
    shape: tuple[int, ...] = ()
    """Shape of its output's feature tensor; empty where it has none."""
    began: int = 0
    """When it began and ended: numbers that rise with each beginning and each end of a call."""
    ended: int = 0
    source: Call | None = None
    """The innermost call whose output its input is; None where the input was computed outside of modules."""
    end: Call | None = None
    """The innermost earlier call whose output its own output is; None where it computed the output itself."""

    @property
    def label(self) -> str:
        """The module's name, with the number of the call from the second on: ``fc#2``."""
        return self.name if self.number == 0 else f"{self.name}#{self.number + 1}"

    @property
    def kind(self) -> str:
        """Class of the module."""
        return type(self.module).__name__


@dataclass
class Trace:
    """The calls of a forward pass, in the order in which they end."""

    calls: list[Call] = field(default_factory=list)
    whole: Call | None = None
    """The call of the model itself, with its output; not among ``calls``."""
    output: Tensor | None = None
    ends: list[Tensor] = field(default_factory=list)
    """Outputs of the last modules that the model's output is a view of, as after ``squeeze``; kept alive."""


Inspect = Callable[[Call, Where, Tensor], None]


def _is_view(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same memory and number of elements."""
    if a is b:
        return True
    plain = all(t.layout is torch.strided and not t.is_nested for t in (a, b))
    return plain and a.numel() == b.numel() and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def bare_name(name: str) -> str:
    """A qualified name of a module or parameter without the wrappers' parts."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Every inner module by its qualified name; a wrapped module under its wrapper's name, without the wrapper."""
    modules: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        clean = bare_name(name)
        if clean:
            modules[clean] = module
    return modules


def trace(model: nn.Module, run: Callable[[], Any], inspect: Inspect | None = None) -> Trace:
    """Run the model once and record every call of its modules; tensors are kept by weak reference.

    Args:
        model: the inner model.
        run: runs it and returns its output.
        inspect: called with each call, "before" or "after", and its input or output tensor, which it may change.
    """
    traced = Trace()
    counts: dict[str, int] = {}
    stack: list[Call] = []
    newest: deque[Tensor] = deque(maxlen=_NEWEST)
    owners: dict[int, tuple[weakref.ref[Tensor], Call]] = {}
    clock = itertools.count(1)

    def owner(tensor: Tensor) -> Call | None:
        reference, call = owners.get(id(tensor), (None, None))
        return call if reference is not None and reference() is tensor else None

    def entering(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            call = Call(name, counts.get(name, 0), module, list(stack), began=next(clock))
            counts[name] = call.number + 1
            tensor = first_real((args, kwargs))
            if tensor is not None:
                call.input, call.input_shape = weakref.ref(tensor), tuple(tensor.shape)
                call.source = owner(tensor)
                if inspect is not None:
                    inspect(call, "before", tensor)
            for parent in stack:
                parent.inner += 1
            stack.append(call)

        return hook

    def finish(call: Call, output: Any) -> Tensor | None:
        call.ended = next(clock)
        tensor = feature_tensor(output)
        if tensor is not None:
            call.output, call.shape = weakref.ref(tensor), tuple(tensor.shape)
            call.end = owner(tensor)
            if call.end is None:
                owners[id(tensor)] = (call.output, call)
            if inspect is not None:
                inspect(call, "after", tensor)
        return tensor

    def leaving(_module: nn.Module, _args: Any, output: Any) -> None:
        call = stack.pop()
        tensor = finish(call, output)
        if tensor is not None:
            newest.append(tensor)
        traced.calls.append(call)

    handles = []
    for name, module in modules_by_name(model).items():
        handles.append(module.register_forward_pre_hook(entering(name), with_kwargs=True))
        handles.append(module.register_forward_hook(leaving))
    with hooked(handles):
        output = run()
    traced.whole = Call("", 0, model, [], inner=len(traced.calls))
    traced.output = finish(traced.whole, output)
    if traced.output is not None:
        traced.ends = [tensor for tensor in newest if _is_view(tensor, traced.output)]
    return traced
