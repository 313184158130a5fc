"""``springtui separation``: the three measures of arrays in a file."""

from __future__ import annotations

from pathlib import Path

import click

from .options import json_option
from .output import print_json, print_table
from .session import common, examples


@click.command(
    short_help="Measure how well the classes in a file separate.",
    epilog=examples("springtui separation layer3.npz", "springtui separation layer3.npz --json | jq .trace_ratio"),
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.npz")
@json_option
@common
def separation(file: Path, as_json: bool) -> int:
    """How well the classes y (N) separate in the activations X (N x d) of an .npz file.

    Three measures, natural logarithms: trace_ratio = log(Tr W / Tr B), fuzziness = log Tr(W B+),
    inverse_fuzziness = log Tr(B W+), with W and B the covariance within and between classes. With --json these
    three names.
    """
    from engine.datasets.npz import measure_file

    measures = measure_file(file)
    if as_json:
        print_json(measures)
    else:
        print_table(("measure", "value"), [(name, f"{value:.6g}") for name, value in measures.items()])
    return 0
