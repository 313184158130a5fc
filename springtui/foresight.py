"""What the fitted maps say of the lab's network: its chain, its predicted curve, and advice. No widgets."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from engine.advice import advise
from engine.loads import statistics
from engine.mean_field import predicted_curve
from engine.twin_map import PRESETS, TwinMap

from .mapping import NoiseKind, chain_settings
from .state import RunState


class Foresight:
    """The shipped maps, one of them replaced by a person's own where they fitted one."""

    def __init__(self, own: TwinMap | None = None) -> None:
        self.own = own
        self.maps = PRESETS if own is None else PRESETS | {own.noise_axis: own}
        self.advice = ""
        self.predicted: list[float] = []
        """The network's curve as the map has it, from 1 to 0 over the hidden layers."""
        self._advised: tuple[object, ...] = ()
        self._predicted_for: tuple[object, ...] = ()

    def chain(self, nonlinearity: float, kind: NoiseKind, noise: float, depth: int) -> dict[str, Any]:
        """The chain for a network of ``depth`` linear maps: a spring for each hidden layer."""
        return {"blocks": max(1, depth - 2), **chain_settings(nonlinearity, kind, noise, self.maps)}

    async def reckon(self, train: RunState, kind: NoiseKind) -> bool:
        """Bring advice and prediction up to what is in force, in a thread; whether either changed."""
        if train.latest is None or not train.settings:
            return False
        nonlinearity, noise = 1.0 - train.settings["negative_slope"], float(train.settings[kind.key])
        in_force = (kind.key, nonlinearity, noise)
        curve, springs = train.latest.curves.get("trace_ratio", []), len(train.layers) - 2
        asymmetry = statistics(curve, logits=True).asymmetry
        basis = (*in_force, round(asymmetry, 1) if math.isfinite(asymmetry) else None)
        changed = basis != self._advised
        if changed:
            self._advised = basis
            self.advice = await asyncio.to_thread(advise, curve, nonlinearity, kind.key, noise, self.maps)
        if springs > 1 and (*in_force, springs) != self._predicted_for:
            self._predicted_for = (*in_force, springs)
            chain = chain_settings(nonlinearity, kind, noise, self.maps)
            numbers = chain["mu_right"], chain["mu_left"], chain["noise"]
            self.predicted = (await asyncio.to_thread(predicted_curve, *numbers, springs)).tolist()
            changed = True
        return changed
