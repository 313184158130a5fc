"""All runs of a source as rows, whose records are read only when asked for. Call it from a thread.

Listing thousands of directories takes milliseconds, reading their records much longer. So a row has its kind and
start from the directory's name, and the rest once ``refresh`` has read it, which is kept until the files change.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine.errors import ConfigError
from engine.runs.any_run import AnyRun
from engine.runs.directory import parse_id
from engine.runs.label import NO_LABEL, Label, label_changed, read_label
from engine.runs.listing import list_runs
from engine.runs.records import Note
from engine.runs.status import Status

from ..state.describe import describe

_AGAIN = 1.5
"""Seconds after which a live run is described again, even if its files did not change."""
_SELDOM = 15.0
"""Seconds likewise for a run whose worker cannot be observed from this host."""
_HELD_OUT = ("test", "val", "valid", "validation", "eval", "dev")
_TRAINING = ("train", "training")
_AVERAGE = frozenset({"average", "avg", "mean", "epoch", "step", "metrics", "total", "top1"})
"""Words that say how a number was taken, and not of which samples."""
_BETWEEN = re.compile(r"[/_.:\s-]+")


class RunSource(Protocol):
    """Where runs come from."""

    def runs(self) -> Sequence[AnyRun]:
        """All runs that there are now."""

    def mark(self) -> int:
        """Differs once a run was added or removed."""

    @property
    def trouble(self) -> str:
        """Why nothing new is read, in words; empty while all is well."""


class HomeRuns:
    """The runs under a home."""

    trouble = ""

    def __init__(self, home: Path) -> None:
        self._home = home

    def runs(self) -> Sequence[AnyRun]:
        """All run directories, newest first."""
        return list_runs(self._home)

    def mark(self) -> int:
        """Time of the last change of the directory that holds them, in nanoseconds; 0 where there is none."""
        try:
            return (self._home / "runs").lstat().st_mtime_ns
        except OSError:
            return 0


@dataclass
class Row:
    """One run; ``about`` is its object in ``springtui runs --json``, empty before it was described."""

    run: AnyRun
    kind: str
    created: float
    label: Label = NO_LABEL
    about: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    """Size of the run's files in bytes."""
    signature: tuple[int, ...] = ()
    seen: float = 0.0

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def name(self) -> str:
        """What the list shows: the label's name, else the id; of another tool's run the path, which is unique."""
        name, path = self.label.name, self.run.id
        if self.run.is_foreign and name:
            return path if path == name or path.endswith((f"/{name}", f"#{name}")) else f"{path} · {name}"
        return name or path

    @property
    def short(self) -> str:
        """The name that somebody gave the run, perhaps others as well; else the id."""
        return self.label.name or self.run.id

    @property
    def status(self) -> Status:
        """The status when it was last described."""
        return Status(self.about.get("status", Status.UNOBSERVED))

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status.is_over

    @property
    def goes_on(self) -> bool:
        """Whether a worker is known to hold the run."""
        return self.status.is_live

    def value(self, name: str) -> float | None:
        """The newest value of a scalar."""
        found = self.about.get("values", {}).get(name)
        return float(found) if isinstance(found, (int, float)) else None

    @property
    def accuracy(self) -> float | None:
        """The newest accuracy, in [0, 1], of samples not trained on where it is known; above 1 it is a percent."""
        for value in self._values(("accuracy", "acc"), (*_HELD_OUT, "", *_TRAINING)):
            if 0.0 <= value <= 100.0:
                return value if value <= 1.0 else value / 100.0
        return None

    @property
    def warnings(self) -> list[Note]:
        """The newest warnings among its records."""
        return [Note(**warning) for warning in self.about.get("warnings", ())]

    @property
    def loss(self) -> float | None:
        """The newest loss, that of training where it is known."""
        return next(self._values(("loss",), (*_TRAINING, "", *_HELD_OUT)), None)

    def _values(self, names: Sequence[str], samples: Sequence[str]) -> Iterator[float]:
        """The newest values of a quantity, whichever way a tool puts its name and that of the samples.

        Names of nothing else go first: ``val/acc``, ``test_acc``, ``Accuracy/train``; then those with other words.

        Args:
            names: what the quantity is called.
            samples: words for the samples it was taken of, the best first.
        """
        known = [(name, _words_of(name)) for name in self.about.get("values", {})]
        for others in (False, True):
            for sample in samples:
                for name, (words, of) in known:
                    fits = words[-1:] and words[-1] in names and (len(words) > 1) == others
                    if fits and (sample in of if sample else not of) and (value := self.value(name)) is not None:
                        yield value


