"""Layer health of a measurement's own forward passes: dead units, saturated activations, scale, effective rank.

The features of the load curve are one vector a sample; a unit that is dead, or an activation that is saturated,
shows before that reduction alone. So each chunk's activations are seen here as the model makes them, and only each
unit's smallest and largest one, a length and a count are kept. Padding is left out. The effective rank is that of
the features themselves.

Shape legend: n samples of a chunk, T tokens, M samples that are measured, D units (channels, features).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..measures.dead import dead_fraction
from ..measures.effective_rank import effective_rank
from ..measures.registry import DEAD, EFFECTIVE_RANK, HEALTH, SATURATED, SCALE
from ..measures.saturated import Ends, ends_of
from ..measures.scale import length, root_mean_square
from ..measures.separation_wide import GramSeparation
from .points.layers import Point
from .points.reductions import Rows
from .points.trace import Call, Trace

_POOLING = re.compile(r"Max.*Pool")
"""Pooling that hands on activations as they are."""
_TAKEN = (DEAD, SATURATED, SCALE, EFFECTIVE_RANK)


@dataclass(frozen=True)
class _Part:
    """What is kept of one chunk's activations of a point; tensors on the device of the activations."""

    low_D: Tensor | None
    high_D: Tensor | None
    length: Tensor | None
    saturated: Tensor | None
    count: int


class Activations:
    """What activations and features tell of the layers' health in one measurement after the other.

    Args:
        points: the points of all towers.
        ends: where each point's activations saturate, or None.
        wanted: names of measures; those of activations and features are taken.
    """

    def __init__(self, points: Sequence[Point], ends: Sequence[Ends | None], wanted: Sequence[str]) -> None:
        self._points, self._ends = points, ends
        self._wanted = tuple(name for name in HEALTH if name in wanted and name in _TAKEN)
        self.begin()

    def begin(self) -> None:
        """Forget the last measurement."""
        self._parts: list[dict[int, _Part]] = [{} for _ in self._points]
        self._ranks: dict[int, float] = {}

    def see(self, index: int, start: int, x: Tensor, rows: Rows) -> None:
        """Take in a chunk's activations of a point; those that an earlier, broken pass has shown are forgotten.

        Args:
            index: number of the point.
            start: first sample of the chunk.
            x: activations, [n, …] with samples first.
            rows: the chunk's mask.
        """
        if set(self._wanted) == {EFFECTIVE_RANK}:
            return
        point, ends = self._points[index], self._ends[index]
        x, axis = _real(x.detach(), _units_axis(point, x), rows)
        low = high = None
        if DEAD in self._wanted and is_layer(point) and x.numel():
            others = [dim for dim in range(x.ndim) if dim != axis]
            low, high = x.amin(others), x.amax(others)
        if start == 0:  # a pass that begins anew, as in smaller chunks where memory ran out
            self._parts[index].clear()
        self._parts[index][start] = _Part(
            low,
            high,
            length(x) if SCALE in self._wanted else None,
            ends.count(x) if ends is not None and SATURATED in self._wanted else None,
            x.numel(),
        )

    def take_features(self, index: int, x_MD: Tensor) -> None:
        """Take in a point's features of all samples, [M, D]."""
        if EFFECTIVE_RANK in self._wanted:
            self._ranks[index] = effective_rank(x_MD)

    def take_gram(self, index: int, gram: GramSeparation) -> None:
        """Take in the Gram matrix of a point's features, where these are too wide to be kept whole."""
        if EFFECTIVE_RANK in self._wanted:
            self._ranks[index] = gram.effective_rank()

    def values(self, chain: Sequence[int]) -> dict[str, list[float]]:
        """One value a point of each wanted measure; NaN where it is unknown or means nothing.

        Args:
            chain: numbers of the points.
        """
        of = {DEAD: _dead, SATURATED: _saturated, SCALE: _scale}
        return {
            name: [self._ranks.get(i, math.nan) for i in chain]
            if name == EFFECTIVE_RANK
            else [of[name](list(self._parts[i].values())) for i in chain]
            for name in self._wanted
        }


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


def is_layer(point: Point) -> bool:
    """Whether a point is of a layer: neither the input, whose constant numbers are no fault, nor the logits."""
    return point.role not in {"input", "logits"}


def _units_axis(point: Point, x: Tensor) -> int | None:
    """The dimension of the units, of ``axes.canonical`` activations; None where every number is a unit."""
    if x.ndim < 3:
        return x.ndim - 1
    if point.features_axis is None:
        return None
    if point.reduction != "flatten":
        return 1 if point.reduction == "spatial_mean" else x.ndim - 1
    samples, features = point.samples_axis, point.features_axis
    if point.rows > 1:
        features += features > samples
        samples += point.interleaved
    return features + (features < samples)


def _real(x: Tensor, axis: int | None, rows: Rows) -> tuple[Tensor, int]:
    """Activations without padding, and the dimension of their units."""
    if x.is_nested:
        x = torch.cat([part.reshape(-1, part.shape[-1]) for part in x.unbind()])
        return x, 1
    if axis is None or x.ndim < 2:
        return (x.flatten(1) if x.ndim > 1 else x[:, None]), 1
    mask = rows.mask_nT
    if mask is not None and x.ndim > 2 and axis == x.ndim - 1 and mask.shape == x.shape[:2]:
        return x[mask].flatten(0, -2), 1
    return x, axis


def all_ends(points: Sequence[Point], traced: Trace) -> list[Ends | None]:
    """Where each point's activations saturate, by the function that made them; None where they have no bounds.

    That is the point's own module; or the last module in a block that hands on its output unchanged, and the
    activation that a maximum pooling follows.
    """
    calls = {(call.module, call.number): call for call in traced.calls}
    found: list[Ends | None] = []
    for point in points:
        call = calls.get((point.module, point.number)) if point.module is not None else None
        found.append(_ends(call) if is_layer(point) and point.where == "after" else None)
    return found


def _ends(call: Call | None) -> Ends | None:
    if call is None or (ends := ends_of(call.module)) is not None:
        return None if call is None else ends
    if call.end is not None and call.end is not call:
        return _ends(call.end)
    return _ends(call.source) if _POOLING.search(call.kind) else None
