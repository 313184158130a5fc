"""``springtui rm``: remove runs, for good."""

from __future__ import annotations

import sys

import click

from engine.errors import ConfigError, LockedError
from engine.runs.directory import Run
from engine.runs.listing import find_run, names_of
from engine.runs.status import Status

from .completion import complete_run
from .options import json_option
from .output import print_json, print_line, print_message
from .session import Session, common, examples


@click.command(
    short_help="Remove runs and all they recorded.",
    epilog=examples(
        "springtui rm last", "springtui rm --yes 20260101-120000-train-1a2b3c", "springtui rm -f last"
    ),
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN…", shell_complete=complete_run)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--force", "-f", is_flag=True, help="Stop a live run first; also remove one whose worker cannot be seen."
)
@json_option
@common
@click.pass_obj
def rm(session: Session, runs: tuple[str, ...], yes: bool, force: bool, as_json: bool) -> int:
    """Remove runs for good: settings, records, checkpoint and log.

    RUN is an id or a name, a beginning of one that fits no other run, last, or a path. If it fits several
    runs they are listed, and none is removed. Nothing outside the run's directory is touched, whatever links it
    holds. A live run is refused, unless --force stops it first.

    With --json one object a line: run, removed. Nothing is removed unless all names are known and all
    runs are free.
    """
    home = session.look_home()
    found = list({run.path: run for run in (find_run(home, name) for name in runs)}.values())
    for run in found:
        if run.path.parent != (home / "runs").absolute() and run.path.parent != home / "runs":
            run.config()  # refuses a directory whose config.json is another program's
        if not force:
            _require_free(run)
    if not yes:
        _confirm(found)
    from engine.runs.stopping import remove, stop

    for run in found:
        if force and run.status().is_live:
            stop(run, kill=True)
        remove(run, force=force)
        if as_json:
            print_json({"run": run.id, "removed": True})
        else:
            print_line(f"{run.id}: removed")
    return 0


def _require_free(run: Run) -> None:
    """Raise LockedError where a worker may hold the run."""
    found = run.observe()
    if found.status.is_live or found.live:
        raise LockedError(
            f"{run.id} goes on ({found.text}); stop it first: springtui stop {run.id}, or give --force"
        )
    if found.status is Status.UNKNOWN:
        raise LockedError(f"{run.id}: {found.text}. If you know that it is gone, give --force")


def _confirm(found: list[Run]) -> None:
    names = ", ".join(map(_named, found[:5])) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody is there to ask whether to remove {names}; give --yes")
    print_message(f"This removes {names}, for good.")
    click.confirm("Go on?", abort=True, err=True)


def _named(run: Run) -> str:
    """A run's id, with its name where it has one."""
    name = next(iter(names_of(run)), "")
    return f"{run.id} ({name})" if name else run.id
