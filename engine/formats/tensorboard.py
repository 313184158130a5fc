"""Writes a run's records as TensorBoard event files: curves, loads, regime, scalars, layer health and use.

Each number stands at its own step and time. Needs the package ``tensorboard``, but no torch. Values that are not
finite are left out, but for those that the training logged itself, which TensorBoard marks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, HomeError
from ..measures.friction import hidden, twin_fit
from ..measures.load_curve import loads, statistics
from ..measures.registry import DEFAULT_MEASURE, DISTANCE, PROBES
from ..runs.any_run import AnyRun
from ..runs.records import Cell, Curve, Event, Health, Scalars, Started, Usage
from ..runs.towers import RecordedTower, towers_of
from ..settings.sweep import SweepConfig
from ..sweep.grid import cell_values

_SUFFIX = ".springtui"


class Scalar(NamedTuple):
    """One tagged number at a step."""

    tag: str
    value: float
    step: int
    """Optimiser steps; steps of a chain; number of the member in a sweep."""
    time: float
    """Time of the record, in seconds since the epoch."""


def export_tensorboard(run: AnyRun, folder: Path, name: str = "") -> Path:
    """Write all records of a run to ``folder``/RUN, and return that folder; an earlier export is replaced.

    ``name``: what to call the folder, where not by the run's id.

    Tags: ``trace_ratio/00 input`` … for each measure and point, ``load/01 LAYER``, ``regime/cv``,
    ``regime/asymmetry``, ``regime/effective_friction`` where the curve's shape means something, and the scalars by
    their own names; ``health/MEASURE/LAYER``; ``usage/cpu``, ``usage/memory``, ``usage/gpu0/memory``. Curves and
    health of a tower with a name have ``TOWER/`` in front. Of a chain ``distance/…`` and ``spring/…``; of a sweep
    ``test_accuracy/negative_slope=0.2 data_noise=0.4`` …, where the step is the member.

    Raises:
        ConfigError: tensorboard is not installed.
        HomeError: the folder cannot be written.
        RunDirectoryError: the run cannot be read.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event as Written
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise ConfigError("TensorBoard is not installed: pip install 'springtui[tensorboard]'") from error
    config = run.config()
    settings = None if config is None else config.settings
    into = folder / (name or run.id)
    try:
        for old in into.glob(f"events.out.tfevents.*{_SUFFIX}"):
            old.unlink()
        writer = EventFileWriter(str(into), filename_suffix=_SUFFIX)
        for scalar in scalars_of(run.log().events(), settings):
            value = Summary.Value(tag=scalar.tag, simple_value=scalar.value)
            writer.add_event(Written(wall_time=scalar.time, step=scalar.step, summary=Summary(value=[value])))
        writer.close()
    except OSError as error:
        raise HomeError(f"cannot write {into}: {error.strerror}; choose another folder") from error
    return into


def scalars_of(events: Iterable[Event], settings: Any) -> Iterator[Scalar]:
    """Every finite number in the records of a run with these settings."""
    only = RecordedTower("", [], has_logits=True)
    towers: dict[str, RecordedTower] = {}
    main = ""
    for event in events:
        if isinstance(event, Started):
            only = RecordedTower("", event.layers, bool(event.facts.get("logits", True)))
            towers = {tower.path: tower for tower in towers_of(event.facts)}
            main = next(iter(towers), "")
        elif isinstance(event, Curve):
            inner = _in_front(event.path, _of_curve(event, towers.get(event.path, only)))
            own = event.scalars if event.path == main else _in_front(event.path, event.scalars)
            yield from _finite_scalars({**inner, **own}, event.step, event.time)
        elif isinstance(event, Scalars):
            for tag, value in event.scalars.items():
                yield Scalar(tag, value, event.step, event.time)
        elif isinstance(event, Health):
            yield from _finite_scalars(_in_front(event.path, _of_health(event)), event.step, event.time)
        elif isinstance(event, Usage):
            yield from _finite_scalars(_of_usage(event), event.step, event.time)
        elif isinstance(event, Cell) and event.final and isinstance(settings, SweepConfig):
            yield from _finite_scalars(_of_cell(event, settings), event.member, event.time)


def _in_front(path: str, numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    """The numbers with the tower's name in front of theirs, where it has one."""
    return {f"{path}/{name}" if path else name: value for name, value in numbers.items()}


def _of_health(event: Health) -> dict[str, float | None]:
    return {
        f"health/{measure}/{_name(i, event.layers)}": value
        for measure, values in event.measures.items()
        for i, value in enumerate(values)
    }


def _of_usage(event: Usage) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {"usage/cpu": event.cpu, "usage/memory": event.memory}
    for gpu in event.gpus:
        numbers |= {f"usage/gpu{gpu.index}/memory": gpu.memory, f"usage/gpu{gpu.index}/reserved": gpu.reserved}
    return numbers


def _finite_scalars(numbers: Mapping[str, float | None], step: int, time: float) -> Iterator[Scalar]:
    for tag, value in numbers.items():
        if value is not None and math.isfinite(value):
            yield Scalar(tag, float(value), step, time)


def _of_curve(event: Curve, tower: RecordedTower) -> dict[str, float | None]:
    layers = tower.layers
    numbers: dict[str, float | None] = {}
    for measure, curve in event.curves.items():
        numbers |= {f"{measure}/{_name(i, layers)}": value for i, value in enumerate(curve)}
    if event.linear_probes is not None:
        numbers |= {f"{PROBES}/{_name(i, layers)}": value for i, value in enumerate(event.linear_probes)}
    if DISTANCE in event.curves:
        drops = loads(event.curves[DISTANCE]).tolist()
        return numbers | {f"spring/{i + 1:02d}": drop for i, drop in enumerate(drops)}
    curve = event.curves.get(DEFAULT_MEASURE, [])
    numbers |= (
        {f"load/{_name(i + 1, layers)}": load for i, load in enumerate(loads(curve).tolist())} if curve else {}
    )
    return numbers | _regime(event, logits=tower.has_logits, joins=tower.joins)


def _regime(event: Curve | Cell, *, logits: bool, joins: bool = False) -> dict[str, float | None]:
    """The statistics of a curve and its effective friction; none where its shape means nothing."""
    curve = event.curves.get(DEFAULT_MEASURE, [])
    shape = statistics(curve, logits=logits, error=event.scalars.get("curve_error"), joins=joins)
    fit = twin_fit(hidden(curve if logits else [*curve, None]), shape.reason)
    if fit is None:
        return {}
    return {
        "regime/cv": shape.cv,
        "regime/asymmetry": shape.asymmetry,
        "regime/effective_friction": fit.effective_friction,
    }


def _name(index: int, layers: Sequence[str]) -> str:
    """A layer's name with its index in front, so that TensorBoard lists layers in forward order."""
    return f"{index:02d} {layers[index]}" if index < len(layers) else f"{index:02d}"


def _of_cell(event: Cell, settings: SweepConfig) -> dict[str, float | None]:
    x, y = cell_values(settings, event.cell)
    where = f"{settings.y_axis}={y} {settings.x_axis}={x}"
    regime = _regime(event, logits=True)
    return {f"{name}/{where}": value for name, value in {**event.scalars, **regime}.items()}
