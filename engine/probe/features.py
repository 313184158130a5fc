"""Captures features in a model's forward pass with hooks, one vector a sample.

Shape legend: N samples of the probe batch, M samples that are measured (N, or token positions), D features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import ConfigError
from .batch.batch import ProbeBatch, first_features, real_leaves
from .batch.groupings import Groups
from .batch.masks import Part
from .batch.ragged import PackedSequence
from .points.axes import canonical
from .points.layers import Point
from .points.reductions import Rows, features_in, positions, reduce
from .points.trace import BySample
from .state.isolation import hooked

Forward = Callable[[Any, Any], Any]
"""Runs the model on positional and named arguments and returns its output."""
Seen = Callable[[int, Tensor, Rows], None]
"""Is shown a point's activations before they are reduced: number of the point, [n, …] with samples first, the
mask."""
_SIZE_SAMPLES = 4
"""Samples of the forward pass that counts each point's features."""
REMEDY = (
    "average it, as with reductions='token_mean' or 'spatial_mean', run the probe batch as one chunk with chunk=, "
    "or leave the layer out with layers="
)


class WidthError(ConfigError):
    """A layer has another number of features than before."""


class Source:
    """Runs samples of the probe batch through the model and returns their features.

    Args:
        points: the points where features are captured.
        batch, groups: the probe batch and its classes.
        device, dtype: of the model.
    """

    def __init__(
        self, points: list[Point], batch: ProbeBatch, groups: Groups, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.points, self.groups = points, groups
        self.batch, self.device, self.dtype = batch, device, dtype
        self.sizes: list[int] = []
        """Number of features of each point, D, that every chunk must have; empty before they are counted."""
        self._widths: dict[int, int] = {}

    def features(
        self, wanted: Mapping[int, slice], start: int, stop: int, run: Forward, seen: Seen | None = None
    ) -> tuple[slice, dict[int, Tensor]]:
        """Features of samples start … stop - 1: the slice of the M measured samples, and [m, D] by point.

        Args:
            wanted: by number of a point, the slice of its features.
            start, stop: samples of the probe batch.
            run: runs the model; its exceptions are passed on.
            seen: is shown the activations of each wanted point.

        Raises:
            WidthError: a point has another number of features than in ``sizes``.
        """
        measured = self._measured(start, stop)
        args, kwargs = self.batch.chunk(start, stop, self.device, self.dtype)
        chosen = {i: (self.points[i], columns) for i, columns in wanted.items()}
        masks, rows = self.batch.masks.part(start, stop, self.device), self._rows(start, measured)
        taker = _Taker(chosen, self.groups.tokens, self.batch.by_sample, masks, rows, seen)
        taker.take_batch((args, kwargs))  # before the model can overwrite it
        with hooked(taker.hooks()):
            output = run(args, kwargs)
        taker.take_output(features_in(output))
        for i, width in taker.widths.items() if self.sizes else ():
            if width != self.sizes[i]:
                raise WidthError(
                    f"layer {self.points[i].name!r} gave {width} features where {self.sizes[i]} were expected; "
                    f"its width depends on which samples run together: {REMEDY}"
                )
        self._widths = taker.widths
        return measured, taker.features

    def count(self, run: Forward, bounds: Sequence[tuple[int, int]] = ()) -> list[set[int]]:
        """The numbers of features D that each point has in some chunks, by default one of few samples.

        Raises:
            ConfigError: a layer was not called in a chunk.
        """
        self.sizes = []
        found: list[set[int]] = [set() for _ in self.points]
        none = {i: slice(0, 0) for i in range(len(self.points))}
        for start, stop in bounds or [(0, min(self.batch.n, _SIZE_SAMPLES))]:
            self.features(none, start, stop, run)
            missing = [point.name for i, point in enumerate(self.points) if i not in self._widths]
            if missing:
                raise ConfigError(
                    f"layer {missing[0]!r} gave no features when it was run again; leave it out with layers="
                )
            for i, widths in enumerate(found):
                widths.add(self._widths[i])
        return found

    def recount(self, run: Forward, bounds: Sequence[tuple[int, int]]) -> list[int]:
        """The number of features of each point, D, from all chunks of the probe batch.

        Raises:
            ConfigError: a layer has another number in another chunk.
        """
        found = self.count(run, bounds)
        for point, widths in zip(self.points, found, strict=True):
            if len(widths) > 1:
                some = ", ".join(map(str, sorted(widths)[:4]))
                raise ConfigError(
                    f"layer {point.name!r} has {some} features, depending on which samples run together: {REMEDY}"
                )
        self.sizes = [next(iter(widths)) for widths in found]
        return self.sizes

    def _measured(self, start: int, stop: int) -> slice:
        """The measured samples that lie in samples start … stop - 1 of the probe batch."""
        if self.groups.positions is None:
            return slice(start, stop)
        edges = np.searchsorted(self.groups.positions[0].numpy(), (start, stop))
        return slice(int(edges[0]), int(edges[1]))

    def _rows(self, start: int, measured: slice) -> Rows:
        """Measured positions of a chunk."""
        if self.groups.positions is None:
            return Rows()
        rows, cols = self.groups.positions
        at = ((rows[measured] - start).to(self.device), cols[measured].to(self.device))
        return Rows(None, at, self.groups.length)


class _Taker:
    """Captures the features of some points in one forward pass."""

    def __init__(
        self,
        points: dict[int, tuple[Point, slice]],
        tokens: Tensor | None,
        by_sample: BySample,
        masks: Part,
        rows: Rows,
        seen: Seen | None = None,
    ) -> None:
        self.features: dict[int, Tensor] = {}
        self._seen = seen
        self.widths: dict[int, int] = {}
        """Number of features of each point, D, before the wanted ones are taken."""
        self._by_sample, self._masks, self._rows = by_sample, masks, rows
        self._points = points
        self._tokens = tokens

    def hooks(self) -> list[RemovableHandle]:
        """One hook for each module and side (before, after) that has points."""
        handles = []
        for where in ("before", "after"):
            modules: dict[nn.Module, dict[int, list[int]]] = {}
            for index, (point, _) in self._points.items():
                if point.where == where and point.module is not None:
                    modules.setdefault(point.module, {}).setdefault(point.number, []).append(index)
            handles += [self._hook(module, calls, where) for module, calls in modules.items()]
        return handles

    def _hook(self, module: nn.Module, calls: dict[int, list[int]], where: str) -> RemovableHandle:
        count = 0

        def seen(value: Tensor | PackedSequence | None) -> None:
            nonlocal count
            if value is not None:
                for index in calls.get(count, []):
                    self._take(index, value)
            count += 1

        def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
            seen(first_features((args, kwargs)))

        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            seen(features_in(output))

        if where == "before":
            return module.register_forward_pre_hook(before, with_kwargs=True)
        return module.register_forward_hook(after)

    def take_batch(self, inputs: Any) -> None:
        """Capture points that are inputs of the model."""
        wanted = [(index, point.number) for index, (point, _) in self._points.items() if point.where == "batch"]
        real = real_leaves(inputs) if wanted else []
        for index, number in wanted:
            if number < len(real):
                self._take(index, real[number])

    def take_output(self, value: Tensor | PackedSequence | None) -> None:
        """Capture points that are the model's output."""
        for index, (point, _) in self._points.items():
            if point.where == "model" and value is not None:
                self._take(index, value)

    def _take(self, index: int, value: Tensor | PackedSequence) -> None:
        """Keep one point's features, reduced to one vector a sample."""
        point, columns = self._points[index]
        x, mask = self._by_sample(value)
        if x is None:
            return
        x = x.detach()
        x = canonical(x, point.samples_axis, point.features_axis, point.rows, point.interleaved, point.reduction)
        if point.logits and self._tokens is not None and x.ndim > 2 and x.shape[-1] > int(self._tokens.max()):
            x = x[..., self._tokens.to(x.device)]  # of the vocabulary's logits only those of the groups' tokens
        if mask is not None:
            self._masks.note_own()
        elif counted := positions(x, point.reduction):
            mask = self._masks.fitting(point.name, (len(x), counted))
        rows = self._rows._replace(mask_nT=mask)
        if self._seen is not None:
            real = mask if mask is not None or x.ndim < 3 else self._masks.fitting(point.name, x.shape)
            self._seen(index, x, rows._replace(mask_nT=real))
        vectors = _as_real(reduce(x, point.reduction, rows))
        self.widths[index] = vectors.shape[1]
        vectors = vectors[:, columns]
        # a copy where the memory is the model's: later operations may overwrite it
        shared = vectors.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        self.features[index] = vectors.clone() if shared else vectors


def _as_real(x: Tensor) -> Tensor:
    """Features [m, D] of complex numbers as real and imaginary parts, [m, 2 D]; real ones as they are.

    Squared distances stay the same, and so does the trace ratio; with absolute values the phases would be lost.
    """
    return torch.view_as_real(x.resolve_conj()).flatten(1) if x.is_complex() else x
