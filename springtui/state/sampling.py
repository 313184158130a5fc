"""A first look at a long log: its beginning, its end, and records at even distances between them."""

from __future__ import annotations

from engine.runs.log import EventLog

from .run_state import RunState

LONG = 1 << 22
"""Bytes from which a log is glanced at before it is read through."""
SAMPLES = 400
_ENDS = 1 << 16
"""Bytes that are read at the front, and at the end."""
_RECORD = 1 << 13
"""Bytes in which a record is looked for at each place between."""


def glance(log: EventLog, run_id: str) -> RunState:
    """A state folded from a few hundred records: with the newest curve, and coarse histories.

    A setting that was moved in between is known only if its record was among them; only reading the whole log is
    sure to find it.
    """
    state = RunState(run_id)
    for record in _sample(log, log.signature().size):
        if (event := log.decode(record)) is not None:
            state.fold(event)
    return state


def _sample(log: EventLog, size: int) -> list[bytes]:
    """Records from the front, from between, and from the end, in order."""
    step = max(1, (size - 2 * _ENDS) // SAMPLES)
    return [
        *log.read(0, _ENDS).records,
        *log.sample(range(_ENDS, size - _ENDS, step), _RECORD),
        *log.read(max(_ENDS, size - _ENDS), _ENDS).records,
    ]
