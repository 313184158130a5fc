"""``springtui stop``: ask runs' workers to stop, and wait until they have."""

from __future__ import annotations

from typing import Any

import click

from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.listing import find_run, list_runs
from engine.runs.status import Status
from engine.runs.stopping import Stopped

from .completion import complete_run
from .options import json_option
from .output import print_json, print_line, print_message
from .session import Session, common, examples


@click.command(
    short_help="Stop runs in order; what they recorded is kept.",
    epilog=examples(
        "springtui stop last",
        "springtui stop --all",
        "springtui stop 20260101-120000-train-1a2b3c --kill --patience 5",
    ),
)
@click.argument("runs", nargs=-1, metavar="RUN…", shell_complete=complete_run)
@click.option("--all", "everything", is_flag=True, help="Every live run under the home directory.")
@click.option("--kill", is_flag=True, help="End the process of a worker that has not stopped in time.")
@click.option(
    "--patience",
    type=click.FloatRange(0.1, 86_400.0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a worker.",
)
@json_option
@common
@click.pass_obj
def stop(
    session: Session, runs: tuple[str, ...], everything: bool, kill: bool, patience: float, as_json: bool
) -> int:
    """Ask the workers of runs to stop, and say whether each acknowledged and ended.

    RUN is an id or a name, a beginning of one that fits no other run, last, or a path. A stopped run can be
    resumed. A run that is over already is not changed. If RUN fits several runs they are listed, and none is
    stopped. With --kill a worker on this machine that did not stop in time is ended with SIGKILL; its records are
    kept, and it can be resumed from its last checkpoint.

    With --json one object a line: run, was, state, acknowledged, killed, text. Exit status 1 if a run is still
    live.
    """
    if everything == bool(runs):
        raise ConfigError("name the runs to stop, or give --all; springtui runs lists them")
    home = session.look_home()
    found = [run for run in list_runs(home) if run.status().is_live] if everything else _named(session, runs)
    if not found:
        print_message("No run goes on.")
    from engine.runs.stopping import stop as stop_run

    failed = 0
    for run in found:
        done = stop_run(run, patience, kill=kill)
        failed += not _is_over(done)
        if as_json:
            print_json(describe(run, done))
        else:
            print_line(f"{run.id}: {in_words(done)}")
    return 1 if failed else 0


def _named(session: Session, names: tuple[str, ...]) -> list[Run]:
    home = session.look_home()
    return list({run.path: run for run in (find_run(home, name) for name in names)}.values())


def _is_over(done: Stopped) -> bool:
    return not done.now.status.is_live and done.now.status is not Status.UNKNOWN


def describe(run: Run, done: Stopped) -> dict[str, Any]:
    """The object that ``--json`` prints for a run."""
    return {
        "run": run.id,
        "was": done.was.status,
        "state": done.now.status,
        "acknowledged": done.acknowledged,
        "killed": done.killed,
        "text": in_words(done),
    }


def in_words(done: Stopped) -> str:
    """The outcome as a sentence."""
    if done.was.status is Status.WAITING:
        return "no worker has taken it up; there is nothing to stop"
    if not (done.acknowledged or done.killed) and done.was.status == done.now.status and _is_over(done):
        return f"it was over already ({done.was.status})"
    if done.killed:
        heard = "acknowledged, but did not end in time" if done.acknowledged else "not acknowledged"
        return f"{heard}; its process was killed ({done.now.status}). springtui resume goes on from its checkpoint"
    if _is_over(done):
        return f"acknowledged; {done.now.status}" if done.acknowledged else f"ended by itself; {done.now.status}"
    if done.acknowledged:
        return "acknowledged; it has not ended yet. Wait, or give --kill"
    where = "" if done.now.in_sight else f" Its worker may be on {done.now.host}: stop it there"
    return f"not acknowledged: {done.now.text}.{where or ' Give it more --patience, or --kill'}"
