"""The newest measurement of one tower of a probed model: its load curve, and the numbers that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..errors import ConfigError
from ..measures.friction import CurveFit, hidden, twin_fit
from ..measures.load_curve import ONLY_FIRST, LoadStatistics, loads, statistics
from ..measures.registry import DEFAULT_MEASURE
from .measurer import Measured

__all__ = ["Tower", "Towers"]


class Tower:
    """One chain of layers from an input to an output; most models have one.

    Args:
        path: name of the tower; "" where the model has only one.
        layers: names of the points of its curve, input first.
        has_logits: whether the last point is the model's output.
        joins: whether the points after the input are reduced to a class token, and the input is not.
    """

    def __init__(self, path: str, layers: list[str], *, has_logits: bool, joins: bool = False) -> None:
        self.path = path
        self.layers = layers
        self.has_logits = has_logits
        self.joins = joins
        self.curves: dict[str, list[float]] = {}
        """D_0 … D_L by measure, [L + 1] each, in natural logs; empty before the first measurement."""
        self.errors: dict[str, float] = {}
        """``friction_error`` and ``curve_error``, where known."""
        self.health: dict[str, list[float]] = {}
        """One value a point, [L + 1], by measure of layer health; NaN where it is unknown."""
        self.ended = False
        """Whether the training has ended, so that an unclear curve will not become clear."""

    def take(self, measured: Measured) -> None:
        """Keep a measurement as the newest one."""
        self.curves, self.errors, self.health = measured

    @property
    def curve(self) -> list[float]:
        """The newest D_0 … D_L of the trace ratio; empty before the first measurement."""
        return self.curves.get(DEFAULT_MEASURE, [])

    @property
    def loads(self) -> dict[str, float]:
        """The newest load of each layer, D_(l-1) - D_l of the trace ratio (Shi et al., arXiv:2407.19353)."""
        return dict(zip(self.layers[1:], loads(self.curve).tolist(), strict=True)) if self.curve else {}

    @property
    def statistics(self) -> LoadStatistics:
        """Coefficient of variation, asymmetry and regime of the newest curve without the logits.

        Where the curve's shape means nothing the numbers are NaN, and ``reason`` says why.
        """
        error = self.errors.get("curve_error")
        return statistics(self.curve, logits=self.has_logits, error=error, ended=self.ended, joins=self.joins)

    @property
    def shows_loads(self) -> bool:
        """Whether the newest loads tell layers that work from those that do not.

        The curve's shape means something; or no layer after the first separates the classes, and the classes are
        apart (D < 0), so that the first has learnt to.
        """
        points = hidden(self.curve) if self.has_logits else self.curve
        reason = self.statistics.reason
        return not reason or (reason == ONLY_FIRST and min(points) < 0)

    @property
    def regime(self) -> str:
        """balanced, concave, convex, uneven or unclear; ``statistics.words`` says it to a person."""
        return self.statistics.regime

    @property
    def twin(self) -> CurveFit | None:
        """The chain fitted to the newest curve; None where its shape means nothing: see ``statistics.reason``."""
        points = hidden(self.curve) if self.has_logits else self.curve
        return twin_fit(points, self.statistics.reason, error=self.errors.get("friction_error"))

    @property
    def effective_friction(self) -> float:
        """F*/k of the twin, its length 1: > 0 where shallow layers are lazy, < 0 where deep ones are; else NaN."""
        return math.nan if (twin := self.twin) is None else twin.effective_friction

    def numbers(self) -> dict[str, float]:
        """Statistics, friction and errors by name, dimensionless; NaN where the curve's shape means nothing."""
        shape, twin = self.statistics, self.twin
        return {
            "cv": shape.cv,
            "asymmetry": shape.asymmetry,
            "effective_friction": twin.effective_friction if twin else math.nan,
            "friction_error": twin.standard_error if twin else math.nan,
            "curve_error": self.errors.get("curve_error", math.nan),
        }

    def summary(self) -> dict[str, Any]:
        """The newest curves, the regime and why it is unclear, and ``numbers()``, for the run's last record."""
        return {
            "load_curve": {name: list(curve) for name, curve in self.curves.items()},
            "regime": self.regime,
            "regime_reason": self.statistics.reason,
            **self.numbers(),
        }

    def metrics(self) -> dict[str, float]:
        """The newest measurement by name, as ``LoadProbe.metrics`` lists it; empty before the first one."""
        metrics: dict[str, float] = {}
        for measure, curve in self.curves.items():
            kind = "separation" if measure == DEFAULT_MEASURE else measure
            metrics |= {f"{kind}/{layer}": value for layer, value in zip(self.layers, curve, strict=True)}
        metrics |= {f"load/{layer}": value for layer, value in self.loads.items()}
        for measure, values in self.health.items():
            metrics |= {f"{measure}/{layer}": value for layer, value in zip(self.layers, values, strict=True)}
        return metrics | self.numbers() if self.curves else {}


class Towers:
    """The towers of a model, the main one first."""

    def __init__(self, towers: list[Tower]) -> None:
        self._towers = towers

    def __iter__(self) -> Iterator[Tower]:
        return iter(self._towers)

    def __getitem__(self, name: str) -> Tower:
        for tower in self._towers:
            if tower.path == name:
                return tower
        raise ConfigError(f"there is no tower {name!r}; allowed: {', '.join(map(repr, self.names))}")

    @property
    def main(self) -> Tower:
        """The first one."""
        return self._towers[0]

    @property
    def names(self) -> list[str]:
        """Their names, in order; one empty name where the model has only one."""
        return [tower.path for tower in self._towers]

    @property
    def points(self) -> int:
        """Number of points of all curves."""
        return sum(len(tower.layers) for tower in self._towers)

    def take(self, measured: list[Measured]) -> None:
        """Keep a measurement of each as the newest one."""
        for tower, own in zip(self._towers, measured, strict=True):
            tower.take(own)

    def end(self) -> None:
        """Note that the training has ended."""
        for tower in self._towers:
            tower.ended = True

    def metrics(self) -> dict[str, float]:
        """The newest measurement by name; the names of all but the main tower begin with their path."""
        numbers = self.main.metrics()
        for tower in self._towers[1:]:
            numbers |= {f"{tower.path}/{name}": value for name, value in tower.metrics().items()}
        return numbers

    def summary(self) -> dict[str, Any]:
        """The main tower's ``summary()``, and those of others by name as ``towers``, where there are any."""
        others = {tower.path: tower.summary() for tower in self._towers[1:]}
        return {**self.main.summary(), **({"towers": others} if others else {})}
