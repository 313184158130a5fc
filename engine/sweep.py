"""Phase diagrams: which cells a sweep has, in which order they are made, and what its records amount to.

Light: NumPy only, so that the app may fold and draw a sweep.
Diagrams: DESIGN.md, section 1 (Shi et al., arXiv:2407.19353).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from .errors import ConfigError
from .measures.load_curve import statistics
from .runs.records import Cell
from .settings.run import ChainConfig, SweepConfig, TrainConfig, make, parse_value
from .sweep_axes import KNOBS, Value
from .twin.axis import noise_coordinate
from .twin.maps import NUMBERS, PRESETS, TwinMap

MEASURES = {"network": "trace_ratio", "chain": "distance"}
"""The curve whose loads a diagram is about."""
MOST_CELLS = 100_000
_SLOPES = tuple(round(0.2 * i, 1) for i in range(6))
_PAPER_DATA = {"train_size": 2560, "image_size": 10}
_PAPER_SETS = ("mnist", "fashion-mnist", "cifar10")


class Diagram(NamedTuple):
    """A named diagram; its fields are ``SweepConfig``'s."""

    about: str
    """What it varies, in a few words."""
    system: str
    """network or chain."""
    x_axis: str
    x_values: tuple[float, ...]
    """One a column."""
    y_axis: str
    y_values: tuple[float, ...]
    """One a row."""
    settings: dict[str, Any]
    """What its cells share, over their system's defaults."""


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
"""The four diagrams of the paper, its convolutional one, and two of the chain."""


def make_sweep(
    recipe: str,
    settings: Mapping[str, Any],
    *,
    axes: Mapping[str, tuple[str, tuple[Value, ...]]] | None = None,
    **fields: Any,
) -> SweepConfig:
    """A checked sweep from a diagram's name, settings over it, and axes in place of its own.

    Args:
        recipe: a name of ``DIAGRAMS``.
        settings: what all cells share, over the diagram's own.
        axes: for ``x`` or ``y``: the setting's name and its values.
        fields: seeds, method, threads, executor.

    Raises:
        ConfigError: a name, value or combination is not allowed.
    """
    if recipe not in DIAGRAMS:
        near = difflib.get_close_matches(recipe, DIAGRAMS, n=1, cutoff=0.0)[0]
        raise ConfigError(f"unknown recipe {recipe!r}; the nearest is {near!r}. Known: {', '.join(DIAGRAMS)}")
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
    check(config)
    return config


def check(config: SweepConfig) -> None:
    """See that every cell can be made, before anything runs.

    Raises:
        ConfigError: an axis is unknown, empty or doubled, or a cell's settings are not allowed.
    """
    if config.x_axis == config.y_axis:
        raise ConfigError(f"both axes are {config.x_axis!r}; choose two settings")
    for axis, values in ((config.x_axis, config.x_values), (config.y_axis, config.y_values)):
        if not values:
            raise ConfigError(f"the axis {axis!r} has no values")
        if len(set(values)) < len(values):
            raise ConfigError(f"the axis {axis!r} has a value twice")
    if size(config) > MOST_CELLS:
        raise ConfigError(f"{size(config)} cells are more than {MOST_CELLS}; take fewer values")
    for index in range(size(config)):
        settings = cell_settings(config, index)
        if isinstance(settings, ChainConfig) and config.method == "mean_field":
            _check_theory(settings)


def _check_theory(chain: ChainConfig) -> None:
    """The mean field is of one kind of chain."""
    needed = {"order": 1, "pulling": "at_once", "noise_decay": 0.0, "common_noise": False}
    for name, value in needed.items():
        if getattr(chain, name) != value:
            raise ConfigError(
                f"{name} = {getattr(chain, name)!r} has no mean field, which is of overdamped chains pulled at "
                f"once under steady noise of each block's own; sweep it with --method replicas"
            )


def size(config: SweepConfig) -> int:
    """Cells of the grid: columns x rows."""
    return len(config.x_values) * len(config.y_values)


def place(config: SweepConfig, index: int) -> tuple[Value, Value]:
    """The x and y values of a cell, by its index: y index x columns + x index."""
    row, column = divmod(index, len(config.x_values))
    return config.x_values[column], config.y_values[row]


def cell_settings(config: SweepConfig, index: int, member: int = 0) -> TrainConfig | ChainConfig:
    """What one network or chain of a cell is; ``member`` counts its seeds, from 0.

    Raises:
        ConfigError: a value or their combination is not allowed, or there is no map for these knobs.
    """
    x, y = place(config, index)
    values = dict(config.settings)
    if config.system == "chain":
        return make(ChainConfig, values | _chain_axes(config, x, y))
    values |= {config.x_axis: x, config.y_axis: y}
    settings = make(TrainConfig, values)
    return make(TrainConfig, {"seed": settings.seed + member}, settings)


def _chain_axes(config: SweepConfig, x: Value, y: Value) -> dict[str, Value]:
    """A chain's own settings, or a network's knobs through the fitted map."""
    if config.y_axis not in KNOBS and config.x_axis not in KNOBS:
        return {config.x_axis: x, config.y_axis: y}
    mapped = config.y_axis == "negative_slope" and config.x_axis in PRESETS
    if not mapped or isinstance(x, str) or isinstance(y, str):
        raise ConfigError(
            f"there is no fitted map for {config.x_axis!r} over {config.y_axis!r}; a chain over a network's knobs "
            f"takes negative_slope as its rows and one of these as its columns: {', '.join(PRESETS)}"
        )
    right, left, noise = map_of(config).chain(1.0 - y, noise_coordinate(config.x_axis, x))
    return {"mu_right": float(right), "mu_left": float(left), "noise": float(noise)}


