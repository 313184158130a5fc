"""Points of what a training prints, as it is printed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..batch import Batch, Remark
from ..series import series_of
from .axis import Axis
from .blocks import Blocks
from .line import Line
from .text import Lines, Text

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
_MOST_WAITING = 64
"""Lines above a progress bar that wait until it is drawn again."""
_MOST_REMARKS = 100
_EVALUATIONS = frozenset(["val", "valid", "validation", "test", "eval", "evaluation", "dev"])
_PARTS = _EVALUATIONS | {"train", "training"}
_BATCHES = frozenset(["batch", "minibatch"])
_HEADING_WORDS = 6
"""Words of a line that says no more than where the training stands: ``--- epoch 3 ---``."""


_Key = tuple[object, ...]
"""What lines of one kind have in common."""


@dataclass(slots=True)
class _Scalar:
    """A name in lines of one kind."""

    tag: str = ""
    """What it is called in the log; empty until it counts."""
    is_explicit: bool = True
    last: int = -1
    """The step of its last point."""
    held: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, value and time of what was printed before it counted."""


@dataclass(slots=True)
class _Kind:
    """Lines that begin with the same words and name their place in the same way."""

    key: _Key
    words: str
    places_itself: bool
    """Whether its lines name a step or an epoch."""
    total: int | None
    repeats: int
    axis: Axis = field(default_factory=Axis)
    counts: bool = False
    """Whether they are known to be a training's log."""
    scalars: dict[str, _Scalar] = field(default_factory=dict)
    drawn: list[tuple[str, float]] = field(default_factory=list)
    """Of a bar: what stood behind it when it was last drawn."""
    drawn_at: tuple[int | None, int | None, int] = (None, None, 0)
    """Epoch and n of the bar's last drawing, and how often it was drawn there."""


