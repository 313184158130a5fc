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
from engine.twin.trial import Trial, changes, is_for, start_of, trial_of

from ..state.knobs import noise_of
from ..state.run_state import RunState
from .completion import complete_run
from .options import json_option
from .output import print_json, print_line, print_table, say
from .session import Session, common, examples
from .train import in_digits
from .trying import try_settings

_COMPARE = "To find out, train twice with one setting changed and compare the asymmetries, as this script does"
SNIPPET = """\
from springtui import LoadProbe

for lr in (1e-3, 3e-3):  # or any other setting of yours, one at a time
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        model, optimiser = build(lr)  # yours
        with LoadProbe(model, inputs, labels, name=f"lr {lr}, seed {seed}") as probe:
            train(model, optimiser, probe)  # yours; calls probe.step() once an optimiser step
            print(f"lr {lr}, seed {seed}: asymmetry {probe.statistics.asymmetry:+.2f}")
"""
"""What measures a setting of a user's own training; their own functions are called build and train."""

LEAST_SEPARATION = 0.5
"""Least total separation (natural log) of a cell that is fitted; below it the scaled curve is mostly noise."""


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
    help="With --try: take at most S seconds on idle cores (default 30); 0: as long as all of it takes.",
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
    step both ways, three seeds each. The result is kept with the run and answers as long as the settings stay the
    same. Without it a map answers, where it describes this network. Ctrl-C cancels and keeps nothing.

    With --json one object, of a network: run, effective_friction, standard_error, residual, over, curve, advice
    (sentence, knob, from, to, predicted_change, measured_change, error, accuracy_change, source: measured, map or
    none; null where not known), experiment (the command or script that would measure it, or null), trial (what was
    measured with each setting, or null), note; of a diagram: run, cells, the map's numbers and errors by name,
    note, effective_frictions; with --maps: maps.
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


def _print(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if name in {"effective_frictions", "advice", "experiment", "trial"}:
            continue
        text = " ".join(in_digits(v) for v in value) if isinstance(value, list) else in_digits(value)
        print_line(f"{name:26} {text}")
    if cells := result.get("effective_frictions"):
        print_table(tuple(cells[0]), [tuple(in_digits(value) for value in cell.values()) for cell in cells])
    if (advice := result.get("advice")) is not None:
        print_line(f"{'advice':26} {advice['sentence']}")
    if steps := (result.get("trial") or {}).get("changes"):
        print_line("")
        print_table(tuple(steps[0]), [tuple(in_digits(value) for value in step.values()) for step in steps])
    if (script := result.get("experiment") or "").count("\n"):
        print_line("")
        for line in script.splitlines():
            print_line(line)


def fit_run(run: Run) -> dict[str, Any]:
    """The effective friction of a run's newest curve, with advice, as the object that ``--json`` prints.

    Raises:
        ConfigError: the run has no curve yet.
        DataError: the curve does not fall from input to output.
    """
    from engine.measures.friction import fit_curve, hidden

    state = RunState(run.id)
    for event in run.events():
        state.fold(event)
    if state.latest is None:
        raise ConfigError(f"{run.id} has no load curve yet; wait for its first measurement")
    curve = state.latest.curves[DEFAULT_MEASURE]
    if state.layers[-1:] != ["logits"]:  # a user's own model may give no logits
        curve = [*curve, None]
    fit = fit_curve(hidden(curve), error=state.latest.scalars.get("friction_error"))
    return {
        "run": run.id,
        **fit._asdict(),
        **advice_on(run, state, curve),
        "note": "one curve fixes the effective friction alone: not μ→, μ← and the noise apart",
    }


def advice_on(run: Run, state: RunState, curve: list[float | None]) -> dict[str, Any]:
    """``advice``, ``experiment`` and ``trial`` of the object that ``--json`` prints.

    Args:
        run: a training.
        state: after all its records.
        curve: its newest, D_0 … D_L, the last point left out of all statistics.
    """
    import msgspec

    from engine.measures.load_curve import statistics
    from engine.twin.advice import LAZY, advise, outlook

    shape, ours = statistics(curve, logits=True), "negative_slope" in state.settings
    trial = _trial_in_force(run, state)
    kind, _ = noise_of(state.settings)
    seen = (
        outlook(state.settings, kind.key, len(curve) - 2, int(state.facts.get("train_size", 0))) if ours else None
    )
    command = f"springtui twin {run.id} --try"
    offer = f"{command} measures each setting" if ours else _COMPARE
    advice = advise(shape, trial=trial, seen=seen, experiment=offer)
    experiment = None if trial is not None or shape.regime not in LAZY else command if ours else SNIPPET
    return {
        "advice": msgspec.to_builtins(advice),
        "experiment": experiment,
        "trial": None if trial is None else _measured(trial),
    }


def _trial_in_force(run: Run, state: RunState) -> Trial | None:
    """The trial that was made of a run, where it was made for the settings in force."""
    try:
        trial = trial_of(run)
    except ConfigError as error:
        say(f"springtui: {error}")
        return None
    return trial if trial is not None and is_for(trial, state.settings) else None


_KEYS = {"before": "from", "after": "to"}


def _measured(trial: Trial) -> dict[str, Any]:
    """A trial as ``--json`` prints it: one entry for each setting that was tried."""
    steps = [change._asdict() for change in changes(trial)]
    return {
        "epochs": trial.epochs,
        "wanted_epochs": trial.wanted_epochs,
        "seeds": trial.seeds,
        "seconds": trial.seconds,
        "changes": [{_KEYS.get(key, key): value for key, value in step.items()} for step in steps],
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
