"""Which of the printed numbers are scalars of a training, and the points of these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..batch import Batch, Remark
from ..series import Floats, Ints, Series, joined, series_of
from .axis import Axis
from .line import Line
from .words import part_of

REPEATS = 3
"""Lines of one kind, with steps that do not go back, from which they count as a log."""
_NAMELESS_REPEATS = 5
"""The same where a number that nothing names is the step: ``[12] loss: 0.5``; lists in source text look alike."""
_MOST_PAIRS = 512
"""Names in lines of one kind."""
_MOST_HELD = 6
"""Points of a name that are held back until it counts."""
_MOST_KINDS = 128
"""Kinds of lines that are remembered before they count."""
_MOST_NAMES = 4096
"""Names of scalars in one log."""
_MOST_ALONE = 1000
"""Points of one step below the last that are remembered."""
_MOST_REMARKS = 100
Key = tuple[object, ...]
"""What lines of one kind have in common."""


@dataclass(slots=True)
class Scalar:
    """A name in lines of one kind."""

    is_explicit: bool
    """More than a blank joined it to its number."""
    tag: str = ""
    """What it is called in the log; empty until it counts."""
    last: int = -1
    """The step of its last point that does not stand alone below the others."""
    held: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, value and time of what was printed before it counted."""
    doubt: list[tuple[int, float, float]] = field(default_factory=list)
    """The same of points of one step below ``last``: the training was resumed there if the next ones go on from
    there, and else they stand alone, as a last evaluation does."""

    @property
    def at(self) -> int:
        """The step of its last point."""
        return self.doubt[0][0] if self.doubt else self.last


@dataclass(slots=True)
class Kind:
    """Lines that begin with the same words and name their place in the same way."""

    key: Key
    words: str
    places_itself: bool
    """Whether its lines name a step or an epoch."""
    total: int | None
    repeats: int
    """Lines from which it counts."""
    axis: Axis = field(default_factory=Axis)
    counts: bool = False
    """Whether its lines are known to be a training's log."""
    scalars: dict[str, Scalar] = field(default_factory=dict)
    drawn: list[tuple[str, float]] = field(default_factory=list)
    """Of a bar: what stood behind it when it was last drawn."""
    drawn_at: tuple[int | None, int | None, int] = (None, None, 0)
    """Epoch and n of the bar's last drawing, and how often it was drawn there."""

    def is_fresh(self, line: Line) -> bool:
        """Whether a bar shows numbers of the place that it shows.

        A bar that moves is first drawn with the numbers of the place before.
        """
        same = self.drawn == line.pairs
        if not same and any(math.isnan(value) for _, value in line.pairs):
            same = str(self.drawn) == str(line.pairs)
        times = self.drawn_at[2] + 1 if self.drawn_at[:2] == (line.epoch, line.at) else 0
        self.drawn, self.drawn_at = line.pairs, (line.epoch, line.at, times)
        return not same or (times == 1 and line.at != line.total)