def _words_of(name: str) -> tuple[list[str], set[str]]:
    """The words of a scalar's name, and apart from them those for the samples that it was taken of."""
    words = [word for word in _BETWEEN.split(name.casefold()) if word and word not in _AVERAGE]
    of = {word for word in words if word in _HELD_OUT or word in _TRAINING}
    return [word for word in words if word not in of], of


class Catalogue:
    """The rows by id; ``describes`` counts the runs whose records were read."""

    def __init__(self, source: RunSource) -> None:
        self._source = source
        self.rows: dict[str, Row] = {}
        self.describes = 0
        self._label_marks: dict[str, int] = {}
        self._listed = 0

    def scan(self) -> bool:
        """List directories and labels; whether a run was added, removed or labelled since the last scan."""
        self._listed = self._source.mark()
        known = {run.id: run for run in self._source.runs()}
        changed = known.keys() != self.rows.keys()
        rows = {name: self.rows.get(name) or _row(run) for name, run in known.items()}
        for name, row in rows.items():
            if row.run.is_foreign:
                row.created = row.run.created()
                continue
            mark = label_changed(str(row.run.path))
            if mark != self._label_marks.get(name, 0):
                self._label_marks[name] = mark
                row.label = read_label(row.run.path)
                changed = True
        self.rows = rows
        return changed

    def has_new(self) -> bool:
        """Whether a run was added or removed since the last scan; costs no more than a look at a directory."""
        return self._source.mark() != self._listed

    def refresh(self, names: Iterable[str]) -> int:
        """Describe those of these runs that are new or may have changed; returns their number."""
        before = self.describes
        for name in names:
            row = self.rows.get(name)
            if row is not None and self._is_stale(row):
                self._describe(row)
        return self.describes - before

    def is_described(self, name: str) -> bool:
        """Whether the run was described."""
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


def _row(run: AnyRun) -> Row:
    """A row with what the run's id tells."""
    kind = run.kind if run.is_foreign else (parse_id(run.id) or (0.0, ""))[1]
    return Row(run, kind, run.created())


# order and choice

Key = Callable[[Row], Any]
SORTS: dict[str, Key] = {
    "name": lambda row: row.name.lower(),
    "kind": lambda row: row.kind,
    "state": lambda row: row.status,
    "progress": lambda row: row.about["at"] / row.about["total"] if row.about.get("total") else None,
    "loss": lambda row: row.loss,
    "accuracy": lambda row: row.accuracy,
    "age": lambda row: -row.created,
    "size": lambda row: row.size or None,
}
"""By column, the value that rows are sorted by; None comes last."""
FROM_NAMES = {"name", "kind", "age"}
"""Columns whose values need no description."""


def ordered(rows: Iterable[Row], column: str, *, reverse: bool, keep: Callable[[Row], bool] | None) -> list[str]:
    """Ids of the rows to show, in order: pinned ones first, those with an unknown value last."""
    key = SORTS[column]
    chosen = [row for row in rows if keep is None or keep(row)]
    chosen.sort(key=lambda row: row.created, reverse=True)
    known = [row for row in chosen if key(row) is not None]
    unknown = [row for row in chosen if key(row) is None]
    known.sort(key=key, reverse=reverse)
    found = known + unknown
    return [row.id for row in found if row.label.pinned] + [row.id for row in found if not row.label.pinned]


def make_filter(text: str) -> Callable[[Row], bool] | None:
    """A test whether a row holds a text or, for ``/text/``, matches it as a regular expression; None for no text.

    Raises:
        ConfigError: the expression is not valid; the message says where and why.
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
