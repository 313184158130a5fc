"""What a run says about its layers: where and how they are measured, their newest numbers, what was left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard, TypeVar

import msgspec

from engine.measures.load_curve import loads

from .run_state import RunState, signed_curve

S = TypeVar("S", bound=msgspec.Struct)
LOGITS = (["logits"], ["(logits)"])
"""The name of a curve's last point where it is the model's output; the second where a layer has the first."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point of a tower's load curve, as the probe describes it; empty or None where it does not."""

    name: str
    path: str = ""
    """The tower."""
    module: str = ""
    """Class of the module whose output is measured."""
    shape: tuple[int, ...] = ()
    """Of the output in the pass that was traced."""
    samples_axis: int | None = None
    features_axis: int | None = None
    reduction: str = ""
    """How the output becomes one vector a sample."""
    why: str = ""
    """Why it is reduced so."""
    role: str = ""
    """What it is on the path from input to output: input, block, activation, map, named or logits."""
    features: int | None = None
    """Length of a sample's vector."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A module that is not measured, or a kind of modules."""

    name: str
    module: str = ""
    reason: str = ""


@dataclass
class TowerLayers:
    """The points of one tower with their newest numbers."""

    path: str
    points: list[Point]
    loads: dict[str, float] = field(default_factory=dict)
    """By name of a point, the load of the layer that ends there; the input has none."""
    health: dict[str, dict[str, float]] = field(default_factory=dict)
    """By measure of layer health, the newest known value by name of a layer; NaN where none is known."""


class Described(NamedTuple):
    """What the probe recorded about its layers; older runs and runs of other kinds hold nothing of it."""

    points: list[Point]
    left_out: list[LeftOut]


def described_in(facts: Mapping[str, Any]) -> Described:
    """What a run's facts say about its layers; what has the wrong form is left out."""
    return Described(_structs(Point, facts.get("points")), _structs(LeftOut, facts.get("left_out")))


class Layers(NamedTuple):
    """All that is known of a run's layers."""

    towers: list[TowerLayers]
    left_out: list[LeftOut]
    described: bool
    """Whether the probe recorded how each point is measured."""


def layers_of(state: RunState, measure: str, described: Described) -> Layers:
    """The layers of every tower, the main one first, with their newest loads in a measure."""
    towers = []
    for tower in state.towers:
        own = [point for point in described.points if point.path == tower.path]
        seen = state.of_tower(tower.path)
        names = tower.layers or seen.layers
        points = own or [_older(name, state) for name in names]
        found = TowerLayers(tower.path, points, loads_by_name(seen, measure))
        history = state.health.get(tower.path)
        for health in history.measures if history is not None else ():
            found.health[health] = newest_health(state, tower.path, health)
        towers.append(found)
    return Layers(towers, described.left_out, bool(described.points))


def loads_by_name(state: RunState, measure: str) -> dict[str, float]:
    """By name of a point, the load of the layer that ends there, of the main tower's newest curve."""
    if state.latest is None:
        return {}
    found = [float(load) for load in loads(signed_curve(state.latest, measure))]
    return dict(zip(layer_names(state, len(found)), found, strict=True))


def layer_names(state: RunState, count: int) -> list[str]:
    """Names of the layers that ``count`` loads are of: those of the points without the input, else numbers."""
    names = state.layers[1 : count + 1]
    return [*names, *(str(i + 1) for i in range(len(names), count))]


def newest_health(state: RunState, path: str, measure: str) -> dict[str, float]:
    """By name of a layer of a tower, its newest known value of a measure of health; NaN where none is known.

    Layers may differ in the step that their values are of: gradients are known only at steps that were foreseen.
    """
    history = state.health.get(path)
    if history is None:
        return {}
    found = [math.nan] * len(history.layers)
    missing = list(range(len(found)))
    for column in reversed(history.columns):
        values = column.measures.get(measure, ())
        left = []
        for i in missing:
            value = values[i] if i < len(values) else None
            if is_number(value):
                found[i] = float(value)
            else:
                left.append(i)
        if not (missing := left):
            break
    return dict(zip(history.layers, found, strict=True))


def _older(name: str, state: RunState) -> Point:
    """What a run without descriptions says of a point: its name and, of a probe, its reduction."""
    reductions = state.facts.get("reductions")
    reduction = reductions.get(name, "") if isinstance(reductions, Mapping) else ""
    return Point(name=name, reduction=str(reduction))


def _structs(cls: type[S], listed: Any) -> list[S]:
    """The records of a list in a run's facts; what has the wrong form is left out."""
    found = []
    for one in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        try:
            found.append(msgspec.convert(one, cls))
        except msgspec.ValidationError:
            continue
    return found


def short_names(names: Sequence[str]) -> list[str]:
    """Names of layers without the parts that all begin with: ``h.0``, ``h.1`` of ``decoder.h.0``, ``decoder.h.1``.

    Names without a dot, as of the input and the logits, stay as they are and do not count.
    """
    split = [name.split(".") for name in names]
    dotted = [parts for parts in split if len(parts) > 1]
    shared = 0
    while len(dotted) > 1 and all(len(parts) > shared + 1 for parts in dotted):
        if len({parts[shared] for parts in dotted}) > 1:
            break
        shared += 1
    return [".".join(parts[shared:] if len(parts) > 1 else parts) for parts in split]


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether a value is known; it may be infinite."""
    return value is not None and not math.isnan(value)
