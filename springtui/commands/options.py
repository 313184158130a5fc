"""Options that verbs share, and the session that they set: home directory, preferences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from engine.runs.home import default_home
from engine.runs.listing import open_home
from engine.settings.fields import S, default_of, field_help, field_names, field_range
from engine.settings.train import TrainConfig

from ..preferences.preferences import Effective, strict_preferences
from .completion import complete_assignment, complete_run

_WORDS = {"None": "none", "True": "on", "False": "off"}
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """The common options, given before or after the verb."""

    home: Path | None = None
    ascii: bool = False
    debug: bool = False

    def preferences(self) -> Effective:
        """The preferences in force.

        Raises:
            ConfigError: a value in the file or the environment is not allowed.
        """
        return strict_preferences(self.options())

    def options(self) -> dict[str, Any]:
        """Values from the command line by the preferences' keys; None where an option was not given."""
        home = None if self.home is None else str(self.home)
        return {"home": home, "ascii": "on" if self.ascii else None}

    def open_home(self) -> Path:
        """The home directory, created where it does not exist.

        Raises:
            ConfigError: the preferences are wrong.
            HomeError: it cannot be created or written.
        """
        return open_home(self.look_home())

    def look_home(self) -> Path:
        """The home directory, not created: for verbs that only read.

        Raises:
            ConfigError: the preferences are wrong.
        """
        return self.home or home_of(self.preferences())


def home_of(effective: Effective) -> Path:
    """The home directory in the preferences, else the platform's."""
    named = effective.values.home
    return Path(named).expanduser() if named else default_home()


def _take_home(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Session).home = value.expanduser()


def _take_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).debug = True


def common(function: F) -> F:
    """Add ``--home`` and ``--debug`` to a verb, where they work as before it."""
    for option in (
        click.option("--debug", is_flag=True, expose_value=False, callback=_take_debug, help="Print tracebacks."),
        click.option(
            "--home",
            type=click.Path(path_type=Path),
            metavar="DIR",
            expose_value=False,
            callback=_take_home,
            help="Where runs are kept; also SPRINGTUI_HOME.",
        ),
    ):
        function = option(function)
    return function


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
"""The argument RUN: a run's id, a unique beginning of it, ``last``, or its path."""


def examples(*lines: str) -> str:
    """Example commands as a section of a verb's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def describe_settings(cls: type[S]) -> str:
    """The settings that ``--set`` takes as a section of a verb's help."""
    rows = ["\b", "Settings:"]
    for name in field_names(cls):
        default = default_of(cls, name)
        about, allowed = field_help(cls, name), field_range(cls, name)
        limits = "" if allowed == about else f" ({allowed})"
        rows.append(f"  {name} = {_WORDS.get(str(default), default)}: {about}{limits}")
    return "\n".join(rows)
