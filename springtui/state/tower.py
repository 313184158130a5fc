"""The towers of a probed model, as its records name them, and the curves of one of them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.runs.records import Curve, Scalars

from .history import History

ECHOES = 3
"""Number of earlier curves drawn behind the newest."""
ECHO_SECONDS = 1.5
"""Least seconds between the curves that are kept as echoes."""


class Tower(NamedTuple):
    """One chain of layers from an input to an output of a model."""

    path: str
    """Its name; empty where the model has one tower."""
    layers: list[str]
    """Names of the points of its curve, input first."""
    has_logits: bool
    """Whether the last point is the model's output."""
    joins: bool = False
    """Whether the points after the input are reduced to a class token, and the input is not."""


def towers_of(facts: Mapping[str, Any]) -> list[Tower]:
    """The towers that the facts of a run name, the main one first; none where they name none."""
    found: list[Tower] = []
    listed = facts.get("towers")
    for tower in listed if isinstance(listed, list) else []:
        path = tower.get("path") if isinstance(tower, dict) else None
        if isinstance(path, str) and path not in {known.path for known in found}:
            layers = tower.get("layers")
            names = [str(name) for name in layers] if isinstance(layers, list) else []
            found.append(Tower(path, names, bool(tower.get("logits", True)), bool(tower.get("joins"))))
    return found


def point_names(curve: Curve, facts: Mapping[str, Any], layers: Sequence[str]) -> list[str]:
    """Names of the points of a curve, [L + 1]: its tower's layers, else ``layers``, else their numbers."""
    named = next((tower.layers for tower in towers_of(facts) if tower.path == curve.path), layers)
    count = max(map(len, curve.curves.values()), default=0)
    return [*named[:count], *(str(i) for i in range(len(named), count))]


def finite_numbers(event: Scalars) -> dict[str, float]:
    """What a plot shows of logged numbers: those that are finite, and the epoch where it is given."""
    epoch = {} if event.epoch is None else {"epoch": event.epoch}
    return {name: value for name, value in {**epoch, **event.scalars}.items() if math.isfinite(value)}


def add_echo(echoes: deque[Curve], latest: Curve) -> None:
    """Keep a curve that a newer one follows, unless the last one kept is of nearly the same time."""
    if not echoes or latest.time - echoes[-1].time >= ECHO_SECONDS:
        echoes.append(latest)


@dataclass
class TowerCurves:
    """The first curve of a tower, its newest and a few before it, and the histories of their scalars."""

    initial: Curve | None = None
    latest: Curve | None = None
    echoes: deque[Curve] = field(default_factory=lambda: deque(maxlen=ECHOES))
    """Earlier curves, oldest first."""
    history: dict[str, History] = field(default_factory=dict)
    """By name, over epochs or steps."""

    def fold(self, event: Curve) -> None:
        """Add a newer curve."""
        if self.initial is None:
            self.initial = event
        elif self.latest:
            add_echo(self.echoes, self.latest)
        self.latest = event
        for name, value in event.scalars.items():
            if value is not None:
                self.history.setdefault(name, History()).add(event.at, value)
