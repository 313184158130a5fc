"""A user's model with its probe batch and points, measured without side effects on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import DataError, InputError
from .batch import ProbeBatch
from .description import Description, describe
from .features import Source
from .groupings import group
from .isolation import Autocast, Buffers, computing_in, home_of, isolated
from .layers import Found, Point, Wanted, find_points
from .measurer import Measured, Measurer
from .trace import trace

_TRACE_SAMPLES = 31
"""Samples of the traced forward pass: few, and a number that no other dimension is likely to have."""


class ProbedModel:
    """Finds the points when created; ``measure`` then returns the load curve, any number of times.

    Args:
        model: the inner model, without wrappers.
        inputs, labels: as ``LoadProbe``.
        layers, towers, reductions: as ``LoadProbe``.
        groups: number of bins of a target, or of most frequent next tokens.
        measures: names of the measures to take.
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
        towers: Mapping[str, Sequence[str]] | bool | None = None,
        reductions: str | Mapping[str, str],
        groups: int,
        measures: Sequence[str],
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
        n = min(self.batch.n, chunk, _TRACE_SAMPLES)
        ids = self.batch.token_ids if labels is None else None
        wanted = Wanted(layers, reductions, self.groups.length, towers, None if ids is None else ids[:n].cpu())
        with self._isolated():
            self.found = self._find(wanted, n)
            self.points, chains = _together(self.found)
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
            sizes = self._sizes()
        self._measurer = Measurer(
            self._source, sizes, chains, measures=tuple(measures), chunk=chunk, memory=memory << 20, keeps=keeps
        )

    def measure(self) -> Measured:
        """The main tower's load curve now; no curves where this process does not measure."""
        return self.measure_towers()[0]

    def measure_towers(self) -> list[Measured]:
        """The load curve of each tower now; no curves where this process does not measure."""
        self.device, self.dtype = home_of(self.model)  # the user may have moved it
        self._source.device, self._source.dtype = self.device, self.dtype
        with self._isolated():
            return self._measurer.measure(self._run)

    def describe(self) -> Description:
        """Every point with what is measured there and why, and what is left out."""
        return describe(self.model, self.found, dict(zip(self.points, self._measurer.sizes, strict=True)))

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
            "reductions": {point.name: point.reduction for point in self.found.towers[0].points},
            "logits": self.found.towers[0].points[-1].logits,
            **self.describe().facts(),
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

    def _find(self, wanted: Wanted, n: int) -> Found:
        def take() -> tuple[Any, Any]:
            return self.batch.chunk(0, n, self.device, self.dtype)

        with self._as_data_errors("the probe batch"):
            traced = trace(self.model, self._run, take)
        return find_points(self.model, traced, take(), n, wanted)

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


def _together(found: Found) -> tuple[list[Point], list[list[int]]]:
    """The points of all towers, each once, and the numbers of each tower's points."""
    numbers: dict[Point, int] = {}
    chains = [[numbers.setdefault(point, len(numbers)) for point in tower.points] for tower in found.towers]
    return list(numbers), chains
