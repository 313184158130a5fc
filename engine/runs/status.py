"""How a run stands, told from facts: its lock, its worker's process, how that ended, and the last records.

No time-out enters: a worker that has been silent for an hour and holds its lock is running, and the sentence says
since when it has been silent. What cannot be known from here is said to be unknown.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .lock import Owner, boot, is_held, read_owner
from .log import RunLog
from .names import EVENTS, LOCK
from .records import Acknowledged, Ended, Event, Started

STATES = (
    "waiting", "starting", "running", "paused", "finished", "stopped", "diverged", "failed", "crashed", "unknown",
)  # fmt: skip
"""waiting: no worker ever took it up. starting: its worker has not said a word yet. unknown: its worker is, or
was, out of sight, on another host."""
OVER = frozenset({"finished", "stopped", "diverged", "failed", "crashed"})
LIVE = frozenset({"starting", "running", "paused"})
_TAIL = 256
"""Records from the end in which a pause is looked for."""
_LOOKS = 3
SILENCE = 60.0
"""Seconds without a record from which the sentence tells of them; the state does not depend on it."""


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands, and how that is known."""

    state: str
    """One of ``STATES``."""
    text: str
    """What is known, in a sentence."""
    since: float | None = None
    """When the state began, in seconds since the epoch; of one that is unknown, when it was last heard of."""
    live: bool | None = None
    """Whether a worker holds the run now; None where that cannot be seen from here."""
    pid: int | None = None
    """Of the worker that writes it, or wrote it last."""
    host: str = ""
    """Where that is, or was."""
    exit_status: int | None = None
    """Of the worker's process, where someone noted it; -9 where signal 9 killed it."""
    last_record: float | None = None
    """When its newest record was written, in seconds since the epoch."""

    in_sight: bool = False
    """Whether ``pid`` is that very worker, alive on this host: what it uses of the machine can be shown."""

    @property
    def is_over(self) -> bool:
        """Whether no worker goes on with it; it may be resumed."""
        return self.state in OVER


def last_events(path: Path, count: int) -> list[Event]:
    """The ``count`` newest records of a run's directory, oldest first: long logs cost no more than short ones."""
    log = RunLog(path / EVENTS)
    return [event for record in log.last(count) if (event := log.decode(record)) is not None]


def look(path: Path) -> Liveness:
    """How the run in a directory stands now. Reads some hundred kilobytes at most, and never raises."""
    found = _look(path)
    for _ in range(_LOOKS):
        if found.state not in {"crashed", "unknown"}:
            break
        again = _look(path)  # a worker may have taken it up, or said its last word, between two of the looks
        if again.state == found.state:
            break
        found = again
    return found


def _look(path: Path) -> Liveness:
    held = is_held(path / LOCK)
    owner = read_owner(path / LOCK)
    events = last_events(path, _TAIL)
    last = events[-1] if events else None
    if owner is None:
        return _without_owner(events, held)
    alive = owner.is_alive() if owner.is_here else None
    facts: dict[str, Any] = {"pid": owner.pid, "host": owner.host, "exit_status": owner.status}
    facts |= {"in_sight": bool(alive), "last_record": last.time if last else None}
    word = _last_word(owner, events)
    if word is not None:
        return Liveness(state=word.reason, text=_ending(word), since=word.time, live=held, **facts)
    if owner.ended is not None and not held:
        state = owner.reason or "crashed"
        text = owner.text or f"its worker, process {owner.pid} on {owner.host}, left without a last word"
        return Liveness(state=state, text=text, since=owner.ended, live=False, **facts)
    if held and alive is not False:
        return _at_work(owner, events, facts)
    if alive and (owner.first is None or held is None):  # launched, and on its way to the lock; or no locks here
        return _at_work(owner, events, facts)
    return _out_of_sight(owner, last, facts) if alive is None else _gone(owner, last, held, facts)


def has_ended(owner: Owner, path: Path) -> bool:
    """Whether a worker said that it ended, in its lock or in the run's records."""
    return owner.ended is not None or _last_word(owner, last_events(path, 1)) is not None


def _without_owner(events: Sequence[Event], held: bool | None) -> Liveness:
    last = events[-1] if events else None
    if isinstance(last, Ended):
        return Liveness(state=last.reason, text=_ending(last), since=last.time, live=held, last_record=last.time)
    if held:
        return Liveness(state="starting", text="a worker holds it and has not said who it is", live=True)
    if last is None:
        return Liveness(state="waiting", text="no worker has taken it up yet", live=held)
    text = f"it has no lock that tells of a worker; last heard of {_ago(last.time)} ago"
    return Liveness(state="unknown", text=text, since=last.time, live=held, last_record=last.time)


def _last_word(owner: Owner, events: Sequence[Event]) -> Ended | None:
    """The record with which this very worker ended, if it did. Those of earlier workers have smaller numbers."""
    last = events[-1] if events else None
    if not isinstance(last, Ended) or (owner.first is None and owner.mark and owner.ended is None):
        return None
    return last if owner.first is None or last.seq >= owner.first else None


def _ending(word: Ended) -> str:
    return word.text or word.reason


def _at_work(owner: Owner, events: Sequence[Event], facts: dict[str, Any]) -> Liveness:
    mine = [event for event in events if owner.first is None or event.seq >= owner.first]
    who = f"process {owner.pid} on {owner.host}"
    if owner.first is None or not mine:
        return Liveness(state="starting", text=f"{who} is starting", since=owner.time, live=True, **facts)
    paused, since = False, owner.time
    for event in mine:
        if isinstance(event, Started):
            since = event.time
        elif isinstance(event, Acknowledged) and event.action in {"pause", "resume"} and not event.error:
            paused, since = event.action == "pause", event.time
    state = "paused" if paused else "running"
    silent = time.time() - mine[-1].time
    told = f", no record for {_ago(mine[-1].time)}" if silent >= SILENCE and not paused else ""
    return Liveness(state=state, text=f"{who} holds its lock{told}", since=since, live=True, **facts)


def _gone(owner: Owner, last: Event | None, held: bool | None, facts: dict[str, Any]) -> Liveness:
    """Its process is no more, and it said no last word."""
    who = f"its worker, process {owner.pid}"
    if owner.status is not None:
        text = f"{who}, {exit_in_words(owner.status)}"
    elif owner.mark.partition(":")[1] and not owner.mark.startswith(f"{boot()}:"):
        text = f"{who}, ended when the machine was started anew"
    else:
        text = f"{who}, is gone without a last word; nobody was there to note its exit status"
    if held:
        text += ". A process that it started still holds its lock"
    since = max(owner.time, last.time if last else 0.0)
    return Liveness(state="crashed", text=text, since=since, live=held, **facts)


def _out_of_sight(owner: Owner, last: Event | None, facts: dict[str, Any]) -> Liveness:
    """On another host, and its lock is not seen to be held from here, which need not mean that it is not."""
    since = max(owner.time, last.time if last else 0.0)
    text = (
        f"its worker, process {owner.pid}, is on {owner.host} and cannot be seen from here; "
        f"last heard of {_ago(since)} ago, still at work"
    )
    return Liveness(state="unknown", text=text, since=since, live=None, **facts)


def exit_in_words(status: int) -> str:
    """``ended with exit status 1``, or ``was killed by signal SIGKILL``."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    hint = ": by someone, or by the system when memory ran out" if -status == signal.SIGKILL else ""
    return f"was killed by signal {name}{hint}"


def _ago(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    for unit, each in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * each:
            return f"{seconds / each:.0f} {unit}"
    return f"{seconds:.0f} seconds"
