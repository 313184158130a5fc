"""Takes features out of a model's forward pass with hooks, one vector a sample.

Shape legend: N samples of the probe batch, M samples that are measured (N, or token positions), D features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import ConfigError
from .batch import ProbeBatch, first_real
from .groupings import Groups
from .isolation import hooked
from .layers import Point
from .reductions import Rows, feature_tensor, reduce

Forward = Callable[[Any, Any], Any]
"""Runs the model on arguments and named arguments."""
_FIRST = 4
"""Samples that show how many features a layer has."""


class Source:
    """Runs samples of the probe batch through the model and hands out features.

    Args:
        points: where.
        batch, groups: the probe batch and its classes.
        device, dtype: the model's.
    """

    def __init__(
        self, points: list[Point], batch: ProbeBatch, groups: Groups, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.points, self.groups = points, groups
        self.batch, self.device, self.dtype = batch, device, dtype

    def features(
        self, wanted: Mapping[int, slice], start: int, stop: int, run: Forward
    ) -> tuple[slice, dict[int, Tensor]]:
        """Features of samples start … stop - 1 at some points: which measured samples, and [m, D] by point.

        Args:
            wanted: by number of the point, which of its features.
            start, stop: samples of the probe batch.
            run: the model; what it raises is passed on.
        """
        measured = self._measured(start, stop)
        args, kwargs = self.batch.chunk(start, stop, self.device, self.dtype)
        taker = _Taker({i: (self.points[i], columns) for i, columns in wanted.items()}, self.groups.tokens)
        taker.rows = self._rows(start, stop, measured)
        taker.take_end("batch", first_real((args, kwargs)))  # before the model may write over it
        with hooked(taker.hooks()):
            output = run(args, kwargs)
        taker.take_end("model", feature_tensor(output))
        return measured, taker.found

    def sizes(self, run: Forward) -> list[int]:
        """How many features each point has, D, seen on the first samples.

        Raises:
            ConfigError: a layer gave none this time.
        """
        everything = {i: slice(None) for i in range(len(self.points))}
        _, found = self.features(everything, 0, min(self.batch.n, _FIRST), run)
        missing = [point.name for i, point in enumerate(self.points) if i not in found]
        if missing:
            raise ConfigError(
                f"layer {missing[0]!r} gave no features when it was run again; leave it out with layers="
            )
        return [found[i].shape[1] for i in range(len(self.points))]

    def _measured(self, start: int, stop: int) -> slice:
        if self.groups.positions is None:
            return slice(start, stop)
        edges = np.searchsorted(self.groups.positions[0].numpy(), (start, stop))
        return slice(int(edges[0]), int(edges[1]))

    def _rows(self, start: int, stop: int, measured: slice) -> Rows:
        mask = self.batch.mask
        part = None if mask is None else mask[start:stop].to(self.device)
        if self.groups.positions is None:
            return Rows(part)
        rows, cols = self.groups.positions
        at = ((rows[measured] - start).to(self.device), cols[measured].to(self.device))
        return Rows(part, at, self.groups.length)


class _Taker:
    """Takes the features of some points out of one forward pass."""

    def __init__(self, points: dict[int, tuple[Point, slice]], tokens: Tensor | None) -> None:
        self.found: dict[int, Tensor] = {}
        self.rows = Rows()
        self._points = points
        self._tokens = tokens

    def hooks(self) -> list[RemovableHandle]:
        """One hook for each module that has points."""
        handles = []
        for where in ("before", "after"):
            modules: dict[nn.Module, dict[int, int]] = {}
            for index, (point, _) in self._points.items():
                if point.where == where and point.module is not None:
                    modules.setdefault(point.module, {})[point.number] = index
            handles += [self._hook(module, calls, where) for module, calls in modules.items()]
        return handles

    def _hook(self, module: nn.Module, calls: dict[int, int], where: str) -> RemovableHandle:
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

    def take_end(self, where: str, value: Tensor | None) -> None:
        """What needs no hook: the model's input (``batch``) and its output (``model``)."""
        for index, (point, _) in self._points.items():
            if point.where == where and value is not None:
                self._take(index, value)

    def _take(self, index: int, x: Tensor) -> None:
        point, columns = self._points[index]
        x = x if point.samples_first else x.transpose(0, 1)
        if point.logits and self._tokens is not None and x.shape[-1] > int(self._tokens.max()):
            x = x[..., self._tokens.to(x.device)]  # of a vocabulary only the tokens that are told apart
        vectors = reduce(x, point.reduction, self.rows)[:, columns]
        # a copy where it is the features' own memory: what comes after may write over them
        shared = vectors.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        self.found[index] = vectors.clone() if shared else vectors
