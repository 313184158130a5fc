"""Points of what a training prints, as it is printed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice, pairwise

import numpy as np

from ..batch import Batch
from .blocks import Blocks
from .line import Line
from .points import REPEATS, Key, Kind, Points
from .template import Template, Templates
from .text import Drawn, Lines, end_of_bar
from .words import EVALUATIONS, part_of

_MOST_WAITING = 64
"""Lines above a progress bar that wait until it is drawn again."""
_MOST_BARS = 16
_MOST_SHARES = 128
_FEW_ROWS = 8
"""Lines of one form below which they are taken one by one."""
_MOST_ROWS = 1 << 14
"""Lines of one form that are taken at once."""
_BATCHES = frozenset(["batch", "minibatch"])
_HEADING_WORDS = 6
"""Words of a line that says no more than where the training stands: ``--- epoch 3 ---``."""


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
        self._templates = Templates()
        self._points = Points()
        self._kind: Kind | None = None
        """What the last line was, where it named its place and held numbers."""
        self._epoch: int | None = None
        """The epoch that was last named."""
        self._place: tuple[int, str] | None = None
        """Where lines that name no place belong: a step, and what it counts."""
        self._bar: Key | None = None
        """The kind of bar that tells the steps of lines without a place."""
        self._bar_is_used = False
        self._moving: dict[Key, int] = {}
        """Bars that were not full when they were last drawn, before one of them is chosen: their totals."""
        self._other_bar: tuple[Key, tuple[int, str]] | None = None
        self._waiting: list[tuple[Line, float]] = []
        self._lines_without_place = 0
        self._shares: set[str] = set()
        """Words of lines whose epochs are no whole numbers: how far the training is, and no place."""
        self._misses = 0
        """Lines above the bar that came while another bar was drawn."""

    @property
    def counts(self) -> bool:
        """Whether what came up to now is known to be a training's log."""
        return bool(self._points.tags)

    @property
    def is_begun(self) -> bool:
        """Whether a line came that a training's log may begin with."""
        return self._points.is_begun

    @property
    def is_within_line(self) -> bool:
        """Whether a line has been begun and not ended."""
        return self._lines.is_within_line

    def feed(self, data: bytes, time: float = math.nan) -> Batch:
        """The points of the lines that became whole; ``time`` is theirs where a line tells none."""
        too_long = self._lines.too_long
        self._take_lines(self._lines.feed(data), time)
        if passed := self._lines.too_long - too_long:
            self._points.problem("line that is too long", passed)
        return self._points.handed_over()

    def finish(self, time: float = math.nan) -> Batch:
        """The points of the last line, which nothing ended."""
        self._take_lines(self._lines.finish(), time)
        self._place_waiting(self._place)
        return self._points.handed_over()

    def _take_lines(self, lines: list[str], time: float) -> None:
        at, end = 0, len(lines)
        while at < end:
            text = lines[at]
            template = self._templates.find(text) if self._blocks.is_idle else None
            if template is None:
                self._take_text(text, time)
                at += 1
                continue
            rows = _rows(template, lines, at)
            if not template.says_nothing:
                self._take_rows(template, rows, lines[at : at + len(rows)], time)
            at += len(rows)

    def _take_rows(self, template: Template, rows: list[Sequence[str]], texts: list[str], time: float) -> None:
        """Take lines of one form that follow each other: their numbers as text, and they themselves."""
        at_once = len(rows) >= _FEW_ROWS and not template.line.is_bar and not isinstance(texts[0], Drawn)
        turns = _turns(template, rows) if at_once else [0, len(rows)]
        for start, end in pairwise(turns):
            self._take_row(template, rows[start], texts[start], time)
            rest = slice(start + 1, end)
            if at_once and end - start > _FEW_ROWS and self._take_at_once(template, rows[rest], texts[rest], time):
                continue
            for row, text in zip(rows[rest], texts[rest], strict=True):
                self._take_row(template, row, text, time)

    def _take_row(self, template: Template, row: Sequence[str], text: str, time: float) -> None:
        if template.is_sure(text, row):
            self._take(template.line_of(row), text, time)
        else:
            self._take_text(text, time)

    def _take_at_once(self, template: Template, rows: list[Sequence[str]], texts: list[str], time: float) -> bool:
        """Take lines that stand in the same epoch as the one before, with steps that do not go back.

        False, and nothing taken, where they are to be taken one by one.
        """
        kind = self._kind
        if kind is None or kind.words != template.line.words or not self._points.all_count(kind, template.names):
            return False
        is_dated, count = template.date >= 0, len(rows)
        columns = list(zip(*rows, strict=True))
        if not template.are_sure(texts, columns):
            return False
        named = np.fromiter(map(int, columns[template.epoch if template.at < 0 else template.at]), np.int64, count)
        if template.at < 0:
            steps = kind.axis.go_on_in_epochs(named)
        elif template.total >= 0 and part_of(kind.words) in EVALUATIONS:
            return False
        else:
            steps = kind.axis.go_on(named)
        if steps is None:
            return False
        values = [np.fromiter(map(read, columns[place]), np.float64, count) for _, place, read in template.columns]
        times = np.fromiter(map(template.time_of, rows), np.float64, count) if is_dated else np.full(count, time)
        self._points.take_rows(kind, template.names, steps, values, times)
        if template.at < 0:
            self._epoch = int(named[-1])
        if self._place is not None and (template.at < 0 or self._place[1] != "epoch"):
            self._place = (int(steps[-1]), self._place[1])
        return True

    def _take_text(self, text: str, time: float) -> None:
        if end := end_of_bar(text):
            bar = Drawn(text[:end])
            bar.cleared = False
            self._take_text(bar, time)
            text = text[end:]
        for line in self._blocks.take(text):
            self._templates.learn(text, line)
            self._take(line, text, time)

    def _take(self, line: Line, text: str, time: float) -> None:
        self._kind = None
        if not math.isnan(line.time):
            time = line.time
        if line.share is not None and len(self._shares) < _MOST_SHARES:
            self._shares.add(line.words)
        elif line.epoch is not None and line.at is None and line.epoch_name and line.words in self._shares:
            line.pairs.insert(0, (line.epoch_name, float(line.epoch)))
            line.share, line.epoch, line.explicit = float(line.epoch), None, line.explicit + 1
        if line.epoch is None and line.at is None:
            if not line.explicit and 1 < len(line.pairs) >= len(text.split()) // 2 - 1:
                line.explicit = len(line.pairs)  # names and numbers alone: `` * Acc@1 70.1 Acc@5 90.2``
            if line.explicit:
                self._take_without_place(line, text, time)
            return
        if line.epoch is not None:
            self._epoch = line.epoch
            if line.at is not None and line.at == line.total and part_of(line.words) in EVALUATIONS:
                line.at = line.total = None  # what is said at the end of an evaluation is said of the epoch
        stated = line.epoch is not None
        key = (line.words, stated, line.word, None if stated or line.word else line.total)
        kind = self._points.kind(key, line)
        step, _ = kind.axis.place(line.epoch if stated else self._epoch, line.at, line.total, line.word, stated)
        counts = "epoch" if line.at is None else "batch" if line.word in _BATCHES else ""
        is_evaluation = not stated and part_of(line.words) in EVALUATIONS
        place = (step, counts)
        if (stated or is_evaluation) and self._epoch is not None and line.pairs:
            place = (self._epoch, "epoch")
        if line.is_bar or isinstance(text, Drawn):
            self._see_bar(key, line, (step, counts), place)
            if line.pairs and kind.is_fresh(line):
                self._points.take(kind, line, step, counts, time, once=True)
        elif line.pairs:
            self._place, self._kind = place, kind
            self._points.take(kind, line, step, counts, time)
        elif line.words.count(" ") < _HEADING_WORDS:
            self._place = place

    def _see_bar(self, key: Key, line: Line, step: tuple[int, str], place: tuple[int, str]) -> None:
        """A progress bar was drawn: it may tell where lines without a place belong.

        ``step`` is where those belong that were printed above it, ``place`` where those do that come after it.
        """
        if not self._bar_is_used:
            is_moving = line.at is not None and line.total is not None and line.at < line.total
            self._moving.pop(key, None)
            if is_moving and len(self._moving) < _MOST_BARS:
                self._moving[key] = line.total or 0
            self._bar = max(self._moving, key=lambda known: self._moving[known], default=key)
        if key == self._bar:
            self._misses = 0
            self._place_waiting(step)
            self._place = place
        else:
            self._other_bar = (key, step)

    def _take_without_place(self, line: Line, text: str, time: float) -> None:
        if isinstance(text, Drawn) and text.cleared:
            if self._waiting:
                self._misses += 1
            if self._misses >= REPEATS and self._other_bar:
                (self._bar, self._place), self._other_bar, self._misses = self._other_bar, None, 0
                self._place_waiting(self._place)
            self._waiting.append((line, time))
            if len(self._waiting) >= _MOST_WAITING:
                self._place_waiting(self._place)
            return
        self._take_at(line, self._place, time)

    def _place_waiting(self, place: tuple[int, str] | None) -> None:
        """Lines printed above a bar belong where the bar stands when it is drawn again."""
        waiting, self._waiting = self._waiting, []
        for line, time in waiting:
            self._bar_is_used = True
            self._take_at(line, place, time)

    def _take_at(self, line: Line, place: tuple[int, str] | None, time: float) -> None:
        if place is None:
            if line.share is None:
                return
            self._lines_without_place += 1
            place = (self._lines_without_place, "line")
        kind = self._points.kind((line.words,), line)
        del line.pairs[line.explicit :]
        self._points.take(kind, line, *place, time, once=True)


def _rows(template: Template, lines: list[str], at: int) -> list[Sequence[str]]:
    """The numbers, as text, of the lines from ``at`` on that fit, and that are drawn as the first is."""
    match, drawn = template.match, type(lines[at])
    rows: list[Sequence[str]] = []
    for text in islice(lines, at, at + _MOST_ROWS):
        if type(text) is not drawn or (fits := match(text)) is None:
            break
        rows.append(fits.groups())
    return rows


def _turns(template: Template, rows: list[Sequence[str]]) -> list[int]:
    """Where epoch, total or direction of the steps change in lines of one form, with the first and the last."""
    turned = np.zeros(len(rows) - 1, bool)
    columns = list(zip(*rows, strict=True))
    for place in (template.epoch, template.at, template.total):
        if place >= 0:
            change = np.diff(np.fromiter(map(int, columns[place]), np.int64, len(rows)))
            goes_on = place == template.at or (place == template.epoch and template.at < 0)
            turned |= change < 0 if goes_on else change != 0
    return [0, *(np.flatnonzero(turned) + 1).tolist(), len(rows)]
