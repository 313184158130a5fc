"""The options that several verbs take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from engine.settings.fields import S, default_of, field_help, field_names, field_range
from engine.settings.train import TrainConfig

from .completion import complete_assignment, complete_run
from .session import F

_WORDS = {"None": "none", "True": "on", "False": "off"}
STANDARD_INPUT = "-"
"""The path that stands for standard input."""
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on standard output."
)


executor_option = click.option(
    "--executor",
    metavar="E",
    help="Where cells are made: threads (default), processes, in-process, or a Dask cluster, dask://host:port.",
)


def set_option(example: str, cls: type[Any] = TrainConfig) -> Callable[[F], F]:
    """A repeatable option ``--set key=value``; the shell completes the settings of ``cls``."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="K=V",
        shell_complete=complete_assignment(cls),
        help=f"Change a setting, as {example}; repeatable.",
    )


run_argument = click.argument("run", shell_complete=complete_run)
"""The argument RUN: an id or a name, a beginning of one that fits no other run, ``last``, or a path."""


def describe_settings(cls: type[S]) -> str:
    """The settings that ``--set`` takes as a section of a verb's help."""
    rows = ["\b", "Settings:"]
    for name in field_names(cls):
        default = default_of(cls, name)
        about, allowed = field_help(cls, name), field_range(cls, name)
        limits = "" if allowed == about else f" ({allowed})"
        rows.append(f"  {name} = {_WORDS.get(str(default), default)}: {about}{limits}")
    return "\n".join(rows)
