"""``springtui watch``: shows runs, or prints their records, on any machine that sees their files."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from engine.errors import LogError, RunDirectoryError
from engine.runs.directory import Run
from engine.runs.listing import find_run, is_run_directory, list_runs
from engine.runs.records import Ended, plain
from engine.runs.status import Status

from ..preferences.preferences import load_preferences
from ..terminal.gc_pauses import held
from .completion import complete_run_or_path
from .opening import check_terminal
from .options import STANDARD_INPUT, json_option
from .output import print_json, print_message
from .session import Session, common, examples

_POLL_SECONDS = 0.1
_STARTING = 60.0
"""Seconds during which a worker without a record may still be importing."""
_LOOK_BACK = 200
"""Number of newest runs among which a live one is looked for."""


@click.command(
    short_help="Watch runs of springtui or of any other tool.",
    epilog=examples(
        "springtui watch                         the newest live run, else the newest run",
        "springtui watch 20260101 --read-only    look only: no screen changes or makes a run",
        "springtui watch last --json | jq .scalars.train_loss",
        "springtui watch runs/                   TensorBoard files, CSV and the like, below a folder",
        "python train.py | springtui watch -     what a training prints",
    ),
)
@click.argument("runs", metavar="[RUN|PATH|-]...", nargs=-1, shell_complete=complete_run_or_path)
@click.option(
    "--read-only",
    is_flag=True,
    help="Look only, on every screen: ask, make, change and delete nothing.",
)
@click.option(
    "--once", is_flag=True, help="With --json on a path: print what there is now, of - all that comes, and end."
)
@json_option
@common
@click.pass_obj
def watch(session: Session, runs: tuple[str, ...], read_only: bool, once: bool, as_json: bool) -> int:
    """Watch a run from any terminal or machine that sees its files; several may watch at once.

    RUN is an id or a name, a beginning of one that fits no other run, last, or a path. With --json its
    records are printed, one JSON object a line, from the first to the last, until the run ends; exit status 0
    where it finished.

    PATH is a log of another tool, or a folder with any number of them: TensorBoard, CSV, JSON lines, .wandb and
    more. They are read in place, and nothing is written beside them. - reads standard input, which is printed on
    once the screens are left, since its writer would end without a reader. With --json the records of all runs
    are printed until Ctrl-C, each with its run, as scalars calls it; a training in several formats is one of them,
    and a record with "void" says from which step on the records before it are void, by scalar, where null stands
    for all.
    """
    home = session.look_home()
    found = [named(home, name) for name in runs]
    own = [one for one in found if isinstance(one, Run)]
    if once and (not as_json or len(own) == len(found)):
        raise click.UsageError("--once is for --json on the path of another tool's log")
    if len(found) > 1 or (found and not own):
        from .logs import open_screens, print_records

        paths = [one for one in found if isinstance(one, str)]
        if not as_json:
            return open_screens(session, paths, own)
        if own:
            raise click.UsageError(
                f"--json prints one run of springtui, or paths: leave {own[0].id} out, or all else"
            )
        return print_records(paths, once=once)
    run = own[0] if own else newest(home)
    created = run.config().created  # refuses a damaged run before a screen opens
    if as_json:
        return _stream(run, created)
    check_terminal("watching", f"without one: springtui watch {runs[0] if runs else 'last'} --json")
    effective = load_preferences(session.options())
    with held():
        from ..app import Opening, run_app  # --json needs no app

        return run_app(home, None, effective, Opening("watch", run, read_only))


def named(home: Path, name: str) -> Run | str:
    """The run that an argument names, else the path of a log; a run under the home goes before a path.

    Raises:
        RunDirectoryError: it is neither.
        LogError: it is a path, and nothing is there.
    """
    if name == STANDARD_INPUT:
        return name
    path = Path(name)
    if os.sep in name or name in {os.curdir, os.pardir}:
        if not os.path.lexists(path):
            raise LogError(
                f"there is no file or folder {name}; give the path of a run, of a log or of a folder of runs"
            )
        return find_run(home, name) if is_run_directory(path) else name
    try:
        run = find_run(home, name)
    except RunDirectoryError as error:
        if os.path.lexists(path):
            return name
        if "no run" in str(error):
            raise RunDirectoryError(f"{error}; there is no file or folder of that name here either") from error
        raise
    if os.path.lexists(path):
        print_message(f"springtui: {name} is the run {run.id}; ./{name} is the file or folder of that name here")
    return run


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
