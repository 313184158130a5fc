"""What a model's modules hold at one moment: each difference to it can be found and put back on its own.

Held are the modules' buffers, parameters, inner modules and plain attributes, and what these contain: tensors,
arrays, numbers, random number generators, containers, and objects of classes that the user wrote.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .contents import Contents
from .values import ATOMS, GeneratorState, Slots, are_equal, generator_state, has_slots, is_of_users_class

Kind = Literal["buffer", "parameter", "module", "attribute", "generator"]
_INTERNAL = frozenset(vars(nn.Module()))
"""Attributes of every module that PyTorch itself keeps, as hooks and the training mode."""
_HOOKS = tuple(name for name, value in vars(nn.Module()).items() if "hooks" in name and isinstance(value, dict))
"""Those that hold hooks."""
_WHOLE: dict[Kind, int] = {"buffer": 1 << 20, "attribute": 1 << 20, "parameter": 1 << 16}
"""Bytes up to which a tensor is copied before each look; larger ones are copied when something writes to them."""
_FIRST = 1 << 30
"""Bytes of larger buffers and attributes that are copied before the first look."""
_MOST = 100_000
"""Most values that are looked into; more are told from others only by being replaced."""
_DICTS = (dict, collections.OrderedDict, collections.defaultdict, collections.Counter)
_LISTS = (list, collections.deque)


@dataclass
class Difference:
    """A part of a model that is another than in a snapshot."""

    name: str
    """As ``Net.encoder.calls``: the model's class, the module, the part."""
    kind: Kind
    put_back: Callable[[], object]
    is_new: bool = False
    """Whether the model had no such part."""
    is_equal: bool = False
    """Whether its values are the same, as of a tensor that was computed again."""


