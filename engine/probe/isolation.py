"""Contexts that run a model and then restore modes, random number generators, buffers, autocast and hooks."""

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
"""A dtype to compute in, a function that returns a context manager, or None for the autocast in force."""
_DEVICES = ("cpu", "cuda")


@contextlib.contextmanager
def isolated(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode, without gradients or compiled code, and restore its state afterwards.

    Inference mode is switched off even where the user has it on: tensors that a model caches in it would later
    block gradients. Modes are set module by module, not through ``eval()``, so that modules frozen in eval mode
    stay frozen and a user's own ``train()`` is not called.
    """
    training = [(module, module.training) for module in model.modules()]
    with random_kept(), torch.inference_mode(mode=False), torch.no_grad(), _eagerly():
        try:
            for module, _ in training:
                module.training = False
            yield
        finally:
            for module, was in training:
                module.training = was
            _reshard(model)


def _reshard(model: nn.Module) -> None:
    """Reshard fully sharded models: their root stays unsharded until a backward, which does not follow here."""
    for module in model.modules():
        if any(cls.__name__ == "FSDPModule" for cls in type(module).__mro__):
            module.reshard()  # type: ignore[operator]


@contextlib.contextmanager
def random_kept() -> Iterator[None]:
    """Restore the random number generators of torch on all devices, of NumPy and of Python."""
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
    """Run compiled modules uncompiled, so that hooks are called and nothing is recompiled."""
    if "torch._dynamo" not in sys.modules:  # not imported, so nothing is compiled; importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextlib.contextmanager
def computing_in(autocast: Autocast, device: torch.device) -> Iterator[None]:
    """Compute under the given autocast, or the one in force, without its cache of cast weights.

    Weights cast here have no gradient; cached, the training's next forward would use them.
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
    """Switch autocast off, so that features are measured in their own precision."""
    with contextlib.ExitStack() as stack:
        for kind in _DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def hooked(handles: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    """Remove the hooks on exit, also after an exception."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Buffers:
    """Restores buffers that a model changes even in eval mode.

    The first use copies all buffers; later ones copy those that have changed before, usually none.
    """

    def __init__(self) -> None:
        self._changing: set[str] | None = None

    @contextlib.contextmanager
    def kept(self, model: nn.Module) -> Iterator[None]:
        """Restore the model's changed buffers on exit."""
        before = {
            name: (buffer, _change_count(buffer), buffer.detach().clone())
            for name, buffer in model.named_buffers()
            if self._changing is None or name in self._changing
        }
        try:
            yield
        finally:
            now = dict(model.named_buffers())
            changed = {
                n for n, (b, version, _) in before.items() if _change_count(b) != version or now.get(n) is not b
            }
            with torch.no_grad():
                for name in changed:
                    buffer, version, copy = before[name]
                    if _change_count(buffer) != version:
                        buffer.copy_(copy)
                    owner, _, last = name.rpartition(".")
                    model.get_submodule(owner)._buffers[last] = buffer
            self._changing = changed | (self._changing or set())


def _change_count(buffer: Tensor) -> int:
    """Number of in-place changes of a buffer; 0 for inference tensors, which cannot change here."""
    return 0 if buffer.is_inference() else buffer._version


def inner_model(model: nn.Module) -> nn.Module:
    """The user's module inside the wrappers of torch.compile, DataParallel and DistributedDataParallel.

    Raises:
        ConfigError: ``model`` is no module, is TorchScript, or has parameters without a shape.
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
    """Whether FSDP, of either version, shards the parameters; then all processes must run the model together.

    Raises:
        ConfigError: the parameters are split by tensor parallelism.
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
    """Device and dtype of the first floating-point parameter; CPU and float32 where there is none."""
    first: Tensor | None = next((p for p in model.parameters() if p.is_floating_point()), None)
    return (torch.device("cpu"), torch.float32) if first is None else (first.device, first.dtype)
