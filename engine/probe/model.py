"""A user's model with its probe batch and points, measured without side effects on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import DataError, InputError
from ..measures.registry import EFFECTIVE_RANK
from ..measures.saturated import Ends
from .activations import TAKEN, Activations, all_ends
from .batch import ProbeBatch, first_real
from .features import Source
from .groupings import group
from .isolation import Autocast, Buffers, computing_in, home_of, isolated
from .layers import Point, Wanted, find_points
from .measurer import Measured, Measurer
from .parameters import layer_parameters
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
        health: names of the measures of layer health to take.
        chunk: samples that go through the model at once.
        memory: MiB of features kept at once.
        autocast, forward: as ``LoadProbe``.
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
        health: Sequence[str] = (),
        chunk: int,
        memory: int,
        autocast: Autocast,
        forward: Callable[..., Any] | None,
        keeps: bool,
    ) -> None:
        self.model = model
        self.batch = ProbeBatch(inputs)
        self.groups = group(labels, self.batch.n, self.batch.token_ids, self.batch.mask, groups)
        self.device, self.dtype = home_of(model)
        self._autocast, self._forward = autocast, forward
        self._buffers = Buffers()
        self._health = tuple(health)
        self._ends: list[Ends | None] = []
        self.parameters: list[list[nn.Parameter]] = []
        """The parameters of each point's layer; empty where no layer health is wanted."""
        wanted = Wanted(layers, reductions, self.groups.length)
        with self._isolated():
            self.points = self._find(wanted, min(self.batch.n, chunk, _TRACE_SAMPLES))
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
            sizes = self._sizes()
        self._measurer = Measurer(
            self._source, sizes, measures=tuple(measures), chunk=chunk, memory=memory << 20, keeps=keeps
        )

    def measure(self) -> Measured:
        """The load curve now; no curves where this process does not measure."""
        self.device, self.dtype = home_of(self.model)  # the user may have moved it
        self._source.device, self._source.dtype = self.device, self.dtype
        with self._isolated():
            taken = Activations(self.points, self._ends, self._health) if set(self._health) & set(TAKEN) else None
            return self._measurer.measure(self._run, taken, ranks=EFFECTIVE_RANK in self._health)

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
        with isolated(self.model), self._buffers.kept(self.model):
            yield

    def _run(self, args: Any, kwargs: Any) -> Any:
        with computing_in(self._autocast, self.device):
            if self._forward is not None:
                return self._forward(self.model, *args, **kwargs)
            return self.model(*args, **kwargs)

    def _find(self, wanted: Wanted, n: int) -> list[Point]:
        args, kwargs = self.batch.chunk(0, n, self.device, self.dtype)
        with self._as_data_errors("the probe batch"):
            traced = trace(self.model, lambda: self._run(args, kwargs))
        points = find_points(self.model, traced, _real_batch(args, kwargs), n, wanted)
        if self._health:
            self._ends = all_ends(points, traced)
            self.parameters = layer_parameters(self.model, traced, points)
        return points

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


def _real_batch(args: Any, kwargs: Any) -> torch.Tensor | None:
    """The model's floating-point input, [n, …]; None where its first tensor is of whole numbers, as token ids."""
    first = next((value for value in [*args, *kwargs.values()] if isinstance(value, torch.Tensor)), None)
    return None if first is not None and not first.is_floating_point() else first_real((args, kwargs))
