"""What every verb shares: the home directory, ``--home`` and ``--debug``, and the examples in its help.

The command line imports this module at every start, so that it imports nothing of the engine or the preferences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..preferences.preferences import Effective

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """The values of the options before or after the verb."""

    home: Path | None = None
    ascii: bool = False
    debug: bool = False

    def preferences(self) -> Effective:
        """The preferences in force.

        Raises:
            ConfigError: something in the file or the environment is not allowed.
        """
        from ..preferences.preferences import strict_preferences  # a verb's help needs no preferences

        return strict_preferences(self.options())

    def options(self) -> dict[str, Any]:
        """Preferences given on the command line, by name."""
        home = None if self.home is None else str(self.home)
        return {"home": home, "ascii": "on" if self.ascii else None}

    def open_home(self) -> Path:
        """The home directory, made if need be.

        Raises:
            ConfigError: the preferences are wrong.
            HomeError: it cannot be made or written.
        """
        from engine.runs.listing import open_home  # many verbs only read

        return open_home(self.look_home())

    def look_home(self) -> Path:
        """The home directory, not made: for verbs that only read.

        Raises:
            ConfigError: the preferences are wrong.
        """
        return self.home or home_of(self.preferences())


def home_of(effective: Effective) -> Path:
    """The home directory that the preferences name, else the platform's."""
    from engine.runs.home import default_home  # a verb's help needs no home

    named = effective.values.home
    return Path(named).expanduser() if named else default_home()


def _take_home(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Session).home = value.expanduser()


def _take_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).debug = True


def common(function: F) -> F:
    """``--home`` and ``--debug``, before or after the verb."""
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


def examples(*lines: str) -> str:
    """The end of a verb's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
