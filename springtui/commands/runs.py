"""``springtui runs``: every run under the home, newest first."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import click

from engine.errors import RunDirectoryError
from engine.runs.directory import Run
from engine.runs.label import read_label
from engine.runs.listing import list_runs
from engine.settings.chain import ChainConfig
from engine.settings.run import RunConfig, kind_of
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig
from engine.sweep.grid import members, size

from ..output import print_json, print_line, print_table, say
from ..state import RunState
from .options import Session, common, examples, json_option

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

    Names and notes are those that springtui note gave; pinned runs come first. How a run stands is told from its
    lock, its worker's process and its last record: --json says how it is known, under text.

    With --json one object a line: run, kind, status, since, text, live, host, pid, exit_status, created, age, at,
    total, values, heard (time of the newest record), size (bytes), name, note, pinned.
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
        header = ("RUN", "KIND", "STATUS", "AGE", "PROGRESS", "NAME", "LAST")
        listed = sorted((describe(run) for run in found), key=lambda run: not run["pinned"])
        print_table(header, (_row(run) for run in listed))
    return 0


def describe(run: Run) -> dict[str, Any]:
    """One run as plain values, from its config, its lock, its worker's process and the end of its records."""
    label = read_label(run.path)
    shared = {"name": label.name, "note": label.text, "pinned": label.pinned, "size": size_on_disk(run.path)}
    try:
        config = run.config()
    except RunDirectoryError as error:
        return {"run": run.id, "kind": None, "status": "damaged", "text": str(error), **shared}
    found = run.liveness()
    state = RunState(run.id)
    for event in run.last_events(_RECORDS):
        state.fold(event)
    latest = state.latest
    return {
        "run": run.id,
        "kind": kind_of(config.settings),
        "status": found.state,
        "since": found.since,
        "text": found.text,
        "live": found.live,
        "host": found.host,
        "pid": found.pid,
        "exit_status": found.exit_status,
        "created": config.created,
        "age": max(0.0, time.time() - config.created),
        "at": state.at,
        "total": _total(config),
        "values": dict(latest.scalars) if latest else {},
        "heard": state.heard,
        **shared,
    }


def size_on_disk(path: Path) -> int:
    """Bytes of a run's files; links are not followed."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _total(config: RunConfig) -> int:
    """How far it will go; 0 where that is not known, as of a user's own training."""
    settings = config.settings
    if isinstance(settings, SweepConfig):
        return size(settings) * members(settings)
    if isinstance(settings, TrainConfig):
        return settings.epochs
    return settings.steps if isinstance(settings, ChainConfig) else 0


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    if run["status"] == "damaged":
        return (run["run"], "?", "damaged", "", "", run["name"], run["text"])
    values = run["values"]
    shown = [f"{name} {values[name]:.4g}" for name in _SHOWN if values.get(name) is not None]
    return (
        run["run"],
        run["kind"],
        run["status"],
        age_in_words(run["age"]),
        f"{run['at']}/{run['total']}" if run["total"] else f"{run['at']}",
        run["name"],
        ", ".join(shown) or run["text"],
    )


def age_in_words(seconds: float) -> str:
    """One number and one unit: 5s, 12m, 3h, 4d."""
    for unit, seconds_each in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= seconds_each:
            return f"{int(seconds // seconds_each)}{unit}"
    return f"{int(seconds)}s"
