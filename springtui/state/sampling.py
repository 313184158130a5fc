"""A first look at a long log: its beginning, its end, and lines at evenly spaced bytes between them."""

from __future__ import annotations

import os
from pathlib import Path

from engine.runs.files import open_plain
from engine.runs.records import Event, read_event

from .run_state import RunState

LONG = 1 << 22
"""Bytes from which a log is glanced at before it is read through."""
SAMPLES = 400
_ENDS = 1 << 16
_LINE = 1 << 13


def glance(path: Path, run_id: str) -> RunState:
    """What a few hundred lines tell: a state with its newest curve, and coarse histories.

    A setting moved in between is known only if its line was among them; reading the log through tells all.
    """
    state = RunState(run_id)
    try:
        fd = open_plain(path, os.O_RDONLY)
    except OSError:
        return state
    try:
        size = os.fstat(fd).st_size
        for event in _sample(fd, size):
            state.fold(event)
    except OSError:
        pass
    finally:
        os.close(fd)
    return state


def _sample(fd: int, size: int) -> list[Event]:
    """Records from the front, from between, and from the end, in order, none twice."""
    found = _events(os.pread(fd, _ENDS, 0), whole=True)
    step = max(1, (size - 2 * _ENDS) // SAMPLES)
    for offset in range(_ENDS, size - _ENDS, step):
        found += _events(os.pread(fd, _LINE, offset), whole=False)[:1]
    return found + _events(os.pread(fd, _ENDS, max(_ENDS, size - _ENDS)), whole=False)


def _events(data: bytes, *, whole: bool) -> list[Event]:
    """The records on the whole lines of a piece; the first line is one only where the piece begins with it."""
    lines = data.split(b"\n")[0 if whole else 1 : -1]
    return [event for line in lines if (event := read_event(line)) is not None]
