"""``springtui runs``: every run under the home, newest first."""

from __future__ import annotations

import time
from typing import Any

import click

from engine.config import ChainConfig, RunConfig, SweepConfig, TrainConfig, kind_of
from engine.errors import RunDirectoryError
from engine.rundir import Run, list_runs
from engine.sweep import members, size

from ..output import print_json, print_line, print_table, say
from ..state import RunState
from .options import Session, common, examples, json_option

_STARTING = 60.0
"""Seconds in which a worker that has not said a word may still be importing."""
_RECORDS = 64
_SHOWN = ("train_loss", "test_accuracy", "loss", "effective_friction")


@click.command(
    short_help="List all runs and how they stand.",
    epilog=examples("springtui runs", "springtui runs --json | jq -r 'select(.status==\"running\").run'"),
)
@json_option
@common
@click.pass_obj
def runs(session: Session, as_json: bool) -> int:
    """List all runs: what they are, how they stand and the last that was heard of them.

    With --json one object a line: run, kind, status, created, age, at, total, values.
    """
    home = session.look_home()
    found = list_runs(home)
    if as_json:
        for run in found:
            print_json(describe(run))
    elif not found:
        print_line(f"No runs yet under {home}.")
        say("Start one: springtui train, springtui chain, or springtui for the lab.")
    else:
        header = ("RUN", "KIND", "STATUS", "AGE", "PROGRESS", "LAST")
        print_table(header, (_row(describe(run)) for run in found))
    return 0


def describe(run: Run) -> dict[str, Any]:
    """One run as plain values, from its config, its lock and the end of its records."""
    try:
        config = run.config()
    except RunDirectoryError as error:
        return {"run": run.id, "kind": None, "status": "damaged", "text": str(error)}
    live = run.is_live()  # before the records, so that a run that ends in between is not called crashed
    state = RunState(run.id)
    for event in run.last_events(_RECORDS):
        state.fold(event)
    settings = config.settings
    age = max(0.0, time.time() - config.created)
    latest = state.latest
    return {
        "run": run.id,
        "kind": kind_of(settings),
        "status": _status(state, live, age),
        "created": config.created,
        "age": age,
        "at": state.at,
        "total": _total(config),
        "values": dict(latest.scalars) if latest else {},
        "text": state.ended.text if state.ended else "",
    }


def _total(config: RunConfig) -> int:
    """How far it will go; 0 where that is not known, as of a user's own training."""
    settings = config.settings
    if isinstance(settings, SweepConfig):
        return size(settings) * members(settings)
    if isinstance(settings, TrainConfig):
        return settings.epochs
    return settings.steps if isinstance(settings, ChainConfig) else 0


def _status(state: RunState, live: bool, age: float) -> str:
    if state.ended is not None:
        return state.status
    if live:
        return "paused" if state.status == "paused" else "running"
    return "starting" if not state.records and age < _STARTING else "crashed"


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    if run["status"] == "damaged":
        return (run["run"], "?", "damaged", "", "", run["text"])
    values = run["values"]
    shown = [f"{name} {values[name]:.4g}" for name in _SHOWN if values.get(name) is not None]
    return (
        run["run"],
        run["kind"],
        run["status"],
        age_in_words(run["age"]),
        f"{run['at']}/{run['total']}" if run["total"] else f"{run['at']}",
        ", ".join(shown) or run["text"],
    )


def age_in_words(seconds: float) -> str:
    """One number and one unit: 5s, 12m, 3h, 4d."""
    for unit, seconds_each in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= seconds_each:
            return f"{int(seconds // seconds_each)}{unit}"
    return f"{int(seconds)}s"
