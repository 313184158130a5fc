"""Opens the lab, where the terminal can show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from engine.errors import TerminalError
from engine.runs.listing import find_run, open_home
from engine.twin.maps import load_map

from ..preferences.preferences import load_preferences
from ..terminal.gc_pauses import held
from .session import Session, home_of

_WITHOUT = "without one, use a verb: springtui train --json, springtui runs, springtui --help"
_TOO_SIMPLE = {"", "dumb", "unknown"}


def check_terminal(what: str = "the lab", without: str = _WITHOUT) -> None:
    """See that the terminal can carry ``what``; ``without`` says what there is to do without one.

    Raises:
        TerminalError: a standard stream is no terminal (Textual draws on standard error) or moves no cursor.
    """
    for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr)):
        if stream is None or stream.closed or not stream.isatty():
            raise TerminalError(f"standard {name} is not a terminal, and {what} needs one; {without}")
    term = os.environ.get("TERM", "")
    if term.lower() in _TOO_SIMPLE:
        term_in_words = f"TERM={term}" if term else "TERM is not set"
        raise TerminalError(
            f"{term_in_words}: {what} needs a terminal that can move its cursor; "
            f"set TERM to your terminal's type, often xterm-256color; {without}"
        )


def open_lab(
    session: Session, settings: Mapping[str, Any] | None = None, twin: str | None = None, *, last: bool = False
) -> int:
    """Check terminal and home before anything is drawn, then hand over to the app; the exit status.

    ``last`` opens the screen that was left last, in place of the lab.
    """
    if not os.environ.get("TEXTUAL_DRIVER"):  # springtui serve: there is no terminal but the browser's
        check_terminal()
    effective = load_preferences(session.options())  # a wrong line is told in the app, and closes it to nobody
    home = open_home(session.home or home_of(effective))
    fitted = None if twin is None else load_map(find_run(home, twin).path)
    with held():
        from ..app import Opening, run_app  # no other verb needs it; nothing is collected while it is imported

        return run_app(home, settings, effective, Opening("last") if last else None, fitted)
