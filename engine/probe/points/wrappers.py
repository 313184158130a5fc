"""The user's module inside wrappers, whether it is sharded, its device, and the rank of this process."""

from __future__ import annotations

import itertools
import os

import torch
from torch import nn

from ...errors import ConfigError

_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
"""Classes that only call the module they hold, and the name under which they hold it."""
_FABRIC = "_FabricModule"
"""Lightning Fabric's wrapper, which holds the user's module once plainly and once as its strategy calls it."""


def inner_model(model: nn.Module) -> nn.Module:
    """The user's module inside the wrappers of torch.compile, DataParallel, DistributedDataParallel and Fabric.

    Wrappers are told by their class: one of the user's may forward unknown attributes to what it holds.

    Raises:
        ConfigError: ``model`` is no module, is TorchScript, or has parameters without a shape.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; allowed: a torch.nn.Module")
    while (inner := _wrapped(model)) is not None:
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


def _wrapped(model: nn.Module) -> nn.Module | None:
    """The module that a wrapper holds; None where the model is no wrapper."""
    for cls in type(model).__mro__:
        package = cls.__module__.partition(".")[0]
        if package == "torch" and cls.__name__ in _WRAPPERS:
            return dict(model.named_children())[_WRAPPERS[cls.__name__]]
        if package in {"lightning", "lightning_fabric"} and cls.__name__ == _FABRIC:
            inner: nn.Module = model.module  # type: ignore[assignment]
            return inner
    return None


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
    """Device of the first parameter or buffer, and dtype of the first floating-point parameter.

    Where there is none, CPU and float32.
    """
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    real = next((p for p in model.parameters() if p.is_floating_point()), None)
    device = torch.device("cpu") if first is None else (first if real is None else real).device
    return device, torch.float32 if real is None else real.dtype


def rank() -> int:
    """Rank of this process in distributed training; 0 without it.

    Before the process group is made, the variables of torchrun and other launchers tell it. RANK alone, without a
    WORLD_SIZE above 1, is none of theirs: a scheduler's or an earlier script's.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    named, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    return int(named) if named.isdigit() and size.isdigit() and int(size) > 1 else 0
