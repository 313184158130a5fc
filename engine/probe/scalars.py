"""Keeps the numbers that a user gives to the load probe until the next measurement records them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import ConfigError

OWN = (
    "asymmetry", "curve_error", "cv", "effective_friction", "friction_error", "load_curve", "probe_seconds",
    "rate", "regime", "regime_reason", "seconds", "steps",
)  # fmt: skip
"""Names that the probe itself writes with a curve or in the summary; a user's numbers cannot have them."""


class Scalars:
    """The newest number of each name."""

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}
        self._refused: set[str] = set()

    def give(self, scalars: Mapping[str, Any]) -> list[str]:
        """Keep numbers, tensors without their graph; the names in ``OWN`` that are refused for the first time."""
        refused = [name for name in scalars if name in OWN]
        self._given |= {
            name: value.detach() if isinstance(value, torch.Tensor) else value
            for name, value in scalars.items()
            if name not in OWN
        }
        new = [name for name in refused if name not in self._refused]
        self._refused.update(new)
        return new

    def take(self) -> tuple[dict[str, float | None], list[ConfigError]]:
        """The numbers given since the last call, and an error for each value that is no number."""
        given, self._given = self._given, {}
        taken: dict[str, float | None] = {}
        wrong = []
        for name, value in given.items():
            try:
                taken[name] = float(value)
            except (TypeError, ValueError, RuntimeError):
                wrong.append(
                    ConfigError(f"{name} = {value!r} is no number; allowed: a number, or a tensor of one")
                )
        return taken, wrong


def refusal(names: list[str]) -> str:
    """The warning that numbers of these names are not kept."""
    listed = ", ".join(map(repr, names))
    return (
        f"the load probe does not record {listed}: it writes values of that name itself. Choose another name, "
        f"as 'my_{names[0]}'; taken are {', '.join(OWN)}"
    )
