"""``springtui sweep``: a phase diagram, made on all cores here or on a cluster."""

from __future__ import annotations

import functools
from typing import Any

import click

from engine.measures.load_curve import regime_in_words
from engine.measures.registry import MEASURE_OF
from engine.runs.directory import Run
from engine.runs.records import finite
from engine.settings.chain import ChainConfig
from engine.settings.fields import parse_assignments
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig
from engine.sweep.axes import Value

from ..state.run_state import RunState
from .completion import complete_names
from .foreground import run_here
from .options import executor_option, json_option, set_option
from .output import print_line, print_message, print_table
from .session import Session, common, examples
from .train import in_digits, print_result, with_absolute_paths


def _names() -> list[str]:
    from engine.sweep.diagrams import DIAGRAMS

    return list(DIAGRAMS)


def _about_recipes() -> str:
    from engine.sweep.diagrams import DIAGRAMS

    return "\b\nRecipes:\n" + "\n".join(f"  {name}: {diagram.about}" for name, diagram in DIAGRAMS.items())


@click.command(
    short_help="Make a phase diagram of networks or chains here.",
    epilog=examples(
        "springtui sweep --recipe data-noise --seeds 3 --json",
        "springtui sweep --recipe dropout --set dataset=mnist --set data_dir=mnist",
        "springtui sweep --recipe data-noise --x lr=1e-4:1e-1:7:log --y depth=4,6,8",
        "springtui sweep --recipe data-noise --y init=default,orthogonal,kaiming --set hessian=on",
        "springtui sweep --recipe batch-size --executor dask://head-node:8786",
        "springtui sweep --recipe chain",
        "springtui sweep --recipe chain --y nonlinearity=0:1:6 --x data_noise=0:0.8:9",
    )
    + f"\n\n{_about_recipes()}",
)
@click.option(
    "--recipe", metavar="R", shell_complete=complete_names(_names), help="The diagram; always needed, see below."
)
@click.option("--seeds", default=3, show_default=True, metavar="N", help="Networks per cell.")
@click.option(
    "--x", "x_axis", metavar="AXIS", help="Columns: a setting, as NAME=FROM:TO:COUNT[:log] or NAME=A,B,C."
)
@click.option("--y", "y_axis", metavar="AXIS", help="Rows, likewise.")
@click.option(
    "--method",
    type=click.Choice(["mean_field", "replicas"]),
    default="mean_field",
    show_default=True,
    help="How a chain's cells are computed: by theory, or by many copies.",
)
@click.option("--threads", default=0, metavar="N", help="Networks at once; 0 measures what is best here.")
@executor_option
@set_option("epochs=50")
@json_option
@common
@click.pass_obj
def sweep(
    session: Session,
    recipe: str | None,
    seeds: int,
    x_axis: str | None,
    y_axis: str | None,
    method: str,
    threads: int,
    executor: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
) -> int:
    """Make a phase diagram, and print its cells.

    Progress goes to standard error. Ctrl-C stops in order: what was made is printed, and springtui resume RUN
    goes on from there. The run is kept under the home directory.

    With --json one object: run, reason, recipe, x_axis, y_axis, x_name, y_name, seconds, spearman_accuracy_cv,
    spearman_cells (how many cells it is over) and cells, each with nonlinearity, noise, both axes by name, seeds,
    diverged, load_curve, load_curve_sd, curve_error, cv, asymmetry, regime, regime_reason, test_accuracy,
    train_loss, total_separation, hessian_trace and final. Where a load curve's shape means nothing, cv and
    asymmetry are null and regime_reason says why.
    """
    if recipe is None:
        raise click.UsageError(f"name the diagram with --recipe; known: {', '.join(_names())}")
    fields = {"seeds": seeds, "method": method, "threads": threads, "executor": executor or "threads"}
    config = _config(recipe, x_axis, y_axis, assignments, **fields)
    home = session.open_home()
    _prepare(config)
    from engine.workers.work import work

    state = run_here(Run.create(home, config), work, _unit(config))
    return report(config, state, as_json=as_json)


def _config(
    recipe: str, x_axis: str | None, y_axis: str | None, assignments: tuple[str, ...], **fields: Any
) -> SweepConfig:
    from engine.sweep.axes import NONLINEARITY, is_nonlinearity, parse_axis
    from engine.sweep.diagrams import DIAGRAMS, make_sweep

    system = DIAGRAMS[recipe].system if recipe in DIAGRAMS else "network"
    cls: Any = TrainConfig if system == "network" else ChainConfig
    settings = with_absolute_paths(parse_assignments(cls, assignments))
    axes = {name: parse_axis(system, text) for name, text in (("x", x_axis), ("y", y_axis)) if text is not None}
    for name, (axis, values) in axes.items():  # relative paths are those of the current directory
        axes[name] = axis, tuple(with_absolute_paths({axis: value})[axis] for value in values)
    for name, text in (("x_name", x_axis), ("y_name", y_axis)):
        if text is not None and is_nonlinearity(text):
            fields[name] = NONLINEARITY
    return make_sweep(recipe, settings, axes=axes, **fields)


