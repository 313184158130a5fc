"""``springtui watch``: shows one run, or prints its records, on any machine that sees its directory."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from engine.errors import RunDirectoryError
from engine.runs.directory import Run
from engine.runs.listing import find_run, list_runs
from engine.runs.records import Ended, plain
from engine.runs.status import Status

from ..preferences.preferences import load_preferences
from ..terminal.gc_pauses import held
from .completion import complete_run
from .opening import check_terminal
from .options import json_option
from .output import print_json
from .session import Session, common, examples

_POLL_SECONDS = 0.1
_STARTING = 60.0
"""Seconds during which a worker without a record may still be importing."""
_LOOK_BACK = 200
"""Number of newest runs among which a live one is looked for."""


@click.command(
    short_help="Watch a run, live or finished, or replay it.",
    epilog=examples(
        "springtui watch                         the newest live run, else the newest run",
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

    RUN is an id or a name, a beginning of one that fits no other run, last, or a path. With --json its
    records are printed, one JSON object a line, from the first to the last, until the run ends; exit status 0
    where it finished.
    """
    home = session.look_home()
    found = newest(home) if run is None else find_run(home, run)
    created = found.config().created  # refuses a damaged run before a screen opens
    if as_json:
        return _stream(found, created)
    check_terminal("watching", f"without one: springtui watch {run or 'last'} --json")
    effective = load_preferences(session.options())
    with held():
        from ..app import Opening, run_app  # --json needs no app

        return run_app(home, None, effective, Opening("watch", found, read_only))


def newest(home: Path) -> Run:
    """The newest live run, else the newest run.

    Raises:
        RunDirectoryError: there is no run, or the directory cannot be read.
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
    """Print every record until no worker holds the run and no more records come; the exit status."""
    log, offset, reason = run.log(), 0, ""
    while True:
        live = run.is_live()  # asked before reading, so that the last record is not missed
        piece = log.read(offset)
        read, offset = piece.end != offset, piece.end
        for record in piece.records:
            if (event := log.decode(record)) is not None:
                print_json(plain(event))
                reason = event.reason if isinstance(event, Ended) else ""
        if read:
            sys.stdout.flush()
        elif not live and (offset or time.time() - created > _STARTING):
            return 0 if reason == Status.FINISHED else 1
        else:
            time.sleep(_POLL_SECONDS)
