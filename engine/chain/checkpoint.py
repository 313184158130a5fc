"""Checkpoints of a chain, as safetensors: positions, velocities and generators; it continues bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import RunDirectoryError
from ..runs.records import Count
from .base import ChainBase
from .mean_field import MeanField

_HEADER_LIMIT = 1 << 20


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint holds besides arrays."""

    steps: Count
    """Steps done."""
    moves: Count
    """Changes of live settings that are in force, counted from the first."""
    seconds: float
    """Time that all workers of the run have spent on it, pauses left out."""
    settings: dict[str, Any]
    """The live settings in force."""
    began: Count = 0
    """Step at which the present pull began."""


def write_state(chain: ChainBase, theory: MeanField | None, progress: Progress) -> bytes:
    """The bytes of a checkpoint: the chain's arrays, the mean field's [L + 2] where there is one, the progress."""
    arrays = {f"chain.{name}": np.ascontiguousarray(array) for name, array in chain.arrays().items()}
    if theory is not None:
        arrays["theory.x"] = theory.padded
    return save(arrays, {"progress": msgspec.json.encode(progress).decode()})


def read_state(data: bytes, chain: ChainBase, theory: MeanField | None) -> Progress:
    """Restore a chain, and its mean field, from a checkpoint, and return its progress.

    Raises:
        RunDirectoryError: it is damaged, or of another chain.
    """
    try:
        arrays, progress = load(data), _progress(data)
        _fill(chain.arrays(), {name.removeprefix("chain."): array for name, array in arrays.items()})
        chain.arrays_changed()
        if theory is not None:
            _fill({"x": theory.padded}, {"x": arrays["theory.x"]})
            theory.steps, theory.began = progress.steps, progress.began
    except (SafetensorError, KeyError, ValueError, TypeError, msgspec.MsgspecError) as error:
        raise RunDirectoryError(
            f"the checkpoint is damaged or of another chain: {error}; remove checkpoint.safetensors, "
            f"and the chain is pulled again from its beginning, with the same result"
        ) from error
    chain.steps, chain.began = progress.steps, progress.began
    return progress


def _fill(into: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]) -> None:
    for name, array in into.items():
        if found[name].shape != array.shape or found[name].dtype != array.dtype:
            raise ValueError(f"{name} has shape {found[name].shape}, not {array.shape}, or another type")
        array[...] = found[name]


def _progress(data: bytes) -> Progress:
    size = int.from_bytes(data[:8], "little")
    if size > _HEADER_LIMIT:
        raise ValueError(f"its header has {size} bytes")
    header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, dict[str, Any]])
    return msgspec.json.decode(header["__metadata__"]["progress"], type=Progress)
