"""How a run stands, from facts: its lock, its worker's process, how that ended, and the newest records.

No time-out enters: a worker that has recorded nothing for an hour and holds its lock is running, and the sentence
says for how long it has recorded nothing. What cannot be seen from this host has the status ``unknown``.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from .lock import Owner, boot, is_held, read_owner
from .log import RunLog
from .names import EVENTS, LOCK
from .records import SERIES_LINES, Acknowledged, Ended, Event, Started


class Status(StrEnum):
    """How a run stands, in a word; the same word in JSON, in texts and on screens."""

    WAITING = "waiting"
    """No worker ever took it up."""
    STARTING = "starting"
    """Its worker has recorded nothing yet."""
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    """A person ended it early."""
    DIVERGED = "diverged"
    """Its numbers grew beyond all bounds."""
    FAILED = "failed"
    """Its worker ended by an error, and recorded it."""
    CRASHED = "crashed"
    """Its worker is gone, and recorded no end."""
    UNKNOWN = "unknown"
    """Its worker is, or was, on another host, and cannot be seen from here."""
    DAMAGED = "damaged"
    """Its configuration cannot be read; so in lists of runs."""
    GONE = "gone"
    """Its directory was removed while a screen showed it."""
    UNOBSERVED = ""
    """Nobody has looked yet; so in lists of runs."""

    @property
    def is_live(self) -> bool:
        """Whether a worker is known to hold the run."""
        return self in _LIVE

    @property
    def is_over(self) -> bool:
        """Whether the run has ended in any way, or is damaged; false while it waits, is live or is unknown."""
        return self in _OVER

    @property
    def is_resumable(self) -> bool:
        """Whether a new worker can continue a run of this status, from its checkpoint."""
        return self in _RESUMABLE

    @property
    def went_wrong(self) -> bool:
        """Whether the run ended early by no person's wish and not by its own numbers."""
        return self in _WRONG


_LIVE = frozenset({Status.STARTING, Status.RUNNING, Status.PAUSED})
_WRONG = frozenset({Status.CRASHED, Status.FAILED})
_OVER = _WRONG | {Status.FINISHED, Status.STOPPED, Status.DIVERGED, Status.DAMAGED}
_RESUMABLE = _WRONG | {Status.STOPPED, Status.UNKNOWN}

_RECORDS = 256
"""Number of newest records that are searched for a pause."""
_LOOKS = 3
SILENCE = 60.0
"""Seconds without a record from which the sentence mentions them; the status does not depend on it."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands, and by which facts that is known."""

    status: Status
    text: str
    """The facts in a sentence."""
    since: float | None = None
    """When the status began, in seconds since the epoch; of ``unknown`` the time of the last sign of life."""
    live: bool | None = None
    """Whether a worker holds the run now; None where that cannot be seen from here."""
    pid: int | None = None
    """Process of the worker that writes the run, or wrote it last."""
    host: str = ""
    """The host of that process."""
    exit_status: int | None = None
    """Exit status of that process, if its parent noted it; -n where signal n killed it."""
    last_record: float | None = None
    """When the newest record was written, in seconds since the epoch."""
    in_sight: bool = False
    """Whether ``pid`` is that very worker, alive on this host: what it uses of the machine can be measured."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, in whatever way; false while it waits, is live or is unknown."""
        return self.status.is_over


def last_events(path: Path, count: int) -> list[Event]:
    """The ``count`` newest records of a run's directory, oldest first, at the same cost for every length.

    Where some of these are of ``Series``, of which there may be any number, as many of the other kinds come before
    them, so that the newest curve and a pause are found between a training's numbers.
    """
    log = RunLog(path / EVENTS)
    records = log.last(count)
    if any(record.startswith(SERIES_LINES) for record in records):
        others, records = log.last_others(count), log.last(count)  # in this order: the log may grow in between
        known = set(records)
        records = [*(record for record in others if record not in known), *records]
    return [event for record in records if (event := log.decode(record)) is not None]


def observe(path: Path) -> Observation:
    """How the run in a directory stands now. Reads some hundred kilobytes at most, and never raises."""
    found = _observe(path)
    for _ in range(_LOOKS):
        if found.status not in {Status.CRASHED, Status.UNKNOWN}:
            break
        again = _observe(path)  # between two of the reads a worker may have taken it up, or recorded its end
        if again.status == found.status:
            break
        found = again
    return found


