"""Measures a model's load curve in chunks, with bounded memory.

Each chunk of the probe batch goes through the model once; the features of each point go into a table [M, D].
Tables are kept for as many points at once as fit the ``memory``; others are left for another pass. Where a
table does not fit by itself, its features are taken in slices, a pass each, into a Gram matrix [M, M].

Shape legend: M samples that are measured, D features.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError
from ..measures.friction import friction_error
from ..measures.registry import DEFAULT_MEASURE
from ..measures.separation import separation_and_influence
from ..measures.separation_wide import GramSeparation
from .batch import chunk_bounds
from .features import Forward, Source
from .isolation import full_precision

_NUMBER = 4
"""Bytes of a kept feature."""


@dataclass
class Table:
    """Features of one point, or a slice of them, as they are gathered."""

    point: int
    columns: slice
    values: Tensor | None = None

    @property
    def width(self) -> int:
        return int(self.columns.stop - self.columns.start)


def plan_passes(sizes: list[int], samples: int, memory: int) -> list[list[Table]]:
    """Which tables each pass gathers, pass by pass.

    Args:
        sizes: features of each point, D.
        samples: M.
        memory: bytes for the tables of a pass.
    """
    fitting = max(1, memory // (_NUMBER * samples))
    passes: list[list[Table]] = []
    room = 0
    for point, size in enumerate(sizes):
        if size > fitting:
            continue
        if size > room:
            passes.append([])
            room = fitting
        passes[-1].append(Table(point, slice(0, size)))
        room -= size
    for point, size in enumerate(sizes):
        if size > fitting:
            count = -(-size // fitting)
            edges = [size * i // count for i in range(count + 1)]
            passes += [[Table(point, slice(a, b))] for a, b in itertools.pairwise(edges)]
    return passes


class Measured(NamedTuple):
    """One measurement."""

    curves: dict[str, list[float]]
    """D_0 … D_L by measure, [L + 1] each, natural logs."""
    friction_error: float
    """Of the twin's effective friction, over the probe batch: ``measures.friction.friction_error``."""


class Measurer:
    """Measures one model at the same points again and again.

    Args:
        source: of features.
        sizes: features of each point.
        measures: names of the measures to take.
        chunk: samples that go through the model at once.
        memory: bytes of features kept at once.
        keeps: whether this process measures; others of a sharded model only compute along.
    """

    def __init__(
        self,
        source: Source,
        sizes: list[int],
        *,
        measures: tuple[str, ...],
        chunk: int,
        memory: int,
        keeps: bool = True,
    ) -> None:
        self.sizes = sizes
        self._source = source
        self._measures = measures
        self._bounds = chunk_bounds(source.batch.n, chunk)
        self._memory = memory
        self._keeps = keeps
        self._y_M = source.groups.y_M.to(source.device)
        self._classes = source.groups.count

    def measure(self, run: Forward) -> Measured:
        """Measure, each layer where its features are; nothing comes where this process only computes along.

        Raises:
            ConfigError: a layer gave other features than at first.
        """
        found: dict[int, dict[str, float]] = {}
        moves: dict[int, Tensor] = {}
        grams: dict[int, GramSeparation] = {}
        for tables in plan_passes(self.sizes, len(self._y_M), self._memory):
            self._gather(tables, run)
            for table in tables if self._keeps else []:
                with full_precision():
                    self._separate(table, found, moves, grams)
                table.values = None
        found |= {point: gram.measures() for point, gram in grams.items()}
        curves = {name: [found[i][name] for i in range(len(found))] for name in self._measures if self._keeps}
        return Measured(curves, self._friction_error(curves.get(DEFAULT_MEASURE, []), moves))

    def _friction_error(self, curve: list[float], moves: dict[int, Tensor]) -> float:
        """Over the probe batch; NaN where a hidden layer's table was too wide to be kept whole."""
        hidden = len(curve) - self._source.points[-1].logits
        if not curve or any(point not in moves for point in range(hidden)):
            return math.nan
        return friction_error(curve[:hidden], [moves[point].cpu().numpy() for point in range(hidden)])

    def _separate(
        self,
        table: Table,
        found: dict[int, dict[str, float]],
        moves: dict[int, Tensor],
        grams: dict[int, GramSeparation],
    ) -> None:
        assert table.values is not None
        y_M = self._y_M.to(table.values.device)
        if table.width == self.sizes[table.point]:
            values, influence = separation_and_influence(table.values, y_M, self._classes, self._measures)
            found[table.point] = values
            if influence is not None:
                moves[table.point] = influence
            return
        if table.point not in grams:
            grams[table.point] = GramSeparation(y_M, self._classes)
        grams[table.point].add(table.values)

    def _gather(self, tables: list[Table], run: Forward) -> None:
        wanted = {table.point: table.columns for table in tables}
        for start, stop in self._bounds:
            rows, found = self._source.features(wanted, start, stop, run)
            for table in tables if self._keeps else []:
                self._put(table, rows, found.get(table.point))

    def _put(self, table: Table, rows: slice, x: Tensor | None) -> None:
        shape = (rows.stop - rows.start, table.width)
        if x is None or x.shape != shape:
            name = self._source.points[table.point].name
            got = "nothing" if x is None else f"features of shape {tuple(x.shape)}"
            raise ConfigError(
                f"layer {name!r} gave {got} where {shape} was expected; a probed model must do the same for every "
                f"chunk of the probe batch"
            )
        if table.values is None:
            dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
            table.values = torch.empty(len(self._y_M), table.width, dtype=dtype, device=x.device)
        table.values[rows] = x.to(table.values.dtype)
