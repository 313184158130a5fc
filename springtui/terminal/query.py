"""The terminal's own answers about itself, and its round-trip time and throughput.

The queries are sequences that every terminal answers or ignores; the last is one that all answer. Within tmux or
screen these answer, so what lies beyond them is not measured.

Sources: ECMA-48; XTerm Control Sequences (DA1, CPR, DECRQM, DECRQSS, XTVERSION).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import statistics
import termios
import time
import tty
from collections.abc import Iterator
from typing import NamedTuple

PATIENCE = 2.0
"""Seconds to wait for an answer."""
_BURSTS = (4096, 65536)
_MOST_SECONDS = 5.0
_CURSOR = re.compile(rb"\x1b\[(\d+);(\d+)R")
_ATTRIBUTES = re.compile(rb"\x1b\[\?[\d;]*c")
_SYNCHRONISED = re.compile(rb"\x1b\[\?2026;(\d)\$y")
_VERSION = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_EXACT = re.compile(rb"\x1bP1\$r[^\x1b]*48[:;]2[:;]{1,2}1[:;]2[:;]3[^\x1b]*\x1b\\")
_ASK_EXACT = b"\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m"


class Answers(NamedTuple):
    """A terminal's answers; None where there was none."""

    name: str = ""
    """Its name and version (XTVERSION)."""
    synchronised: bool | None = None
    """Whether it has synchronised output (mode 2026): a frame is shown only when it is complete."""
    exact_colours: bool | None = None
    """Whether it keeps 24-bit colours unchanged."""
    unicode: bool | None = None
    """Whether it decodes UTF-8: three bytes moved its cursor by one column."""
    round_trip: float | None = None
    """Seconds from a query to its answer, median of five."""
    bytes_per_second: float | None = None
    """Throughput of output; a lower bound where the burst was too short to be timed."""


def probe(simple: bool = False) -> Answers | None:
    """The answers of this process's controlling terminal; None where there is none, or it does not answer.

    ``simple`` leaves out queries that old consoles would print as text.
    """
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.tcgetpgrp(fd) != os.getpgrp():  # a background process would be stopped by reading
            return None
        with _quiet(fd):
            return _ask_all(fd, simple)
    except (OSError, termios.error):
        return None
    finally:
        os.close(fd)


@contextlib.contextmanager
def _quiet(fd: int) -> Iterator[None]:
    """Read without echo and without waiting for a newline; Ctrl-C still works."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd, termios.TCSAFLUSH)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)


def _ask_all(fd: int, simple: bool) -> Answers | None:
    if _ask(fd, b"\x1b[c", _ATTRIBUTES, PATIENCE) is None:
        return None
    trips = [seconds for _ in range(5) if (seconds := _timed(fd, b"")) is not None]
    if not trips:
        return None
    round_trip = statistics.median(trips)
    answers = (
        b"" if simple else _ask(fd, b"\x1b[?2026$p\x1b[>0q" + _ASK_EXACT + b"\x1b[c", _ATTRIBUTES, PATIENCE) or b""
    )
    version, held = _VERSION.search(answers), _SYNCHRONISED.search(answers)
    at = _CURSOR.search(_ask(fd, "\r⣿\x1b[6n".encode(), _CURSOR, PATIENCE) or b"")
    os.write(fd, b"\r\x1b[K")
    return Answers(
        name=version[1].decode("utf-8", "replace") if version else "",
        synchronised=None if simple else held is not None and held[1] in b"123",
        exact_colours=None if simple else _EXACT.search(answers) is not None,
        unicode=None if at is None else int(at[2]) == 2,
        round_trip=round_trip,
        bytes_per_second=_rate(fd, round_trip),
    )


def _rate(fd: int, round_trip: float) -> float | None:
    """Throughput in bytes per second, by bytes that draw nothing; a larger burst where one was too quick."""
    rate = None
    for size in _BURSTS:
        seconds = _timed(fd, b"\x1b[0m" * (size // 4))
        if seconds is None:
            return rate
        rate = size / max(seconds - round_trip, 1e-3)
        if seconds > 0.2:
            break
    return rate


def _timed(fd: int, before: bytes) -> float | None:
    """Seconds until the cursor's position is reported, after writing some bytes; None without an answer."""
    began = time.monotonic()
    answer = _ask(fd, before + b"\x1b[6n", _CURSOR, _MOST_SECONDS)
    return None if answer is None else time.monotonic() - began


def _ask(fd: int, question: bytes, wanted: re.Pattern[bytes], patience: float) -> bytes | None:
    """Everything received until the wanted pattern; None if it does not come in time."""
    deadline = time.monotonic() + patience
    answer = b""
    while question or wanted.search(answer) is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        readable, writable, _ = select.select([fd], [fd] if question else [], [], left)
        if writable:
            question = question[os.write(fd, question[:1024]) :]
        if readable:
            answer += os.read(fd, 4096)
    return answer
