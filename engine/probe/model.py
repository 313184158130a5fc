"""A user's model with its probe batch and points, measured without side effects on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import ConfigError, DataError, InputError
from .batch import ProbeBatch, chunk_bounds
from .features import REMEDY, Source
from .groupings import group, label_count
from .isolation import Autocast, Buffers, computing_in, home_of, isolated
from .layers import Found, Point, Wanted, find_points
from .looks import Looks
from .masks import parameter_names
from .measurer import Measured, Measurer
from .ragged import dense_attention


class ProbedModel:
    """Finds the points when created; ``measure`` then returns the load curve, any number of times.

    Args:
        model: the inner model, without wrappers.
        inputs, labels: as ``LoadProbe``.
        layers, reductions: as ``LoadProbe``.
        groups: number of bins of a target, or of most frequent next tokens.
        measures: names of the measures to take.
        chunk: samples that go through the model at once.
        memory: MiB of features kept at once.
        autocast, forward, mask, samples: as ``LoadProbe``.
        keeps: whether this process measures; other processes of a sharded model only run the forward pass.

    Raises:
        ConfigError, DataError: an argument does not fit, or the model cannot run the probe batch.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        labels: Any,
        *,
        layers: Sequence[str] | None,
        reductions: str | Mapping[str, str],
        groups: int,
        measures: Sequence[str],
        chunk: int,
        memory: int,
        autocast: Autocast,
        forward: Callable[..., Any] | None,
        keeps: bool,
        mask: Any = None,
        samples: Any = None,
    ) -> None:
        self.model = model
        names = parameter_names(model.forward if forward is None else forward, skip=forward is not None)
        count = label_count(labels)
        self.batch = ProbeBatch(inputs, mask=mask, samples=samples, names=names, labels=count)
        if self.batch.rows is not None:
            labels = self.batch.rows.labels(labels, count)
            chunk = self.batch.n
        self.groups = group(labels, self.batch.n, self.batch.token_ids, self.batch.mask, groups)
        self.device, self.dtype = home_of(model)
        self._autocast, self._forward = autocast, forward
        self._buffers = Buffers()
        wanted = Wanted(layers, reductions, self.groups.length)
        with self._isolated():
            found = self._find(wanted, chunk)
            self.points, self.left_out = found.points, found.left_out
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
            sizes = self._sizes(chunk)
        self.notes = [*_notes(self.left_out, found.open), *self.batch.masks.notes(_averaged(self.points))]
        """What the user is to be told once, in words."""
        self._measurer = Measurer(
            self._source, sizes, measures=tuple(measures), chunk=chunk, memory=memory << 20, keeps=keeps
        )

    def measure(self) -> Measured:
        """The load curve now; no curves where this process does not measure."""
        self.device, self.dtype = home_of(self.model)  # the user may have moved it
        self._source.device, self._source.dtype = self.device, self.dtype
        with self._isolated():
            return self._measurer.measure(self._run)

    def facts(self) -> dict[str, Any]:
        """Facts for the run's first record: samples, classes and their origin, reductions, device …"""
        own = list(self.model.parameters())
        return {
            "samples": len(self.groups.y_M),
            "classes": self.groups.count,
            "grouping": self.groups.how,
            "device": str(self.device),
            "parameters": sum(p.numel() for p in own),
            "frozen_parameters": sum(p.numel() for p in own if not p.requires_grad),
            "features": self._measurer.sizes,
            "reductions": {point.name: point.reduction for point in self.points},
            "points": [
                {
                    "name": point.name,
                    "module": type(point.module or self.model).__name__,
                    "shape": list(point.shape),
                    "samples_axis": point.samples_axis,
                    "features_axis": point.features_axis,
                    "reduction": point.reduction,
                    "why": point.why,
                    "features": size,
                }
                for point, size in zip(self.points, self._measurer.sizes, strict=True)
            ],
            "left_out": [
                {"name": name, "module": kind, "reason": reason} for name, (kind, reason) in self.left_out.items()
            ],
            "logits": self.points[-1].logits,
        }

    @contextlib.contextmanager
    def _isolated(self) -> Iterator[None]:
        with isolated(self.model), dense_attention(), self._buffers.kept(self.model):
            yield

    def _run(self, args: Any, kwargs: Any) -> Any:
        with computing_in(self._autocast, self.device):
            if self._forward is not None:
                return self._forward(self.model, *args, **kwargs)
            return self.model(*args, **kwargs)

    def _find(self, wanted: Wanted, chunk: int) -> Found:
        def look(start: int, stop: int) -> Any:
            return self._run(*self.batch.chunk(start, stop, self.device, self.dtype))

        with self._as_data_errors("the probe batch"):
            whole = self.batch.is_whole
            looks = Looks(self.model, look, self.batch.n, chunk, self.batch.by_sample, is_whole=whole)
            self._fixed = not looks.are_two
            inputs = self.batch.chunk(0, looks.n, self.device, self.dtype)
            entry, _ = self.batch.by_sample(self.batch.entry(*inputs))
            return find_points(looks, entry, wanted)

    def _sizes(self, chunk: int) -> list[int]:
        """The number of features of each point; points are left out where chunks do not agree about it."""
        bounds = chunk_bounds(self.batch.n, chunk)
        varying = any(point.varying for point in self.points)
        with self._as_data_errors("a few samples of the probe batch"):
            found = self._source.count(self._run, bounds if varying else bounds[:1] if self._fixed else ())
        kept = [(point, min(widths)) for point, widths in zip(self.points, found, strict=True) if len(widths) == 1]
        if len(kept) < len(self.points):
            for point, widths in zip(self.points, found, strict=True):
                if len(widths) > 1:
                    some = " or ".join(map(str, sorted(widths)[:2]))
                    reason = f"has {some} features, depending on which samples run together"
                    if point is self.points[0] or len(kept) < 2 + self.points[-1].logits:
                        raise ConfigError(f"layer {point.name!r} {reason}: {REMEDY}")
                    self.left_out[point.name] = (type(point.module or self.model).__name__, reason)
            self.points = [point for point, _ in kept]
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
        self._source.sizes = [size for _, size in kept]
        return self._source.sizes

    @contextlib.contextmanager
    def _as_data_errors(self, what: str) -> Iterator[None]:
        """Turn the model's exceptions into DataError, and leave those of ours."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise DataError(
                f"{type(self.model).__name__} cannot run {what}: {type(error).__name__}: {error}; "
                f"give inputs= as the model takes them (a tuple of arguments, a dict of named ones), samples "
                f"first, in any number"
            ) from error


def _averaged(points: Sequence[Point]) -> Iterator[str]:
    """Names of layers whose features are a mean over tokens or over one axis of positions, or the last token's."""
    for point in points[1:]:
        axes = len(point.shape) + (point.rows > 1)
        if axes == 3 and point.reduction in ("token_mean", "last_token", "spatial_mean"):
            yield point.name


def _notes(left_out: Mapping[str, tuple[str, str]], still_open: Sequence[str]) -> list[str]:
    """What the user is to be told of points that were left out, and of axes that stayed open."""
    notes = []
    if left_out:
        (name, (_, reason)), *others = left_out.items()
        more = f", and leaves out {len(others)} more (see probe.describe())" if others else ""
        notes.append(f"the load probe leaves out {name!r}, which {reason}{more}")
    if still_open:
        names = ", ".join(map(repr, still_open[:4])) + (f" … ({len(still_open)} in all)" if still_open[4:] else "")
        notes.append(
            f"which axis holds the features is open at {names}: sizes do not tell. Check what probe.describe() "
            f"says, or choose with reductions={{{still_open[0]!r}: 'spatial_mean'}} for [N, C, …], 'token_mean' "
            f"for [N, …, D]"
        )
    return notes
