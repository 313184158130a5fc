"""Where a person was when the app was left: screen, run, tab, measure, noise; and what had been seen of each run.

A small file in the home directory. A damaged or foreign one counts as none; a home that cannot be written is no
reason to fail.
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
"""Of so many runs, those looked at last, it is remembered how far they were seen."""


class Seen(msgspec.Struct, frozen=True):
    """How far a run was seen."""

    records: int
    time: float


class LastSession(msgspec.Struct, kw_only=True):
    """What is remembered."""

    screen: str = "lab"
    """lab, phase, runs or watch."""
    run: str = ""
    tab: str = ""
    measure: str = ""
    noise: str = ""
    seen: dict[str, Seen] = {}

    def key(self) -> object:
        """Changes whenever it is worth to be saved."""
        records = {name: seen.records for name, seen in self.seen.items()}
        return self.screen, self.run, self.tab, self.measure, self.noise, records

    def away(self, run_id: str, records: int, now: float) -> str:
        """How long one was away from a run that has so many records now; empty where that is not worth a word."""
        seen = self.seen.get(run_id)
        return "" if seen is None else away(now - seen.time, records - seen.records)

    def look_at(self, run_id: str, records: int) -> None:
        """A run has been seen up to so many records."""
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
    """What was remembered, or a fresh start."""
    try:
        return msgspec.json.decode(read_file(home / NAME, _LIMIT), type=LastSession)
    except (SpringtuiError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return LastSession()


def save_last_session(home: Path, last_session: LastSession) -> None:
    """Remember it, where the home can be written."""
    with contextlib.suppress(OSError):
        if home.is_dir():
            replace_file(home / NAME, msgspec.json.encode(last_session))