def map_of(config: SweepConfig) -> TwinMap:
    """The map that takes a network's knobs to the chain's, over one of the axes of ``PRESETS``.

    Raises:
        ConfigError: a person's own lacks a number.
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
    """Networks per cell; a chain's cell is one pull of all its replicas."""
    return config.seeds if config.system == "network" else 1


def coarse_to_fine(columns: int, rows: int) -> list[int]:
    """Indices of all cells, each once, row by row within ever finer grids, so that an early picture is meaningful.

    The first grid is the corners and what lies half-way between, as far as there are cells.
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
    marks = list(range(0, count, stride))
    return marks if marks[-1] == count - 1 else [*marks, count - 1]


class Summary(NamedTuple):
    """What a cell's members amount to."""

    cell: int
    """Its index."""
    x: Value
    y: Value
    done: int
    """Members that ended."""
    diverged: int
    """Members among them that came to nothing."""
    curves: dict[str, list[float | None]]
    """D_0 … D_L by measure, the mean over members that did not diverge; a chain's ``distance`` in its own unit."""
    spread: dict[str, list[float | None]]
    """Sample s.d. over them; empty for one."""
    cv: float
    asymmetry: float
    regime: str
    """These three of the mean curve: ``loads.statistics``."""
    total_separation: float
    """D at the input less D at the last hidden layer; of a chain, all of its length."""
    scalars: dict[str, float]
    """Means: test_accuracy and train_accuracy in [0, 1], train_loss, hessian_trace, …"""
    final: bool
    """Whether all its members ended."""


def summarise(config: SweepConfig, cells: Iterable[Cell]) -> list[Summary]:
    """One summary for each cell of which anything is known, by index; unfinished members count as they stand."""
    newest: dict[tuple[int, int], Cell] = {}
    for cell in cells:
        known = newest.get((cell.cell, cell.member))
        if known is None or not known.final:
            newest[cell.cell, cell.member] = cell
    by_cell: dict[int, list[Cell]] = {}
    for (index, _), cell in sorted(newest.items()):
        if 0 <= index < size(config):
            by_cell.setdefault(index, []).append(cell)
    return [summarise_cell(config, index, found) for index, found in sorted(by_cell.items())]


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # numbers from a file may be of any size
def summarise_cell(config: SweepConfig, index: int, found: Sequence[Cell]) -> Summary:
    """What a cell's records amount to: of members that ended, if any did; else of those that are under way."""
    ended = [cell for cell in found if cell.final]
    shown = [cell for cell in ended if cell.curves] or [cell for cell in found if cell.curves]
    curves, spread = _mean_curves([cell.curves for cell in shown])
    main = curves.get(MEASURES[config.system], [])
    shape = statistics(main, logits=config.system == "network")
    x, y = place(config, index)
    return Summary(
        cell=index,
        x=x,
        y=y,
        done=len(ended),
        diverged=sum(1 for cell in ended if not cell.curves),
        curves=curves,
        spread=spread,
        cv=shape.cv,
        asymmetry=shape.asymmetry,
        regime=shape.regime,
        total_separation=_total(main if config.system == "chain" else main[:-1]),
        scalars=_mean_scalars([cell.scalars for cell in shown]),
        final=len(ended) == members(config),
    )


def _total(curve: Sequence[float | None]) -> float:
    first, last = (curve[0], curve[-1]) if len(curve) > 1 else (None, None)
    return math.nan if first is None or last is None else first - last


def _mean_curves(
    found: Sequence[Mapping[str, Sequence[float | None]]],
) -> tuple[dict[str, list[float | None]], dict[str, list[float | None]]]:
    means: dict[str, list[float | None]] = {}
    spread: dict[str, list[float | None]] = {}
    for name in found[0] if found else ():
        rows = np.array(
            [[math.nan if v is None else v for v in curves[name]] for curves in found if name in curves]
        )
        means[name] = _listed(rows.mean(0))
        if len(rows) > 1:
            spread[name] = _listed(rows.std(0, ddof=1))
    return means, spread


def _listed(values: np.ndarray) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]


def _mean_scalars(found: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    names = {name for scalars in found for name in scalars}
    means = {}
    for name in sorted(names):
        values = [v for scalars in found if (v := scalars.get(name)) is not None]
        if values:
            means[name] = sum(values) / len(values)
    return means


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation of two sequences of one length, ties by their mean rank, in [-1, 1].

    NaN for fewer than 3 finite pairs, or where one has the same rank throughout.
    """
    pairs = np.array([(x, y) for x, y in zip(a, b, strict=True) if math.isfinite(x) and math.isfinite(y)])
    if len(pairs) < 3:
        return math.nan
    ranks = np.array([_ranks(pairs[:, 0]), _ranks(pairs[:, 1])])
    if (ranks.std(1) == 0).any():
        return math.nan
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse])


def accuracy_cv_correlation(summaries: Sequence[Summary]) -> float:
    """Spearman's correlation of test accuracy and coefficient of variation over the cells, as ``spearman``."""
    known = [s for s in summaries if "test_accuracy" in s.scalars]
    return spearman([s.scalars["test_accuracy"] for s in known], [s.cv for s in known])
