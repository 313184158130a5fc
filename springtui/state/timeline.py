"""A run's log in bounded memory: its histories, its newest state, and its state at any earlier curve.

A log may be larger than memory. Reading through it decodes only the scalars of curves; a curve is decoded in full
when it is shown. Marks at even distances keep the state there, so that an earlier state costs only the records
since the mark before it. One thread may fill a timeline while others read it.
"""

from __future__ import annotations

import bisect
import copy
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.runs.log import Bulk, EventLog, Slice
from engine.runs.records import Acknowledged, Curve, CurveScalars, Event, Health, Note, Scalars, Usage
from engine.runs.towers import towers_of

from .history import History
from .layer_history import LayerHistory
from .number_histories import Hole, NumberHistories
from .run_state import USAGES, RunState
from .tower import ECHO_SECONDS, ECHOES, TowerCurves, finite_numbers, point_names

MARKS = 2048
"""Most marks; beyond them every second one is dropped and the distance doubled."""
MOVES = 1000
"""Most changes of settings that are kept."""
LONGEST_GAP = 2.0
"""Most seconds that a replay waits between records, so that pauses are skipped."""
_STEP_SECONDS = 0.1
"""Seconds between the steps of a replay where the log does not say when they were."""
_FIRST_STRIDE = 1 << 14
_CHUNKS = 6
Points = tuple[list[float], list[float]]


class Mark(NamedTuple):
    """The state before the record that begins at an offset of the log."""

    offset: int
    curves: int
    """Number of curves of the main tower before it."""
    time: float
    """Time of the newest record before it, in seconds since the epoch."""
    state: RunState
    """The state without curves, histories, health and usage; shared between marks and never changed."""


class Move(NamedTuple):
    """A change of a setting, a pause or a resume."""

    curves: int
    """Number of curves before it."""
    action: str
    settings: dict[str, Any]


@dataclass
class View:
    """What a screen draws of a run at one moment."""

    state: RunState
    histories: dict[str, Points]
    curves: int
    """Number of curves, of the main tower, that a replay can show."""
    read: float = 1.0
    """Fraction of the log that has been read."""
    damaged: int = 0
    """Records that could not be decoded."""
    moves: list[Move] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    """By scalar: what its horizontal axis counts, where a log says that it is not the optimiser's steps."""
    marks: list[int] = field(default_factory=list)
    """Steps from which on a resumed training logged again."""
    missing: dict[str, int] = field(default_factory=dict)
    """By scalar: how many of its numbers are not finite, where a log keeps count."""
    places: dict[str, int] = field(default_factory=dict)
    """By scalar of such a log: the step of its newest number."""
    holes: dict[str, list[Hole]] = field(default_factory=dict)
    """By scalar of such a log: where on its horizontal axis its numbers are not finite."""
    seconds: float | None = None
    """Seconds from the first number of such a log to the newest; NaN without times, None of other logs."""
    notes: list[Note] = field(default_factory=list)
    """The remarks in a log that is kept as columns, oldest first."""
    problems: dict[str, int] = field(default_factory=dict)
    """How often something in another tool's log was left out, by what it was, in words."""


@dataclass
class _Lines:
    """The records of one tower's curves that stay undecoded, and the histories of their scalars."""

    first: bytes = b""
    latest: bytes = b""
    echoes: deque[bytes] = field(default_factory=lambda: deque(maxlen=ECHOES))
    echo_time: float = 0.0
    histories: dict[str, History] = field(default_factory=dict)

    def take(self, curve: CurveScalars | Curve, record: bytes) -> None:
        """Add a newer curve."""
        for name, value in curve.scalars.items():
            if value is not None:
                self.histories.setdefault(name, History()).add(curve.at, value)
        if self.latest and curve.time - self.echo_time >= ECHO_SECONDS:
            self.echoes.append(self.latest)
            self.echo_time = curve.time
        self.first = self.first or record
        self.latest = record


