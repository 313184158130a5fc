"""A user's model with its probe batch and points, measured without side effects on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .batch import ProbeBatch, first_real
from .features import Source
from .groupings import group, sample_count
from .isolation import Autocast, Gradients, computing_in, isolated, taking_gradients
from .layers import Point, Wanted, find_points
from .measurer import Measured, Measurer
from .memory import UNKNOWN, is_out_of_memory, samples_at_once
from .operations import Operations
from .refusals import cannot_run, foreseen
from .state import Look, ModelState
from .trace import trace
from .wrappers import home_of

_TRACE_SAMPLES = 31
"""Samples of the traced forward pass: few, and a number that no other dimension is likely to have."""
_FEWEST = 3
"""Samples that are traced even where they do not fit into memory: fewer tell no axis of samples."""
_LOOK_SAMPLES = 2
"""Samples of each pass of the first look, which measures the memory that a sample takes."""
_ATTEMPTS: tuple[tuple[Gradients, bool], ...] = (("none", True), ("inputs", True), ("all", True), ("none", False))
"""Ways to run a model, and whether its operations are seen: the first that it does not refuse is taken."""


class ProbedModel:
    """Finds the points when created; ``measure`` then returns the load curve, any number of times.

    Args:
        model: the inner model, without wrappers.
        inputs, labels: as ``LoadProbe``.
        layers, reductions: as ``LoadProbe``.
        groups: number of bins of a target, or of most frequent next tokens.
        measures: names of the measures to take.
        chunk: samples that go through the model at once; None: as many as fit into ``memory``.
        memory: MiB of features kept at once, and of one forward pass.
        autocast, forward: as ``LoadProbe``.
        keeps: whether this process measures; other processes of a sharded model only run the forward pass.
        sharded: whether all processes must run the model together.

    Raises:
        ConfigError, DataError: an argument does not fit, or the model cannot run the probe batch.
    """

    @foreseen
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
        chunk: int | None,
        memory: int,
        autocast: Autocast,
        forward: Callable[..., Any] | None,
        keeps: bool,
        sharded: bool = False,
    ) -> None:
        self.model = model
        self.batch = ProbeBatch(inputs, sample_count(labels))
        self.groups = group(labels, self.batch.n, self.batch.token_ids, self.batch.mask, groups)
        self.device, self.dtype = home_of(model)
        self._autocast, self._forward = autocast, forward
        self._gradients: Gradients = "none"
        self._sees_operations = self._is_first_pass = True
        self._state = ModelState(model, buffers_only=sharded)
        wanted = Wanted(layers, reductions, self.groups.length)
        bytes_a_sample = self._first_look()
        if chunk is None:  # processes that run the model together must agree on it
            chunk = UNKNOWN if sharded else samples_at_once(bytes_a_sample, memory << 20, model)
        while True:
            try:
                sizes = self._look(wanted, chunk)
                break
            except InputError as error:
                if sharded or chunk <= _FEWEST or not is_out_of_memory(error):
                    raise
            chunk = min(chunk, _TRACE_SAMPLES) // 2
        self._measurer = Measurer(
            self._source,
            sizes,
            measures=tuple(measures),
            chunk=chunk,
            memory=memory << 20,
            keeps=keeps,
            halves=not sharded,
            around=self._state.kept_in_pass,
        )

    @property
    def chunk(self) -> int:
        """Samples that go through the model at once."""
        return self._measurer.chunk

    def take_news(self) -> list[str]:
        """Sentences about what the forward pass changes in the model, each once."""
        return self._state.take_news()

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
    def _isolated(self) -> Iterator[Look]:
        self._is_first_pass = True
        with isolated(self.model), self._state.kept() as look:
            yield look

    def _run(self, args: Any, kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            stack.enter_context(computing_in(self._autocast, self.device))
            stack.enter_context(taking_gradients(self.model, self._gradients))
            if self._sees_operations and self._is_first_pass:  # what a pass writes to, the first one does
                stack.enter_context(Operations(self._state.before_write))
            output = self._call(args, kwargs)
        self._is_first_pass = False
        return output

    def _call(self, args: Any, kwargs: Any) -> Any:
        if self._forward is not None:
            return self._forward(self.model, *args, **kwargs)
        return self.model(*args, **kwargs)

    def _first_look(self) -> float:
        """Find how the model can be run and what it changes; the bytes that a sample takes in a pass, 0: unknown.

        Raises:
            ConfigError, DataError: the model cannot run the probe batch.
        """
        errors: list[Exception] = []
        for self._gradients, self._sees_operations in _ATTEMPTS:
            for samples in (_LOOK_SAMPLES, 1):
                try:
                    return self._two_passes(samples) / samples
                except InputError:
                    raise
                except Exception as error:  # of any class: it is the user's code
                    errors.append(error)
                if not is_out_of_memory(errors[-1]):
                    break
            if is_out_of_memory(errors[-1]):
                break
        args, kwargs = self.batch.chunk(0, _LOOK_SAMPLES, self.device, self.dtype)
        raise cannot_run(self.model, "a few samples of the probe batch", errors[0], args, kwargs) from errors[0]

    def _two_passes(self, samples: int) -> int:
        """Run the first samples, then others, between which nothing is put back; the most bytes in use at once."""
        last = min(2 * samples, self.batch.n)
        peak = 0
        with self._isolated() as look:
            for start in (0, last - samples):
                args, kwargs = self.batch.chunk(start, start + samples, self.device, self.dtype)
                operations = Operations(self._state.before_write, counts_memory=True)
                with (
                    computing_in(self._autocast, self.device),
                    taking_gradients(self.model, self._gradients),
                    operations if self._sees_operations else contextlib.nullcontext(),
                ):
                    self._call(args, kwargs)
                peak = max(peak, operations.peak)
                if start == 0:
                    look.mark()
        return peak

    def _look(self, wanted: Wanted, chunk: int) -> list[int]:
        """Find the points; the number of features of each."""
        with self._isolated():
            self.points = self._find(wanted, min(self.batch.n, max(chunk, _FEWEST), _TRACE_SAMPLES))
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
            return self._sizes(chunk)

    def _find(self, wanted: Wanted, n: int) -> list[Point]:
        args, kwargs = self.batch.chunk(0, n, self.device, self.dtype)
        with self._as_data_errors("the probe batch"):
            traced = trace(self.model, lambda: self._run(args, kwargs))
        return find_points(
            self.model, traced, None if self.batch.has_lists else _real_batch(args, kwargs), n, wanted
        )

    def _sizes(self, chunk: int) -> list[int]:
        with self._as_data_errors("a few samples of the probe batch"):
            return self._source.sizes(self._run, chunk)

    @contextlib.contextmanager
    def _as_data_errors(self, what: str) -> Iterator[None]:
        """Turn the model's exceptions into DataError, and leave those of ours."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise cannot_run(self.model, what, error) from error


def _real_batch(args: Any, kwargs: Any) -> torch.Tensor | None:
    """The model's floating-point input, [n, …]; None where its first tensor is of whole numbers, as token ids."""
    first = next((value for value in [*args, *kwargs.values()] if isinstance(value, torch.Tensor)), None)
    return None if first is not None and not first.is_floating_point() else first_real((args, kwargs))
