"""``springtui`` without a verb: the lab, if the terminal can carry it."""

from __future__ import annotations

import os
import sys

from engine.errors import TerminalError

from .options import Session

_WITHOUT = "without one, use a verb: springtui train --json, springtui runs, springtui --help"
_TOO_SIMPLE = {"", "dumb", "unknown"}


def check_terminal() -> None:
    """Raises:
    TerminalError: a standard stream is no terminal (Textual draws on standard error) or moves no cursor.
    """
    for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr)):
        if stream is None or stream.closed or not stream.isatty():
            raise TerminalError(f"standard {name} is not a terminal, and the lab needs one; {_WITHOUT}")
    term = os.environ.get("TERM", "")
    if term.lower() in _TOO_SIMPLE:
        said = f"TERM={term}" if term else "TERM is not set"
        raise TerminalError(
            f"{said}: the lab needs a terminal that can move its cursor; "
            f"set TERM to what yours is, often xterm-256color; {_WITHOUT}"
        )


def open_lab(session: Session) -> int:
    """Check terminal and home before anything is drawn, then hand over to the app."""
    check_terminal()
    home = session.open_home()
    from ..app import run_app

    return run_app(home)
