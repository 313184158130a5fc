"""Traces a model's forward pass: the calls of its modules, their order, nesting, shapes and flow of data."""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..batch.batch import first_features, first_real
from ..batch.ragged import PackedSequence
from ..leaves import tensors_in
from ..state.isolation import hooked
from .flow import DataFlow, Recording
from .modules import class_name, layer_of, modules_by_name, passes_on
from .reductions import feature_tensor, features_in

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
    direct: list[Call] = field(default_factory=list)
    """The calls directly inside it, without those that hand on their input, as of dropout."""
    hands_on: bool = False
    """Whether its output is that of the only layer inside it."""
    input: weakref.ref[Tensor] | None = None
    input_shape: tuple[int, ...] = ()
    output: weakref.ref[Tensor] | None = None
    shape: tuple[int, ...] = ()
    """Shape of its output's feature tensor; empty where it has none."""
    opened: int = 0
    closed: int = 0
    """Number of operations in the flow of data when it began and when it ended."""
    entered: int | None = None
    """The operation that its input comes from; None where that does not depend on the model's inputs."""
    left: tuple[int, ...] = ()
    """The operations that its outputs come from, that of the feature tensor first."""
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
    whole: Call | None = None
    """The call of the model itself, with its output; not among ``calls``."""
    output: Tensor | None = None
    ends: list[Tensor] = field(default_factory=list)
    """Outputs of the last modules that the model's output is a view of, as after ``squeeze``; kept alive."""
    flow: DataFlow | None = None
    """What was made from what; None where that could not be recorded."""
    flow_failure: str = ""
    """Why there is no flow."""
    idle: set[int] = field(default_factory=set)
    """Ids of the parameters that no operation read."""
    left: tuple[int, ...] = ()
    """The operations that the model's outputs come from, that of ``output`` first where it has one."""


Inspect = Callable[[Call, Where, Tensor], Tensor | None]
BySample = Callable[[Tensor | PackedSequence | None], tuple[Tensor | None, Tensor | None]]
"""Gives features with samples in front, and their own mask: ``ProbeBatch.by_sample``."""


def as_it_is(value: Tensor | PackedSequence | None) -> tuple[Tensor | None, Tensor | None]:
    """Features in the shape in which a module gives them."""
    return (value.data if isinstance(value, PackedSequence) else value), None


def _with(output: Any, old: Tensor | None, new: Tensor) -> Any:
    """A module's output with one tensor in place of another; as it is where that is in no tuple or list."""
    if output is old:
        return new
    if type(output) in (tuple, list):
        return type(output)(_with(part, old, new) for part in output)
    return output


