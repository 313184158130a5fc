"""A glance at a model that leaves no trace: modes, random numbers, gradients, autocast and hooks as they were."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ConfigError

Autocast = torch.dtype | Callable[[], AbstractContextManager[object]] | None
"""A type to compute in, a maker of contexts, or None for whatever is in force."""
_DEVICES = ("cpu", "cuda")


@contextlib.contextmanager
def isolated(model: nn.Module) -> Iterator[None]:
    """Eval mode, without gradients or compiled code, and everything back as it was.

    Not in inference mode, though the user be in it: what a model keeps of that for later no gradient passes.

    Modes are set on each module by itself, not through ``eval()``: modules that a user froze in eval mode stay so,
    and a ``train()`` of the user's own is not called.
    """
    training = [(module, module.training) for module in model.modules()]
    with _random_kept(), torch.inference_mode(mode=False), torch.no_grad(), _eagerly():
        try:
            for module, _ in training:
                module.training = False
            yield
        finally:
            for module, was in training:
                module.training = was
            _reshard(model)


def _reshard(model: nn.Module) -> None:
    """Fully sharded models keep the root whole after a forward, for a backward that here does not come."""
    for module in model.modules():
        if any(cls.__name__ == "FSDPModule" for cls in type(module).__mro__):
            module.reshard()  # type: ignore[operator]


@contextlib.contextmanager
def _random_kept() -> Iterator[None]:
    """The random numbers of torch on all its devices, of NumPy and of Python go on where they were."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)


@contextlib.contextmanager
def _eagerly() -> Iterator[None]:
    """Compiled modules run as they were written, so that hooks are called and nothing is compiled anew."""
    if "torch._dynamo" not in sys.modules:  # loading it would take seconds, and nothing can be compiled yet
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextlib.contextmanager
def computing_in(autocast: Autocast, device: torch.device) -> Iterator[None]:
    """The precision of the user's training: the one that is asked for, or that in force here.

    Casts of weights that autocast keeps must not come from here: they carry no gradient, and the training's own
    forward would take them up.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(autocast, torch.dtype):
            stack.enter_context(torch.autocast(device.type, dtype=autocast))
        elif autocast is not None:
            stack.enter_context(autocast())
        for kind in _DEVICES:
            if torch.is_autocast_enabled(kind):
                dtype = torch.get_autocast_dtype(kind)
                stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
        yield


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """No autocast: features are measured as they are."""
    with contextlib.ExitStack() as stack:
        for kind in _DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def hooked(handles: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    """Hooks that are gone afterwards, also where the model raised."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Buffers:
    """Finds buffers that a model changes even in eval mode, and puts them back.

    The first look copies all buffers; later ones only those that were seen to change, usually none.
    """

    def __init__(self) -> None:
        self._changing: set[str] | None = None

    @contextlib.contextmanager
    def kept(self, model: nn.Module) -> Iterator[None]:
        """Whatever changes inside is undone."""
        before = {
            name: (buffer, _version(buffer), buffer.detach().clone())
            for name, buffer in model.named_buffers()
            if self._changing is None or name in self._changing
        }
        try:
            yield
        finally:
            now = dict(model.named_buffers())
            changed = {n for n, (b, version, _) in before.items() if _version(b) != version or now.get(n) is not b}
            with torch.no_grad():
                for name in changed:
                    buffer, version, copy = before[name]
                    if _version(buffer) != version:
                        buffer.copy_(copy)
                    owner, _, last = name.rpartition(".")
                    model.get_submodule(owner)._buffers[last] = buffer
            self._changing = changed | (self._changing or set())


def _version(buffer: Tensor) -> int:
    """Counts the changes in place; of tensors made in inference mode, which nothing here can change, none."""
    return 0 if buffer.is_inference() else buffer._version


def inner_model(model: nn.Module) -> nn.Module:
    """The user's own module: without the wrappers of torch.compile, DataParallel and DistributedDataParallel.

    Raises:
        ConfigError: it is no module, or one that hooks cannot look into.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; allowed: a torch.nn.Module")
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(model, wrappers) or hasattr(model, "_orig_mod"):
        inner = model.module if isinstance(model, wrappers) else model._orig_mod
        assert isinstance(inner, nn.Module)
        model = inner
    scripted = [name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        raise ConfigError(
            f"{repr(scripted[0]) if scripted[0] else 'model'} is a TorchScript module, whose inner modules call "
            f"no hooks; give the module it was made from"
        )
    lazy = [name for name, p in model.named_parameters() if torch.nn.parameter.is_lazy(p)]
    if lazy:
        raise ConfigError(
            f"the parameter {lazy[0]!r} has no shape yet (a lazy module); run one batch through the model first"
        )
    return model


def is_sharded(model: nn.Module) -> bool:
    """Whether its parameters are spread over processes (either kind of FSDP): all must then compute together.

    Raises:
        ConfigError: they are spread in another way, by tensor parallelism.
    """
    if not torch.distributed.is_available():
        return False
    names = {cls.__name__ for module in model.modules() for cls in type(module).__mro__}
    if {"FullyShardedDataParallel", "FSDPModule"} & names:
        return True
    spread = [name for name, p in model.named_parameters() if type(p.data).__name__ == "DTensor"]
    if spread:
        raise ConfigError(
            f"the parameter {spread[0]!r} is spread over processes by tensor parallelism, which the probe does "
            f"not follow; probe a copy of the model on one process"
        )
    return False


def home_of(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where its first parameter lives, and as what; the processor, in single precision, where it has none."""
    first: Tensor | None = next((p for p in model.parameters() if p.is_floating_point()), None)
    return (torch.device("cpu"), torch.float32) if first is None else (first.device, first.dtype)
