"""``springtui lab``: the lab, with a network of a person's choice."""

from __future__ import annotations

import click

from engine.settings.fields import make, parse_assignments
from engine.settings.recipes import find_recipe
from engine.settings.train import TrainConfig

from .completion import complete_recipe, complete_run
from .opening import open_lab
from .options import set_option
from .session import Session, common, examples
from .train import with_absolute_paths


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

    Takes the recipes and settings of springtui train. It starts new runs, even where an earlier lab's
    runs are live.
    """
    values = {**find_recipe(recipe).settings, **parse_assignments(TrainConfig, assignments)}
    settings = with_absolute_paths(values)
    make(TrainConfig, settings)
    return open_lab(session, settings, twin)
