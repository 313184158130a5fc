"""The event files of one directory: which of them follow one another, and which were written at the same time."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..folder import HEAD, open_log
from .found import Found
from .framing import PlainParser
from .resync import next_record
from .tags import Tags

_SHARE = 0.2
"""Of the shorter of two files' time, the part in which both were written, from which on they were written at the
same time. A training that was killed late overlaps its successor by less."""
_FEWEST = 3
"""Points that both files must hold before their shared time tells that."""


@dataclass(slots=True)
class Span:
    """When the points of a file were logged: seconds since the epoch, NaN before there is one."""

    first: float = math.nan
    last: float = math.nan
    count: int = 0
    """Number of points seen."""

    def take(self, times: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
        """Take note of the times [n] of further points; whether that tells anything new."""
        finite = times[np.isfinite(times)]
        if not len(finite):
            return False
        before = self.first, self.last, self.count >= _FEWEST
        self.first = min(float(finite.min()), math.inf if math.isnan(self.first) else self.first)
        self.last = max(float(finite.max()), -math.inf if math.isnan(self.last) else self.last)
        self.count += len(finite)
        return before != (self.first, self.last, self.count >= _FEWEST)


def span_of(path: Path) -> Span:
    """The times of the points in the first and last bytes of a file; of a file that cannot be read none."""
    span = Span()
    try:
        fd = open_log(path)
        try:
            size = os.fstat(fd).st_size
            pieces = [os.pread(fd, HEAD, 0)]
            if size > HEAD:
                pieces.append(os.pread(fd, HEAD, max(HEAD, size - HEAD)))
        finally:
            os.close(fd)
    except (OSError, ValueError):
        return span
    for piece in pieces:
        start = 0 if piece is pieces[0] else next_record(piece)
        if start is not None:
            span.take(_parsed(piece[start:]).time)
    return span


def _parsed(data: bytes) -> Found:
    return PlainParser(Tags()).parse(data)


def are_at_once(one: Span, other: Span) -> bool:
    """Whether two files were written at the same time, not merely one after the other with a short overlap."""
    short, long = sorted((one, other), key=lambda span: span.last - span.first)
    if short.count and long.count >= _FEWEST:  # even a single point, if the other file went on for long behind it
        rest = _SHARE * (long.last - long.first)
        if long.first < short.first and short.last < long.last - rest:
            return True
    if min(one.count, other.count) < _FEWEST:
        return False
    shared = min(one.last, other.last) - max(one.first, other.first)
    return shared > 0 and shared >= _SHARE * (short.last - short.first)


def sessions_of(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """[files]: of each file, in the order in which they were begun, its session and its place in the session.

    Files of one session were written at the same time; sessions follow one another.
    """
    found: list[tuple[int, int]] = []
    session: list[Span] = []
    number = -1
    for span in spans:
        if not any(are_at_once(span, other) for other in session):
            session = []
            number += 1
        found.append((number, len(session)))
        session.append(span)
    return found
