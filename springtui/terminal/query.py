"""What the terminal at the other end says of itself, and how long a byte takes to get there.

Asks with sequences that every terminal answers or ignores, and waits for the answer to the last, which all give.
In tmux or screen it is they who answer, so what lies beyond them is not measured.

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
"""Seconds within which a terminal answers, if it ever does."""
_BURSTS = (4096, 65536)
_MOST_SECONDS = 5.0
_CURSOR = re.compile(rb"\x1b\[(\d+);(\d+)R")
_ATTRIBUTES = re.compile(rb"\x1b\[\?[\d;]*c")
_SYNCHRONISED = re.compile(rb"\x1b\[\?2026;(\d)\$y")
_VERSION = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_EXACT = re.compile(rb"\x1bP1\$r[^\x1b]*48[:;]2[:;]{1,2}1[:;]2[:;]3[^\x1b]*\x1b\\")
_ASK_EXACT = b"\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m"


class Answers(NamedTuple):
    """What came back; None where nothing did."""

    name: str = ""
    """As it calls itself, XTVERSION."""
    synchronised: bool | None = None
    """Whether it holds a frame back until it is whole, mode 2026."""
    exact_colours: bool | None = None
    """Whether it keeps 24-bit colours as they were sent."""
    unicode: bool | None = None
    """Whether three bytes of UTF-8 were one character to it."""
    round_trip: float | None = None
    """Seconds from a question to its answer, median of five."""
    bytes_per_second: float | None = None
    """How fast it takes output; a lower bound where the burst was over before it could be timed."""


def probe(simple: bool = False) -> Answers | None:
    """Ask the terminal that this process belongs to; None where there is none, or it does not answer.

    ``simple`` leaves out questions that consoles of old would print.
    """
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.tcgetpgrp(fd) != os.getpgrp():  # in the background a question would stop us
            return None
        with _quiet(fd):
            return _ask_all(fd, simple)
    except (OSError, termios.error):
        return None
    finally:
        os.close(fd)


@contextlib.contextmanager
def _quiet(fd: int) -> Iterator[None]:
    """Answers are neither shown nor waited for by line; Ctrl-C still works."""
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
    told = (
        b"" if simple else _ask(fd, b"\x1b[?2026$p\x1b[>0q" + _ASK_EXACT + b"\x1b[c", _ATTRIBUTES, PATIENCE) or b""
    )
    version, held = _VERSION.search(told), _SYNCHRONISED.search(told)
    at = _CURSOR.search(_ask(fd, "\r⣿\x1b[6n".encode(), _CURSOR, PATIENCE) or b"")
    os.write(fd, b"\r\x1b[K")
    return Answers(
        name=version[1].decode("utf-8", "replace") if version else "",
        synchronised=None if simple else held is not None and held[1] in b"123",
        exact_colours=None if simple else _EXACT.search(told) is not None,
        unicode=None if at is None else int(at[2]) == 2,
        round_trip=round_trip,
        bytes_per_second=_rate(fd, round_trip),
    )


def _rate(fd: int, round_trip: float) -> float | None:
    """Bytes that draw nothing, more of them where the first were gone at once."""
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
    """Seconds until the cursor's place is told, after some bytes."""
    began = time.monotonic()
    answer = _ask(fd, before + b"\x1b[6n", _CURSOR, _MOST_SECONDS)
    return None if answer is None else time.monotonic() - began


def _ask(fd: int, question: bytes, wanted: re.Pattern[bytes], patience: float) -> bytes | None:
    """All that was answered up to what is wanted; None where that does not come."""
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
