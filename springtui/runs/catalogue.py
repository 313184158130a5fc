"""All runs under a home, described only where they are looked at. Plain data; call it from a thread.

Thousands of directories are listed in milliseconds; reading each one's records is not. So a row knows from its
name alone what kind it is and when it was begun, and the rest only once somebody asked for it. What was read is
kept until the files have changed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.runs.directory import Run, parse_id
from engine.runs.label import NO_LABEL, Label, label_changed, read_label
from engine.runs.listing import list_runs
from engine.runs.status import Status

from ..state.describe import describe

_AGAIN = 1.5
"""Seconds after which a run that goes on is looked at again, whether its files changed or not."""
_SELDOM = 15.0
"""Seconds likewise for one of which no telling is possible from here."""


@dataclass
class Row:
    """One run; ``about`` is what ``springtui runs --json`` tells of it, empty until it was described."""

    run: Run
    kind: str
    created: float
    label: Label = NO_LABEL
    about: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    """Bytes of its files."""
    signature: tuple[int, ...] = ()
    seen: float = 0.0

    @property
    def id(self) -> str:
        """The run's name."""
        return self.run.id

    @property
    def name(self) -> str:
        """What a person called it, else its id."""
        return self.label.name or self.run.id

    @property
    def status(self) -> Status:
        """How it stands, as it was last looked at."""
        return Status(self.about.get("status", Status.UNOBSERVED))

    @property
    def is_over(self) -> bool:
        """Whether no worker fills it any more."""
        return self.status.is_over

    @property
    def goes_on(self) -> bool:
        """Whether a worker is known to hold it."""
        return self.status.is_live

    def value(self, name: str) -> float | None:
        """The newest value of a scalar."""
        found = self.about.get("values", {}).get(name)
        return float(found) if isinstance(found, (int, float)) else None

    @property
    def loss(self) -> float | None:
        """The newest training loss; a probe's users call it loss."""
        found = self.value("train_loss")
        return self.value("loss") if found is None else found


class Catalogue:
    """Rows by id; ``describes`` counts how often a run's records were read."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._runs = home / "runs"
        self.rows: dict[str, Row] = {}
        self.describes = 0
        self._label_marks: dict[str, int] = {}
        self._listed = 0

    def scan(self) -> bool:
        """List the directories, and their labels; whether a run has come, gone or been labelled anew."""
        self._listed = _mtime(self._runs)
        known = {run.id: run for run in list_runs(self.home)}
        changed = known.keys() != self.rows.keys()
        rows = {name: self.rows.get(name) or _row(run) for name, run in known.items()}
        for name, row in rows.items():
            mark = label_changed(str(row.run.path))
            if mark != self._label_marks.get(name, 0):
                self._label_marks[name] = mark
                row.label = read_label(row.run.path)
                changed = True
        self.rows = rows
        return changed

    def has_new(self) -> bool:
        """Whether a run has come or gone since the last scan; costs next to nothing."""
        return _mtime(self._runs) != self._listed

    def refresh(self, names: Iterable[str]) -> int:
        """Describe those of these runs that are new or may have changed; how many were."""
        before = self.describes
        for name in names:
            row = self.rows.get(name)
            if row is not None and self._is_stale(row):
                self._describe(row)
        return self.describes - before

    def is_described(self, name: str) -> bool:
        """Whether anything beyond its name is known."""
        return bool(self.rows[name].about)

    def _is_stale(self, row: Row) -> bool:
        if not row.about or row.run.signature() != row.signature:
            return True
        waited = time.monotonic() - row.seen
        return waited >= _AGAIN if row.goes_on else not row.is_over and waited >= _SELDOM

    def _describe(self, row: Row) -> None:
        self.describes += 1
        row.signature = row.run.signature()
        row.seen = time.monotonic()
        row.about = describe(row.run)
        row.kind = row.about.get("kind") or row.kind
        row.created = row.about.get("created") or row.created
        row.size = row.about.get("size", 0)
        row.label = Label(name=row.about["name"], text=row.about["note"], pinned=row.about["pinned"])


def _row(run: Run) -> Row:
    """A row that knows what the run's id says."""
    created, kind = parse_id(run.id) or (0.0, "")
    return Row(run, kind, created)


def _mtime(path: Path) -> int:
    """When a directory was last changed, in nanoseconds since the epoch; 0 where there is none."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


# order and choice

Key = Callable[[Row], Any]
SORTS: dict[str, Key] = {
    "name": lambda row: row.name.lower(),
    "kind": lambda row: row.kind,
    "state": lambda row: row.status,
    "progress": lambda row: row.about["at"] / row.about["total"] if row.about.get("total") else None,
    "loss": lambda row: row.loss,
    "accuracy": lambda row: row.value("test_accuracy"),
    "age": lambda row: -row.created,
    "size": lambda row: row.size or None,
}
"""Columns and what they are sorted by; None comes last."""
FROM_NAMES = {"name", "kind", "age"}
"""Columns that need no run to be described."""


def ordered(rows: Iterable[Row], column: str, *, reverse: bool, keep: Callable[[Row], bool] | None) -> list[str]:
    """Ids of the rows to show: pinned ones on top, what is unknown at the end."""
    key = SORTS[column]
    chosen = [row for row in rows if keep is None or keep(row)]
    chosen.sort(key=lambda row: row.created, reverse=True)
    known = [row for row in chosen if key(row) is not None]
    unknown = [row for row in chosen if key(row) is None]
    known.sort(key=key, reverse=reverse)
    found = known + unknown
    return [row.id for row in found if row.label.pinned] + [row.id for row in found if not row.label.pinned]


def make_filter(text: str) -> Callable[[Row], bool] | None:
    """Rows that hold a text anywhere, or where it stands between slashes, match a regular expression.

    Raises:
        ConfigError: the expression is none; says where and why.
    """
    text = text.strip()
    if not text:
        return None
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        try:
            pattern = re.compile(text[1:-1], re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"{text[1:-1]!r} is no regular expression: {error}; leave the slashes away to look for plain text"
            ) from error
        return lambda row: pattern.search(_words(row)) is not None
    wanted = text.lower()
    return lambda row: wanted in _words(row).lower()


def _words(row: Row) -> str:
    parts = (row.id, row.label.name, row.label.text, row.kind, row.status, str(row.about.get("text", "")))
    return " ".join(part for part in parts if part)