@dataclass(slots=True)
class _Column:
    """The points of a scalar that are to be handed over."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    whole: list[Series] = field(default_factory=list)
    """Points before those of the lists."""

    def series(self) -> Series:
        """All points; the lists are emptied into ``whole``."""
        if self.steps:
            self.whole.append(series_of(self.steps, self.values, self.times))
            self.steps, self.values, self.times = [], [], []
        return joined(self.whole)


class Points:
    """Holds back what may be no log, names what is, and gathers its points."""

    def __init__(self) -> None:
        self.tags: set[str] = set()
        self._kinds: dict[Key, Kind] = {}
        self._new_kinds: dict[Key, Kind] = {}
        """Those of which nothing counts yet."""
        self._columns: dict[str, _Column] = {}
        self._batch = Batch()
        self._remarks = 0
        self._resumed_at = -1

    @property
    def is_begun(self) -> bool:
        """Whether a line came that a training's log may begin with."""
        return bool(self.tags) or any(kind.places_itself and kind.scalars for kind in self._new_kinds.values())

    def handed_over(self) -> Batch:
        """What was gathered since the last call."""
        batch, self._batch = self._batch, Batch()
        for tag, column in self._columns.items():
            if len(points := column.series()):
                batch.points[tag] = points
        self._columns = {}
        return batch

    def problem(self, what: str, count: int = 1) -> None:
        """Something was left out."""
        self._batch.problems[what] += count

    def kind(self, key: Key, line: Line) -> Kind:
        """The kind of lines that a line is of."""
        kind = self._kinds.get(key) or self._new_kinds.get(key)
        if kind is None:
            places_itself = line.epoch is not None or line.at is not None
            is_nameless = places_itself and not (line.word or line.epoch_name or line.total)
            repeats = _NAMELESS_REPEATS if is_nameless else REPEATS
            kind = self._new_kinds[key] = Kind(key, line.words, places_itself, line.total, repeats)
            if len(self._new_kinds) > _MOST_KINDS:
                del self._new_kinds[next(iter(self._new_kinds))]
        return kind

    def take(self, kind: Kind, line: Line, step: int, counts: str, time: float, *, once: bool = False) -> None:
        """Take a line's numbers.

        ``counts``: what the step counts, as in ``Batch``. ``once``: of several numbers of a name at one step the
        first is taken.
        """
        is_proven = False
        for place, (name, value) in enumerate(line.pairs):
            scalar = kind.scalars.get(name)
            if scalar is None:
                if len(kind.scalars) >= _MOST_PAIRS:
                    continue
                scalar = kind.scalars[name] = Scalar(place < line.explicit)
            if once and step == scalar.at:
                continue
            if scalar.tag:
                self._add(scalar, step, value, time)
                continue
            if step < scalar.last:
                scalar.held.clear()
            scalar.last = step
            scalar.held.append((step, value, time))
            del scalar.held[:-_MOST_HELD]
            if len(scalar.held) >= kind.repeats and scalar.held[0][0] < step:
                is_proven = True
                self._count(kind, name, scalar, counts)
        if kind.places_itself and (is_proven or kind.counts):
            kind.counts = True
            for name, scalar in kind.scalars.items():
                if scalar.held and scalar.is_explicit:
                    self._count(kind, name, scalar, counts)

    def all_count(self, kind: Kind, names: Sequence[str]) -> bool:
        """Whether all these names count in lines of a kind, and none of them is ahead of it."""
        now = kind.axis.step
        for name in names:
            scalar = kind.scalars.get(name)
            if scalar is None or not scalar.tag or scalar.doubt or now is None or scalar.last > now:
                return False
        return True

    def take_rows(
        self, kind: Kind, names: Sequence[str], steps: Ints, values: Sequence[Floats], times: Floats
    ) -> None:
        """Take n lines of a kind at once, all of whose names count.

        ``steps`` and ``times`` are [n], ``values`` holds [n] for each name; the steps do not go back.
        """
        for name, column in zip(names, values, strict=True):
            scalar = kind.scalars[name]
            points = self._columns.setdefault(scalar.tag, _Column())
            points.series()
            points.whole.append(Series(steps, column, times))
            scalar.last = int(steps[-1])

    def _count(self, kind: Kind, name: str, scalar: Scalar, counts: str) -> None:
        """From now on the name is a scalar of the log: give what was held of it."""
        if kind.key in self._new_kinds:
            self._kinds[kind.key] = self._new_kinds.pop(kind.key)
        held, scalar.held = scalar.held, []
        if len(self.tags) >= _MOST_NAMES:
            self.problem(f"number beyond the first {_MOST_NAMES} names")
            return
        scalar.tag = self._free_tag(kind, name)
        self.tags.add(scalar.tag)
        if counts:
            self._batch.counts[scalar.tag] = counts
        scalar.last = -1
        for step, value, time in held:
            self._add(scalar, step, value, time)

    def _free_tag(self, kind: Kind, name: str) -> str:
        if name not in self.tags:
            return name
        part = part_of(kind.words) or " ".join(kind.words.split()[-3:])
        if not part and kind.total:
            part = f"of {kind.total}"
        whole = f"{part}/{name}" if part else name
        tag = whole
        for number in range(2, _MOST_NAMES + 2):
            if tag not in self.tags:
                break
            tag = f"{whole} {number}"
        return tag

    def _add(self, scalar: Scalar, step: int, value: float, time: float) -> None:
        column = self._columns.get(scalar.tag)
        if column is None:
            column = self._columns[scalar.tag] = _Column()
        if scalar.doubt and step != scalar.at:
            doubt, scalar.doubt = scalar.doubt, []
            if step <= scalar.last:
                scalar.last = doubt[0][0]
                self._cut(scalar.tag, column, scalar.last, doubt[0][2])
                column.whole.append(series_of(*zip(*doubt, strict=True)))
        if step >= scalar.last:
            scalar.last = step
        elif len(scalar.doubt) < _MOST_ALONE:
            scalar.doubt.append((step, value, time))
        column.steps.append(step)
        column.values.append(value)
        column.times.append(time)

    def _cut(self, tag: str, column: _Column, step: int, time: float) -> None:
        """The training was resumed at a step before the last: what it logged from there on is void."""
        column.whole = [column.series().before(step)]
        self._batch.cuts[tag] = min(step, self._batch.cuts.get(tag, step))
        if step != self._resumed_at and self._remarks < _MOST_REMARKS:
            self._remarks += 1
            self._resumed_at = step
            self._batch.remarks.append(Remark(step, time, f"resumed at step {step}", "resumed"))
