"""A user's model with its probe batch and points, measured without side effects on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import ConfigError, InputError
from .activations import Activations, all_ends
from .batch.batch import ProbeBatch, chunk_bounds
from .batch.groupings import group, label_count
from .batch.masks import parameter_names
from .batch.ragged import dense_attention
from .features import REMEDY, Source
from .measurer import Measured, Measurer
from .points.description import Description, describe, joins_at_first, notes_of
from .points.find import find_points
from .points.layers import Found, Point, TowerPoints, Wanted
from .points.left_out import LeftOutRow
from .points.looks import Looks
from .points.parameters import layer_parameters
from .points.trace import Trace
from .points.wrappers import home_of
from .state.isolation import Autocast, Gradients, computing_in, isolated, taking_gradients
from .state.memory import UNKNOWN, is_out_of_memory, samples_at_once
from .state.operations import Operations
from .state.refusals import cannot_run, foreseen
from .state.state import Look, ModelState
from .tower import Tower, Towers

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
        layers, towers, reductions: as ``LoadProbe``.
        groups: number of bins of a target, or of most frequent next tokens.
        measures: names of the measures to take.
        health: names of the measures of layer health to take.
        chunk: samples that go through the model at once; None: as many as fit into ``memory``.
        memory: MiB of features kept at once, and of one forward pass.
        autocast, forward, mask, samples: as ``LoadProbe``.
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
        towers: Mapping[str, Sequence[str]] | bool | None = None,
        reductions: str | Mapping[str, str],
        groups: int,
        measures: Sequence[str],
        health: Sequence[str] = (),
        chunk: int | None,
        memory: int,
        autocast: Autocast,
        forward: Callable[..., Any] | None,
        keeps: bool,
        sharded: bool = False,
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
        self._gradients: Gradients = "none"
        self._sees_operations = True
        self._state = ModelState(model, buffers_only=sharded)
        self._traced: Trace | None = None
        ids = self.batch.token_ids if labels is None else None
        wanted = Wanted(layers, reductions, self.groups.length, towers, None if ids is None else ids.cpu())
        bytes_a_sample = self._first_look(chunk)
        if chunk is None:  # processes that run the model together must agree on it
            chunk = UNKNOWN if sharded else samples_at_once(bytes_a_sample, memory << 20, model)
        while True:
            try:
                sizes = self._look(wanted, chunk)
                break
            except InputError as error:
                if sharded or self.batch.is_whole or chunk < _FEWEST or not is_out_of_memory(error):
                    raise
            chunk = max(1, min(chunk, self.batch.n, _TRIED) // 2)
        self.notes = [*notes_of(self.found), *self.batch.masks.notes(_averaged(self.points))]
        """What the user is to be told once, in words."""
        places = {point: number for number, point in enumerate(self.points)}
        chains = [[places[point] for point in tower.points] for tower in self.found.towers]
        self._measurer = Measurer(
            self._source,
            sizes,
            chains,
            measures=tuple(measures),
            chunk=chunk,
            memory=memory << 20,
            health=self._activations(health),
            keeps=keeps,
            halves=not sharded and not self.batch.is_whole,
            around=self._state.kept_in_pass,
        )
        self.parameters = self._parameters() if health else []
        """By tower, the parameters of each point's layer; empty where no layer health is wanted."""
        self._traced = None

    def towers(self) -> Towers:
        """The towers, without a measurement yet."""
        return Towers(
            [
                Tower(
                    found.path,
                    [point.name for point in found.points],
                    has_logits=found.points[-1].logits,
                    joins=joins_at_first(found.points),
                )
                for found in self.found.towers
            ]
        )

    @property
    def chunk(self) -> int:
        """Samples that go through the model at once."""
        return self._measurer.chunk

    def take_news(self) -> list[str]:
        """Sentences about what the forward pass changes in the model, each once."""
        return self._state.take_news()

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
        return describe(self.model, self.found, self._widths)

    @property
    def _widths(self) -> dict[Point, int]:
        """The number of features of each point."""
        return dict(zip(self.points, self._measurer.sizes, strict=True))

    def facts(self) -> dict[str, Any]:
        """Facts for the run's first record: samples, classes and their origin, reductions, device …"""
        own = list(self.model.parameters())
        main = self.found.towers[0].points
        return {
            "samples": len(self.groups.y_M),
            "classes": self.groups.count,
            "grouping": self.groups.how,
            "device": str(self.device),
            "parameters": sum(p.numel() for p in own),
            "frozen_parameters": sum(p.numel() for p in own if not p.requires_grad),
            "features": [self._widths[point] for point in main],
            "reductions": {point.name: point.reduction for point in main},
            "logits": main[-1].logits,
            **self.describe().facts(),
        }

    @contextlib.contextmanager
    def _isolated(self) -> Iterator[Look]:
        with isolated(self.model), dense_attention(), self._state.kept() as look:
            yield look

    def _run(self, args: Any, kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            stack.enter_context(computing_in(self._autocast, self.device))
            stack.enter_context(taking_gradients(self.model, self._gradients))
            # what one pass writes to may depend on its samples, so each is seen while anything has no copy
            if self._sees_operations and self._state.has_uncopied():
                stack.enter_context(Operations(self._state.before_write))
            return self._call(args, kwargs)

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
        few = [] if self.batch.is_whole else [(*way, _LOOK_SAMPLES) for way in _ATTEMPTS]
        ways = few + [(*way, whole) for way in _ATTEMPTS]
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

    def _look(self, wanted: Wanted, chunk: int) -> list[int]:
        """Find the points; the number of features of each."""
        with self._isolated():
            self.found = self._find(wanted, chunk)
            self.points = _points_of(self.found)
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
            return self._sizes(chunk)

    def _find(self, wanted: Wanted, chunk: int) -> Found:
        def take(start: int, stop: int) -> tuple[Any, Any]:
            return self.batch.chunk(start, stop, self.device, self.dtype)

        with self._as_data_errors("the probe batch"):
            whole = self.batch.is_whole
            looks = Looks(self.model, self._run, take, self.batch.n, chunk, self.batch.by_sample, is_whole=whole)
            self._fixed = not looks.are_two
            self._traced = looks.first
            return find_points(looks, take(0, looks.n), wanted)

    def _activations(self, health: Sequence[str]) -> Activations | None:
        """What reads layer health off activations; None where none is wanted."""
        traced = self._traced
        return Activations(self.points, all_ends(self.points, traced), health) if health and traced else None

    def _parameters(self) -> list[list[list[nn.Parameter]]]:
        """By tower, the parameters of each point's layer."""
        towers, traced = self.found.towers, self._traced
        assert traced is not None
        is_only = len(towers) == 1
        return [layer_parameters(self.model, traced, tower.points, is_only=is_only) for tower in towers]

    def _sizes(self, chunk: int) -> list[int]:
        """The number of features of each point; points are left out where chunks do not agree about it."""
        bounds = chunk_bounds(self.batch.n, chunk)
        varying = any(point.varying for point in self.points)
        one = self._fixed or chunk < _FEWEST
        with self._as_data_errors("a few samples of the probe batch"):
            found = self._source.count(self._run, bounds if varying else bounds[:1] if one else ())
        widths_of = dict(zip(self.points, found, strict=True))
        for point, widths in widths_of.items():
            if len(widths) > 1:
                some = " or ".join(map(str, sorted(widths)[:2]))
                self._leave_out(point, f"has {some} features, depending on which samples run together")
        if len(kept := _points_of(self.found)) < len(self.points):
            self.points = kept
            self._source = Source(self.points, self.batch, self.groups, self.device, self.dtype)
        self._source.sizes = [min(widths_of[point]) for point in self.points]
        return self._source.sizes

    def _leave_out(self, point: Point, reason: str) -> None:
        """Take a point out of its towers; raises ConfigError where a tower cannot do without it."""
        for at, tower in enumerate(self.found.towers):
            kept = [other for other in tower.points if other is not point]
            if len(kept) == len(tower.points):
                continue
            if point is tower.points[0] or len(kept) < 2 + kept[-1].logits:
                raise ConfigError(f"layer {point.name!r} {reason}: {REMEDY}")
            self.found.towers[at] = TowerPoints(tower.path, kept)
        kind = point.layer or type(self.model).__name__
        self.found.left_out.append(LeftOutRow(point.name, kind, reason, is_missed=True))

    @contextlib.contextmanager
    def _as_data_errors(self, what: str) -> Iterator[None]:
        """Turn the model's exceptions into DataError, and leave those of ours."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise cannot_run(self.model, what, error) from error


def _averaged(points: Sequence[Point]) -> Iterator[str]:
    """Names of layers whose features are a mean over tokens or over one axis of positions, or the last token's."""
    for point in points:
        axes = len(point.shape) + (point.rows > 1)
        averages = point.reduction in ("token_mean", "last_token", "spatial_mean")
        if axes == 3 and averages and point.role != "input":
            yield point.name


def _points_of(found: Found) -> list[Point]:
    """The points of all towers, each once."""
    return list(dict.fromkeys(point for tower in found.towers for point in tower.points))
