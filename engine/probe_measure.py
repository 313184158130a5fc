"""Measures a model's load curve in chunks, with bounded memory.

Each chunk of the probe batch goes through the model once; hooks reduce the features of every point to vectors and put
them into a table [M, D]. Tables are kept for as many points at once as fit the ``memory``; what does not fit is left
for another pass. A point whose own table does not fit is taken in slices of its features, a pass each, as a Gram
matrix [M, M].

Shape legend: N samples of the probe batch, M samples that are measured (N, or token positions), D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ConfigError
from .gram_separation import GramSeparation
from .probe_groupings import Groups
from .probe_inputs import ProbeBatch, chunk_bounds, first_real
from .probe_layers import Point
from .probe_reductions import Rows, feature_tensor, reduce
from .probe_undisturbed import full_precision, hooked
from .separation import MEASURES, fuzziness_ratio, inverse_fuzziness_ratio, separation_measures

Forward = Callable[[Any, Any], Any]
"""Runs the model on arguments and named arguments."""
_NUMBER = 4
"""Bytes of a kept feature."""


@dataclass
class Table:
    """Features of one point, or a slice of them, as they are gathered."""

    point: int
    columns: slice
    values: Tensor | None = None


def plan_passes(sizes: list[int], samples: int, memory: int) -> list[list[Table]]:
    """Which tables each pass gathers.

    Args:
        sizes: features of each point, D.
        samples: M.
        memory: bytes for tables.
    """
    fitting = max(1, memory // (_NUMBER * samples))
    passes: list[list[Table]] = []
    room = 0
    for point, size in enumerate(sizes):
        if size <= fitting:
            if size > room:
                passes.append([])
                room = fitting
            passes[-1].append(Table(point, slice(0, size)))
            room -= size
    for point, size in enumerate(sizes):
        if size > fitting:
            count = -(-size // fitting)
            edges = [size * i // count for i in range(count + 1)]
            passes += [[Table(point, slice(a, b))] for a, b in zip(edges, edges[1:], strict=False)]
    return passes


class Measurer:
    """Measures one model at the same points again and again.

    Args:
        points: where.
        sizes: features of each point.
        batch, groups: of the probe batch.
        device, dtype: the model's.
        measures: names of the measures to take.
        chunk: samples that go through the model at once.
        memory: bytes of features kept at once.
        keeps: whether this process measures; others of a sharded model only compute along.
    """

    def __init__(
        self,
        points: list[Point],
        sizes: list[int],
        batch: ProbeBatch,
        groups: Groups,
        *,
        device: torch.device,
        dtype: torch.dtype,
        measures: tuple[str, ...],
        chunk: int,
        memory: int,
        keeps: bool = True,
    ) -> None:
        self.points, self.sizes = points, sizes
        self._batch, self._groups = batch, groups
        self._device, self._dtype = device, dtype
        self._measures = measures
        self._bounds = chunk_bounds(batch.n, chunk)
        self._memory = memory
        self._keeps = keeps
        self._y_M = groups.y_M.to(device)

    def measure(self, run: Forward) -> dict[str, list[float]]:
        """D_0 … D_L by measure, NaN where a measure is not to be had.

        Raises:
            ConfigError: features do not have the shape that they had.
        """
        passes = plan_passes(self.sizes, len(self._y_M), self._memory)
        found: dict[int, dict[str, float]] = {}
        grams: dict[int, GramSeparation] = {}
        for tables in passes:
            self._gather(tables, run)
            for table in tables if self._keeps else []:
                assert table.values is not None
                with full_precision():
                    if table.columns == slice(0, self.sizes[table.point]):
                        found[table.point] = self._separate(table.values)
                    else:
                        gram = grams.setdefault(table.point, GramSeparation(self._y_M, self._groups.count))
                        gram.add(table.values)
                table.values = None
        for point, gram in grams.items():
            found[point] = gram.measures()
        return {name: [found[i][name] for i in range(len(self.points))] for name in self._measures if self._keeps}

    def _separate(self, x_MD: Tensor) -> dict[str, float]:
        if set(self._measures) == set(MEASURES):
            return separation_measures(x_MD, self._y_M, self._groups.count)
        return separation_measures(x_MD, self._y_M, self._groups.count)

    def _gather(self, tables: list[Table], run: Forward) -> None:
        for start, stop in self._bounds:
            args, kwargs = self._batch.chunk(start, stop, self._device, self._dtype)
            taker = _Taker(self._points_of(tables), self._rows(start, stop), self._groups.tokens)
            with hooked(taker.hooks()):
                output = run(args, kwargs)
            taker.take_ends(first_real((args, kwargs)), output)
            if self._keeps:
                self._put(tables, taker.found, start, stop)

    def _points_of(self, tables: list[Table]) -> dict[int, tuple[Point, slice]]:
        return {table.point: (self.points[table.point], table.columns) for table in tables}

    def _put(self, tables: list[Table], found: dict[int, Tensor], start: int, stop: int) -> None:
        rows = self._measured(start, stop)
        for table in tables:
            x = found.get(table.point)
            wide = table.columns.stop - table.columns.start
            if x is None or x.shape != (rows.stop - rows.start, wide):
                name = self.points[table.point].name
                shape = "nothing" if x is None else f"features of shape {tuple(x.shape)}"
                raise ConfigError(
                    f"layer {name!r} gave {shape}, not {(rows.stop - rows.start, wide)} as at first; "
                    f"a probed model must do the same for every chunk of the probe batch"
                )
            if table.values is None:
                dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
                table.values = torch.empty(len(self._y_M), wide, dtype=dtype, device=x.device)
            table.values[rows] = x.to(table.values.dtype)

    def _measured(self, start: int, stop: int) -> slice:
        """Which measured samples a chunk holds."""
        if self._groups.positions is None:
            return slice(start, stop)
        edges = torch.searchsorted(self._groups.positions[0].contiguous(), torch.tensor([start, stop]))
        return slice(int(edges[0]), int(edges[1]))

    def _rows(self, start: int, stop: int) -> Rows:
        mask = self._batch.mask
        part = None if mask is None else mask[start:stop].to(self._device)
        if self._groups.positions is None:
            return Rows(part)
        rows, cols = self._groups.positions
        of = self._measured(start, stop)
        return Rows(part, ((rows[of] - start).to(self._device), cols[of].to(self._device)))


class _Taker:
    """Takes the features of some points out of one forward pass."""

    def __init__(self, points: dict[int, tuple[Point, slice]], rows: Rows, tokens: Tensor | None) -> None:
        self.found: dict[int, Tensor] = {}
        self._points = points
        self._rows = rows
        self._tokens = tokens

    def hooks(self) -> list[torch.utils.hooks.RemovableHandle]:
        """One hook for each module that a point belongs to."""
        handles = []
        for where in ("before", "after"):
            modules: dict[nn.Module, dict[int, int]] = {}
            for index, (point, _) in self._points.items():
                if point.where == where and point.module is not None:
                    modules.setdefault(point.module, {})[point.number] = index
            for module, calls in modules.items():
                handles.append(self._hook(module, calls, where))
        return handles

    def _hook(self, module: nn.Module, calls: dict[int, int], where: str) -> torch.utils.hooks.RemovableHandle:
        count = 0

        def seen(value: Tensor | None) -> None:
            nonlocal count
            if count in calls and value is not None:
                self._take(calls[count], value)
            count += 1

        def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
            seen(first_real((args, kwargs)))

        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            seen(feature_tensor(output))

        if where == "before":
            return module.register_forward_pre_hook(before, with_kwargs=True)
        return module.register_forward_hook(after)

    def take_ends(self, batch: Tensor | None, output: Any) -> None:
        """What needs no hook: the model's input and its output."""
        for index, (point, _) in self._points.items():
            value = batch if point.where == "batch" else feature_tensor(output) if point.where == "model" else None
            if value is not None:
                self._take(index, value)

    def _take(self, index: int, x: Tensor) -> None:
        point, columns = self._points[index]
        x = x if point.samples_first else x.transpose(0, 1)
        if point.logits and self._tokens is not None and x.shape[-1] > int(self._tokens.max()):
            x = x[..., self._tokens.to(x.device)]
        vectors = reduce(x, point.reduction, self._rows)[:, columns]
        # a copy: what comes after may write over the features in place
        self.found[index] = vectors.clone() if vectors.data_ptr() == x.data_ptr() else vectors


def sizes_of(points: list[Point], n: int, run: Forward, batch: ProbeBatch, groups: Groups, home: Any) -> list[int]:
    """How many features each point has, seen on the first n samples."""
    device, dtype = home
    args, kwargs = batch.chunk(0, n, device, dtype)
    at = None
    if groups.positions is not None:
        rows, cols = groups.positions
        inside = rows < n
        at = (rows[inside].to(device), cols[inside].to(device))
    mask = None if batch.mask is None else batch.mask[:n].to(device)
    taker = _Taker({i: (p, slice(None)) for i, p in enumerate(points)}, Rows(mask, at), groups.tokens)
    with hooked(taker.hooks()):
        output = run(args, kwargs)
    taker.take_ends(first_real((args, kwargs)), output)
    missing = [p.name for i, p in enumerate(points) if i not in taker.found]
    if missing:
        raise ConfigError(f"layer {missing[0]!r} gave no features when it was run again; leave it out with layers=")
    return [taker.found[i].shape[1] for i in range(len(points))]


__all__ = ["Forward", "Measurer", "fuzziness_ratio", "inverse_fuzziness_ratio", "plan_passes", "sizes_of"]
