"""``springtui twin``: the chain that a run or a phase diagram behaves like."""

from __future__ import annotations

from typing import Any

import click

from engine.config import SweepConfig, TrainConfig
from engine.errors import ConfigError
from engine.probe_config import ProbeConfig
from engine.records import Cell, Curve
from engine.rundir import Run, find_run

from ..output import print_json, print_line
from .options import Session, common, examples, json_option, run_argument
from .train import shown

LEAST_SEPARATION = 0.5
"""A cell's least total separation (natural log) for its scaled curve to mean something."""


@click.command(
    short_help="Fit the chain to a run or a phase diagram.",
    epilog=examples("springtui twin last", "springtui twin last --json | jq .effective_friction"),
)
@run_argument
@json_option
@common
@click.pass_obj
def twin(session: Session, run: str, as_json: bool) -> int:
    """Fit the mechanical twin.

    Of a trained network: the effective friction of its last load curve, with its uncertainty and residual, and a
    sentence of advice. Of a phase diagram: one map from (nonlinearity, noise) to the chain, five numbers for all
    cells, with its errors.
    """
    found = find_run(session.look_home(), run)
    settings = found.config().settings
    if isinstance(settings, SweepConfig):
        result = fit_sweep(found, settings)
    elif isinstance(settings, TrainConfig | ProbeConfig):
        result = fit_run(found, settings)
    else:
        raise ConfigError(f"{found.id} is a chain itself; a twin is fitted to a network's run or to a sweep")
    if as_json:
        print_json(result)
        return 0
    for name, value in result.items():
        text = " ".join(shown(v) for v in value) if isinstance(value, list) else shown(value)
        print_line(f"{name:26} {text}")
    return 0


def fit_run(run: Run, config: TrainConfig | ProbeConfig) -> dict[str, Any]:
    """The effective friction of a network's last curve.

    Raises:
        ConfigError: nothing was measured yet.
        DataError: the curve does not fall.
    """
    from engine.advice import advise
    from engine.twin_curve import fit_curve, hidden

    curves = [event for event in run.events() if isinstance(event, Curve)]
    if not curves:
        raise ConfigError(f"{run.id} has no load curve yet; wait for its first measurement")
    curve = hidden(curves[-1].curves["trace_ratio"])
    fit = fit_curve(curve)
    # what makes the noise in a user's own training is not known, and no map was fitted for it
    knobs = (0.0, "noise", 0.0)
    if isinstance(config, TrainConfig):
        knobs = (1.0 - config.negative_slope, "data_noise", config.data_noise)
    return {
        "run": run.id,
        **fit._asdict(),
        "advice": advise(curves[-1].curves["trace_ratio"], *knobs),
        "note": "one curve fixes the effective friction alone: not μ→, μ← and the noise apart",
    }


def fit_sweep(run: Run, config: SweepConfig) -> dict[str, Any]:
    """The global map of a sweep of networks.

    Raises:
        ConfigError: the sweep is no diagram of networks over nonlinearity.
        DataError: too few cells, or curves that do not fall.
    """
    import msgspec

    from engine.sweep import size, summarise
    from engine.twin import fit_map
    from engine.twin_axis import noise_coordinate
    from engine.twin_curve import hidden

    if config.system != "network" or config.y_axis != "negative_slope":
        raise ConfigError(f"{run.id} is no diagram of networks over negative_slope; a map needs one")
    summaries = [
        s
        for s in summarise(config, (event for event in run.events() if isinstance(event, Cell)))
        if s.curves and s.total_separation >= LEAST_SEPARATION
    ]
    made = fit_map(
        [1.0 - s.y for s in summaries],
        [noise_coordinate(config.x_axis, s.x) for s in summaries],
        [hidden(s.curves["trace_ratio"]) for s in summaries],
        noise_axis=config.x_axis,
        provenance=f"fitted to {len(summaries)} of {size(config)} cells of {run.id}",
    )
    return {
        "run": run.id,
        "cells": len(summaries),
        **msgspec.structs.asdict(made),
        "note": f"cells that separate by less than {LEAST_SEPARATION} are left out: scaling would blow up their "
        "noise; of settled curves only the effective friction is fixed, so some of the five numbers trade off",
    }