def _is_view(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same memory and number of elements."""
    if a is b:
        return True
    plain = all(t.layout is torch.strided and not t.is_nested for t in (a, b))
    try:
        return (
            plain and a.numel() == b.numel() and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
        )
    except (NotImplementedError, RuntimeError):  # tensors of vmap and other wrappers have no memory of their own
        return False


def _hands_on(call: Call, output: Tensor) -> bool:
    """Whether a call's output is that of the only layer inside it, as where dropout alone follows a linear map."""
    if len(call.direct) != 1:
        return False
    inner = call.direct[0]
    given = None if inner.output is None else inner.output()
    return given is output and (inner.inner == 0 or inner.hands_on)


def trace_flow(
    model: nn.Module,
    run: Callable[[Any, Any], Any],
    take: Callable[[], tuple[Any, Any]],
    by_sample: BySample = as_it_is,
) -> Trace:
    """Run the model once and record the calls of its modules and the flow of data.

    Where the flow is not seen from the inputs to the output, the model is run again: with modules as links of the
    flow, and at last without the flow.

    Args:
        model: the inner model.
        run: runs it on positional and named arguments.
        take: returns these arguments, anew each time.
        by_sample: gives features with samples in front; shapes are of these.
    """
    for bridges in (False, True):
        args, kwargs = take()
        recording = Recording((args, kwargs), bridges=bridges)
        try:
            traced = trace(model, functools.partial(run, args, kwargs), recording=recording, by_sample=by_sample)
        except Exception as error:  # of the recording, or else the model raises it again below
            failure = f"{type(error).__name__}: {error}"
            break
        if recording.failure is not None:
            traced.flow_failure = f"{type(recording.failure).__name__}: {recording.failure}"
            return traced
        if traced.left:
            traced.flow = recording.flow
            traced.idle = {id(p) for p in model.parameters() if not recording.has_read(p)}
            return traced
        failure = "the output is not made from the inputs by operations that PyTorch dispatches"
    traced = trace(model, functools.partial(run, *take()), by_sample=by_sample)
    traced.flow_failure = failure
    return traced


def trace(
    model: nn.Module,
    run: Callable[[], Any],
    inspect: Inspect | None = None,
    recording: Recording | None = None,
    by_sample: BySample = as_it_is,
) -> Trace:
    """Run the model once and record every call of its modules; tensors are kept by weak reference.

    Args:
        model: the inner model.
        run: runs it and returns its output.
        inspect: called with each call, "before" or "after", and its input or output tensor; a tensor that it
            returns is handed on in place of an output. Not called with features whose samples lie otherwise in
            memory, as of packed sequences.
        recording: records the flow of data meanwhile.
        by_sample: gives features with samples in front; shapes are of these.
    """
    traced = Trace()
    counts: dict[str, int] = {}
    stack: list[Call] = []
    newest: deque[Tensor] = deque(maxlen=_NEWEST)
    given: dict[int, tuple[int, ...]] = {}
    owners: dict[int, tuple[weakref.ref[Tensor], Call]] = {}
    clock = itertools.count(1)

    def owner(tensor: Tensor) -> Call | None:
        reference, call = owners.get(id(tensor), (None, None))
        return call if reference is not None and reference() is tensor else None

    def shape_of(tensor: Tensor, features: Tensor | PackedSequence | None) -> tuple[tuple[int, ...], bool]:
        """Shape of the features by sample, and whether they are the tensor itself."""
        x, _ = by_sample(features)
        if x is None and not tensor.is_nested:  # of no samples, as of the edges of graphs
            return tuple(tensor.shape), False
        return (() if x is None else tuple(x.shape)), x is tensor

    def entering(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            call = Call(name, counts.get(name, 0), module, list(stack), began=next(clock))
            counts[name] = call.number + 1
            tensor = first_real((args, kwargs))
            if recording is not None:
                call.opened = len(recording.flow)
                call.entered = recording.number_of(tensor)
                if recording.bridges:
                    given[id(call)] = _numbers(recording, (args, kwargs))
            if tensor is not None:
                call.input_shape, is_plain = shape_of(tensor, first_features((args, kwargs)))
                call.input, call.source = weakref.ref(tensor), owner(tensor)
                if inspect is not None and is_plain:
                    inspect(call, "before", tensor)
            for parent in stack:
                parent.inner += 1
            if stack and not passes_on(module):
                stack[-1].direct.append(call)
            stack.append(call)

        return hook

    def finish(call: Call, output: Any) -> tuple[Tensor | None, Tensor | None]:
        call.ended = next(clock)
        tensor = feature_tensor(output)
        if recording is not None:
            if recording.bridges:
                recording.bridge(output, given.pop(id(call), ()))
            call.closed = len(recording.flow)
            call.left = _numbers(recording, (tensor, output))
        if tensor is None:
            return None, None
        call.shape, is_plain = shape_of(tensor, features_in(output))
        call.output = weakref.ref(tensor)
        call.hands_on = _hands_on(call, tensor)
        call.end = owner(tensor)
        if call.end is None:
            owners[id(tensor)] = (call.output, call)
        return tensor, None if inspect is None or not is_plain else inspect(call, "after", tensor)

    def leaving(_module: nn.Module, _args: Any, output: Any) -> Any:
        call = stack.pop()
        tensor, other = finish(call, output)
        if tensor is not None:
            newest.append(tensor)
        traced.calls.append(call)
        return None if other is None else _with(output, tensor, other)

    handles = []
    for name, module in modules_by_name(model).items():
        handles.append(module.register_forward_pre_hook(entering(name), with_kwargs=True))
        handles.append(module.register_forward_hook(leaving))
    with hooked(handles), recording or contextlib.nullcontext():
        output = run()
    traced.whole = Call("", 0, model, [], inner=len(traced.calls))
    traced.output, _ = finish(traced.whole, output)
    if recording is not None and recording.number_of(traced.output) is not None:
        traced.left = traced.whole.left
    if traced.output is not None:
        traced.ends = [tensor for tensor in newest if _is_view(tensor, traced.output)]
    return traced


def _numbers(recording: Recording, value: Any) -> tuple[int, ...]:
    """The operations that the tensors in nested containers come from, each once, in order."""
    numbers = (recording.number_of(tensor) for tensor in tensors_in(value))
    return tuple(dict.fromkeys(number for number in numbers if number is not None))
