"""The command line. Exit status: 0 done, 1 failed or stopped, 2 wrong usage or input.

Imports no heavy library; a verb imports what it needs when it runs.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from importlib import import_module
from typing import Any

import click

from engine import __version__
from engine.errors import SpringtuiError

from .commands.output import print_message
from .commands.session import Session, common, examples

EPILOG = (
    examples(
        "springtui                        open the lab",
        "springtui --last                 open what was left last: Watch, Phase, Runs or the lab",
        "springtui train --set seed=1     train one network here",
        "springtui runs                   list all runs",
        "springtui watch                  the newest live run",
        "springtui doctor                 what this terminal and machine can do",
    )
    + "\n\n\b\nShell completion: bash, zsh and fish take\n"
    + '  eval "$(_SPRINGTUI_COMPLETE=bash_source springtui)"\n'
    + "with zsh_source or fish_source where that is your shell; it knows runs, recipes, settings and their values."
    + "\n\nExit status: 0 done, 1 failed or stopped, 2 wrong usage or input."
)


HELP = ["-h", "--help"]
COMPLETION = "_SPRINGTUI_COMPLETE"
"""The environment variable by which a shell asks click for completions."""


class Verbs(MutableMapping[str, click.Command]):
    """The verbs by name; the module of each, in ``commands``, is imported when it is first looked up."""

    def __init__(self, modules: dict[str, str]) -> None:
        """``modules`` holds the module of each verb."""
        self._modules = modules
        self._commands: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._commands:
            command: click.Command = getattr(import_module(f"springtui.commands.{self._modules[name]}"), name)
            command.context_settings.setdefault("help_option_names", HELP)  # also called without its group
            self._commands[name] = command
        return self._commands[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._modules[name], self._commands[name] = name, command

    def __delitem__(self, name: str) -> None:
        del self._modules[name]
        self._commands.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._modules  # looked up by click for every word: without an import

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


VERBS = (
    "lab", "train", "chain", "sweep", "twin", "separation", "runs", "watch", "scalars", "note", "stop", "resume",
    "rm", "export", "record", "play", "serve", "doctor", "config",
)  # fmt: skip
_MODULES = {verb: verb for verb in VERBS} | {"play": "record"}


@click.group(
    commands=Verbs(_MODULES),
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": HELP},
)
@click.version_option(__version__, prog_name="springtui")
@click.option("--ascii", "plain_signs", is_flag=True, help="Draw with ASCII only.")
@click.option("--last", is_flag=True, help="Open the screen that was left last, in place of the lab.")
@common
@click.pass_context
def cli(context: click.Context, plain_signs: bool, last: bool) -> int:
    """A terminal laboratory for the spring-block theory of feature learning.

    Without a verb it opens the lab: a network that trains and a chain that is pulled, side by side.
    """
    if last and context.invoked_subcommand is not None:
        raise click.UsageError(f"--last opens the app, and {context.invoked_subcommand} is a verb; leave one out")
    session = context.ensure_object(Session)
    session.ascii = plain_signs
    if context.invoked_subcommand is None:
        from .commands.opening import open_lab  # no verb needs it

        return open_lab(session, last=last)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    session = Session()
    if COMPLETION in os.environ:
        from .commands.completion import add_shells  # only a shell asks for it

        add_shells()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale without UTF-8 must not fail
    try:
        status = _run(session, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader closed the pipe; without this the interpreter prints an error when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if session.debug:
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        print_message(f"springtui: error: unexpected {what}; --debug shows where. Please report it")
        return 1
    return status


def _run(session: Session, arguments: Sequence[str] | None) -> int:
    args = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status: Any = cli.main(args=args, prog_name="springtui", standalone_mode=False, obj=session)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print_message("springtui: stopped")
        return 1
    except SpringtuiError as error:
        if session.debug:
            traceback.print_exc()
        print_message(f"springtui: error: {error}")
        return error.exit_status
    return status if isinstance(status, int) else 0
