"""``springtui note``: name a run, write a note to it, pin it on top."""

from __future__ import annotations

from typing import Any

import click

from engine.errors import RunDirectoryError
from engine.runs.directory import Run
from engine.runs.label import Label, read_label, write_label
from engine.runs.listing import find_run, names_of

from .options import json_option, run_argument
from .output import print_json, print_line
from .session import Session, common, examples


@click.command(
    short_help="Name a run, note something, pin it on top.",
    epilog=examples(
        "springtui note last --name baseline --pin",
        "springtui note last --text 'dropout 0.3 from epoch 40 on'",
        "springtui note last --name '' --unpin",
        "springtui note last --json",
    ),
)
@run_argument
@click.option("--name", metavar="NAME", help="Shown beside the run's id; '' takes it away.")
@click.option("--text", metavar="TEXT", help="A note; '' takes it away.")
@click.option("--pin/--unpin", "pinned", default=None, help="On top of the list of runs, or no longer.")
@json_option
@common
@click.pass_obj
def note(
    session: Session, run: str, name: str | None, text: str | None, pinned: bool | None, as_json: bool
) -> int:
    """Give a run a name, a note or a pin; without an option, show them. The run's records do not change.

    RUN is an id or a name, a beginning of one that fits no other run, last, or a path. Once it has a name,
    every verb takes the name in place of the id.

    With --json: run, name, text, pinned.
    """
    found = find_run(session.look_home(), run)
    if name is None and text is None and pinned is None:
        label = read_label(found.path)
    else:
        label = _write(found, name=name, text=text, pinned=pinned)
    shown = next(iter(names_of(found)), "")  # a training of the user's own may have named itself
    result: dict[str, Any] = {"run": found.id, "name": shown, "text": label.text, "pinned": label.pinned}
    if as_json:
        print_json(result)
    else:
        for key in ("run", "name", "pinned"):
            print_line(f"{key:8}{_shown(result[key])}")
        for number, line in enumerate(label.text.splitlines() or ["-"]):
            print_line(f"{'' if number else 'note':8}{line}")
    return 0


def _write(run: Run, *, name: str | None, text: str | None, pinned: bool | None) -> Label:
    try:
        return write_label(run.path, name=name, text=text, pinned=pinned)
    except OSError as error:
        raise RunDirectoryError(f"cannot write the label of {run.id}: {error.strerror}") from error


def _shown(value: str | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value or "-"
