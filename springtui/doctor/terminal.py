"""The doctor's checks of the terminal: kind, size, colours, encoding, multiplexer and link."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from ..terminal.query import PATIENCE, Answers, probe
from ..terminal.size import SMALLEST, WIDE, is_small, is_wide, size_of
from ..terminal.text import ascii_only, plain_text
from .check import Check, State, ask

SLOW_ROUND_TRIP, SLOW_RATE = 0.15, 40_000.0
_SIMPLE = ("linux", "vt", "screen", "xterm", "ansi", "cygwin")


def look_at_terminal() -> Iterator[Check]:
    """All checks of the terminal."""
    yield from _streams()
    answers = _answers()
    yield from _size()
    yield _colours(answers)
    yield _encoding(answers)
    yield _synchronised(answers)
    yield from _tmux()
    yield from _screen()
    yield from _link(answers)


def _streams() -> Iterator[Check]:
    term = os.environ.get("TERM", "")
    streams = [
        name
        for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr))
        if not _is_terminal(stream)
    ]
    if streams:
        where = " and ".join(streams)
        yield Check("terminal", "warn", f"standard {where}: not a terminal", "run the lab in a terminal")
    elif term.lower() in {"", "dumb", "unknown"}:
        yield Check("terminal", "fail", f"TERM={term}", "set TERM to your terminal's type, often xterm-256color")
    else:
        yield Check("terminal", "ok", f"TERM={term}")


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _answers() -> Answers | None:
    term = os.environ.get("TERM", "").lower()
    if not _is_terminal(sys.stdin) or term in {"", "dumb", "unknown"}:
        return None
    return probe(simple=term.startswith(("linux", "vt", "ansi")))


def _terminal_size() -> tuple[int, int] | None:
    """Columns and rows of the terminal, 0 where it tells none; None where no standard stream is a terminal.

    The variables COLUMNS and LINES count where standard output is a terminal that tells none, as for the lab.
    """
    if _is_terminal(sys.stdout):
        return size_of(sys.stdout.fileno())
    for stream in (sys.stderr, sys.stdin):
        if _is_terminal(stream):
            return os.get_terminal_size(stream.fileno())
    return None


def _size() -> Iterator[Check]:
    found = _terminal_size()
    if found is None:
        yield Check("size", "warn", "there is no terminal", "run the lab in a terminal")
        return
    columns, rows = found
    size = f"{columns} x {rows}"
    if not (columns and rows):
        yield Check("size", "warn", "the terminal tells none", "stty rows 40 columns 120, or another terminal")
    elif is_small(columns, rows):
        yield Check("size", "fail", size, f"make it at least {SMALLEST[0]} x {SMALLEST[1]}")
    elif not is_wide(columns, rows):
        yield Check("size", "ok", size, f"from {WIDE[0]} x {WIDE[1]} the lab shows all at once")
    else:
        yield Check("size", "ok", size)


def _colours(answers: Answers | None) -> Check:
    state, detail, remedy = colours(os.environ)
    if answers is not None and answers.exact_colours and "16 million" not in detail and "NO_COLOR" not in detail:
        detail += "; the terminal itself shows 16 million"
        remedy = "export COLORTERM=truecolor, over ssh with SendEnv COLORTERM or in your shell's profile"
    return Check("colours", state, detail, remedy)


def colours(environ: Mapping[str, str]) -> tuple[State, str, str]:
    """State, detail and remedy of the colours that the environment variables announce."""
    term, announced = environ.get("TERM", "").lower(), environ.get("COLORTERM", "").lower()
    if environ.get("NO_COLOR"):
        return "ok", "none, as NO_COLOR asks", ""
    if announced in {"truecolor", "24bit"} or term.endswith("-direct"):
        return "ok", "16 million", ""
    remedy = "if your terminal can do more: export COLORTERM=truecolor"
    if "256" in term:
        return "ok", "256", remedy
    if term.startswith(_SIMPLE):
        return "warn", f"16, going by TERM={term}", remedy
    return "ok", "not known; 256 are assumed", remedy


def _encoding(answers: Answers | None) -> Check:
    plain = ascii_only()
    if answers is not None and answers.unicode is False:
        remedy = "switch the terminal to UTF-8, or use springtui --ascii"
        return Check(
            "encoding", "ok" if plain else "warn", "the terminal does not read UTF-8", "" if plain else remedy
        )
    if plain:
        remedy = "set LANG=C.UTF-8; until then drawings are in ASCII"
        return Check("encoding", "warn", "ASCII: the locale is not UTF-8, or it was asked for", remedy)
    return Check("encoding", "ok", "UTF-8" if answers is None else "UTF-8, as the terminal reads it")


def _synchronised(answers: Answers | None) -> Check:
    if answers is None or answers.synchronised is None:
        return Check(
            "frames", "ok", "not known whether synchronised: the terminal was not asked, or did not answer"
        )
    named = f", {plain_text(answers.name)}" if answers.name else ""
    if answers.synchronised:
        return Check("frames", "ok", f"synchronised: each is shown whole{named}")
    remedy = "nothing breaks; a frame may be seen half drawn. kitty, WezTerm, foot, iTerm2 and ghostty do it"
    return Check("frames", "ok", f"not synchronised{named}", remedy)


def _tmux() -> Iterator[Check]:
    """Checks of what tmux does not pass on (measured with 3.3a and 3.6a)."""
    if not os.environ.get("TMUX"):
        return
    version = ask("tmux", "-V") or "tmux, version not known"
    yield Check("tmux", "ok", f"{version}; it passes on no synchronised output, so a frame may be seen half drawn")
    if not os.environ.get("COLORTERM"):
        older = (number := tmux_number(version)) is not None and number < (3, 2)
        line = "set -ga terminal-overrides ',*:Tc'" if older else "set -as terminal-features ',*:RGB'"
        remedy = f"for all colours, in tmux.conf: {line}; then export COLORTERM=truecolor"
        yield Check("tmux colours", "warn", "COLORTERM is not set inside", remedy)
    wait = ask("tmux", "show-options", "-sv", "escape-time")
    if wait.isdigit() and int(wait) > 50:
        yield Check("tmux keys", "warn", f"Esc waits {wait} ms", "in tmux.conf: set -sg escape-time 10")


def tmux_number(version: str) -> tuple[int, int] | None:
    """(3, 3) of ``tmux 3.3a``."""
    match = re.search(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def _screen() -> Iterator[Check]:
    if os.environ.get("STY"):
        remedy = "256 colours: set TERM=screen-256color inside; tmux shows all of them"
        yield Check("screen", "ok", "GNU screen: no 16 million colours before 5.0, no synchronised output", remedy)


def _link(answers: Answers | None) -> Iterator[Check]:
    """Checks of the link to the terminal: round trip and rate as measured, and compression."""
    remote = bool(os.environ.get("SSH_CONNECTION"))
    inside = "tmux" if os.environ.get("TMUX") else "screen" if os.environ.get("STY") else ""
    where = "over ssh" if remote else "here"
    if answers is None or answers.round_trip is None:
        why = "not asked" if not _is_terminal(sys.stdin) else f"no answer to a question within {PATIENCE:.0f} s"
        yield Check("link", "ok", f"{where}; not measured: {why}")
    else:
        yield _measured(answers.round_trip, answers.bytes_per_second, where, inside)
    if remote:
        yield Check("compression", "ok", "not known from here", "on a slow line: ssh -C; frames shrink 20 times")


def _measured(round_trip: float, rate: float | None, where: str, inside: str) -> Check:
    speed = "" if rate is None else f", {rate / 1000:.0f} KB/s"
    beyond = f" as far as {inside}, which answers itself" if inside else ""
    detail = f"{where}: round trip {1000 * round_trip:.0f} ms{speed}{beyond}"
    slow = round_trip > SLOW_ROUND_TRIP or (rate is not None and rate < SLOW_RATE)
    remedy = "use ssh -C or a smaller window; springtui sends fewer frames by itself"
    return Check("link", "warn" if slow else "ok", detail, remedy if slow else "")
