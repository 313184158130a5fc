"""``springtui`` without a verb, and ``springtui lab``: opens the lab in a terminal that can show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from engine.errors import TerminalError
from engine.runs.listing import find_run, open_home
from engine.settings.fields import make, parse_assignments
from engine.settings.recipes import find_recipe
from engine.settings.train import TrainConfig
from engine.twin.maps import load_map

from ..preferences.preferences import load_preferences
from .completion import complete_recipe, complete_run
from .options import Session, common, examples, home_of, set_option
from .train import with_absolute_paths

_WITHOUT = "without one, use a verb: springtui train --json, springtui runs, springtui --help"
_TOO_SIMPLE = {"", "dumb", "unknown"}


def check_terminal(what: str = "the lab", without: str = _WITHOUT) -> None:
    """Check that ``what`` can be drawn in this terminal; ``without`` ends the message with an alternative.

    Raises:
        TerminalError: a standard stream is no terminal (Textual draws on standard error), or TERM moves no cursor.
    """
    for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr)):
        if stream is None or stream.closed or not stream.isatty():
            raise TerminalError(f"standard {name} is not a terminal, and {what} needs one; {without}")
    term = os.environ.get("TERM", "")
    if term.lower() in _TOO_SIMPLE:
        setting = f"TERM={term}" if term else "TERM is not set"
        raise TerminalError(
            f"{setting}: {what} needs a terminal that can move its cursor; "
            f"set TERM to what yours is, often xterm-256color; {without}"
        )


def open_lab(session: Session, settings: Mapping[str, Any] | None = None, twin: str | None = None) -> int:
    """Check the terminal and the home directory, then run the app; return its exit status."""
    if not os.environ.get("TEXTUAL_DRIVER"):  # set by springtui serve, where the terminal is in the browser
        check_terminal()
    effective = load_preferences(session.options())  # the app shows what is wrong in them, and opens all the same
    home = open_home(session.home or home_of(effective))
    fitted = None if twin is None else load_map(find_run(home, twin).path)
    from ..app import run_app

    return run_app(home, settings, effective, twin=fitted)


@click.command(
    short_help="Open the lab, with a network of your choice.",
    epilog=examples(
        "springtui lab --recipe paper-mlp --set data_dir=mnist",
        "springtui lab --set dataset=mine.npz --set depth=12 --set epochs=1000",
        "springtui lab --twin last --recipe dropout --set data_dir=mnist",
    ),
)
@click.option(
    "--recipe",
    default="lab",
    show_default=True,
    metavar="R",
    shell_complete=complete_recipe,
    help="Settings to start from.",
)
@set_option("width=50")
@click.option(
    "--twin",
    metavar="RUN",
    shell_complete=complete_run,
    help="A sweep whose map, fitted by springtui twin, drives the chain, in the lab and on the Phase screen.",
)
@common
@click.pass_obj
def lab(session: Session, recipe: str, assignments: tuple[str, ...], twin: str | None) -> int:
    """Open the lab with a network of your choice; the sliders start at its settings.

    Takes the recipes and settings of springtui train. A lab that was left running is not taken up.
    """
    values = {**find_recipe(recipe).settings, **parse_assignments(TrainConfig, assignments)}
    settings = with_absolute_paths(values)
    make(TrainConfig, settings)
    return open_lab(session, settings, twin)
