"""A user's model with its probe batch and points, measured without side effects on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import ConfigError, InputError
from .batch import ProbeBatch, chunk_bounds, first_real
from .features import REMEDY, Source
from .groupings import group, sample_count
from .isolation import Autocast, Gradients, computing_in, isolated, taking_gradients
from .layers import Found, Wanted, find_points
from .looks import Looks
from .measurer import Measured, Measurer
from .memory import UNKNOWN, is_out_of_memory, samples_at_once
from .operations import Operations
from .refusals import cannot_run, foreseen
from .state import Look, ModelState
from .wrappers import home_of

_FEWEST = 4
"""Samples at once below which few samples are as many as fit into memory."""
_LOOK_SAMPLES = 2
"""Samples of each pass of the first look, which measures the memory that a sample takes."""
_TRIED = 31
"""Most samples that a look runs at once, where the model takes any number."""
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
        self._sees_operations = self._is_first_pass = self._sees_every_pass = True
        self._state = ModelState(model, buffers_only=sharded)
        wanted = Wanted(layers, reductions, self.groups.length)
        bytes_a_sample = self._first_look(chunk)
        if chunk is None:  # processes that run the model together must agree on it
            chunk = UNKNOWN if sharded else samples_at_once(bytes_a_sample, memory << 20, model)
        while True:
            try:
                found, sizes = self._look(wanted, chunk)
                break
            except InputError as error:
                if sharded or chunk < _FEWEST or not is_out_of_memory(error):
                    raise
            chunk = max(1, min(chunk, self.batch.n, _TRIED) // 2)
        self._sees_every_pass = False
        self.notes = _notes(self.left_out, found.open)
        """What the user is to be told once, in words."""
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
    def _isolated(self) -> Iterator[Look]:
        self._is_first_pass = True
        with isolated(self.model), self._state.kept() as look:
            yield look

    def _run(self, args: Any, kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            stack.enter_context(computing_in(self._autocast, self.device))
            stack.enter_context(taking_gradients(self.model, self._gradients))
            # what a pass writes to, the first one does; but looks also change features to follow them
            if self._sees_operations and (self._is_first_pass or self._sees_every_pass):
                stack.enter_context(Operations(self._state.before_write))
            output = self._call(args, kwargs)
        self._is_first_pass = False
        return output

    def _call(self, args: Any, kwargs: Any) -> Any:
        if self._forward is not None:
            return self._forward(self.model, *args, **kwargs)
        return self.model(*args, **kwargs)

    def _first_look(self, chunk: int | None) -> float:
        """Find how the model can be run and what it changes; the bytes that a sample takes in a pass, 0: unknown.

        Raises:
            ConfigError, DataError: the model cannot run the probe batch.
        """
        errors: list[Exception] = []
        whole = chunk_bounds(self.batch.n, chunk or UNKNOWN)[0][1]  # some models take batches of one size only
        ways = [(*way, _LOOK_SAMPLES) for way in _ATTEMPTS] + [(*way, whole) for way in _ATTEMPTS]
        for self._gradients, self._sees_operations, most in ways:
            for samples in (most, 1) if most == _LOOK_SAMPLES else (most,):
                try:
                    peak = self._two_passes(samples)
                    return peak / samples if most == _LOOK_SAMPLES else 0.0
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

    def _look(self, wanted: Wanted, chunk: int) -> tuple[Found, list[int]]:
        """Find the points; also the number of features of each."""
        with self._isolated():
            found = self._find(wanted, chunk)
            self.points, self.left_out = found.points, found.left_out
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
            return found, self._sizes(chunk)

    def _find(self, wanted: Wanted, chunk: int) -> Found:
        def look(start: int, stop: int) -> Any:
            return self._run(*self.batch.chunk(start, stop, self.device, self.dtype))

        with self._as_data_errors("the probe batch"):
            looks = Looks(self.model, look, self.batch.n, chunk)
            self._fixed = not looks.are_two
            inputs = self.batch.chunk(0, looks.n, self.device, self.dtype)
            return find_points(looks, None if self.batch.has_lists else _real_batch(*inputs), wanted)

    def _sizes(self, chunk: int) -> list[int]:
        """The number of features of each point; points are left out where chunks do not agree about it."""
        bounds = chunk_bounds(self.batch.n, chunk)
        varying = any(point.varying for point in self.points)
        one = self._fixed or chunk < _FEWEST
        with self._as_data_errors("a few samples of the probe batch"):
            found = self._source.count(self._run, bounds if varying else bounds[:1] if one else ())
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
            raise cannot_run(self.model, what, error) from error


def _real_batch(args: Any, kwargs: Any) -> torch.Tensor | None:
    """The model's floating-point input, [n, …]; None where its first tensor is of whole numbers, as token ids."""
    first = next((value for value in [*args, *kwargs.values()] if isinstance(value, torch.Tensor)), None)
    return None if first is not None and not first.is_floating_point() else first_real((args, kwargs))


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