def _prepare(config: SweepConfig) -> None:
    """Check the executor's name and fetch the data sets, before a run is created."""
    from engine.datasets.load import prepare_dataset
    from engine.sweep.backends import check_executor
    from engine.sweep.grid import cell_count, cell_settings

    check_executor(config.executor)
    cells = [cell_settings(config, index) for index in range(cell_count(config))]
    known = {(cell.dataset, cell.data_dir): cell for cell in cells if isinstance(cell, TrainConfig)}
    for cell in known.values():
        prepare_dataset(cell, print_message)


def _unit(config: SweepConfig) -> str:
    return "networks" if config.system == "network" else "chains"


def report(config: SweepConfig, state: RunState, *, as_json: bool) -> int:
    """Print the result of a sweep; return the exit status."""
    return print_result(state, describe(config, state), functools.partial(_print, config), as_json=as_json)


def describe(config: SweepConfig, state: RunState) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    from engine.sweep.summary import accuracy_cv_correlation, summarise, with_accuracy_and_cv

    summaries = summarise(config, state.cells.values())
    main = MEASURE_OF[config.system]
    cells = [
        {
            **_place(config, s.x, s.y),
            "seeds": s.done,
            "diverged": s.diverged,
            "load_curve": s.curves.get(main),
            "load_curve_sd": s.spread.get(main) or s.curves.get("sd"),
            "curve_error": finite(s.curve_error),
            "cv": finite(s.cv),
            "asymmetry": finite(s.asymmetry),
            "regime": s.regime,
            "regime_reason": s.reason,
            "test_accuracy": s.scalars.get("test_accuracy"),
            "train_loss": s.scalars.get("train_loss"),
            "total_separation": finite(s.total_separation),
            "hessian_trace": s.scalars.get("hessian_trace"),
            "final": s.final,
        }
        for s in summaries
    ]
    return {
        "run": state.run_id,
        "reason": state.status,
        "recipe": config.recipe,
        "x_axis": config.x_axis,
        "y_axis": config.y_axis,
        "x_name": config.x_name or config.x_axis,
        "y_name": config.y_name or config.y_axis,
        "cells": cells,
        "spearman_accuracy_cv": finite(accuracy_cv_correlation(summaries)),
        "spearman_cells": len(with_accuracy_and_cv(summaries)),
        "seconds": state.ended.summary.get("seconds") if state.ended else None,
    }


def _place(config: SweepConfig, x: Value, y: Value) -> dict[str, Value]:
    """A cell's axis values by the settings' names, and again as ``nonlinearity`` and ``noise``.

    ``nonlinearity`` is 1 - negative_slope; for a chain over its own settings it is the y value. ``noise`` is the
    value of the axis that is not negative_slope, the x value where neither is.
    """
    first, second = (x, y) if config.x_axis == "negative_slope" else (y, x)
    if "negative_slope" in (config.x_axis, config.y_axis):
        nonlinearity: Value = round(1.0 - float(first), 10)
    elif config.system == "network":
        slope = config.settings.get("negative_slope", TrainConfig().negative_slope)
        nonlinearity = round(1.0 - slope, 10)
    else:
        nonlinearity = first
    return {"nonlinearity": nonlinearity, "noise": second, config.x_axis: x, config.y_axis: y}


def _print(config: SweepConfig, result: dict[str, Any]) -> None:
    networks = config.system == "network"
    for name in ("run", "reason", "recipe", "seconds"):
        print_line(f"{name:22} {in_digits(result[name])}")
    if networks:
        over = f"over {result['spearman_cells']} of {len(result['cells'])} cells"
        print_line(f"{'spearman_accuracy_cv':22} {in_digits(result['spearman_accuracy_cv'])} {over}")
    learnt = ("seeds", "test_accuracy") if networks else ()
    columns = (result["y_name"], result["x_name"], "cv", "asymmetry", *learnt)
    rows = [
        (*(in_digits(cell[name]) for name in columns), regime_in_words(cell["regime"], cell["regime_reason"]))
        for cell in result["cells"]
    ]
    print_table((*columns, "regime"), rows)
