"""``springtui twin``: fits the chain that behaves like a run, or the map of a phase diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from engine.errors import ConfigError, DataError
from engine.measures.registry import DEFAULT_MEASURE
from engine.runs.directory import Run
from engine.runs.listing import find_run
from engine.runs.records import Cell, finite
from engine.settings.probe import ProbeConfig
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig
from engine.twin.trial import start_of

from ..state.curves import twin_of
from ..state.run_state import RunState
from ..state.wording import shape_of
from .advising import ADVICE, advice_on, print_advice
from .completion import complete_run
from .options import json_option
from .output import print_json, print_line, print_message, print_table
from .session import Session, common, examples
from .train import in_digits
from .trying import try_settings

if TYPE_CHECKING:
    from engine.sweep.summary import Summary


@click.command(
    short_help="Fit the chain to a run or a phase diagram.",
    epilog=examples(
        "springtui twin last",
        "springtui twin last --try",
        "springtui twin last --json | jq .advice",
        "springtui twin --maps",
    ),
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--maps", is_flag=True, help="List the maps that are shipped, and fit nothing.")
@click.option("--try", "try_it", is_flag=True, help="Try other settings of this network first, for half a minute.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.0),
    metavar="S",
    help="With --try: take at most S seconds on idle cores (default 25); 0: as long as all of it takes.",
)
@json_option
@common
@click.pass_obj
def twin(session: Session, run: str | None, maps: bool, try_it: bool, seconds: float | None, as_json: bool) -> int:
    """Fit the mechanical twin.

    Of a trained network: the effective friction of its last load curve, with its standard error over the training
    samples and the residual, and advice: which setting moves it towards balance, and how that is known. Of a phase
    diagram: one map from (nonlinearity, noise) to the chain, five numbers for all cells, with its errors, and each
    cell's effective friction with its standard error over the seeds. The map is kept with the diagram: springtui
    lab --twin RUN lets it drive the chain.

    Advice is measured where --try was used: networks are trained from scratch with the run's settings in force, to
    the run's epoch or 100, and with each of negative_slope, batch_size, lr, dropout, data_noise and depth moved a
    step both ways, three seeds each. The result is kept with the run and answers as long as settings and epoch
    stay the same. A step that fails with any seed is not advised, and the table says why. Without it a map
    answers, where it describes this network. Ctrl-C cancels and keeps nothing.

    Where a load curve's shape means nothing there is no effective friction, and reason says why; such cells of a
    diagram are left out of the map, and listed.

    With --json one object, of a network: run, effective_friction, standard_error, residual, over, curve, reason,
    advice (sentence, knob, from, to, predicted_change, measured_change, error, accuracy_change, source: measured,
    map or none; null where not known), experiment (the command or script that would measure it, or null), trial
    (what was measured with each setting, or null), note; of a diagram: run, cells, the map's numbers and errors by
    name, note, effective_frictions, left_out; with --maps: maps.
    """
    if try_it and run is None:
        raise click.UsageError("--try needs a run")
    if seconds is not None and not (try_it and seconds < float("inf")):
        raise click.UsageError("--seconds is how many seconds --try may take; allowed with --try: 0 or more")
    if maps == (run is not None):
        raise click.UsageError("give a run, or --maps for the maps that are shipped")
    if run is None:
        return _list_maps(as_json)
    found = find_run(session.look_home(), run)
    settings = found.config().settings
    if try_it:
        start_of(found)  # says what is wrong before a process is started
        try_settings(found, seconds)
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


_TABLES = ("effective_frictions", "left_out")
"""What is printed as a table, below the rest."""


def _print(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if name in {*_TABLES, *ADVICE} or value == "":
            continue
        text = " ".join(in_digits(v) for v in value) if isinstance(value, list) else in_digits(value)
        print_line(f"{name:26} {text}")
    for name in _TABLES:
        if cells := result.get(name):
            print_line(name)
            print_table(tuple(cells[0]), [tuple(in_digits(value) for value in cell.values()) for cell in cells])
    if "advice" in result:
        print_advice(result)


def fit_run(run: Run) -> dict[str, Any]:
    """The effective friction of a run's newest curve, with advice, as the object that ``--json`` prints.

    Raises:
        ConfigError: the run has no curve yet.
    """
    from engine.measures.friction import CurveFit

    state = RunState(run.id)
    for event in run.events():
        state.fold(event)
    if state.latest is None:
        raise ConfigError(f"{run.id} has no load curve yet; wait for its first measurement")
    fit = twin_of(state)
    shape = shape_of(state, DEFAULT_MEASURE)
    return {
        "run": run.id,
        **(dict.fromkeys(CurveFit._fields) if fit is None else fit._asdict()),
        "reason": "" if shape is None else shape.reason,
        **advice_on(run, state),
        "note": "one curve fixes the effective friction alone: not μ→, μ← and the noise apart",
    }


def fit_sweep(run: Run, config: SweepConfig) -> dict[str, Any]:
    """Fit a sweep's map, save it in the run and return it with each cell's effective friction, for ``--json``.

    Raises:
        ConfigError: the sweep is no diagram of networks over negative_slope and a number.
        DataError: there are too few cells whose curves mean something.
    """
    import msgspec

    from engine.measures.friction import hidden
    from engine.sweep.grid import cell_count
    from engine.sweep.summary import summarise
    from engine.twin.axis import noise_coordinate
    from engine.twin.fit import LEAST_ROWS, fit_map
    from engine.twin.maps import NUMBERS, save_map

    from ..state.diagram import unclear_in_words

    words = any(isinstance(x, str) for x in config.x_values)
    if config.system != "network" or config.y_axis != "negative_slope" or words:
        raise ConfigError(f"{run.id} is no diagram of networks over negative_slope and a number; a map needs one")
    cells = [event for event in run.events() if isinstance(event, Cell)]
    found = {summary.cell: summary for summary in summarise(config, cells)}
    summaries = [summary for summary in found.values() if not summary.reason]
    left_out = [_left_out(config, index, found.get(index)) for index in range(cell_count(config))]
    left_out = [cell for cell in left_out if cell["reason"]]
    if len(summaries) < len(NUMBERS):
        missing = cell_count(config) - len(found)
        counts = unclear_in_words([s for s in found.values() if s.reason])
        reasons = ", ".join([*counts, *([f"{missing} not made yet"] if missing else [])])
        raise DataError(
            f"{run.id} has {len(summaries)} of {cell_count(config)} cells whose load curve means something "
            f"({reasons}); a map has {len(NUMBERS)} numbers and needs as many: train longer, or take more cells"
        )
    fitted = fit_map(
        [1.0 - float(s.y) for s in summaries],
        [noise_coordinate(config.x_axis, float(s.x)) for s in summaries],
        [hidden(s.curves[DEFAULT_MEASURE]) for s in summaries],
        noise_axis=config.x_axis,
        provenance=f"fitted to {len(summaries)} of {cell_count(config)} cells of {run.id}",
    )
    notes = [f"{len(left_out)} of {cell_count(config)} cells are left out, for the reasons that left_out lists"]
    if (rows := len({s.y for s in summaries})) < LEAST_ROWS:
        notes.append(f"left_out_rms needs {LEAST_ROWS} rows of cells, here are {rows}, so it is not known")
    notes.append("of settled curves only the effective friction is fixed, so some of the five numbers trade off")
    try:
        save_map(run.path, fitted)
    except OSError as error:
        print_message(f"springtui: the map cannot be kept in {run.path}: {error.strerror}")
    return {
        "run": run.id,
        "cells": len(summaries),
        **{name: _known(value) for name, value in msgspec.structs.asdict(fitted).items()},
        "note": "; ".join(notes),
        "effective_frictions": [_of_cell(s, _members(cells, s.cell)) for s in summaries],
        "left_out": left_out,
    }


def _known(value: Any) -> Any:
    """A value of a map; None for a number that is not known."""
    return finite(value) if isinstance(value, float) else value


def _left_out(config: SweepConfig, index: int, summary: Summary | None) -> dict[str, Any]:
    """A cell's place, and why no map is fitted to it; an empty reason where one is."""
    from engine.sweep.grid import cell_values

    x, y = cell_values(config, index)
    return {**_place(float(y), float(x)), "reason": "not made yet" if summary is None else summary.reason}


def _place(slope: float, noise: float) -> dict[str, Any]:
    return {"nonlinearity": round(1.0 - slope, 10), "noise": noise}


def _members(cells: list[Cell], index: int) -> list[list[float]]:
    """The hidden layers' curves of a cell's finished networks."""
    from engine.measures.friction import hidden

    return [hidden(c.curves[DEFAULT_MEASURE]) for c in cells if c.cell == index and c.final and c.curves]


def _of_cell(summary: Summary, curves: list[list[float]]) -> dict[str, Any]:
    """A fitted cell's effective friction, its standard error, and residual; None before a member has ended."""
    from engine.measures.friction import twin_fit

    facts = {**_place(float(summary.y), float(summary.x)), "seeds": len(curves)}
    error = summary.scalars.get("friction_error") if len(curves) == 1 else None
    fit = twin_fit(curves, summary.reason, error=error) if curves else None
    names = ("effective_friction", "standard_error", "residual")
    return facts | {name: getattr(fit, name, None) for name in names}
