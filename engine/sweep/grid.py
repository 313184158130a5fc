"""The cells of a sweep: their settings, and the order in which they are computed."""

from __future__ import annotations

import msgspec

from ..errors import ConfigError
from ..settings.chain import ChainConfig
from ..settings.fields import make
from ..settings.sweep import SweepConfig
from ..settings.train import TrainConfig
from ..twin.axis import noise_coordinate
from ..twin.maps import NUMBERS, PRESETS, TwinMap
from .axes import KNOBS, Value

MOST_CELLS = 100_000


def cell_count(config: SweepConfig) -> int:
    """Number of cells of the grid: columns x rows."""
    return len(config.x_values) * len(config.y_values)


def cell_values(config: SweepConfig, index: int) -> tuple[Value, Value]:
    """The x and y values of a cell, by its index: y index x columns + x index."""
    row, column = divmod(index, len(config.x_values))
    return config.x_values[column], config.y_values[row]


def cell_settings(config: SweepConfig, index: int, member: int = 0) -> TrainConfig | ChainConfig:
    """Settings of one network or chain of a cell; ``member`` counts the cell's seeds, from 0.

    Raises:
        ConfigError: a value or a combination is not allowed, or there is no fitted map for these axes.
    """
    x, y = cell_values(config, index)
    values = dict(config.settings)
    if config.system == "chain":
        return make(ChainConfig, values | _chain_axes(config, x, y))
    values |= {config.x_axis: x, config.y_axis: y}
    settings = make(TrainConfig, values)
    if settings.hold:  # a sweep's network ends where one that waits for its sliders is held
        settings = make(TrainConfig, {"epochs": min(settings.epochs, settings.hold), "hold": 0}, settings)
    return make(TrainConfig, {"seed": settings.seed + member}, settings)


def _chain_axes(config: SweepConfig, x: Value, y: Value) -> dict[str, Value]:
    """A chain's settings by name for a cell; where the axes are a network's settings, through the fitted map."""
    if config.y_axis not in KNOBS and config.x_axis not in KNOBS:
        return {config.x_axis: x, config.y_axis: y}
    mapped = config.y_axis == "negative_slope" and config.x_axis in PRESETS
    if not mapped or isinstance(x, str) or isinstance(y, str):
        raise ConfigError(
            f"there is no fitted map for {config.x_axis!r} over {config.y_axis!r}; a chain over a network's knobs "
            f"takes negative_slope as its rows and one of these as its columns: {', '.join(PRESETS)}"
        )
    right, left, noise = twin_map_for(config).chain(1.0 - y, noise_coordinate(config.x_axis, x))
    return {"mu_right": float(right), "mu_left": float(left), "noise": float(noise)}


def twin_map_for(config: SweepConfig) -> TwinMap:
    """The map from a network's settings to the chain's, over one of the axes of ``PRESETS``.

    Raises:
        ConfigError: the map in the sweep's settings lacks a number.
    """
    if not config.twin:
        return PRESETS[config.x_axis]
    try:
        return msgspec.convert({**config.twin, "noise_axis": config.x_axis}, TwinMap)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"twin = {config.twin!r} is no map ({error}); its numbers: {', '.join(NUMBERS)}"
        ) from error


def members(config: SweepConfig) -> int:
    """Members of a cell: its networks, one a seed; 1 for a chain, whose replicas are pulled together."""
    return config.seeds if config.system == "network" else 1


def coarse_to_fine(columns: int, rows: int) -> list[int]:
    """Indices of all cells, each once, in an order that refines: corners and midpoints first, then finer grids.

    Within each grid, cells come row by row. An unfinished diagram is thus a coarse one, not the upper part of one.
    """
    stride = 1 << max(0, (max(columns, rows) - 1).bit_length() - 1)
    seen: dict[int, None] = {}
    while stride:
        for row in _marks(rows, stride):
            for column in _marks(columns, stride):
                seen.setdefault(row * columns + column)
        stride //= 2
    return list(seen)


def _marks(count: int, stride: int) -> list[int]:
    """Every ``stride``-th index below ``count``, and the last one."""
    marks = list(range(0, count, stride))
    return marks if marks[-1] == count - 1 else [*marks, count - 1]