class LineParser:
    """Takes numbers from printed bytes: feed them as they come, in pieces of any size.

    A line's numbers count once lines of its kind have come ``REPEATS`` times with steps that go forward; the
    first ones are held until then. So a log's own source text, arguments and prose give nothing. Names are those
    that were printed; where lines of two kinds print the same name, the later kind's words come before it
    (``val/loss``).
    """

    def __init__(self) -> None:
        self._lines = Lines()
        self._blocks = Blocks()
        self._kinds: dict[_Key, _Kind] = {}
        self._new_kinds: dict[_Key, _Kind] = {}
        """Those of which nothing counts yet."""
        self._tags: set[str] = set()
        self._epoch: int | None = None
        """The epoch that was last named."""
        self._place: tuple[int, str] | None = None
        """Where lines that name no place belong: a step, and what it counts."""
        self._bar: _Key | None = None
        """The kind of bar that tells the steps of lines without a place."""
        self._bar_is_used = False
        self._other_bar: tuple[_Key, tuple[int, str]] | None = None
        self._waiting: list[tuple[Line, float]] = []
        self._lines_without_place = 0
        self._shares: set[str] = set()
        """Words of lines whose epochs are no whole numbers: how far the training is, and no place."""
        self._points: dict[str, tuple[list[int], list[float], list[float]]] = {}
        self._batch = Batch()
        self._misses = 0
        """Lines above the bar that came while another bar was drawn."""
        self._remarks = 0
        self._resumed_at = -1

    @property
    def counts(self) -> bool:
        """Whether what came up to now is known to be a training's log."""
        return bool(self._tags)

    @property
    def is_begun(self) -> bool:
        """Whether a line came that a training's log may begin with."""
        return self.counts or any(kind.places_itself and kind.scalars for kind in self._new_kinds.values())

    def feed(self, data: bytes, time: float = math.nan) -> Batch:
        """The points of the lines that became whole; ``time`` is theirs where a line tells none."""
        too_long = self._lines.too_long
        for text in self._lines.feed(data):
            self._take_text(text, time)
        if passed := self._lines.too_long - too_long:
            self._batch.problems["line that is too long"] += passed
        return self._handed_over()

    def finish(self, time: float = math.nan) -> Batch:
        """The points of the last line, which nothing ended."""
        for text in self._lines.finish():
            self._take_text(text, time)
        self._place_waiting()
        return self._handed_over()

    def _handed_over(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        for tag, (steps, values, times) in self._points.items():
            if steps:
                batch.points[tag] = series_of(steps, values, times)
        self._points = {}
        return batch

    def _take_text(self, text: Text, time: float) -> None:
        for line in self._blocks.take(text.text):
            self._take(line, text, time if math.isnan(line.time) else line.time)

    def _take(self, line: Line, text: Text, time: float) -> None:
        if line.share is not None and len(self._shares) < _MOST_KINDS:
            self._shares.add(line.words)
        elif line.epoch is not None and line.at is None and line.epoch_name and line.words in self._shares:
            line.pairs.insert(0, (line.epoch_name, float(line.epoch)))
            line.share, line.epoch, line.explicit = float(line.epoch), None, line.explicit + 1
        if line.epoch is None and line.at is None:
            if line.explicit:
                self._take_without_place(line, text, time)
            return
        if line.epoch is not None:
            self._epoch = line.epoch
            if line.at is not None and line.at == line.total and _part_of(line.words) in _EVALUATIONS:
                line.at = line.total = None  # what is said at the end of an evaluation is said of the epoch
        stated = line.epoch is not None
        key = (line.words, stated, line.word, None if stated or line.word else line.total)
        kind = self._kind(key, line)
        step, _ = kind.axis.place(line.epoch if stated else self._epoch, line.at, line.total, line.word, stated)
        counts = "epoch" if line.at is None else "batch" if line.word in _BATCHES else ""
        place = (line.epoch, "epoch") if line.epoch is not None and line.pairs else (step, counts)
        if text.redrawn or line.is_bar:
            self._see_bar(key, place)
            if line.pairs and self._is_fresh(kind, line):
                self._take_pairs(kind, line, step, counts, time, once=True)
        elif line.pairs:
            self._place = place
            self._take_pairs(kind, line, step, counts, time)
        elif line.words.count(" ") < _HEADING_WORDS:
            self._place = place

    def _kind(self, key: _Key, line: Line) -> _Kind:
        kind = self._kinds.get(key) or self._new_kinds.get(key)
        if kind is None:
            places_itself = line.epoch is not None or line.at is not None
            is_nameless = places_itself and not (line.word or line.epoch_name or line.total)
            repeats = _NAMELESS_REPEATS if is_nameless else REPEATS
            kind = self._new_kinds[key] = _Kind(key, line.words, places_itself, line.total, repeats)
            if len(self._new_kinds) > _MOST_KINDS:
                del self._new_kinds[next(iter(self._new_kinds))]
        return kind

    def _is_fresh(self, kind: _Kind, line: Line) -> bool:
        """Whether a bar shows numbers of the place that it shows.

        A bar that moves is first drawn with the numbers of the place before.
        """
        same = str(kind.drawn) == str(line.pairs)  # NaN equals NaN
        times = kind.drawn_at[2] + 1 if kind.drawn_at[:2] == (line.epoch, line.at) else 0
        kind.drawn, kind.drawn_at = line.pairs, (line.epoch, line.at, times)
        return not same or (times == 1 and line.at != line.total)

    def _see_bar(self, key: _Key, place: tuple[int, str]) -> None:
        """A progress bar was drawn: it may tell where lines without a place belong."""
        if self._bar is None or not self._bar_is_used:
            self._bar = key
        if key == self._bar:
            self._place = place
            self._misses = 0
            self._place_waiting()
        else:
            self._other_bar = (key, place)

    def _take_without_place(self, line: Line, text: Text, time: float) -> None:
        if text.cleared:
            if self._waiting:
                self._misses += 1
            if self._misses >= REPEATS and self._other_bar:
                (self._bar, self._place), self._other_bar, self._misses = self._other_bar, None, 0
                self._place_waiting()
            self._waiting.append((line, time))
            if len(self._waiting) >= _MOST_WAITING:
                self._place_waiting()
            return
        self._take_at(line, self._place, time)

    def _place_waiting(self) -> None:
        """Lines printed above a bar belong where the bar stands when it is drawn again."""
        waiting, self._waiting = self._waiting, []
        for line, time in waiting:
            self._bar_is_used = True
            self._take_at(line, self._place, time)

    def _take_at(self, line: Line, place: tuple[int, str] | None, time: float) -> None:
        if place is None:
            if line.share is None:
                return
            self._lines_without_place += 1
            place = (self._lines_without_place, "line")
        kind = self._kind((line.words,), line)
        del line.pairs[line.explicit :]
        self._take_pairs(kind, line, *place, time, once=True)

    def _take_pairs(
        self, kind: _Kind, line: Line, step: int, counts: str, time: float, *, once: bool = False
    ) -> None:
        """Take a line's numbers; ``once``: of several numbers of a name at one step the first is taken."""
        is_proven = False
        for place, (name, value) in enumerate(line.pairs):
            scalar = kind.scalars.get(name)
            if scalar is None:
                if len(kind.scalars) >= _MOST_PAIRS:
                    continue
                scalar = kind.scalars[name] = _Scalar(is_explicit=place < line.explicit)
            if once and step == scalar.last:
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

    def _count(self, kind: _Kind, name: str, scalar: _Scalar, counts: str) -> None:
        """From now on the name is a scalar of the log: give what was held of it."""
        if kind.key in self._new_kinds:
            self._kinds[kind.key] = self._new_kinds.pop(kind.key)
        held, scalar.held = scalar.held, []
        if len(self._tags) >= _MOST_NAMES:
            self._batch.problems["number beyond the first 4096 names"] += 1
            return
        scalar.tag = self._free_tag(kind, name)
        self._tags.add(scalar.tag)
        if counts:
            self._batch.counts[scalar.tag] = counts
        scalar.last = -1
        for step, value, time in held:
            self._add(scalar, step, value, time)

    def _free_tag(self, kind: _Kind, name: str) -> str:
        if name not in self._tags:
            return name
        part = _part_of(kind.words) or " ".join(kind.words.split()[-3:])
        if not part and kind.total:
            part = f"of {kind.total}"
        tag = f"{part}/{name}" if part else name
        for number in range(2, _MOST_NAMES + 2):
            if tag not in self._tags:
                break
            tag = f"{part}/{name} {number}" if part else f"{name} {number}"
        return tag

    def _add(self, scalar: _Scalar, step: int, value: float, time: float) -> None:
        columns = self._points.get(scalar.tag)
        if columns is None:
            columns = self._points[scalar.tag] = ([], [], [])
        if step < scalar.last:
            self._cut(scalar.tag, columns, step, time)
        scalar.last = step
        columns[0].append(step)
        columns[1].append(value)
        columns[2].append(time)

    def _cut(self, tag: str, columns: tuple[list[int], list[float], list[float]], step: int, time: float) -> None:
        """The training was resumed at a step before the last: what it logged from there on is void."""
        steps, values, times = columns
        kept = [place for place, known in enumerate(steps) if known < step]
        steps[:] = [steps[place] for place in kept]
        values[:] = [values[place] for place in kept]
        times[:] = [times[place] for place in kept]
        self._batch.cuts[tag] = min(step, self._batch.cuts.get(tag, step))
        if step != self._resumed_at and self._remarks < _MOST_REMARKS:
            self._remarks += 1
            self._resumed_at = step
            self._batch.remarks.append(Remark(step, time, f"resumed at step {step}", "resumed"))


def _part_of(words: str) -> str:
    """The first word that says which part of the training it is: train, val or test."""
    return next((word for word in words.lower().split() if word in _PARTS), "")
