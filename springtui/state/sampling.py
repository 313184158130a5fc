"""Samples a long log: its beginning, its end, and records at even distances between."""

from __future__ import annotations

from engine.runs.any_run import AnyRun
from engine.runs.log import EventLog
from engine.runs.records import Curve, Started

from .run_state import RunState

LONG = 1 << 22
"""Bytes from which a log is sampled before it is read whole."""
SAMPLES = 400
_ENDS = 1 << 16
"""Bytes that are read at the beginning and at the end each."""
_RECORD = 1 << 13
"""Bytes that are read at each place between, to find a record."""


def sampled_state(log: EventLog, run_id: str) -> RunState:
    """A state folded from a few hundred records, with the newest curve and coarse histories.

    A change of a setting is known only if its record was among them.
    """
    state = RunState(run_id)
    for record in _sample(log, log.signature().size):
        if (event := log.decode(record)) is not None:
            state.fold(event)
    return state


def newest_state(run: AnyRun, count: int) -> RunState:
    """A state folded from the ``count`` newest records, as ``AnyRun.last_events`` finds them.

    Where the curves are of several towers, from the run's beginning as well, which says which is the main one.
    """
    state, events = RunState(run.id), run.last_events(count)
    if any(isinstance(event, Curve) and event.path for event in events):
        log = run.log()
        begun = (log.decode(record) for record in log.read(0, _ENDS).records)
        events = [*(event for event in begun if isinstance(event, Started) and event not in events), *events]
    for event in events:
        state.fold(event)
    return state


def _sample(log: EventLog, size: int) -> list[bytes]:
    """Lines from the beginning, between, and the end, in order."""
    step = max(1, (size - 2 * _ENDS) // SAMPLES)
    return [
        *log.read(0, _ENDS).records,
        *log.sample(range(_ENDS, size - _ENDS, step), _RECORD),
        *log.read(max(_ENDS, size - _ENDS), _ENDS).records,
    ]