class Snapshot:
    """What the modules of a model hold now.

    Args:
        model: the inner model.
        known: names that changed in earlier looks; these are copied whole.
        is_first: whether larger buffers and attributes are copied too.
        buffers_only: for sharded models, whose wrappers exchange parameters and keep attributes of their own.
    """

    def __init__(
        self,
        model: nn.Module,
        known: frozenset[str] = frozenset(),
        *,
        is_first: bool = False,
        buffers_only: bool = False,
    ) -> None:
        self._contents = Contents()
        self._kinds: dict[str, Kind] = {}
        """Kinds of the tensors by name."""
        self._known, self._buffers_only = known, buffers_only
        self._room = _FIRST if is_first else 0
        """Bytes of larger buffers and attributes that may still be copied."""
        self._seen: dict[int, object] = {}
        self._checks: list[Callable[[], Iterator[Difference]]] = []
        self._hold_modules(type(model).__name__, model)
        self._contents.save()

    def before_write(self, tensor: Tensor) -> None:
        """Copy a tensor of the model, of any shape, that an operation is about to write to."""
        self._contents.before_write(tensor)

    def has_uncopied(self) -> bool:
        """Whether some tensor's memory is not copied yet."""
        return self._contents.has_uncopied()

    def differences(self) -> Iterator[Difference]:
        """The parts that are no longer as they were."""
        for check in self._checks:
            yield from check()
        for content in self._contents.changed():
            name = content.names[0]
            yield Difference(name, self._kinds[name], content.put_back)

    # what is held

    def _hold_modules(self, name: str, model: nn.Module) -> None:
        for inner, module in model.named_modules():
            if id(module) not in self._seen:
                self._seen[id(module)] = module
                self._hold_module(f"{name}.{inner}" if inner else name, module)

    def _hold_module(self, name: str, module: nn.Module) -> None:
        self._hold_slots(name, module._buffers, "buffer")
        self._hold_set(f"{name}._non_persistent_buffers_set", module._non_persistent_buffers_set)
        if not self._buffers_only:
            self._hold_slots(name, module._parameters, "parameter")
            self._hold_slots(name, module._modules, "module")
            self._hold_hooks(name, vars(module))
            self._hold_fields(name, vars(module), _INTERNAL)

    def _hold_slots(self, name: str, slots: dict[str, Any], kind: Kind) -> None:
        """Hold a module's buffers, parameters or inner modules."""
        held = dict(slots)
        # all at once, since their order is that of state dicts
        put_back = functools.partial(_refill, slots, held)
        self._checks.append(lambda: _replaced(name, slots, held, kind, lambda _: put_back))
        for key, value in held.items():
            if isinstance(value, Tensor):
                self._hold_tensor(f"{name}.{key}", value, kind)

    def _hold_hooks(self, name: str, fields: dict[str, Any]) -> None:
        """Hold which hooks a module has."""
        hooks = {key: fields[key] for key in _HOOKS if key in fields}
        held = {key: dict(own) for key, own in hooks.items()}

        def check() -> Iterator[Difference]:
            for key, own in hooks.items():
                if own != held[key]:
                    yield Difference(f"{name}.{key}", "attribute", functools.partial(_refill, own, held[key]))

        self._checks.append(check)

    def _hold_fields(
        self, name: str, fields: MutableMapping[str, Any], without: frozenset[str] = frozenset()
    ) -> None:
        """Hold an object's attributes, and what they contain."""
        held = {key: value for key, value in fields.items() if key not in without}

        def put_back(key: str) -> Callable[[], object]:
            if key in held:
                return lambda: fields.update({key: held[key]})
            return lambda: fields.pop(key)

        def check() -> Iterator[Difference]:
            now = {key: value for key, value in fields.items() if key not in without}
            return _replaced(name, now, held, "attribute", put_back)

        self._checks.append(check)
        for key, value in held.items():
            self._hold_value(f"{name}.{key}", value)

    def _hold_value(self, name: str, value: Any) -> None:
        """Hold what a value contains, where it can change without being replaced."""
        if isinstance(value, ATOMS) or id(value) in self._seen or len(self._seen) >= _MOST:
            return
        if isinstance(value, Tensor):
            self._hold_tensor(name, value, "attribute")
        elif isinstance(value, nn.Module):
            self._hold_modules(name, value)
        else:
            self._seen[id(value)] = value
            self._hold_contents(name, value)

    def _hold_contents(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "fiubc" and value.flags.writeable and value.dtype.isnative:
                self._hold_tensor(name, torch.from_numpy(value), "attribute")
        elif (state := generator_state(value)) is not None:
            self._checks.append(lambda: _drawn(name, value, state))
        elif type(value) in _DICTS:
            self._hold_items(name, value, dict(value))
        elif type(value) in _LISTS:
            self._hold_items(name, value, list(value))
        elif type(value) is tuple:
            for number, item in enumerate(value):
                self._hold_value(f"{name}[{number}]", item)
        elif type(value) is set:
            self._hold_set(name, value)
        elif is_of_users_class(value):
            if hasattr(value, "__dict__"):
                self._hold_fields(name, vars(value))
            if has_slots(value):
                self._hold_fields(name, Slots(value))

    def _hold_items(self, name: str, container: Any, held: Any) -> None:
        """Hold a dict, list or deque; it is filled anew, so that it stays the same object."""
        items = _items(held)

        def check() -> Iterator[Difference]:
            now = _items(container)
            if len(now) != len(items) or any(a is not b for a, b in zip(now, items, strict=True)):
                same = are_equal(now, items)
                yield Difference(name, "attribute", functools.partial(_refill, container, held), is_equal=same)

        self._checks.append(check)
        for key, item in held.items() if isinstance(held, dict) else enumerate(held):
            self._hold_value(f"{name}[{key!r}]", item)

    def _hold_set(self, name: str, members: set[Any]) -> None:
        held = set(members)

        def check() -> Iterator[Difference]:
            if members != held:
                yield Difference(name, "attribute", functools.partial(_refill, members, held))

        self._checks.append(check)

    def _hold_tensor(self, name: str, tensor: Tensor, kind: Kind) -> None:
        self._kinds[name] = kind
        if id(tensor) in self._seen:
            return
        self._seen[id(tensor)] = tensor
        self._contents.add(name, tensor, lambda size: self._is_copied(name, kind, size))
        alias, needs_grad = tensor.data, tensor.requires_grad

        def put_back() -> None:
            tensor.data = alias

        def check() -> Iterator[Difference]:
            if _layout(tensor) != _layout(alias):
                yield Difference(name, kind, put_back, is_equal=are_equal(alias, tensor.data))
            if tensor.is_leaf and tensor.requires_grad != needs_grad:
                yield Difference(name, kind, lambda: tensor.requires_grad_(needs_grad))

        self._checks.append(check)

    def _is_copied(self, name: str, kind: Kind, size: int) -> bool:
        """Whether a tensor's memory is copied whole."""
        if size <= _WHOLE[kind] or name in self._known:
            return True
        if kind == "parameter" or size > self._room:
            return False
        self._room -= size
        return True


def _replaced(
    name: str,
    now: dict[str, Any],
    held: dict[str, Any],
    kind: Kind,
    put_back: Callable[[str], Callable[[], object]],
) -> Iterator[Difference]:
    """The keys that were added, taken away or given another value."""
    for key in dict.fromkeys([*held, *now]):
        before, after = held.get(key, _replaced), now.get(key, _replaced)  # a value that nobody has: none
        if before is not after:
            same = are_equal(before, after)
            yield Difference(f"{name}.{key}", kind, put_back(key), is_new=before is _replaced, is_equal=same)


def _drawn(name: str, generator: Any, before: GeneratorState) -> Iterator[Difference]:
    """Whether random numbers were drawn from a generator."""
    now = generator_state(generator)
    if now is None or now.text != before.text:
        yield Difference(name, "generator", before.put_back)


def _items(container: Any) -> list[Any]:
    """Keys and values of a dict in order, or the items of a list."""
    if isinstance(container, dict):
        return [*container.keys(), *container.values()]
    return list(container)


def _refill(container: Any, held: Any) -> None:
    container.clear()
    (container.extend if isinstance(container, _LISTS) else container.update)(held)


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    """Memory, shape and strides of a tensor, its type and device."""
    own = (tensor.shape, tensor.dtype, tensor.device, tensor.layout)
    try:
        return *own, tensor.stride(), tensor.storage_offset(), tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # sparse tensors, and subclasses that wrap other tensors
        return own
