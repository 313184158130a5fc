"""The named phase diagrams, and sweeps made from them.

Imports NumPy but no compiled code, so that the app can use it. Source: the phase diagrams of Shi et al.,
arXiv:2407.19353.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, nearest_and_known
from ..settings.chain import ChainConfig
from ..settings.fields import parse_value
from ..settings.sweep import SweepConfig
from .axes import Value
from .grid import MOST_CELLS, cell_count, cell_settings

_SLOPES = tuple(round(0.2 * i, 1) for i in range(6))
_PAPER_DATA = {"train_size": 2560, "image_size": 10}
_PAPER_SETS = ("mnist", "fashion-mnist", "cifar10")


class Diagram(NamedTuple):
    """A named diagram; its fields are ``SweepConfig``'s."""

    about: str
    """Description of what it varies."""
    system: str
    """network or chain."""
    x_axis: str
    x_values: tuple[float, ...]
    """One a column."""
    y_axis: str
    y_values: tuple[float, ...]
    """One a row."""
    settings: dict[str, Any]
    """Settings that all cells share, over their system's defaults."""


def _network(about: str, axis: str, values: Iterable[float], **settings: Any) -> Diagram:
    shared = {"lr": 1e-3, "batch_size": 2560, "epochs": 100, "device": "auto", "hessian": False} | settings
    return Diagram(about, "network", axis, tuple(values), "negative_slope", _SLOPES, shared)


_RATES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5)
_BATCHES = tuple(5.0 * 2**i for i in range(10))

DIAGRAMS: dict[str, Diagram] = {
    "data-noise": _network("label and input noise", "data_noise", (round(0.1 * i, 1) for i in range(9))),
    "learning-rate": _network("Adam's learning rate", "lr", _RATES, epochs=200),
    "dropout": _network("dropout", "dropout", (round(0.02 * i, 2) for i in range(16))),
    "batch-size": _network("batch size", "batch_size", _BATCHES),
    "cnn": _network(
        "dropout of the convolutional network",
        "dropout",
        (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
        dataset="cifar10",
        model="cnn",
        width=20,
        lr=1e-4,
        epochs=200,
    ),
    "chain": Diagram(
        "friction against moving right, and noise, of the chain",
        "chain",
        "noise",
        tuple(float(v) for v in np.linspace(0.005, 0.1, 20).round(4)),
        "mu_right",
        tuple(float(v) for v in np.linspace(0.0, 0.2, 21).round(4)),
        {"blocks": 7, "steps": 4000},
    ),
    "chain-twin": Diagram(
        "the chain over a network's knobs, by the fitted map",
        "chain",
        "data_noise",
        tuple(round(0.1 * i, 1) for i in range(9)),
        "negative_slope",
        _SLOPES,
        {"blocks": 6, "steps": 4000},
    ),
}
"""The paper's four diagrams, its convolutional one, and two of the chain."""


def make_sweep(
    recipe: str,
    settings: Mapping[str, Any],
    *,
    axes: Mapping[str, tuple[str, tuple[Value, ...]]] | None = None,
    **fields: Any,
) -> SweepConfig:
    """A validated sweep from a diagram's name, settings over its own, and axes in place of its own.

    Args:
        recipe: a name of ``DIAGRAMS``.
        settings: settings that all cells share, over the diagram's.
        axes: for ``x`` or ``y``: the setting's name and its values.
        fields: other fields of ``SweepConfig``: seeds, method, threads, executor.

    Raises:
        ConfigError: a name, value or combination is not allowed.
    """
    if recipe not in DIAGRAMS:
        raise ConfigError(f"unknown recipe {recipe!r}; {nearest_and_known(recipe, DIAGRAMS)}")
    diagram = DIAGRAMS[recipe]
    given = dict(axes or {})
    x_axis, x_values = given.get("x", (diagram.x_axis, diagram.x_values))
    y_axis, y_values = given.get("y", (diagram.y_axis, diagram.y_values))
    usual = diagram.settings
    if diagram.system == "chain" and y_axis == "negative_slope":
        usual = DIAGRAMS["chain-twin"].settings  # the map is for as many springs as the paper has hidden layers
    shared = usual | dict(settings)
    if shared.get("dataset") in _PAPER_SETS:
        shared = _PAPER_DATA | shared
    for axis in (x_axis, y_axis):
        if axis in settings:
            raise ConfigError(f"{axis!r} is an axis of this diagram; give its values with --x or --y, not --set")
    config = SweepConfig(
        recipe=recipe,
        system="network" if diagram.system == "network" else "chain",
        x_axis=x_axis,
        x_values=tuple(x_values),
        y_axis=y_axis,
        y_values=tuple(y_values),
        settings=shared,
        **{name: parse_value(SweepConfig, name, value) for name, value in fields.items()},
    )
    validate(config)
    return config


def validate(config: SweepConfig) -> None:
    """Check the axes and every cell's settings.

    Raises:
        ConfigError: an axis is unknown or empty, a value or an axis is given twice, or a cell's settings are not
            allowed.
    """
    if config.x_axis == config.y_axis:
        raise ConfigError(f"both axes are {config.x_axis!r}; choose two settings")
    for axis, values in ((config.x_axis, config.x_values), (config.y_axis, config.y_values)):
        if not values:
            raise ConfigError(f"the axis {axis!r} has no values")
        if len(set(values)) < len(values):
            raise ConfigError(f"the axis {axis!r} has a value twice")
    if cell_count(config) > MOST_CELLS:
        raise ConfigError(f"{cell_count(config)} cells are more than {MOST_CELLS}; take fewer values")
    for index in range(cell_count(config)):
        settings = cell_settings(config, index)
        if isinstance(settings, ChainConfig) and config.method == "mean_field":
            _check_theory(settings)


def _check_theory(chain: ChainConfig) -> None:
    """Raise ConfigError for a chain that the mean field does not describe."""
    needed = {"order": 1, "pulling": "at_once", "noise_decay": 0.0, "common_noise": False}
    for name, value in needed.items():
        if getattr(chain, name) != value:
            raise ConfigError(
                f"{name} = {getattr(chain, name)!r} has no mean field, which is of overdamped chains pulled at "
                f"once under steady noise of each block's own; sweep it with --method replicas"
            )
