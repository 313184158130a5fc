"""``springtui record`` and ``springtui play``: record a session to a file, and show a recording."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import click

from engine.errors import TerminalError

from ..terminal.size import size_of
from .options import json_option
from .output import print_json, print_line, print_message
from .session import Session, common, examples

_LIMIT_MIB = 64


@click.command(
    short_help="Record a session of the lab.",
    epilog=examples(
        "springtui record",
        "springtui record talk.cast",
        "springtui record talk.cast -- lab --recipe paper-mlp --set data_dir=mnist",
        "springtui record --limit 5 small.cast -- --ascii",
    )
    + "\n\nExit status: the recorded program's.",
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False), metavar="[FILE.cast]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]")
@click.option(
    "--limit",
    default=_LIMIT_MIB,
    show_default=True,
    type=click.IntRange(1, 4096),
    metavar="N",
    help="MiB at most.",
)
@json_option
@common
@click.pass_obj
def record(session: Session, file: Path | None, arguments: tuple[str, ...], limit: int, as_json: bool) -> int:
    """Open the lab, and record what it draws as an asciicast v2 file, which asciinema and springtui play show.

    FILE ends with .cast; without FILE the name is the time. ARGUMENTS after -- are those of springtui. Keys are
    not recorded. At the limit the recording ends, and the lab continues. With --json: file, seconds, events,
    bytes, full, status.
    """
    from ..recording.cast import MEBIBYTE, Recorder
    from ..recording.pty import record as run_recorded
    from ..recording.pty import terminal_size
    from .opening import check_terminal

    check_terminal()
    if file is not None and file.suffix != ".cast":  # springtui record -- lab
        file, arguments = None, (str(file), *arguments)
    columns, rows = terminal_size()
    path = file or Path(time.strftime("springtui-%Y%m%d-%H%M%S.cast"))
    command = [sys.executable, "-m", "springtui", *common_arguments(session), *arguments]
    title = " ".join(["springtui", *arguments])
    recorder = Recorder(path, columns, rows, title=title, limit=limit * MEBIBYTE)
    try:
        status = run_recorded(command, recorder)
    finally:
        recorder.close()
    result = {"file": str(path), "seconds": round(recorder.seconds(), 3), "events": recorder.events}
    result |= {"bytes": recorder.written, "full": recorder.full, "status": status}
    if as_json:
        print_json(result)
    else:
        print_line(f"written: {path}, {recorder.seconds():.0f} s, {recorder.written / 1024:.0f} KiB")
    if recorder.full:
        print_message(f"springtui: the recording ended early, at its limit of {limit} MiB; --limit allows more")
    return status if status >= 0 else 128 - status


def common_arguments(session: Session) -> list[str]:
    """This session's common options as arguments, for another springtui process."""
    options = ["--home", str(session.home)] if session.home else []
    return [*options, *(["--ascii"] if session.ascii else []), *(["--debug"] if session.debug else [])]


@click.command(
    short_help="Show a recording again.",
    epilog=examples(
        "springtui play talk.cast",
        "springtui play talk.cast --speed 4 --idle 1",
        "springtui play talk.cast --json",
    ),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.cast")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.01, 1000),
    metavar="X",
    help="Times as fast.",
)
@click.option("--idle", type=click.FloatRange(0.0), metavar="S", help="No pause longer than so many seconds.")
@json_option
@common
def play(file: Path, speed: float, idle: float | None, as_json: bool) -> int:
    """Show a recording in this terminal; Ctrl-C ends it.

    Only text, colours and cursor movements reach the terminal: a recording from elsewhere cannot name its window,
    fill its clipboard or ask it questions. With --json it is not shown; printed are width, height,
    title, seconds, events, sizes.
    """
    from ..recording.cast import played, read_cast

    cast = read_cast(file)
    if as_json:
        sizes = [text for _, kind, text in cast.events if kind == "r"]
        facts = {"file": str(file), "width": cast.width, "height": cast.height, "title": cast.title}
        print_json({**facts, "seconds": cast.seconds, "events": len(cast.events), "sizes": sizes})
        return 0
    if not sys.stdout.isatty():
        raise TerminalError("standard output is not a terminal; --json tells what the recording holds")
    columns, rows = size_of(sys.stdout.fileno())
    if columns < cast.width or rows < cast.height:
        print_message(f"springtui: recorded at {cast.width} x {cast.height}; this terminal is {columns} x {rows}")
    try:
        for pause, text in played(cast, speed=speed, idle=math.inf if idle is None else idle):
            if pause:
                sys.stdout.flush()
                time.sleep(pause)
            sys.stdout.write(text)
    finally:
        sys.stdout.write("\x1b[?2026l\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[0m")
        sys.stdout.flush()
    return 0
