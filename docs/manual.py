"""Writes docs/man/springtui.1, the manual page, from the commands themselves: ``make manual``.

Every verb's usage, text, options, settings, examples and exit status come from what ``--help`` shows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from engine import __version__  # noqa: E402
from springtui.cli import cli  # noqa: E402

_EXITS = (
    ("0", "done"),
    ("1", "failed or stopped: a run diverged, was stopped, or a check of doctor failed"),
    ("2", "wrong usage, input or surroundings; the message names the thing, what is allowed and what to do"),
)
_VARIABLES = (
    ("SPRINGTUI_HOME", "where runs are kept, as --home"),
    ("SPRINGTUI_CONFIG", "the file of preferences; springtui config tells where it is looked for"),
    (
        "SPRINGTUI_ASCII, SPRINGTUI_THEME, ...",
        "each preference, in capitals; springtui config lists them",
    ),
    ("NO_COLOR", "greys in place of colours"),
    ("COLORTERM", "truecolor where the terminal shows 16 million colours"),
    ("NUMBA_CACHE_DIR", "where compiled chains and networks are kept"),
    ("SCIKIT_LEARN_DATA", "where downloaded data sets are kept"),
)
_FILES = (
    ("runs/RUN/config.json", "all settings that were asked for"),
    ("runs/RUN/events.jsonl", "what happened, one record a line"),
    ("runs/RUN/control.jsonl", "requests to the worker"),
    ("runs/RUN/checkpoint.safetensors", "the state to resume from"),
    ("runs/RUN/worker.log", "what the worker printed"),
    ("exports/", "pictures and data saved from the app"),
)


def manual(group: click.Group, name: str = "springtui") -> str:
    """The manual page as roff."""
    context = click.Context(group, info_name=name, **group.context_settings)
    lines = [
        f'.TH {name.upper()} 1 "" "{name} {__version__}" "User Commands"',
        ".SH NAME",
        f"{name} \\- see which layers of a deep network learn, in a terminal",
        ".SH SYNOPSIS",
        *_synopsis(group, context),
        ".SH DESCRIPTION",
        *_prose(group.help or ""),
        ".SH OPTIONS",
        *_options(group, context),
        ".SH COMMANDS",
    ]
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        if command is not None and not command.hidden:
            lines += _command(command, context, f"{name} {verb}")
    lines += [".SH EXIT STATUS", *_terms(_EXITS)]
    lines += [".SH ENVIRONMENT", *_terms(_VARIABLES)]
    lines += [".SH FILES", "Under the home directory:", *_terms(_FILES)]
    lines += [".SH EXAMPLES", *_epilog(group.epilog or "", "Examples")]
    lines += [".SH SHELL COMPLETION", *_epilog(group.epilog or "", "Shell completion")]
    return "\n".join(lines) + "\n"


def _synopsis(command: click.Command, context: click.Context) -> Iterator[str]:
    pieces = command.collect_usage_pieces(context)
    yield f".B {escape(context.command_path)}"
    yield escape(" ".join(pieces))


def _command(command: click.Command, above: click.Context, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path.split()[-1], parent=above, **command.context_settings)
    yield f".SS {escape(path)}"
    yield escape(" ".join(command.collect_usage_pieces(context)))
    yield ".PP"
    yield from _prose(command.help or "")
    yield from _options(command, context)
    yield from _epilog(command.epilog or "")


_EVERYWHERE = {"home", "debug", "help"}
"""Options of every verb, which the page describes once."""


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1] and (context.parent is None or parameter.name not in _EVERYWHERE):
            yield ".TP"
            yield f".B {escape(record[0])}"
            yield escape(" ".join(record[1].split()))


def _terms(terms: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for term, text in terms:
        yield ".TP"
        yield f".B {escape(term)}"
        yield escape(text)


def _prose(text: str) -> Iterator[str]:
    """Paragraphs as roff; those after click's mark of an unwrapped block keep their lines."""
    for number, block in enumerate(_blocks(text)):
        if number:
            yield ".PP"
        if block.startswith("\b\n"):
            yield from _verbatim(block.removeprefix("\b\n").splitlines())
        else:
            yield escape(" ".join(block.split()))


def _epilog(text: str, only: str = "") -> Iterator[str]:
    """Blocks with a heading, as Examples: and Settings:, as roff; indented lines are kept unchanged."""
    for block in _blocks(text):
        heading, _, rest = block.removeprefix("\b\n").partition("\n")
        if only and not heading.startswith(only):
            continue
        heading = heading.removeprefix(only).lstrip(": ") if only else heading  # the section's title says it
        yield ".PP"
        if rest:
            yield from [escape(heading)] if heading else []
            yield from _verbatim(rest.splitlines())
        else:
            yield escape(" ".join(block.split()))


def _verbatim(lines: list[str]) -> Iterator[str]:
    yield ".RS 4"
    yield ".nf"
    yield from (escape(line.removeprefix("  ")) for line in lines)
    yield ".fi"
    yield ".RE"


def _blocks(text: str) -> list[str]:
    return [block for block in re.split(r"\n[ \t]*\n", text.strip("\n")) if block.strip()]


def escape(text: str) -> str:
    """Text escaped for roff, in ASCII: other characters by their code points."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti")
    text = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)
    return f"\\&{text}" if text.startswith((".", "\\(aq")) else text


def main() -> None:
    """Write the page to docs/man."""
    path = HERE / "man" / "springtui.1"
    path.parent.mkdir(exist_ok=True)
    path.write_text(manual(cli), "ascii")


if __name__ == "__main__":
    main()
