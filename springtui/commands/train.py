"""``springtui train``: one network, trained here."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from engine.measures.load_curve import regime_in_words
from engine.measures.registry import PROBES, SEPARATIONS
from engine.runs.directory import Run
from engine.runs.status import Status
from engine.settings.fields import make, parse_assignments
from engine.settings.recipes import DEFAULT_RECIPE, RECIPES, find_recipe
from engine.settings.train import TrainConfig

from ..state.run_state import RunState
from .completion import complete_recipe
from .foreground import run_here
from .options import describe_settings, json_option, set_option
from .output import print_json, print_line, print_message
from .session import Session, common, examples

_NAMES = textwrap.wrap(", ".join(RECIPES), 76, break_on_hyphens=False)
_RECIPES = "\b\nRecipes:\n" + "\n".join(f"  {line}" for line in _NAMES)


@click.command(
    short_help="Train one network here; print its load curve.",
    epilog=examples(
        "springtui train",
        "springtui train --recipe digits --set seed=1 --set dropout=0.1",
        "springtui train --recipe paper-mlp --set data_dir=mnist --set data_noise=0.4",
        "springtui train --set dataset=mine.npz --json | jq .load_curve.trace_ratio",
        "springtui train --list-recipes",
    )
    + f"\n\n{_RECIPES}\n\n{describe_settings(TrainConfig)}",
)
@click.option(
    "--recipe",
    default=DEFAULT_RECIPE,
    show_default=True,
    metavar="R",
    shell_complete=complete_recipe,
    help="Settings to start from.",
)
@click.option("--list-recipes", is_flag=True, help="List the recipes with their settings, and train nothing.")
@set_option("lr=1e-2")
@json_option
@common
@click.pass_obj
def train(session: Session, recipe: str, list_recipes: bool, assignments: tuple[str, ...], as_json: bool) -> int:
    """Train one network here, and print its load curve.

    Progress goes to standard error. Ctrl-C stops the run in order: what it measured is printed, and the exit
    status is 1, as it is for a run that diverges. The run is kept under the home directory. Load curve, loss and
    accuracy are measured on clean data: with true labels and without noise or dropout.

    With --json one object: run, reason, epochs, seconds, train_loss, train_accuracy, test_accuracy, load_curve (by
    measure, from the input to the logits), cv, asymmetry, regime, regime_reason, hessian, linear_probes and
    test_load_curve. Where the load curve's shape means nothing, cv and asymmetry are null, regime is "unclear" and
    regime_reason says why.
    """
    if list_recipes:
        return _list_recipes(as_json)
    values = {**find_recipe(recipe).settings, **parse_assignments(TrainConfig, assignments)}
    config = make(TrainConfig, with_absolute_paths(values))
    home = session.open_home()
    from engine.datasets.load import prepare_dataset
    from engine.workers.work import work

    prepare_dataset(config, print_message)  # downloads, or refuses missing data, before a run is created
    return report(run_here(Run.create(home, config), work, "epoch"), as_json=as_json)


def report(state: RunState, *, as_json: bool) -> int:
    """Print the result of a training; return the exit status."""
    return print_result(state, describe(state), _print, as_json=as_json)


def _list_recipes(as_json: bool) -> int:
    if as_json:
        print_json({"recipes": [{"name": name, **recipe._asdict()} for name, recipe in RECIPES.items()]})
        return 0
    for name, recipe in RECIPES.items():
        print_line(f"{name:24} {recipe.about}")
        print_line(f"{'':24} {' '.join(f'{key}={_word(value)}' for key, value in recipe.settings.items())}")
    return 0


def _word(value: object) -> str:
    """A value as text for ``--set``."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def with_absolute_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Settings with paths of data files made absolute, so that the run can be resumed from any directory."""
    paths = {"data_dir": values.get("data_dir")}
    if str(values.get("dataset", "")).endswith(".npz"):
        paths["dataset"] = values["dataset"]
    return values | {key: str(Path(path).expanduser().absolute()) for key, path in paths.items() if path}


def describe(state: RunState) -> dict[str, Any]:
    """The object that ``--json`` prints; measurements of a diverged network are null."""
    latest = None if state.status is Status.DIVERGED else state.latest
    scalars = latest.scalars if latest else {}
    curves = latest.curves if latest else {}
    ended = state.ended
    summary = ended.summary if ended and latest else {}
    test_curves = {name: curves[f"test_{name}"] for name in SEPARATIONS if f"test_{name}" in curves}
    return {
        "run": state.run_id,
        "reason": state.status,
        "epochs": ended.at if ended else latest.at if latest else 0,
        "train_loss": scalars.get("train_loss"),
        "test_accuracy": scalars.get("test_accuracy"),
        "seconds": ended.summary.get("seconds", state.elapsed) if ended else state.elapsed,
        "load_curve": {name: curves.get(name) for name in SEPARATIONS},
        "train_accuracy": scalars.get("train_accuracy"),
        "cv": summary.get("cv"),
        "asymmetry": summary.get("asymmetry"),
        "regime": summary.get("regime"),
        "regime_reason": summary.get("regime_reason"),
        "hessian": summary.get("hessian"),
        PROBES: summary.get(PROBES),
        "test_load_curve": test_curves or None,
    }


def _print(result: dict[str, Any]) -> None:
    for name in ("run", "reason", "epochs", "train_loss", "train_accuracy", "test_accuracy", "seconds"):
        print_line(f"{name:22} {in_digits(result[name])}")
    for name in ("cv", "asymmetry"):
        print_line(f"{name:22} {in_digits(result[name])}")
    regime = result["regime"]
    print_line(f"{'regime':22} {regime_in_words(regime, result['regime_reason'] or '') if regime else '-'}")
    if hessian := result["hessian"]:
        print_line(f"{'hessian trace':22} {in_digits(hessian['trace'])} ± {in_digits(hessian['trace_error'])}")
        print_line(f"{'hessian top':22} {in_digits(hessian['top'])}")
    tests = {f"test_{name}": curve for name, curve in (result["test_load_curve"] or {}).items()}
    probes = {PROBES: result[PROBES]} if result[PROBES] else {}
    for name, curve in {**result["load_curve"], **tests, **probes}.items():
        print_line(f"{name:22} {' '.join(in_digits(value) for value in curve or [])}")


def in_digits(value: object) -> str:
    """A value as text: four significant digits, and a dash for None and what is not a number."""
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_result(
    state: RunState, result: dict[str, Any], words: Callable[[dict[str, Any]], None], *, as_json: bool
) -> int:
    """Print a result as JSON or with ``words``, and a message where the run did not finish; the exit status."""
    (print_json if as_json else words)(result)
    if state.status is Status.FINISHED:
        return 0
    text = state.ended.text if state.ended else "the worker ended without a word"
    print_message(f"springtui: {state.status}: {text or 'see the run with springtui runs'}")
    return 1
