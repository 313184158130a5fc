"""``springtui twin``: fits the chain that behaves like a run, or the map of a phase diagram."""

from __future__ import annotations

from typing import Any

import click

from engine.errors import ConfigError, DataError
from engine.measures.registry import DEFAULT_MEASURE
from engine.runs.directory import Run
from engine.runs.listing import find_run
from engine.runs.records import Cell
from engine.settings.probe import ProbeConfig
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig

from ..state.knobs import noise_of
from ..state.run_state import RunState
from .completion import complete_run
from .options import json_option
from .output import print_json, print_line, print_table, say
from .session import Session, common, examples
from .train import in_digits

LEAST_SEPARATION = 0.5
"""Least total separation (natural log) of a cell that is fitted; below it the scaled curve is mostly noise."""


@click.command(
    short_help="Fit the chain to a run or a phase diagram.",
    epilog=examples(
        "springtui twin last",
        "springtui twin last --json | jq .effective_friction",
        "springtui twin --maps",
    ),
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--maps", is_flag=True, help="List the maps that are shipped, and fit nothing.")
@json_option
@common
@click.pass_obj
def twin(session: Session, run: str | None, maps: bool, as_json: bool) -> int:
    """Fit the mechanical twin.

    Of a trained network: the effective friction of its last load curve, with its standard error over the training
    samples and the residual, and a sentence of advice. Of a phase diagram: one map from (nonlinearity, noise) to
    the chain, five numbers for all cells, with its errors, and each cell's effective friction with its standard
    error over the seeds. The map is kept with the diagram: springtui lab --twin RUN lets it drive the chain.

    With --json one object, of a network: run, effective_friction, standard_error, residual, over, curve, advice,
    note; of a diagram: run, cells, the map's numbers and errors by name, note, effective_frictions; with --maps:
    maps.
    """
    if maps == (run is not None):
        raise click.UsageError("give a run, or --maps for the maps that are shipped")
    if run is None:
        return _list_maps(as_json)
    found = find_run(session.look_home(), run)
    settings = found.config().settings
    if isinstance(settings, SweepConfig):
        result = fit_sweep(found, settings)
    elif isinstance(settings, TrainConfig | ProbeConfig):
        result = fit_run(found)
    else:
        raise ConfigError(f"{found.id} is a chain itself; a twin is fitted to a network's run or to a sweep")
    if as_json:
        print_json(result)
    else:
        _print(result)
    return 0


def _list_maps(as_json: bool) -> int:
    import msgspec

    from engine.twin.maps import PRESETS

    maps = [msgspec.structs.asdict(preset) for preset in PRESETS.values()]
    if as_json:
        print_json({"maps": maps})
        return 0
    for preset in maps:
        _print(preset)
        print_line("")
    return 0


def _print(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if name == "effective_frictions":
            continue
        text = " ".join(in_digits(v) for v in value) if isinstance(value, list) else in_digits(value)
        print_line(f"{name:26} {text}")
    if cells := result.get("effective_frictions"):
        print_table(tuple(cells[0]), [tuple(in_digits(value) for value in cell.values()) for cell in cells])


def fit_run(run: Run) -> dict[str, Any]:
    """The effective friction of a run's newest curve, with advice, as the object that ``--json`` prints.

    Raises:
        ConfigError: the run has no curve yet.
        DataError: the curve does not fall from input to output.
    """
    from engine.measures.friction import fit_curve, hidden
    from engine.twin.advice import advise

    state = RunState(run.id)
    for event in run.events():
        state.fold(event)
    if state.latest is None:
        raise ConfigError(f"{run.id} has no load curve yet; wait for its first measurement")
    curve = state.latest.curves[DEFAULT_MEASURE]
    if state.layers[-1:] != ["logits"]:  # a user's own model may give no logits
        curve = [*curve, None]
    fit = fit_curve(hidden(curve), error=state.latest.scalars.get("friction_error"))
    # the kind of noise in a user's own training is unknown, and no map is fitted for it
    knobs: tuple[float, str, float] = (0.0, "noise", 0.0)
    if "negative_slope" in state.settings:
        kind, noise = noise_of(state.settings)
        knobs = (1.0 - state.settings["negative_slope"], kind.key, noise)
    return {
        "run": run.id,
        **fit._asdict(),
        "advice": advise(curve, *knobs),
        "note": "one curve fixes the effective friction alone: not μ→, μ← and the noise apart",
    }


def fit_sweep(run: Run, config: SweepConfig) -> dict[str, Any]:
    """Fit a sweep's map, save it in the run and return it with each cell's effective friction, for ``--json``.

    Raises:
        ConfigError: the sweep is no diagram of networks over negative_slope and a number.
        DataError: there are too few cells, or their curves do not fall.
    """
    import msgspec

    from engine.measures.friction import hidden
    from engine.sweep.grid import cell_count
    from engine.sweep.summary import summarise
    from engine.twin.axis import noise_coordinate
    from engine.twin.fit import fit_map
    from engine.twin.maps import save_map

    words = any(isinstance(x, str) for x in config.x_values)
    if config.system != "network" or config.y_axis != "negative_slope" or words:
        raise ConfigError(f"{run.id} is no diagram of networks over negative_slope and a number; a map needs one")
    cells = [event for event in run.events() if isinstance(event, Cell)]
    summaries = [s for s in summarise(config, cells) if s.curves and s.total_separation >= LEAST_SEPARATION]
    fitted = fit_map(
        [1.0 - float(s.y) for s in summaries],
        [noise_coordinate(config.x_axis, float(s.x)) for s in summaries],
        [hidden(s.curves[DEFAULT_MEASURE]) for s in summaries],
        noise_axis=config.x_axis,
        provenance=f"fitted to {len(summaries)} of {cell_count(config)} cells of {run.id}",
    )
    try:
        save_map(run.path, fitted)
    except OSError as error:
        say(f"springtui: the map cannot be kept in {run.path}: {error.strerror}")
    return {
        "run": run.id,
        "cells": len(summaries),
        **msgspec.structs.asdict(fitted),
        "note": f"cells that separate by less than {LEAST_SEPARATION} are left out: scaling would blow up their "
        "noise; "
        "of settled curves only the effective friction is fixed, so some of the five numbers trade off",
        "effective_frictions": [_of_cell(float(s.y), float(s.x), _members(cells, s.cell)) for s in summaries],
    }


def _members(cells: list[Cell], index: int) -> list[list[float]]:
    """The hidden layers' curves of a cell's finished networks."""
    from engine.measures.friction import hidden

    return [hidden(c.curves[DEFAULT_MEASURE]) for c in cells if c.cell == index and c.final and c.curves]


def _of_cell(slope: float, noise: float, curves: list[list[float]]) -> dict[str, Any]:
    """A cell's effective friction, its standard error over seeds, and residual; None where no curve falls."""
    from engine.measures.friction import fit_curve

    facts: dict[str, Any] = {"nonlinearity": round(1.0 - slope, 10), "noise": noise, "seeds": len(curves)}
    names = ("effective_friction", "standard_error", "residual")
    try:
        fit = fit_curve(curves)._asdict()
    except DataError:
        fit = {}
    return facts | {name: fit.get(name) for name in names}