def _observe(path: Path) -> Observation:
    held = is_held(path / LOCK)
    owner = read_owner(path / LOCK)
    events = last_events(path, _RECORDS)
    last = events[-1] if events else None
    if owner is None:
        return _without_owner(events, held)
    alive = owner.is_alive() if owner.is_here else None
    facts: dict[str, Any] = {"pid": owner.pid, "host": owner.host, "exit_status": owner.status}
    facts |= {"in_sight": bool(alive), "last_record": last.time if last else None}
    end = _end_of(owner, events)
    if end is not None:
        return Observation(status=Status(end.reason), text=_ending(end), since=end.time, live=held, **facts)
    if owner.ended is not None and not held:
        status = Status(owner.reason) if owner.reason else Status.CRASHED
        text = owner.text or f"its worker, process {owner.pid} on {owner.host}, ended and gave no reason"
        return Observation(status=status, text=text, since=owner.ended, live=False, **facts)
    if held and alive is not False:
        return _at_work(owner, events, facts)
    if alive and (owner.first is None or held is None):  # launched, and on its way to the lock; or no locks here
        return _at_work(owner, events, facts)
    return _out_of_sight(owner, last, facts) if alive is None else _gone(owner, last, held, facts)


def has_ended(owner: Owner, path: Path) -> bool:
    """Whether a worker noted its end, in its lock or in the run's records."""
    return owner.ended is not None or _end_of(owner, last_events(path, 1)) is not None


def _without_owner(events: Sequence[Event], held: bool | None) -> Observation:
    last = events[-1] if events else None
    if isinstance(last, Ended):
        status, text = Status(last.reason), _ending(last)
        return Observation(status=status, text=text, since=last.time, live=held, last_record=last.time)
    if held:
        text = "a worker holds its lock and has not yet written its process number"
        return Observation(status=Status.STARTING, text=text, live=True)
    if last is None:
        return Observation(status=Status.WAITING, text="no worker has taken it up yet", live=held)
    text = f"no lock names its worker; last heard of {ago(last.time)} ago"
    return Observation(status=Status.UNKNOWN, text=text, since=last.time, live=held, last_record=last.time)


def _end_of(owner: Owner, events: Sequence[Event]) -> Ended | None:
    """The record with which this very worker ended, if it did. Those of earlier workers have smaller numbers."""
    last = events[-1] if events else None
    if not isinstance(last, Ended) or (owner.first is None and owner.mark and owner.ended is None):
        return None
    return last if owner.first is None or last.seq >= owner.first else None


def _ending(end: Ended) -> str:
    return end.text or end.reason


def _at_work(owner: Owner, events: Sequence[Event], facts: dict[str, Any]) -> Observation:
    mine = [event for event in events if owner.first is None or event.seq >= owner.first]
    who = f"process {owner.pid} on {owner.host}"
    if owner.first is None or not mine:
        return Observation(status=Status.STARTING, text=f"{who} is starting", since=owner.time, live=True, **facts)
    paused, since = False, owner.time
    for event in mine:
        if isinstance(event, Started):
            since = event.time
        elif isinstance(event, Acknowledged) and event.action in {"pause", "resume"} and not event.error:
            paused, since = event.action == "pause", event.time
    status = Status.PAUSED if paused else Status.RUNNING
    is_silent = time.time() - mine[-1].time >= SILENCE and not paused
    silence = f", no record for {ago(mine[-1].time)}" if is_silent else ""
    return Observation(status=status, text=f"{who} holds its lock{silence}", since=since, live=True, **facts)


def _gone(owner: Owner, last: Event | None, held: bool | None, facts: dict[str, Any]) -> Observation:
    """The worker's process is no more, and recorded no end."""
    who = f"its worker, process {owner.pid}"
    if owner.status is not None:
        text = f"{who}, {exit_in_words(owner.status)}"
    elif owner.mark.partition(":")[1] and not owner.mark.startswith(f"{boot()}:"):
        text = f"{who}, ended when the machine restarted"
    else:
        text = f"{who}, is gone and gave no reason; its exit status is not known"
    if held:
        text += ". A process that it started still holds its lock"
    since = max(owner.time, last.time if last else 0.0)
    return Observation(status=Status.CRASHED, text=text, since=since, live=held, **facts)


def _out_of_sight(owner: Owner, last: Event | None, facts: dict[str, Any]) -> Observation:
    """The worker was on another host; a lock that is not seen to be held from here may be held there."""
    since = max(owner.time, last.time if last else 0.0)
    text = (
        f"its worker, process {owner.pid}, is on {owner.host} and cannot be seen from here; "
        f"last heard of {ago(since)} ago, and it had not ended then"
    )
    return Observation(status=Status.UNKNOWN, text=text, since=since, live=None, **facts)


def exit_in_words(status: int) -> str:
    """``ended with exit status 1``, or ``was killed by signal SIGKILL``."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    hint = ": by a person, or by the system because memory ran out" if -status == signal.SIGKILL else ""
    return f"was killed by signal {name}{hint}"


def ago(moment: float) -> str:
    """The time since a moment, in seconds since the epoch, in words: ``5 minutes``."""
    seconds = max(0.0, time.time() - moment)
    for unit, each in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * each:
            return f"{seconds / each:.0f} {unit}"
    return f"{seconds:.0f} seconds"
