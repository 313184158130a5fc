"""One table followed while it grows: its rows as points."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..batch import Remark
from ..resumes import Resumes
from ..series import Floats, Ints, Series
from ..whole_lines import PATIENCE, LineFile
from .cells import MARK, cells_of, content, is_absent, number_in
from .layout import Layout, is_header, layout_of, monitor_start, seconds_of, step_names
from .rows import ReadRows, read_rows

Flags = npt.NDArray[np.bool_]
_CELLS = 1 << 20
"""Cells that are read at once: 9 MB of numbers."""
_ODD = 4096
"""Cells without an exact number that are read at once, at least."""
_LEAST = int(np.iinfo(np.int64).min)
_FARTHEST = 2.0**62
"""Steps beyond are damage."""

TOO_MANY, TOO_FEW = "row with too many cells", "row with too few cells"
NO_ROW, NO_NUMBER, TOO_LONG = "damaged row", "cell that is no number", "too long line"


@dataclass(slots=True)
class News:
    """What a table gave since the call before."""

    void: set[str] = field(default_factory=set)
    """Tags whose points, given by earlier calls, are void: the table was replaced."""
    cuts: dict[str, int] = field(default_factory=dict)
    points: dict[str, list[Series]] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    read: int = 0
    size: int = 0
    more: bool = False


class Table:
    """Reads a table piece by piece; keeps none of its points.

    A header that comes again begins a resumed training, as do steps that go back and then on: points at its
    first step and later, given before, are void. A file that was replaced or written anew is read from its
    start, and what was given is void only when the new content holds a row, since one that is being rewritten is
    empty for a moment.
    """

    def __init__(
        self,
        path: Path,
        separator: bytes,
        tag: str = "",
        counts: str = "",
        read: ReadRows | None = None,
    ) -> None:
        """``tag``: the name of its only scalar, where the header does not give it. ``counts``: what the steps
        count, where the header does not tell. ``read``: the function that reads rows, by default
        that of ``rows``.
        """
        self._file = LineFile(path, patience=PATIENCE)
        self._separator = separator
        self._tag = tag
        self._counts = counts
        self._read_rows = read or read_rows
        self._void: set[str] = set()
        """Tags whose points are void once the new content holds a row."""
        self._forget()

    def _forget(self) -> None:
        self._header: list[bytes] | None = None
        self._layout: Layout | None = None
        self._start: float | None = None
        self._rows = 0
        self._last_step = 0
        self._is_resumed = False
        """Whether the next row is the first of a resumed training."""
        self._tags: set[str] = set()
        self._resumes = Resumes()
        self._since: dict[str, list[Series]] = {}
        """By tag: points that may turn out to be those of a resumed training."""
        self._before = _LEAST
        """The last row's step."""
        self._epoch = math.nan
        self._numbered: Flags = np.zeros(0, np.bool_)
        """[columns]: which have held a number."""

    def poll(self, limit: int) -> News:
        """The news since the last call, from about ``limit`` bytes."""
        piece = self._file.read(limit)
        news = News(read=piece.read, size=piece.size, more=piece.more)
        if piece.anew:
            self._void |= self._tags
            self._forget()
        if piece.too_long:
            news.problems[TOO_LONG] += piece.too_long
        self._take(piece.lines, news)
        if self._void and self._tags:
            news.void, self._void = self._void, set()
        return news

    def is_changed(self) -> bool:
        """Whether a call of ``poll`` would look into the file; costs one look at the directory entry."""
        return self._file.is_changed()

    def _take(self, lines: bytes, news: News) -> None:
        text = np.frombuffer(lines, dtype=np.uint8)
        at = 0
        while at < len(lines):
            if self._layout is None:
                at = self._begin(lines, at, news)
            else:
                at = self._take_rows(self._layout, lines, text, at, news)

    def _begin(self, lines: bytes, at: int, news: News) -> int:
        """Take the header, or learn from the first row what its columns mean; the index to go on at."""
        end = lines.index(b"\n", at) + 1
        line = lines[at:end].removeprefix(MARK)
        cells = cells_of(line, self._separator)
        if not any(cells) or line.startswith(b"#"):
            start = monitor_start(line)
            self._start = self._start if start is None else start
            return end
        if is_header(cells):
            self._header = cells
            return end
        layout = None if self._header is None else layout_of(self._header, cells, self._start)
        if layout is None:
            news.problems[NO_ROW] += 1
            return end
        self._layout = layout
        self._numbered = np.zeros(layout.width, np.bool_)
        return at

    def _take_rows(self, layout: Layout, lines: bytes, text: npt.NDArray[np.uint8], at: int, news: News) -> int:
        """Take rows from ``lines[at]`` on; the index to go on at."""
        room = min(max(_CELLS // layout.width, 1), lines.count(b"\n", at))
        values, held = np.zeros((layout.width, room)), np.zeros((layout.width, room), np.bool_)
        odd, left_out = np.empty((max(_ODD, layout.width), 4), np.int64), np.zeros(2, np.int64)
        end, rows, odds, is_no_row = self._read_rows(
            text, at, self._separator[0], layout.wanted, layout.watched, values, held, odd, left_out
        )
        values, held = values[:, :rows], held[:, :rows]
        self._resolve(layout, lines, odd[:odds].tolist(), values, held, news)
        for problem, count in zip((TOO_MANY, TOO_FEW), left_out.tolist(), strict=True):
            if count:
                news.problems[problem] += count
        if rows:
            self._give(layout, values, held, news)
        return self._pass_over(lines, end, news) if is_no_row else end

    def _resolve(
        self,
        layout: Layout,
        lines: bytes,
        odd: list[list[int]],
        values: Floats,
        held: Flags,
        news: News,
    ) -> None:
        """Put the numbers that odd cells hold in their places; count texts in columns of numbers."""
        texts = []
        for row, column, start, stop in odd:
            cell = content(lines[start:stop], self._separator)
            number = number_in(cell)
            if number is None and column == layout.time:
                number = seconds_of(cell)
            if number is not None:
                values[column, row], held[column, row] = number, True
            elif not is_absent(cell):
                texts.append((row, column))
        wrong = sum(bool(self._numbered[column] or held[column, :row].any()) for row, column in texts)
        if wrong:
            news.problems[NO_NUMBER] += wrong

    def _give(self, layout: Layout, values: Floats, held: Flags, news: News) -> None:
        """Add the points of rows to the news."""
        steps = self._steps(layout, values, held)
        times = np.full(len(steps), np.nan)
        if layout.time >= 0:
            is_told = held[layout.time]
            times[is_told] = values[layout.time, is_told] * layout.scale + layout.start
        if self._is_resumed:
            self._is_resumed, self._resumes = False, Resumes()
            self._cut(int(steps[0]), float(times[0]), news)
        for rows in self._lives(layout, steps, times, values, held, news):
            self._add(layout, steps[rows], times[rows], values[:, rows], held[:, rows], news)
        self._numbered |= held.any(axis=1)

    def _lives(
        self, layout: Layout, steps: Ints, times: Floats, values: Floats, held: Flags, news: News
    ) -> Iterator[slice]:
        """Cut rows where steps go back. What is logged again is void where rows prove that it was a resume."""
        if layout.step < 0:
            yield slice(0, len(steps))
            return
        before = np.append(self._before, steps[:-1])
        starts = np.flatnonzero(steps < before)[: self._resumes.room].tolist()
        epochs = np.full(len(steps) + 1, np.nan)
        if (column := layout.epoch) >= 0:
            epochs[0] = self._epoch
            epochs[1:] = np.where(held[column], values[column], np.nan)
            self._epoch = float(epochs[-1])
        for begin, end in pairwise([0, *starts, len(steps)]):
            if begin == end:
                continue
            if begin in starts:
                self._since = {}
                self._resumes.begin(
                    int(steps[begin]), int(steps[begin]), float(times[begin]), epochs[begin : begin + 2].tolist()
                )
            if self._resumes.room and (start := self._resumes.go_on(steps[begin:end])) is not None:
                self._cut(start.step, start.time, news)
                if begin not in starts:
                    for tag, parts in self._since.items():
                        news.points.setdefault(tag, []).extend(parts)
            if self._resumes.start is None:
                self._since = {}
            yield slice(begin, end)
        self._before = int(steps[-1])

    def _add(self, layout: Layout, steps: Ints, times: Floats, values: Floats, held: Flags, news: News) -> None:
        """Add the points of rows that follow each other."""
        for column, name in enumerate(layout.tags):
            has = held[column]
            if not name or not has.any():
                continue
            tag = self._tag or name
            points = (
                Series(steps, values[column].copy(), times)
                if has.all()
                else Series(steps[has], values[column, has], times[has])
            )
            news.points.setdefault(tag, []).append(points)
            if self._resumes.start is not None:
                self._since.setdefault(tag, []).append(points)
            if (counts := layout.counts or self._counts) and tag not in self._tags:
                news.counts[tag] = counts
            self._tags.add(tag)

    def _steps(self, layout: Layout, values: Floats, held: Flags) -> Ints:
        """The step of each row: what its cell says, else that of the row before; or the number of the row."""
        rows = values.shape[1]
        first = self._rows
        self._rows += rows
        if layout.step < 0:
            return np.arange(first, self._rows, dtype=np.int64)
        said = values[layout.step]
        is_known = held[layout.step] & (np.abs(said) < _FARTHEST)
        steps = np.zeros(rows + 1, np.int64)
        steps[0] = self._last_step
        steps[1:][is_known] = np.rint(said[is_known]).astype(np.int64)
        if not is_known.all():
            steps = steps[np.maximum.accumulate(np.where(np.append(True, is_known), np.arange(rows + 1), 0))]
        self._last_step = int(steps[-1])
        return steps[1:]

    def _cut(self, step: int, time: float, news: News) -> None:
        """Void the points at ``step`` and later: the training was resumed there."""
        news.remarks.append(Remark(step, time, f"resumed at step {step}", "resumed"))
        for tag in self._tags:
            news.cuts[tag] = min(news.cuts.get(tag, step), step)
            if tag in news.points:
                news.points[tag] = [points.before(step) for points in news.points[tag]]

    def _pass_over(self, lines: bytes, at: int, news: News) -> int:
        """Look at a line that is no row of numbers: a header that comes again, or damage; the index behind it."""
        end = lines.index(b"\n", at) + 1
        cells = cells_of(lines[at:end], self._separator)
        if is_header(cells) and (cells == self._header or step_names(cells)):
            is_counted = self._layout is not None and self._layout.step >= 0
            self._is_resumed = self._is_resumed or (is_counted and self._rows > 0)
            self._header, self._layout = cells, None
        else:
            news.problems[NO_ROW] += 1
        return end
