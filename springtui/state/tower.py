"""The curves of one tower of a probed model, and the names of their points."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.runs.records import Curve, Scalars
from engine.runs.towers import towers_of

from .history import History

ECHOES = 3
"""Number of earlier curves drawn behind the newest."""
ECHO_SECONDS = 1.5
"""Least seconds between the curves that are kept as echoes."""


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
