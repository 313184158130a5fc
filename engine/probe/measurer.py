"""Measures a model's load curve in chunks, with bounded memory.

A pass runs all chunks of the probe batch through the model and collects the features of some points in tables
[M, D], as many as fit into ``memory``; other points need another pass. Where one table does not fit, its features
are collected in slices, a pass each, and added up in a Gram matrix [M, M].

Shape legend: M samples that are measured, D features.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError
from ..measures.curve_error import errors_over_samples
from ..measures.registry import DEFAULT_MEASURE
from ..measures.separation import separation_and_influence
from ..measures.separation_wide import GramSeparation
from .activations import Activations
from .batch.batch import chunk_bounds
from .features import Forward, Seen, Source, WidthError
from .points.reductions import Rows
from .state.isolation import full_precision
from .state.memory import is_out_of_memory

_NUMBER = 4
"""Bytes of one feature in a table."""
_LEAST = 1 << 20
"""Bytes of features below which a measurement that runs out of memory is given up."""


@dataclass
class Table:
    """Features of one point, or of a slice of its columns, [M, width]; None before the first chunk."""

    point: int
    columns: slice
    values: Tensor | None = None

    @property
    def width(self) -> int:
        return int(self.columns.stop - self.columns.start)


def plan_passes(sizes: list[int], samples: int, memory: int) -> list[list[Table]]:
    """The tables to collect in each pass.

    Args:
        sizes: number of features of each point, D.
        samples: number of measured samples, M.
        memory: bytes for all tables of a pass.
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
    """One measurement of one tower."""

    curves: dict[str, list[float]]
    """D_0 … D_L by measure, [L + 1] each, in natural logs."""
    errors: dict[str, float]
    """``friction_error`` and ``curve_error`` over the probe batch, where known: ``errors_over_samples``."""
    health: dict[str, list[float]]
    """One value a point, [L + 1], of each measure of layer health that is read from activations and features."""


class Measurer:
    """Measures one model at fixed points, repeatedly.

    Args:
        source: gives the features.
        sizes: number of features of each point.
        chains: the points of each tower, by number, in order.
        measures: names of the measures to take.
        chunk: samples that go through the model at once.
        memory: bytes of features kept at once.
        health: takes in activations and features for layer health; None where none is wanted.
        keeps: whether this process measures; other processes of a sharded model only run the forward pass.
        halves: whether ``chunk``, and then ``memory``, are halved where memory runs out.
        around: makes a context for each pass of the model.
    """

    def __init__(
        self,
        source: Source,
        sizes: list[int],
        chains: list[list[int]],
        *,
        measures: tuple[str, ...],
        chunk: int,
        memory: int,
        health: Activations | None = None,
        keeps: bool = True,
        halves: bool = True,
        around: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.sizes = sizes
        self.chunk = chunk
        self._chains = chains
        self._source = source
        self._measures = measures
        self._memory = memory
        self._health = health if keeps else None
        self._keeps, self._halves = keeps, halves
        self._around = around
        self._y_M = source.groups.y_M.to(source.device)
        self._classes = source.groups.count

    def measure(self, run: Forward) -> list[Measured]:
        """The load curve of each tower now, computed on the features' devices.

        There are no curves where this process does not measure.

        Args:
            run: runs the model.

        Raises:
            ConfigError: a layer's features have another shape than at first.
        """
        while True:
            try:
                return self._measure_at_any_width(run)
            except Exception as error:  # of any device's own class
                if not self._halves or self._memory < 2 * _LEAST or not is_out_of_memory(error):
                    raise
            self._memory //= 2

    def _measure_at_any_width(self, run: Forward) -> list[Measured]:
        """The load curves; layers can be as wide as the longest text of a chunk, which few samples do not tell."""
        try:
            return self._measure(run)
        except WidthError:
            self.sizes = self._source.recount(run, chunk_bounds(self._source.batch.n, self.chunk))
        return self._measure(run)

    def _measure(self, run: Forward) -> list[Measured]:
        values: dict[int, dict[str, float]] = {}
        influences: dict[int, Tensor] = {}
        grams: dict[int, GramSeparation] = {}
        if self._health is not None:
            self._health.begin()
        for tables in plan_passes(self.sizes, len(self._y_M), self._memory):
            self._collect(tables, run)
            for table in tables if self._keeps else []:
                with full_precision():
                    self._separate(table, values, influences, grams)
                table.values = None
        values |= {point: gram.measures() for point, gram in grams.items()}
        if self._health is not None:
            for point, gram in grams.items():
                self._health.take_gram(point, gram)
        return [self._measured(chain, values, influences) for chain in self._chains]

    def _measured(
        self, chain: list[int], values: dict[int, dict[str, float]], influences: dict[int, Tensor]
    ) -> Measured:
        """One tower's share of what was measured at all points."""
        curves = {name: [values[i][name] for i in chain] for name in self._measures if self._keeps}
        health = {} if self._health is None else self._health.values(chain)
        return Measured(curves, self._errors(chain, curves.get(DEFAULT_MEASURE, []), influences), health)

    def _errors(self, chain: list[int], curve: list[float], influences: dict[int, Tensor]) -> dict[str, float]:
        """The errors by name; none where a hidden layer's features needed several tables."""
        hidden = [point for point in chain if not self._source.points[point].logits]
        if not curve or any(point not in influences for point in hidden):
            return {}
        return errors_over_samples(curve[: len(hidden)], [influences[point].cpu().numpy() for point in hidden])

    def _separate(
        self,
        table: Table,
        values: dict[int, dict[str, float]],
        influences: dict[int, Tensor],
        grams: dict[int, GramSeparation],
    ) -> None:
        """Add a whole table's measures and influences, or a slice's share of the Gram matrix, by point."""
        assert table.values is not None
        y_M = self._y_M.to(table.values.device)
        if table.width == self.sizes[table.point]:
            measured = separation_and_influence(table.values, y_M, self._classes, self._measures)
            values[table.point], influence = measured
            if self._health is not None:
                self._health.take_features(table.point, table.values)
            if influence is not None:
                influences[table.point] = influence
            return
        if table.point not in grams:
            grams[table.point] = GramSeparation(y_M, self._classes)
        grams[table.point].add(table.values)

    def _collect(self, tables: list[Table], run: Forward) -> None:
        """Fill the tables, chunk by chunk; where memory runs out, what is left goes in chunks of half the size."""
        n = self._source.batch.n
        left = deque(chunk_bounds(n, self.chunk))
        while left:
            start, stop = left[0]
            try:
                self._collect_chunk(tables, start, stop, run)
            except Exception as error:  # of any device's own class
                if not self._halves or stop - start < 2 or not is_out_of_memory(error):
                    raise
                self.chunk = (stop - start) // 2
                left = deque((start + a, start + b) for a, b in chunk_bounds(n - start, self.chunk))
            else:
                left.popleft()

    def _collect_chunk(self, tables: list[Table], start: int, stop: int, run: Forward) -> None:
        wanted = {table.point: table.columns for table in tables}
        with self._around():
            rows, features = self._source.features(wanted, start, stop, run, self._seer(tables, start))
            for table in tables if self._keeps else []:
                self._put(table, rows, features.get(table.point))

    def _seer(self, tables: list[Table], start: int) -> Seen | None:
        """Shows a chunk's activations to layer health, in the first pass that collects a point."""
        if (health := self._health) is None:
            return None
        first = {table.point for table in tables if table.columns.start == 0}

        def seen(index: int, x: Tensor, rows: Rows) -> None:
            if index in first:
                health.see(index, start, x, rows)

        return seen

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
