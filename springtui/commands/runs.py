"""``springtui runs``: every run under the home, newest first."""

from __future__ import annotations

from typing import Any

import click

from engine.runs.listing import list_runs
from engine.runs.status import Status

from ..state.describe import describe
from ..state.wording import age_in_words
from .options import json_option
from .output import print_json, print_line, print_message, print_table
from .session import Session, common, examples

_SHOWN = ("train_loss", "test_accuracy", "loss", "friction")


@click.command(
    short_help="List all runs and how they stand.",
    epilog=examples("springtui runs", "springtui runs --json | jq -r 'select(.status==\"running\").run'"),
)
@json_option
@common
@click.pass_obj
def runs(session: Session, as_json: bool) -> int:
    """List all runs with their kind, status and newest values.

    Names and notes are those given with springtui note; pinned runs come first. The status follows from the run's
    lock, its worker's process and its last record; with --json, text says from which of them.

    With --json one object a line: run, kind, status, since, text, live, host, pid, exit_status, created, age, at,
    total, values, heard (time of the newest record), warnings, size (bytes), name, note, pinned.
    """
    home = session.look_home()
    found = list_runs(home)
    if as_json:
        for run in found:
            print_json(describe(run))
    elif not found:
        print_line(f"No runs yet under {home}.")
        print_message("Start one: springtui train, springtui chain, or springtui for the lab.")
    else:
        header = ("RUN", "KIND", "STATUS", "AGE", "PROGRESS", "NAME", "LAST")
        listed = sorted((describe(run) for run in found), key=lambda run: not run["pinned"])
        print_table(header, (_row(run) for run in listed))
    return 0


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    if run["status"] == Status.DAMAGED:
        return (run["run"], "?", Status.DAMAGED, "", "", run["name"], run["text"])
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
