"""How many samples go through a model at once, so that its forward pass fits into the memory that it may take."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

_MOST = 1024
"""Most samples at once; more make no forward pass faster."""
UNKNOWN = 128
"""Samples at once where the memory of a pass is not known."""
_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "DefaultCPUAllocator",
    "ALLOC_FAILED",
)
"""Words of the RuntimeErrors that PyTorch raises where memory runs out."""


def amount(size: int) -> str:
    """A number of bytes in the largest unit of which there is one: ``640 bytes``, ``1.5 KiB``, ``2.0 MiB``."""
    if size < 2**10:
        return f"{size} bytes"
    unit, power = next(((u, p) for u, p in (("GiB", 30), ("MiB", 20)) if size >= 2**p), ("KiB", 10))
    return f"{size / 2**power:.1f} {unit}"


def samples_at_once(bytes_a_sample: float, memory: int, model: nn.Module) -> int:
    """Samples whose forward pass fits into memory; at least 1.

    Args:
        bytes_a_sample: most memory in use at once in a forward pass, by sample; 0 where it is not known.
        memory: bytes that a pass may take. Of a large model it may take more, a quarter of its trainable
            parameters: in a training step their gradients take four times as much.
        model: the inner model.
    """
    if not bytes_a_sample:
        return UNKNOWN
    trainable = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return max(1, min(_MOST, int(max(memory, trainable // 4) / bytes_a_sample)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it was raised from, says that memory ran out on the CPU or a device."""
    return any(
        isinstance(one, MemoryError | torch.OutOfMemoryError)
        or (isinstance(one, RuntimeError) and any(words in str(one) for words in _WORDS))
        for one in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
