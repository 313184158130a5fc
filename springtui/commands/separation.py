"""``springtui separation``: the measures of separation of arrays in a file."""

from __future__ import annotations

from pathlib import Path

import click

from engine.measures.registry import MEASURES, SEPARATIONS

from .options import json_option
from .output import print_json, print_table
from .session import common, examples

_COUNT = ("no", "one", "two", "three", "four", "five", "six", "seven")[len(SEPARATIONS)]
_PLAIN = {"Σ_w": "W", "Σ_b": "B", "⁺": "+"}
"""Symbols of formulas as help shows them, which is ASCII."""


def _plain(formula: str) -> str:
    for symbol, text in _PLAIN.items():
        formula = formula.replace(symbol, text)
    return formula


_FORMULAS = ", ".join(f"{name} = {_plain(MEASURES[name].formula)}" for name in SEPARATIONS)
_HELP = f"""How well the classes y (N) separate in the activations X (N x d) of an .npz file.

{_COUNT.capitalize()} measures, natural logarithms: {_FORMULAS}, with W and B the covariance
within and between classes. With --json these {_COUNT} names.
"""


@click.command(
    help=_HELP,
    short_help="Measure how well the classes in a file separate.",
    epilog=examples("springtui separation layer3.npz", "springtui separation layer3.npz --json | jq .trace_ratio"),
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.npz")
@json_option
@common
def separation(file: Path, as_json: bool) -> int:
    """Print the measures of separation of the arrays in a file; the exit status."""
    from engine.datasets.npz import measure_file

    measures = measure_file(file)
    if as_json:
        print_json(measures)
    else:
        print_table(("measure", "value"), [(name, f"{value:.6g}") for name, value in measures.items()])
    return 0
