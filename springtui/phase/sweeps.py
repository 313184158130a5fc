"""Finds and starts sweeps of networks, and the sweeps of chains beside them.

Every call may read or write files: call it from a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import SpringtuiError
from engine.runs.directory import Run
from engine.runs.listing import list_runs, open_home
from engine.runs.status import Status
from engine.settings.sweep import SweepConfig
from engine.twin.maps import NUMBERS, PRESETS, TwinMap

from ..follow.workers import Workers

_LOOK_BACK = 200
"""Number of runs that are searched for the newest diagram."""


class SweepRuns:
    """Finds and starts sweeps under one home."""

    def __init__(
        self, home: Path, run_workers: Workers, twin: TwinMap | None = None, *, read_only: bool = False
    ) -> None:
        self.home = home
        self.run_workers = run_workers
        self.read_only = read_only
        self.twin = twin
        """The person's own map, used in place of the shipped one of the same noise axis."""

    def newest_of(self, recipe: str) -> Run | None:
        """The newest finished or live diagram of a recipe, else the newest of another status, else None."""
        left = None
        for run, config in self._sweeps():
            if config.system == "network" and config.recipe == recipe:
                if (status := run.status()).is_live or status is Status.FINISHED:
                    return run
                left = left or run
        return left

    def _sweeps(self) -> Iterator[tuple[Run, SweepConfig]]:
        """The sweeps that can be read, newest first."""
        for run in list_runs(self.home)[:_LOOK_BACK]:
            if run.kind == "sweep":
                with contextlib.suppress(SpringtuiError):
                    config = run.config().settings
                    if isinstance(config, SweepConfig):
                        yield run, config

    def newest(
        self, system: str, like: SweepConfig | None = None, twin: Mapping[str, float] | None = None
    ) -> Run | None:
        """The newest sweep of a system; with ``like``, the newest finished one over the same axes.

        ``twin``: with ``like``, the numbers of the map that it must have been made with; None for the shipped map.
        """
        for run, config in self._sweeps():
            if config.system != system:
                continue
            same = like is None or (_grid(config) == _grid(like) and config.twin == (twin or {}))
            if same and (like is None or run.status() is Status.FINISHED):
                return run
        return None

    def start(self, recipe: str, settings: dict[str, Any], seeds: int) -> Run:
        """Start a diagram with a worker of its own.

        Raises:
            SpringtuiError: a setting, the home or the worker is at fault.
        """
        from engine.sweep.diagrams import make_sweep  # needs NumPy, which the lab's first frame does not wait for

        open_home(self.home)
        return self.run_workers.launch(
            Run.create(self.home, make_sweep(recipe, settings, seeds=seeds), origin="phase")
        )

    def start_chain(self, network: SweepConfig) -> Run | None:
        """The sweep of chains over the same axes by the person's or the shipped map; started if none is finished.

        None where there is no map for these axes, or where the app is read-only and none was made.
        """
        if network.y_axis != "negative_slope" or network.x_axis not in PRESETS:
            return None
        own = self.twin if self.twin is not None and self.twin.noise_axis == network.x_axis else None
        numbers = {} if own is None else {name: float(getattr(own, name)) for name in NUMBERS}
        known = self.newest("chain", network, numbers)
        if known is not None or self.read_only:
            return known
        from engine.sweep.diagrams import make_sweep  # as in start

        axes = {"x": (network.x_axis, network.x_values), "y": (network.y_axis, network.y_values)}
        depth = int(network.settings.get("depth", 8))
        config = make_sweep("chain-twin", {"blocks": max(1, depth - 2)}, axes=axes)
        config = msgspec.structs.replace(config, twin=numbers)
        return self.run_workers.launch(Run.create(self.home, config, origin="phase"))


def _grid(config: SweepConfig) -> tuple[object, ...]:
    return config.x_axis, config.x_values, config.y_axis, config.y_values
