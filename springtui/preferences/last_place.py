"""Saves the screen, run, tab, measure and noise shown when the app closes, and how much of each run was seen.

The file is ``place.json`` in the home directory. A damaged one counts as none; errors of writing are ignored.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from engine.errors import SpringtuiError
from engine.runs.files import read_file, replace_file

from ..state.wording import away

NAME = "place.json"
"""The file's name under the home."""
_LIMIT = 1 << 18
RUNS_KEPT = 200
"""Number of runs, those looked at last, for which the records seen are saved."""


class Seen(msgspec.Struct, frozen=True):
    """Number of a run's records that were seen, and when, in seconds since the epoch."""

    records: int
    time: float


class LastSession(msgspec.Struct, kw_only=True):
    """The content of ``place.json``."""

    screen: str = "lab"
    """lab, phase, runs or watch."""
    run: str = ""
    tab: str = ""
    measure: str = ""
    noise: str = ""
    seen: dict[str, Seen] = {}

    def key(self) -> object:
        """A value that changes whenever the session must be saved again."""
        records = {name: seen.records for name, seen in self.seen.items()}
        return self.screen, self.run, self.tab, self.measure, self.noise, records

    def away(self, run_id: str, records: int, now: float) -> str:
        """Time and records since a run was last seen, in words; empty for a new run and for short times.

        ``records`` is the run's number of records now, ``now`` in seconds since the epoch.
        """
        seen = self.seen.get(run_id)
        return "" if seen is None else away(now - seen.time, records - seen.records)

    def look_at(self, run_id: str, records: int) -> None:
        """Note that a run was seen now, with so many records."""
        self.seen.pop(run_id, None)
        self.seen[run_id] = Seen(records, time.time())
        for old in list(self.seen)[:-RUNS_KEPT]:
            del self.seen[old]


@runtime_checkable
class NotesSession(Protocol):
    """A screen that can be opened again where it was left."""

    def note_session(self, last: LastSession) -> None:
        """Write down what is open."""


def load_last_session(home: Path) -> LastSession:
    """The saved session, or a new one where none can be read."""
    try:
        return msgspec.json.decode(read_file(home / NAME, _LIMIT), type=LastSession)
    except (SpringtuiError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return LastSession()


def save_last_session(home: Path, last_session: LastSession) -> None:
    """Save the session, with what other apps over this home have seen meanwhile; errors of writing are ignored."""
    with contextlib.suppress(OSError):
        if home.is_dir():
            seen = {**last_session.seen}
            for name, other in load_last_session(home).seen.items():
                if name not in seen or seen[name].time < other.time:
                    seen[name] = other
            kept = dict(sorted(seen.items(), key=lambda item: item[1].time)[-RUNS_KEPT:])
            replace_file(home / NAME, msgspec.json.encode(msgspec.structs.replace(last_session, seen=kept)))
