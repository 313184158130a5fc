"""A user's model with its probe batch and points, measured without side effects on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import DataError, InputError
from .batch import ProbeBatch
from .features import Source
from .groupings import group, label_count
from .isolation import Autocast, Buffers, computing_in, home_of, isolated
from .layers import Point, Wanted, find_points
from .masks import parameter_names
from .measurer import Measured, Measurer
from .ragged import dense_attention
from .reductions import MASKED
from .trace import trace

_TRACE_SAMPLES = 31
"""Samples of the traced forward pass: few, and a number that no other dimension is likely to have."""


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
        self.groups = group(labels, self.batch.n, self.batch.token_ids, self.batch.mask, groups)
        self.device, self.dtype = home_of(model)
        self._autocast, self._forward = autocast, forward
        self._buffers = Buffers()
        wanted = Wanted(layers, reductions, self.groups.length)
        with self._isolated():
            chunk = self.batch.n if self.batch.is_whole else chunk
            few = self.batch.n if self.batch.is_whole else min(self.batch.n, chunk, _TRACE_SAMPLES)
            self.points = self._find(wanted, few)
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
            sizes = self._sizes()
        self.notes = self.batch.masks.notes(
            point.name for point in self.points[1:] if point.reduction in MASKED and len(point.shape) > 2
        )
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

    def _find(self, wanted: Wanted, n: int) -> list[Point]:
        args, kwargs = self.batch.chunk(0, n, self.device, self.dtype)
        with self._as_data_errors("the probe batch"):
            traced = trace(self.model, lambda: self._run(args, kwargs), self.batch.by_sample)
        entry, _ = self.batch.by_sample(self.batch.entry(*self.batch.chunk(0, n, self.device, self.dtype)))
        return find_points(self.model, traced, entry, n, wanted)

    def _sizes(self) -> list[int]:
        with self._as_data_errors("a few samples of the probe batch"):
            return self._source.sizes(self._run)

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
