"""The settings of the lab's two runs at the sliders' values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.measures.registry import PROBES

from ..state.knobs import NOISE_KINDS, NoiseKind
from ..state.predictions import TwinPredictions

PULLINGS = ("at_once", "steady", "jerky")
_PULLS: dict[str, dict[str, Any]] = {
    "at_once": {},
    "steady": {"pulling": "steady", "pull_time": 100.0},
    "jerky": {"order": 2, "pulling": "jerky", "pull_time": 50.0, "mass": 4.0, "gamma": 0.3},
}
"""Settings of each way of pulling; jerky pulling needs blocks with mass."""
_FIXED = {"blocks", "order", "pulling", "pull_time", "mass", "gamma"}
"""Settings that a chain cannot change while it runs."""


def network_settings(
    network: Mapping[str, Any], nonlinearity: float, kind: NoiseKind, noise: float, *, probes: bool
) -> dict[str, Any]:
    """The network's settings; other kinds of noise are as in ``network``, else at their calm value."""
    calm = {other.key: network.get(other.key, other.calm) for other in NOISE_KINDS}
    return {"negative_slope": round(1.0 - nonlinearity, 10), **calm, kind.key: noise, PROBES: probes}


def chain_settings(
    predictions: TwinPredictions, depth: int, nonlinearity: float, kind: NoiseKind, noise: float, pulling: str
) -> dict[str, Any]:
    """The settings of the chain for a network of ``depth`` linear maps, pulled in one of ``PULLINGS``."""
    return {**predictions.chain(nonlinearity, kind, noise, depth), **_PULLS[pulling]}


def moved(asked: Mapping[str, Any], in_force: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in ``asked`` that differ from those in force and can change while a run goes on."""
    return {key: value for key, value in asked.items() if in_force.get(key) != value and key not in _FIXED}


def slider_shape(kind: NoiseKind, value: float) -> dict[str, Any]:
    """Arguments of the slider for a kind of noise."""
    return {
        "label": kind.label,
        "minimum": kind.minimum,
        "maximum": kind.maximum,
        "value": value,
        "scale": kind.scale,
        "integer": kind.integer,
    }
