"""The towers of a probed model, as the facts of its run name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["RecordedTower", "towers_of"]


class RecordedTower(NamedTuple):
    """One chain of layers from an input to an output of a model."""

    path: str
    """Its name; empty where the model has one tower."""
    layers: list[str]
    """Names of the points of its curve, input first."""
    has_logits: bool
    """Whether the last point is the model's output."""
    joins: bool = False
    """Whether the points after the input are reduced to a class token, and the input is not."""


def towers_of(facts: Mapping[str, Any]) -> list[RecordedTower]:
    """The towers that the facts of a run name, the main one first; none where they name none."""
    found: list[RecordedTower] = []
    listed = facts.get("towers")
    for tower in listed if isinstance(listed, list) else []:
        path = tower.get("path") if isinstance(tower, dict) else None
        if isinstance(path, str) and path not in {known.path for known in found}:
            layers = tower.get("layers")
            names = [str(name) for name in layers] if isinstance(layers, list) else []
            found.append(RecordedTower(path, names, bool(tower.get("logits", True)), bool(tower.get("joins"))))
    return found
