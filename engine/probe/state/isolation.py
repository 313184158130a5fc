"""Contexts that run a model and then restore modes, random number generators, autocast, gradients and hooks."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Literal

import numpy as np
import torch
from torch import nn

from ...errors import ConfigError

Autocast = torch.dtype | Callable[[], AbstractContextManager[object]] | None
"""A dtype to compute in, a function that returns a context manager, or None for the autocast in force."""
Gradients = Literal["none", "inputs", "all"]
"""What gradients can be taken of within a forward pass: nothing, what enters the model, or parameters too."""
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

    Raises:
        ConfigError: the function ``autocast`` returns no context manager.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(autocast, torch.dtype):
            stack.enter_context(torch.autocast(device.type, dtype=autocast))
        elif autocast is not None:
            context = autocast()
            if not isinstance(context, AbstractContextManager):
                raise ConfigError(
                    f"autocast returned a {type(context).__name__}; allowed: a dtype, as torch.bfloat16, or a "
                    f"function that returns a context, as fabric.autocast"
                )
            stack.enter_context(context)
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


@contextlib.contextmanager
def taking_gradients(model: nn.Module, of: Gradients) -> Iterator[None]:
    """Let the model take gradients within its forward pass, and leave none behind.

    The parameters' own gradients are set aside, so that a ``backward`` within adds nothing to them. Where
    gradients of the inputs suffice, parameters need none: no hook of theirs is called, no graph leads to them.
    """
    if of == "none":
        yield
        return
    held = [(p, p.grad, p.requires_grad) for p in model.parameters() if p.is_leaf]
    try:
        for parameter, _, needs_grad in held:
            parameter.grad = None
            if of == "inputs" and needs_grad:
                parameter.requires_grad_(False)
        with torch.enable_grad():
            yield
    finally:
        for parameter, grad, needs_grad in held:
            parameter.requires_grad_(needs_grad)
            parameter.grad = grad