class Timeline:
    """The timeline of one log, filled in slices by ``take``."""

    def __init__(self, log: EventLog, run_id: str) -> None:
        self.log = log
        self.offset = 0
        """The offset in the log of the record to take in next."""
        self.records = self.curves = self.damaged = 0
        self.moves: list[Move] = []
        self.answers: deque[Acknowledged] = deque(maxlen=200)
        self._lock = threading.RLock()
        self._state = RunState(run_id)
        self._bare: RunState | None = None
        self._path: str | None = None
        """Path of the main tower; None before the first curve."""
        self._main = _Lines()
        """Of the main tower; its histories also hold the numbers that were logged between curves."""
        self._others: dict[str, _Lines] = {}
        self._separations: dict[str, LayerHistory] = {}
        self._health: dict[str, LayerHistory] = {}
        self._usage: deque[Usage] = deque(maxlen=USAGES)
        self._time = 0.0
        self._numbers = NumberHistories()
        self._bulk: Bulk | None = None
        """The log as it was last taken at once."""
        self._marks: list[Mark] = []
        self._stride = _FIRST_STRIDE
        self._chunks: OrderedDict[tuple[int, int], list[Event]] = OrderedDict()

    # filling

    def take_bulk(self, bulk: Bulk) -> bool:
        """Take a log that is kept as columns: its new numbers, all at once, and its few other records anew.

        Returns whether anything had changed.
        """
        with self._lock:
            if self._bulk is not None and self._bulk.version == bulk.version:
                return False
            self._bulk = bulk
            self._numbers.take(bulk)
            if bulk.has_records:
                return True
            self._state = state = RunState(self._state.run_id)
            for event in bulk.events:
                state.fold(event)
            state.logged, state.step = self._numbers.newest, self._numbers.step
            if math.isfinite(newest := self._numbers.times[1]):
                state.heard = newest
            self.records = self._numbers.points
            return True

    def take(self, piece: Slice) -> int:
        """Add the slice of the log that begins at ``offset``; returns its number of records."""
        with self._lock:
            self.offset = piece.end
            for record, start in zip(piece.records, piece.starts, strict=True):
                self._take_record(record, start)
            return len(piece.records)

    def _take_record(self, record: bytes, start: int) -> None:
        event = self.log.decode_scalars(record)
        other = isinstance(event, (CurveScalars, Curve)) and event.path != self._path_with(event)
        if (not self._marks or start - self._marks[-1].offset >= self._stride) and not other:
            self._mark(start)  # never between the curves of several towers at one step
        if event is None:
            self.damaged += 1
            return
        if isinstance(event, (CurveScalars, Curve)):
            self._take_curve(event, record)
        elif isinstance(event, Scalars):
            self._take_scalars(event)
        elif isinstance(event, Health):
            self._health.setdefault(event.path, LayerHistory()).add(event.step, event.layers, event.measures)
        elif isinstance(event, Usage):
            self._usage.append(event)
        else:
            self._take_event(event)
        self.records += 1
        self._time = event.time

    def _take_curve(self, curve: CurveScalars | Curve, record: bytes) -> None:
        self._path = self._path_with(curve)
        is_main = curve.path == self._path
        (self._main if is_main else self._others.setdefault(curve.path, _Lines())).take(curve, record)
        if is_main:
            self.curves += 1
        if is_main and self._state.logged:
            self._set_logged({n: v for n, v in self._state.logged.items() if n not in curve.scalars})
        history = self._separations.setdefault(curve.path, LayerHistory())
        whole = self._curve(record) if history.is_due() else None
        if whole is None:
            history.skip()
        elif names := point_names(whole, self._state.facts, self._state.layers if is_main else []):
            history.add(whole.step, names, whole.curves)

    def _path_with(self, curve: CurveScalars | Curve) -> str:
        """Path of the main tower, which is the first curve's where the run does not name it."""
        return curve.path if self._path is None else self._path

    def _take_scalars(self, event: Scalars) -> None:
        self._set_logged({**self._state.logged, **event.scalars})
        if event.epoch is not None:
            self._state.epoch = event.epoch
        for name, value in finite_numbers(event).items():
            self._main.histories.setdefault(name, History()).add(event.step, value)

    def _set_logged(self, logged: dict[str, float]) -> None:
        if logged != self._state.logged:
            self._state.logged = logged  # a new dict: marks keep the old one
            self._bare = None

    def _take_event(self, event: Event) -> None:
        self._state.fold(event)
        self._bare = None
        if named := towers_of(self._state.facts):
            self._path = named[0].path
        if isinstance(event, Acknowledged):
            self.answers.append(event)
            if not event.error and event.action != "stop":
                self.moves.append(Move(self.curves, event.action, event.settings))
                if len(self.moves) > MOVES:
                    del self.moves[1::2]

    def _mark(self, start: int) -> None:
        if self._bare is None:
            self._bare = copy.copy(self._state)
        self._marks.append(Mark(start, self.curves, self._time, self._bare))
        if len(self._marks) > MARKS:
            del self._marks[1::2]
            self._stride *= 2

    # reading

    def view(self) -> View:
        """The run after the newest record that was added."""
        with self._lock:
            state = copy.copy(self._state)
            state.records = self.records
            main = self._curves(self._main)
            state.initial, state.latest, state.echoes, state.history = (
                main.initial, main.latest, main.echoes, main.history,
            )  # fmt: skip
            state.others = {path: self._curves(lines) for path, lines in self._others.items()}
            state.separations = {path: history.until() for path, history in self._separations.items()}
            for curve in (state.latest, *(other.latest for other in state.others.values())):
                if curve is not None and curve.path in state.separations:
                    state.separations[curve.path].set_newest(curve.step, curve.curves)
            state.health = {path: history.until() for path, history in self._health.items()}
            state.usage = self._usage.copy()
            state.history |= {name: history.copy() for name, history in self._numbers.histories.items()}
            view = View(state, self.histories(), self.curves, damaged=self.damaged, moves=list(self.moves))
            if self._bulk is not None:
                if self._bulk.has_records:
                    state.logged = {**self._numbers.newest, **state.logged}
                else:
                    first, last = self._numbers.times
                    view.curves, view.seconds = len(self._numbers.moments().steps), last - first
                view.units, view.missing = self._numbers.units, self._numbers.missing
                view.places, view.marks, view.holes = self._numbers.places, self._bulk.marks, self._numbers.holes
                view.read, view.problems = self._bulk.read, self._bulk.problems
                view.notes = [event for event in self._bulk.events if isinstance(event, Note)]
            return view

    def histories(self) -> dict[str, Points]:
        """The curves of all scalars over epochs or steps, as far as the log was read."""
        with self._lock:
            known = {**self._main.histories, **self._numbers.histories}
            return {name: history.points() for name, history in known.items()}

    def finer(self, name: str, low: float, high: float) -> Points | None:
        """The true points of a scalar in a window of steps; None where the log is not kept as columns."""
        with self._lock:
            return self._numbers.between(name, low, high)

    def view_at(self, position: int) -> View:
        """The run when curve number ``position`` (from 0) was recorded; reads the log.

        Of a log without curves that is kept as columns: when it had come to a step.
        """
        if self._is_of_numbers():
            return self._view_of_numbers(position)
        with self._lock:
            position = min(max(0, position), self.curves - 1)
            mark, end = self._span(position)
            first, moves, curves, path = self._main.first, list(self.moves), self.curves, self._path
            firsts = {name: lines.first for name, lines in self._others.items()}
            histories = dict(self._main.histories)
        state = copy.copy(mark.state)
        state.initial, state.latest = self._curve(first), None
        state.echoes, state.history = deque(maxlen=ECHOES), {}
        state.others = {name: TowerCurves(self._curve(record)) for name, record in firsts.items()}
        state.separations, state.health, state.usage = {}, {}, deque(maxlen=USAGES)
        number = mark.curves
        for event in self._between(mark.offset, end):
            if isinstance(event, Curve) and event.path == path:
                if number > position:
                    break
                number += 1
            state.fold(event)
        at, step = (state.latest.at, state.latest.step) if state.latest else (0, 0)
        with self._lock:
            parts = {name: history.until(at) for name, history in histories.items()}
            state.separations = {name: history.until(step) for name, history in self._separations.items()}
            state.health = {name: history.until(step) for name, history in self._health.items()}
        return View(state, parts, curves, damaged=self.damaged, moves=moves)

    def _is_of_numbers(self) -> bool:
        """Whether there are no records to be read, and so no curves."""
        return self._bulk is not None and not self._bulk.has_records

    def _view_of_numbers(self, position: int) -> View:
        view = self.view()
        with self._lock:
            until = self._numbers.until(min(max(0, position), view.curves - 1))
            view.holes = until.holes
            view.seconds = until.time - self._numbers.times[0]
        view.state.step, view.state.logged, view.histories = until.step, until.newest, until.histories
        if math.isfinite(until.time):
            view.state.heard = until.time
        return view

    def position_after(self, position: int, seconds: float) -> tuple[int, float]:
        """The curve that a replay reaches after ``seconds``, and the seconds left over."""
        reached, last = position, None
        for number, time in self._times_from(position):
            if last is not None:
                gap = min(LONGEST_GAP, max(0.0, time - last))
                if gap > seconds:
                    return reached, seconds
                seconds -= gap
            reached, last = number, time
        return reached, seconds

    def _times_from(self, position: int) -> Iterator[tuple[int, float]]:
        """Number and time of curves from ``position`` on; only as many as are read quickly."""
        if self._is_of_numbers():
            with self._lock:
                times = self._numbers.moments().times
            for number in range(position, len(times)):
                time = float(times[number])
                yield number, time if math.isfinite(time) else _STEP_SECONDS * number
            return
        with self._lock:
            mark, end = self._span(position)
        for _ in range(_CHUNKS):
            number = mark.curves
            for event in self._between(mark.offset, end):
                if isinstance(event, Curve) and event.path == self._path:
                    if number >= position:
                        yield number, event.time
                    number += 1
            position = max(position, number)
            with self._lock:
                if number >= self.curves:
                    return
                mark, end = self._span(position)

    def _span(self, position: int) -> tuple[Mark, int]:
        """The mark before a curve, and the offset of the next mark."""
        if not self._marks:
            return Mark(0, 0, 0.0, copy.copy(self._state)), 0
        index = max(0, bisect.bisect_right(self._marks, position, key=lambda mark: mark.curves) - 1)
        last = index + 1 == len(self._marks)
        return self._marks[index], self.offset if last else self._marks[index + 1].offset

    def _between(self, start: int, end: int) -> list[Event]:
        """All records between two offsets; the results of the last few calls are kept."""
        with self._lock:
            if (start, end) in self._chunks:
                self._chunks.move_to_end((start, end))
                return self._chunks[start, end]
        records = self.log.between(start, end)
        events = [event for record in records if (event := self.log.decode(record)) is not None]
        with self._lock:
            self._chunks[start, end] = events
            while len(self._chunks) > _CHUNKS:
                self._chunks.popitem(last=False)
        return events

    def _curves(self, lines: _Lines) -> TowerCurves:
        """The curves of a tower, decoded."""
        echoes = deque((c for record in lines.echoes if (c := self._curve(record))), maxlen=ECHOES)
        initial = self._curve(lines.first)
        histories = {name: history.copy() for name, history in lines.histories.items()}
        return TowerCurves(initial, self._curve(lines.latest) or initial, echoes, histories)

    def _curve(self, record: bytes) -> Curve | None:
        event = self.log.decode(record) if record else None
        return event if isinstance(event, Curve) else None
