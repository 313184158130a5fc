"""Layer health that is read off the activations of a measurement's own forward passes: dead, saturated, scale.

The features of the load curve are one vector a sample; a unit that is dead, or an activation that is saturated,
shows before that reduction alone. So each chunk's activations are seen here as the model makes them, and only each
unit's smallest and largest one, a length and a count are kept. Padding is left out.

Shape legend: n samples of a chunk, T tokens, D units (channels, features).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..measures.dead import dead_fraction
from ..measures.registry import DEAD, SATURATED, SCALE
from ..measures.saturated import Ends, ends_of
from ..measures.scale import length, root_mean_square
from .layers import Point
from .reductions import Rows
from .trace import Call, Trace

_POOLING = re.compile(r"Max.*Pool")
"""Pooling that hands on activations as they are."""
TAKEN = (DEAD, SATURATED, SCALE)
"""The measures that are taken here."""


@dataclass(frozen=True)
class _Part:
    """What is kept of one chunk's activations of a point; tensors on the device of the activations."""

    low_D: Tensor | None
    high_D: Tensor | None
    length: Tensor | None
    saturated: Tensor | None
    count: int


class Activations:
    """The activations of all points in one measurement.

    Args:
        points: the points of the load curve.
        ends: where each point's activations saturate, or None.
        wanted: names of measures; those of ``TAKEN`` are taken.
    """

    def __init__(self, points: Sequence[Point], ends: Sequence[Ends | None], wanted: Sequence[str]) -> None:
        self._points, self._ends = points, ends
        self._wanted = tuple(name for name in wanted if name in TAKEN)
        self._parts: list[dict[int, _Part]] = [{} for _ in points]

    def see(self, index: int, start: int, x: Tensor, rows: Rows) -> None:
        """Take in a chunk's activations of a point; those of the same chunk that were seen before are forgotten.

        Args:
            index: number of the point.
            start: first sample of the chunk.
            x: activations, [n, …] with samples first.
            rows: the chunk's mask.
        """
        point, ends = self._points[index], self._ends[index]
        x, axis = _real(x.detach(), _units_axis(point, x), rows)
        low = high = None
        if DEAD in self._wanted and is_layer(self._points, index) and x.numel():
            others = [dim for dim in range(x.ndim) if dim != axis]
            low, high = x.amin(others), x.amax(others)
        self._parts[index][start] = _Part(
            low,
            high,
            length(x) if SCALE in self._wanted else None,
            ends.count(x) if ends is not None and SATURATED in self._wanted else None,
            x.numel(),
        )

    def values(self) -> dict[str, list[float]]:
        """One value a point of each wanted measure; NaN where it is unknown or means nothing."""
        of = {DEAD: _dead, SATURATED: _saturated, SCALE: _scale}
        return {name: [of[name](list(parts.values())) for parts in self._parts] for name in self._wanted}


def _dead(parts: list[_Part]) -> float:
    lows = [part.low_D for part in parts if part.low_D is not None]
    highs = [part.high_D for part in parts if part.high_D is not None]
    if not lows or len({len(low) for low in lows}) > 1:  # units that differ between chunks are none
        return math.nan
    return dead_fraction(torch.stack(lows).amin(0).float(), torch.stack(highs).amax(0).float())


def _saturated(parts: list[_Part]) -> float:
    counts = [int(part.saturated) for part in parts if part.saturated is not None]
    total = sum(part.count for part in parts)
    return sum(counts) / total if counts and total else math.nan


def _scale(parts: list[_Part]) -> float:
    lengths = [float(part.length) for part in parts if part.length is not None]
    return root_mean_square(lengths, sum(part.count for part in parts))


def is_layer(points: Sequence[Point], index: int) -> bool:
    """Whether a point is of a layer: neither the input, whose constant numbers are no fault, nor the logits."""
    return index > 0 and not points[index].logits


def _units_axis(point: Point, x: Tensor) -> int:
    """The dimension of the units, of activations with samples first."""
    return x.ndim - 1 if point.features_last or x.ndim < 3 else 1


def _real(x: Tensor, axis: int, rows: Rows) -> tuple[Tensor, int]:
    """Activations without padding, and the dimension of their units."""
    if x.is_nested:
        x = torch.cat([part.reshape(-1, part.shape[-1]) for part in x.unbind()])
        return x, 1
    mask = rows.mask_nT
    if mask is not None and x.ndim > 2 and axis == x.ndim - 1 and mask.shape == x.shape[:2]:
        return x[mask].flatten(0, -2), 1
    return (x[:, None], 1) if x.ndim == 1 else (x, axis)


def all_ends(points: Sequence[Point], traced: Trace) -> list[Ends | None]:
    """Where each point's activations saturate, by the function that made them; None where they have no bounds.

    That is the point's own module; or the last module in a block that hands on its output unchanged, and the
    activation that a maximum pooling follows.
    """
    calls = {(call.module, call.number): at for at, call in enumerate(traced.calls)}
    found: list[Ends | None] = []
    for index, point in enumerate(points):
        at = calls.get((point.module, point.number)) if point.module is not None else None
        found.append(_ends(traced.calls, at) if is_layer(points, index) and at is not None else None)
    return found


def _ends(calls: list[Call], at: int) -> Ends | None:
    """The ends of a call's output; calls are in the order in which they end."""
    call = calls[at]
    if (ends := ends_of(call.module)) is not None or at == 0 or calls[at - 1].output is None:
        return ends
    before = calls[at - 1].output  # references to one tensor are one object, also once it is gone
    handed_on = before is call.output if call.inner else _POOLING.search(call.kind) and before is call.input
    return _ends(calls, at - 1) if handed_on else None
