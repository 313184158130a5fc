"""``springtui train``: one network, trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.config import TrainConfig, make, parse_assignments
from engine.recipes import DEFAULT_RECIPE, RECIPES, find_recipe
from engine.rundir import Run

from ..foreground import run_here
from ..output import print_json, print_line, say
from ..state import RunState
from .options import Session, common, describe_settings, examples, json_option, set_option

MEASURES = ("trace_ratio", "fuzziness", "inverse_fuzziness")
_RECIPES = "\b\nRecipes:\n" + "\n".join(f"  {name}: {recipe.about}" for name, recipe in RECIPES.items())


@click.command(
    short_help="Train one network here; print its load curve.",
    epilog=examples(
        "springtui train",
        "springtui train --recipe digits --set seed=1 --set dropout=0.1",
        "springtui train --set dataset=mine.npz --json | jq .load_curve.trace_ratio",
    )
    + f"\n\n{_RECIPES}\n\n{describe_settings(TrainConfig)}",
)
@click.option(
    "--recipe",
    default=DEFAULT_RECIPE,
    show_default=True,
    metavar="R",
    shell_complete=lambda _context, _option, begun: [name for name in RECIPES if name.startswith(begun)],
    help="Settings to start from.",
)
@set_option("lr=1e-2")
@json_option
@common
@click.pass_obj
def train(session: Session, recipe: str, assignments: tuple[str, ...], as_json: bool) -> int:
    """Train one network here, and print its load curve.

    Progress goes to standard error. Ctrl-C stops the run in order: what it measured is printed, and the exit
    status is 1, as it is for a run that diverges. The run is kept under the home directory.
    """
    values = {**find_recipe(recipe).settings, **parse_assignments(TrainConfig, assignments)}
    config = make(TrainConfig, with_whole_paths(values))
    home = session.open_home()
    from engine.datasets import load_dataset
    from engine.worker import work

    load_dataset(config)  # wrong data is refused before a run is written
    state = run_here(Run.create(home, config), work, "epoch")
    result = describe(state)
    if as_json:
        print_json(result)
    else:
        _print(result)
    return finish(state)


def with_whole_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Data files by their absolute paths, so that the run can be taken up again from any directory."""
    paths = {"data_dir": values.get("data_dir")}
    if str(values.get("dataset", "")).endswith(".npz"):
        paths["dataset"] = values["dataset"]
    return values | {key: str(Path(path).expanduser().absolute()) for key, path in paths.items() if path}


def describe(state: RunState) -> dict[str, Any]:
    """What ``--json`` gives; of a diverged network nothing is left to measure."""
    latest = None if state.status == "diverged" else state.latest
    scalars = latest.scalars if latest else {}
    curves = latest.curves if latest else {}
    ended = state.ended
    return {
        "run": state.run_id,
        "reason": state.status,
        "epochs": ended.at if ended else latest.at if latest else 0,
        "train_loss": scalars.get("train_loss"),
        "test_accuracy": scalars.get("test_accuracy"),
        "seconds": ended.summary.get("seconds", state.elapsed) if ended else state.elapsed,
        "load_curve": {name: curves.get(name) for name in MEASURES},
    }


def _print(result: dict[str, Any]) -> None:
    for name in ("run", "reason", "epochs", "train_loss", "test_accuracy", "seconds"):
        print_line(f"{name:18} {shown(result[name])}")
    for name, curve in result["load_curve"].items():
        print_line(f"{name:18} {' '.join(shown(value) for value in curve or [])}")


def shown(value: object) -> str:
    """A value for a person: four digits, and a dash for none."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def finish(state: RunState) -> int:
    """The exit status, and a message where the run did not finish."""
    if state.status == "finished":
        return 0
    text = state.ended.text if state.ended else "the worker ended without a word"
    say(f"springtui: {state.status}: {text or 'see the run with springtui runs'}")
    return 1
