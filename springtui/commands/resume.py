"""``springtui resume``: take a run up again where it was left."""

from __future__ import annotations

import click

from engine.config import ChainConfig, SweepConfig
from engine.errors import ConfigError
from engine.probe_config import ProbeConfig
from engine.rundir import find_run

from ..foreground import run_here
from .options import Session, common, examples, json_option, run_argument


@click.command(
    short_help="Go on with a run where it was left.",
    epilog=examples("springtui resume last", "springtui resume 20260101-120000-train-1a2b3c --json"),
)
@run_argument
@json_option
@common
@click.pass_obj
def resume(session: Session, run: str, as_json: bool) -> int:
    """Go on with a run here, from its checkpoint, as if it had not been broken off.

    RUN is the run's name, a unique beginning of it, ``last``, or its path. Prints what train, or sweep, prints.
    A chain has no checkpoint: it is quick to pull anew. A training of your own that a probe watched is your
    script's to go on with.
    """
    found = find_run(session.look_home(), run)
    settings = found.config().settings
    if isinstance(settings, ChainConfig):
        raise ConfigError(f"{found.id} is a chain, which keeps no checkpoint; pull it anew with springtui chain")
    if isinstance(settings, ProbeConfig):
        raise ConfigError(f"{found.id} watched a training of your own; go on with that in your script")
    from engine.worker import work

    from .sweep import report as report_sweep
    from .train import report as report_training

    if isinstance(settings, SweepConfig):
        return report_sweep(settings, run_here(found, work, "cells"), as_json=as_json)
    return report_training(run_here(found, work, "epoch"), as_json=as_json)
