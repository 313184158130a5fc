"""``springtui chain``: one chain of blocks and springs, pulled here."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import click

from engine.runs.directory import Run
from engine.settings.chain import ChainConfig
from engine.settings.fields import make, parse_assignments

from ..state.run_state import RunState
from .foreground import run_here
from .options import describe_settings, json_option, set_option
from .output import print_line, print_table
from .session import Session, common, examples
from .train import in_digits, print_result


@click.command(
    short_help="Pull one chain of blocks and springs here.",
    epilog=examples(
        "springtui chain",
        "springtui chain --set mu_right=0.1 --set noise=0.05 --json | jq .friction",
    )
    + f"\n\n{describe_settings(ChainConfig)}",
)
@set_option("mu_right=0.1", ChainConfig)
@json_option
@common
@click.pass_obj
def chain(session: Session, assignments: tuple[str, ...], as_json: bool) -> int:
    """Pull one chain here, and print where its blocks end.

    Positions and sd are the mean and standard deviation over the replicas, in units of the target. mean_field is
    what the theory predicts: for a chain of the first order after as many steps, for one of the second order in
    the long run.

    With --json one object: run, reason, positions, sd and mean_field, x_1 to x_L each, and friction.
    """
    config = make(ChainConfig, parse_assignments(ChainConfig, assignments))
    home = session.open_home()
    from engine.workers.work import work

    return report(run_here(Run.create(home, config), work, "step"), as_json=as_json)


def report(state: RunState, *, as_json: bool) -> int:
    """Print the result of a pull; return the exit status."""
    return print_result(state, describe(state), _print, as_json=as_json)


def describe(state: RunState) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    summary = state.ended.summary if state.ended else {}
    names = ("positions", "sd", "mean_field", "friction")
    return {"run": state.run_id, "reason": state.status, **{name: summary.get(name) for name in names}}


def _print(result: dict[str, Any]) -> None:
    for name in ("run", "reason", "friction"):
        print_line(f"{name:18}  {in_digits(result[name])}")
    columns = [result[name] or [] for name in ("positions", "sd", "mean_field")]
    rows = [(str(number), *map(in_digits, values)) for number, values in enumerate(zip_longest(*columns), start=1)]
    print_table(("block", "position", "sd", "mean field"), rows)
