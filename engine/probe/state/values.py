"""Values that a model keeps in plain attributes: whether two are equal, and the states of generators."""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

ATOMS = (int, float, complex, bool, str, bytes, type(None), torch.dtype, torch.device, np.generic)
"""Types of values that cannot change without being replaced."""


class GeneratorState(NamedTuple):
    """State of a random number generator."""

    text: bytes
    """The state as bytes, to be compared."""
    put_back: Callable[[], object]


def generator_state(value: Any) -> GeneratorState | None:
    """The state of a generator of torch, NumPy or Python; None where the value is none."""
    if isinstance(value, torch.Generator):
        tensor = value.get_state()
        return GeneratorState(tensor.cpu().numpy().tobytes(), lambda: value.set_state(tensor))
    if isinstance(value, np.random.Generator):
        return generator_state(value.bit_generator)
    if isinstance(value, np.random.BitGenerator):
        bits = value.state

        def put_back() -> None:
            value.state = bits

        return GeneratorState(_bytes_of(bits), put_back)
    if isinstance(value, np.random.RandomState):
        legacy = value.get_state()
        return GeneratorState(_bytes_of(legacy), lambda: value.set_state(legacy))
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        state = value.getstate()
        return GeneratorState(_bytes_of(state), lambda: value.setstate(state))
    return None


def _bytes_of(state: Any) -> bytes:
    """A generator's state, of nested mappings, tuples, arrays and numbers, as bytes to be compared."""
    if isinstance(state, np.ndarray):
        return f"{state.dtype.str}{state.shape}".encode() + state.tobytes()
    if isinstance(state, dict):
        return b"".join(_bytes_of(part) for item in state.items() for part in item)
    if isinstance(state, tuple) and any(isinstance(part, np.ndarray) for part in state):
        return b"".join(map(_bytes_of, state))
    return repr(state).encode()


def are_equal(a: Any, b: Any) -> bool:
    """Whether two values are the same object, or are of the same type and equal; tensors and floats bit by bit."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, ATOMS):
        return bool(a == b) or (a != a and b != b)
    if isinstance(a, Tensor):
        return _have_same_bits(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(are_equal, a, b))
    if type(a) is dict:
        return list(a) == list(b) and all(are_equal(a[key], b[key]) for key in a)
    return False


def _have_same_bits(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    try:
        first, second = (t.detach().reshape(-1).contiguous().view(torch.uint8) for t in (a, b))
        return torch.equal(first, second)
    except (NotImplementedError, RuntimeError):  # layouts without bytes of their own, as sparse tensors
        return False


class Slots(MutableMapping[str, Any]):
    """What an object holds in the ``__slots__`` of its classes, by name.

    Of two classes with one name the most derived counts. Written past the class's own ``__setattr__``, so that
    objects of frozen classes can be put back too.
    """

    def __init__(self, value: object) -> None:
        self._value = value
        self._slots: dict[str, types.MemberDescriptorType] = {}
        for cls in type(value).__mro__:
            for name, slot in vars(cls).items() if "__slots__" in vars(cls) else ():
                if isinstance(slot, types.MemberDescriptorType):
                    self._slots.setdefault(name, slot)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._slots[name].__get__(self._value)
        except AttributeError:  # it has no value
            raise KeyError(name) from None

    def __setitem__(self, name: str, held: Any) -> None:
        self._slots[name].__set__(self._value, held)

    def __delitem__(self, name: str) -> None:
        self._slots[name].__delete__(self._value)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._slots if name in self)

    def __contains__(self, name: object) -> bool:
        try:
            self[name]  # type: ignore[index]
        except KeyError:
            return False
        return True

    def __len__(self) -> int:
        return sum(1 for _ in self)


def has_slots(value: object) -> bool:
    """Whether a class of an object has ``__slots__``."""
    return any("__slots__" in vars(cls) for cls in type(value).__mro__)


def is_of_users_class(value: Any) -> bool:
    """Whether an object is of a class that the user wrote: of no installed package, not Python's, not ours."""
    if not (hasattr(value, "__dict__") or has_slots(value)) or callable(value) or isinstance(value, type(sys)):
        return False
    package = type(value).__module__.partition(".")[0]
    if package in sys.stdlib_module_names - {"__main__"} or package == __name__.partition(".")[0]:
        return False
    file = getattr(sys.modules.get(package), "__file__", None)
    return not ({"site-packages", "dist-packages"} & set(Path(file or "").parts))
