"""Where a training was resumed within one log: from which steps back it logs again what it had logged before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .series import Ints, Series

MOST_STARTS = 100
"""After so many steps backwards a log is taken to be in no order: all is kept as it comes."""
_FEWEST = 3
"""Steps that are looked at, at least, before a step backwards is a resume."""
_ENOUGH, _MOST = 100, 200
"""Steps after which a resume needs no further proof; and after which there was none."""
_MOST_ROWS = 1000
"""Lines after which there was no proof, whatever their steps."""
_RECENT = 256
"""Earlier steps that are remembered one by one; how many lie before them is judged by these."""
_OVERLAP = 2
"""Steps that are logged again, at least: a single line that comes late is no resume."""


@dataclass(slots=True)
class Start:
    """A place where the steps began again from an earlier one."""

    step: int
    """As the log says it."""
    time: float
    """Seconds since the epoch; NaN where the log does not say."""
    highest: int
    """The highest counter before."""
    before: Ints
    """The last counters [n] before, rising."""
    counters: list[int] = field(default_factory=list)
    """Those that followed, without the same one twice."""
    rows: int = 0
    given: dict[str, list[Series]] = field(default_factory=dict)
    """By tag, the points that were handed over since."""


class Resumes:
    """Tells a resumed training from other steps backwards: single odd lines, counters per epoch, several writers.

    A training was resumed where the steps then go on over at least half of what had been logged from there on,
    about as densely as before, and without another step backwards. Counters that begin again at the log's first
    step are none, since batches are counted so in every epoch; nor are those whose epoch is a later one. Until it
    is known, all points stand in the order in which they came.

    Counters are whole numbers that rise with the training: mostly its steps.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._highest = int(np.iinfo(np.int64).min)
        self._recent: Ints = np.zeros(0, np.int64)
        self._starts = 0
        self.start: Start | None = None
        """The last step backwards while it is open."""

    @property
    def room(self) -> int:
        """How many further steps backwards tell something."""
        return MOST_STARTS - self._starts

    def begin(self, counter: int, step: int, time: float, epochs: Sequence[float] = (math.nan, math.nan)) -> None:
        """The counter fell to this one. ``epochs``: those of the line before and of this line, NaN if not told."""
        self._give_up()
        self._starts += 1
        if self._first is not None and counter > self._first and not epochs[1] > epochs[0]:
            self.start = Start(step, time, self._highest, self._recent)
            self._recent = self._recent[:0]

    def go_on(self, counters: Ints) -> Start | None:
        """Take the counters [n] of further lines, which do not fall; the open start, where they prove a resume."""
        if not len(counters):
            return None
        start = self.start
        is_proven = start is not None and self._is_proven(start, counters)
        self._first = int(counters[0]) if self._first is None else min(self._first, int(counters[0]))
        self._highest = max(self._highest, int(counters[-1]))
        self._recent = np.union1d(self._recent, counters[np.append(True, np.diff(counters) > 0)][-_RECENT:])[
            -_RECENT:
        ]
        if start is None or not is_proven:
            return None
        self._recent = np.union1d(start.before[start.before < start.counters[0]], self._recent)[-_RECENT:]
        self._highest = int(counters[-1])
        self.start = None
        return start

    def _give_up(self) -> None:
        """The open start is no resume."""
        if self.start is not None:
            self._recent = np.union1d(self.start.before, self._recent)[-_RECENT:]
            self.start = None

    def _is_proven(self, start: Start, counters: Ints) -> bool:
        """Whether the start is a resume by these; it is closed where it is known to be none."""
        for counter in counters[: _MOST_ROWS + 1].tolist():
            start.rows += 1
            if not start.counters or counter > start.counters[-1]:
                start.counters.append(counter)
                if _is_resume(start):
                    return True
            if counter > start.highest and len(start.counters) >= _FEWEST:
                break
            if len(start.counters) >= _MOST or start.rows >= _MOST_ROWS:
                break
        else:
            return False
        self._give_up()
        return False


def _is_resume(start: Start) -> bool:
    first, reached = start.counters[0], start.counters[-1]
    last = min(reached, start.highest)
    again = sum(counter <= start.highest for counter in start.counters)
    earlier = _count(start.before, first, last)
    if len(start.counters) < _FEWEST or min(again, earlier) < _OVERLAP or 2 * again < earlier:
        return False
    return again >= _ENOUGH or 2 * (last - first) >= start.highest - first


def _count(recent: Ints, first: int, last: int) -> float:
    """How many earlier counters lie from ``first`` to ``last``."""
    if not len(recent):
        return 0
    if first >= recent[0]:
        return int(np.count_nonzero((recent >= first) & (recent <= last)))
    return float(len(recent) / (int(recent[-1]) - int(recent[0]) + 1) * (last - first + 1))
