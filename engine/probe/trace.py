"""Traces a model's forward pass: the calls of its modules, their order, nesting and output shapes."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .batch import first_features, first_real
from .isolation import hooked
from .modules import class_name, layer_of, modules_by_name, passes_on
from .ragged import PackedSequence
from .reductions import feature_tensor, features_in

_NEWEST = 4
"""Number of last outputs that are kept alive, to find the one that is the model's."""


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
    direct: list[Call] = field(default_factory=list)
    """The calls directly inside it, without those that hand on their input, as of dropout."""
    is_packed: bool = False
    """Whether its output is a packed sequence; then samples are in front, as it is padded."""
    hands_on: bool = False
    """Whether its output is that of the only layer inside it."""
    input: weakref.ref[Tensor] | None = None
    input_shape: tuple[int, ...] = ()
    output: weakref.ref[Tensor] | None = None
    shape: tuple[int, ...] = ()
    """Shape of its output's feature tensor; empty where it has none."""
    features_last: bool | None = None
    """Whether features are the last dimension: True after a linear or recurrent module, False after a convolution,
    None before either."""

    @property
    def label(self) -> str:
        """The module's name, with the number of the call from the second on: ``fc#2``."""
        return self.name if self.number == 0 else f"{self.name}#{self.number + 1}"

    @property
    def kind(self) -> str:
        """Class of the module, without parametrizations and adapters."""
        return class_name(self.module)

    @property
    def layer(self) -> nn.Module:
        """The module, or the one inside its adapter, whose class says what it computes."""
        return layer_of(self.module)


@dataclass
class Trace:
    """The calls of a forward pass, in the order in which they end."""

    calls: list[Call] = field(default_factory=list)
    features_last: bool | None = None
    """As ``Call.features_last``, of the model's output."""
    output: Tensor | None = None
    shape: tuple[int, ...] = ()
    """Shape of the output, as ``Call.shape``."""
    ends: list[Tensor] = field(default_factory=list)
    """Outputs of the last modules that the model's output is a view of, as after ``squeeze``; kept alive."""


def _is_view(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same memory and number of elements."""
    if a is b:
        return True
    plain = all(t.layout is torch.strided and not t.is_nested for t in (a, b))
    return plain and a.numel() == b.numel() and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def _hands_on(call: Call, output: Tensor) -> bool:
    """Whether a call's output is that of the only layer inside it, as where dropout alone follows a linear map."""
    if len(call.direct) != 1:
        return False
    inner = call.direct[0]
    given = None if inner.output is None else inner.output()
    return given is output and (inner.inner == 0 or inner.hands_on)


def trace(
    model: nn.Module,
    run: Callable[[], Any],
    by_sample: Callable[[Any], tuple[Tensor | None, Tensor | None]] = lambda value: (value, None),
) -> Trace:
    """Run the model once and record every call of its modules; tensors are kept by weak reference.

    Args:
        model: the inner model.
        run: runs it.
        by_sample: gives features one row a sample, as ``ProbeBatch.by_sample``; shapes are of these.
    """
    traced = Trace()
    counts: dict[str, int] = {}
    stack: list[Call] = []
    newest: deque[Tensor] = deque(maxlen=_NEWEST)

    def shape_of(features: Tensor | PackedSequence | None) -> tuple[int, ...]:
        x, _ = by_sample(features)
        return () if x is None else tuple(x.shape)

    def entering(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            call = Call(name, counts.get(name, 0), module, list(stack))
            counts[name] = call.number + 1
            tensor = first_real((args, kwargs))
            if tensor is not None:
                call.input, call.input_shape = weakref.ref(tensor), shape_of(first_features((args, kwargs)))
            for parent in stack:
                parent.inner += 1
            if stack and not passes_on(module):
                stack[-1].direct.append(call)
            stack.append(call)

        return hook

    def leaving(_module: nn.Module, _args: Any, output: Any) -> None:
        call = stack.pop()
        if isinstance(call.layer, nn.Linear | nn.RNNBase | nn.modules.conv._ConvNd):
            traced.features_last = not isinstance(call.layer, nn.modules.conv._ConvNd)
        call.features_last = traced.features_last
        tensor = feature_tensor(output)
        if tensor is not None:
            features = features_in(output)
            call.output, call.shape = weakref.ref(tensor), shape_of(features)
            call.is_packed = isinstance(features, PackedSequence)
            newest.append(tensor)
            call.hands_on = _hands_on(call, tensor)
        traced.calls.append(call)

    handles = []
    for name, module in modules_by_name(model).items():
        handles.append(module.register_forward_pre_hook(entering(name), with_kwargs=True))
        handles.append(module.register_forward_hook(leaving))
    with hooked(handles):
        result = run()
    traced.output = output = feature_tensor(result)
    traced.shape = shape_of(features_in(result))
    if output is not None:
        traced.ends = [tensor for tensor in newest if _is_view(tensor, output)]
    return traced
