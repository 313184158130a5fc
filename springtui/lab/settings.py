"""What the lab's sliders ask of its two runs, as fields of their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.measures.registry import PROBES

from ..state.knobs import NOISE_KINDS, NoiseKind
from ..state.predictions import Foresight

PULLINGS = ("at_once", "steady", "jerky")
_PULLS: dict[str, dict[str, Any]] = {
    "at_once": {},
    "steady": {"pulling": "steady", "pull_time": 100.0},
    "jerky": {"order": 2, "pulling": "jerky", "pull_time": 50.0, "mass": 4.0, "gamma": 0.3},
}
"""A jerk needs inertia to be felt."""
_FIXED = {"blocks", "order", "pulling", "pull_time", "mass", "gamma"}
"""What a chain keeps from its start."""


def network_settings(
    network: Mapping[str, Any], nonlinearity: float, kind: NoiseKind, noise: float, *, probes: bool
) -> dict[str, Any]:
    """The network's: the noise of the chosen kind; the other kinds as in `network`, or as calm as they go."""
    calm = {other.key: network.get(other.key, other.calm) for other in NOISE_KINDS}
    return {"negative_slope": round(1.0 - nonlinearity, 10), **calm, kind.key: noise, PROBES: probes}


def chain_settings(
    foresight: Foresight, depth: int, nonlinearity: float, kind: NoiseKind, noise: float, pulling: str
) -> dict[str, Any]:
    """The chain's that stands for a network of this depth, pulled in one of PULLINGS."""
    return {**foresight.chain(nonlinearity, kind, noise, depth), **_PULLS[pulling]}


def moved(asked: Mapping[str, Any], in_force: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is asked, that which differs from what is in force and can change while a run goes on."""
    return {key: value for key, value in asked.items() if in_force.get(key) != value and key not in _FIXED}


def slider_shape(kind: NoiseKind, value: float) -> dict[str, Any]:
    """The arguments of the slider for a kind of noise."""
    return {
        "label": kind.label,
        "minimum": kind.minimum,
        "maximum": kind.maximum,
        "value": value,
        "scale": kind.scale,
        "integer": kind.integer,
    }
