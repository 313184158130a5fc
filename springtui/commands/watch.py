"""``springtui watch``: one run, from any terminal or machine that sees its directory."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click
import msgspec

from engine.errors import RunDirectoryError
from engine.runs.directory import Run
from engine.runs.listing import find_run, list_runs
from engine.runs.records import Ended
from engine.runs.status import Status

from ..preferences.preferences import load_preferences
from .completion import complete_run
from .lab import check_terminal
from .options import Session, common, examples, json_option
from .output import print_json

_LOOK = 0.1
_STARTING = 60.0
"""Seconds in which a worker that has not said a word may still be importing."""
_LOOK_BACK = 200
"""Among so many runs, the newest ones, a live one is looked for."""


@click.command(
    short_help="Watch a run, live or finished, or replay it.",
    epilog=examples(
        "springtui watch                         the newest run that goes on, else the newest",
        "springtui watch 20260101 --read-only    look only: no screen changes or makes a run",
        "springtui watch last --json | jq .scalars.train_loss",
    ),
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option(
    "--read-only",
    is_flag=True,
    help="Look only, on every screen: ask, make, change and delete nothing.",
)
@json_option
@common
@click.pass_obj
def watch(session: Session, run: str | None, read_only: bool, as_json: bool) -> int:
    """Watch a run from any terminal or machine that sees its directory; several may watch at once.

    RUN is the run's name, a unique beginning of it, last, or its path. With --json its records are printed, one
    JSON object a line, from the first to the last, until the run ends; exit status 0 where it finished.
    """
    home = session.look_home()
    found = newest(home) if run is None else find_run(home, run)
    created = found.config().created  # a damaged run is refused here, in words, not on a screen
    if as_json:
        return _stream(found, created)
    check_terminal("watching", f"without one: springtui watch {run or 'last'} --json")
    effective = load_preferences(session.options())
    from ..app import Opening, run_app

    return run_app(home, None, effective, Opening("watch", found, read_only))


def newest(home: Path) -> Run:
    """The newest run that a worker holds, else the newest.

    Raises:
        RunDirectoryError: there is none, or they may not be read.
    """
    known = list_runs(home)
    if not known and (home / "runs").exists() and not os.access(home / "runs", os.R_OK | os.X_OK):
        raise RunDirectoryError(
            f"{home / 'runs'} may not be read; make it readable, or choose another with --home or SPRINGTUI_HOME"
        )
    if not known:
        raise RunDirectoryError(f"there is no run under {home / 'runs'} to watch; springtui train begins one")
    return next((run for run in known[:_LOOK_BACK] if run.is_live()), known[0])


def _stream(run: Run, created: float) -> int:
    """Every record to standard output, until no worker holds the run and nothing more comes."""
    log, offset, reason = run.log(), 0, ""
    while True:
        live = run.is_live()  # before the records, so that the last word is not missed
        piece = log.read(offset)
        read, offset = piece.end != offset, piece.end
        for record in piece.records:
            if (event := log.decode(record)) is not None:
                print_json(msgspec.to_builtins(event))
                reason = event.reason if isinstance(event, Ended) else ""
        if read:
            sys.stdout.flush()
        elif not live and (offset or time.time() - created > _STARTING):
            return 0 if reason == Status.FINISHED else 1
        else:
            time.sleep(_LOOK)
