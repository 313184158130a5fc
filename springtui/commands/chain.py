"""``springtui chain``: one chain of blocks and springs, pulled here."""

from __future__ import annotations

import functools
from itertools import zip_longest
from typing import Any

import click

from engine.measures.load_curve import LoadStatistics, loads, statistics
from engine.measures.registry import DISTANCE
from engine.runs.directory import Run
from engine.runs.records import finite
from engine.runs.status import Status
from engine.settings.chain import PAST_THE_MAP, ChainConfig, is_past_the_map
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
    """Pull one chain here, and print where its blocks end, what each spring carries, and the regime.

    Positions and sd are the mean and standard deviation over the replicas, in the unit of the target. A block's
    load is the extension of the spring before it, and the target's load that of the last spring. mean_field is
    what the theory predicts: for a chain of the first order after as many steps, for one of the second order in
    the long run.

    With --json one object: run, reason, positions, sd and mean_field, x_1 to x_L each, loads, d_1 to d_(L+1), cv,
    asymmetry, regime, regime_reason (where it is unclear), friction, and note, on a pull beyond the maps' time.
    """
    config = make(ChainConfig, parse_assignments(ChainConfig, assignments))
    home = session.open_home()
    from engine.workers.work import work

    return report(run_here(Run.create(home, config), work, "step"), as_json=as_json)


def report(state: RunState, *, as_json: bool) -> int:
    """Print the result of a pull; return the exit status."""
    shape = _shape(state)
    words = functools.partial(_print, regime="-" if shape is None else shape.words)
    return print_result(state, describe(state), words, as_json=as_json)


def _curve(state: RunState) -> list[float | None]:
    """The load curve of the last record, [L + 2]; empty where there is none, or where the chain diverged."""
    if state.latest is None or state.status is Status.DIVERGED:
        return []
    return state.latest.curves.get(DISTANCE, [])


def _is_past_the_map(state: RunState) -> bool:
    scalars = state.latest.scalars if state.latest is not None else {}
    return "friction" in scalars and is_past_the_map(scalars.get("time"))


def _shape(state: RunState) -> LoadStatistics | None:
    return statistics(curve, logits=False, chain=True) if (curve := _curve(state)) else None


def describe(state: RunState) -> dict[str, Any]:
    """The object that ``--json`` prints; loads and regime of a diverged chain are null."""
    summary = state.ended.summary if state.ended else {}
    names = ("positions", "sd", "mean_field", "friction")
    result = {"run": state.run_id, "reason": state.status, **{name: summary.get(name) for name in names}}
    curve, shape = _curve(state), _shape(state)
    return result | {
        "loads": [finite(float(load)) for load in loads(curve)] if curve else None,
        "cv": finite(shape.cv) if shape else None,
        "asymmetry": finite(shape.asymmetry) if shape else None,
        "regime": shape.regime if shape else None,
        "regime_reason": (shape.reason or None) if shape else None,
        "note": PAST_THE_MAP if _is_past_the_map(state) else None,
    }


def _print(result: dict[str, Any], *, regime: str) -> None:
    for name in ("run", "reason", "friction", "cv", "asymmetry"):
        print_line(f"{name:18}  {in_digits(result[name])}")
    print_line(f"{'regime':18}  {regime}")
    if result["note"]:
        print_line(f"{'note':18}  {result['note']}")
    columns = [result[name] or [] for name in ("positions", "loads", "sd", "mean_field")]
    rows = [(str(number), *map(in_digits, values)) for number, values in enumerate(zip_longest(*columns), start=1)]
    if result["loads"]:  # one more than there are blocks
        rows[-1] = ("target", in_digits(sum(result["loads"])), *rows[-1][2:])
    print_table(("block", "position", "load", "sd", "mean field"), rows)
