"""The settings of the lab's two runs at the sliders' values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.measures.registry import PROBES
from engine.settings.chain import TWIN_TIME
from engine.settings.train import TrainConfig

from ..state.knobs import NOISE_KINDS, NoiseKind
from ..state.predictions import TwinPredictions

Hands = Literal["both", "output"]
"""The chain between two hands, or the paper's: friction and one hand."""
CHAINS: tuple[Hands, Hands] = ("both", "output")
CHAIN_NAMES: dict[Hands, str] = {"both": "two hands", "output": "friction"}
PULLINGS = ("at_once", "steady", "jerky")
_PULLS: dict[str, dict[str, Any]] = {
    "at_once": {},
    "steady": {"pulling": "steady", "pull_time": 100.0},
    "jerky": {"order": 2, "pulling": "jerky", "pull_time": 50.0, "mass": 4.0, "gamma": 0.3},
}
"""Settings of each way of pulling; jerky pulling needs blocks with mass."""
_PACE: dict[Hands, dict[str, Any]] = {
    "both": {"pace": 300.0, "steps": 1_080_000},
    "output": {"pace": 1000.0, "steps": 3_600_000},
}
"""Steps per second, and steps of an hour; a friction chain comes to its map's time in four seconds."""
_FIXED = {"blocks", "order", "pulling", "pull_time", "mass", "gamma", "hands", "pace", "steps"}
"""Settings that a chain cannot change while it runs."""


def network_settings(
    network: Mapping[str, Any], nonlinearity: float, kind: NoiseKind, noise: float, *, probes: bool, going_on: bool
) -> dict[str, Any]:
    """The network's settings; other kinds of noise are as in ``network``, else at their calm value.

    It is held at the epochs that ``network`` gives, unless it is ``going_on``.
    """
    calm = {other.key: network.get(other.key, other.calm) for other in NOISE_KINDS}
    hold = 0 if going_on else int(network.get("epochs", TrainConfig().epochs))
    slope = round(1.0 - nonlinearity, 10)
    return {"negative_slope": slope, **calm, kind.key: noise, PROBES: probes, "hold": hold}


def chain_settings(
    chain: ChainChoice,
    predictions: TwinPredictions,
    depth: int,
    nonlinearity: float,
    kind: NoiseKind,
    noise: float,
    *,
    going_on: bool = False,
) -> dict[str, Any]:
    """The settings of the chosen chain for a network of ``depth`` linear maps.

    The friction chain is held at the time of its map, unless it is ``going_on``.
    """
    settings = {"hands": chain.hands, **predictions.chain(chain.hands, nonlinearity, kind, noise, depth)}
    if chain.hands == "output":
        settings |= {**_PULLS[chain.pulling], "hold": 0.0 if going_on else TWIN_TIME}
    return settings | _PACE[chain.hands]


@dataclass
class ChainChoice:
    """Which chain the lab pulls, and how."""

    hands: Hands = CHAINS[0]
    pulling: str = PULLINGS[0]
    """Of the friction chain, one of ``PULLINGS``."""


def moved(asked: Mapping[str, Any], in_force: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in ``asked`` that differ from those in force and can change while a run goes on.

    A setting that is not known in force is one that the worker, of an older version, does not have.
    """
    return {
        key: value
        for key, value in asked.items()
        if key in in_force and in_force[key] != value and key not in _FIXED
    }


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
