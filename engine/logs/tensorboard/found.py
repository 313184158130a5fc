"""What a parser makes of a piece of an event file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from ..series import Floats, Ints, Series
from .events import Notable
from .tags import Tags

LARGEST = 1 << 23
"""Bytes of a record that is read; larger ones, videos say, are stepped over."""
HEADER, FRAME = 12, 16
"""Bytes of a record before its event; before and after it."""


class Stop(Enum):
    """Why a parser stopped where it did."""

    END = "what follows is an unfinished record, or nothing"
    BAD_LENGTH = "what follows is no record: its length has a wrong checksum"
    HELD = "the last record has a wrong checksum; perhaps it is being written"
    LARGE = "what follows is larger than any record that is read"


@dataclass(frozen=True, slots=True)
class Found:
    """Points in the order in which they were logged, and where the parser stopped."""

    tag: npt.NDArray[np.int32]
    """[n]: numbers of tags."""
    step: Ints
    time: Floats
    value: Floats
    notables: list[tuple[int, Notable]]
    """What else was said, and how many of the points were logged before."""
    damaged: int
    """Number of records that were skipped."""
    consumed: int
    """Bytes that are done with."""
    stop: Stop
    needed: int
    """Bytes from there on that the next record has, as far as it is known; at least HEADER."""


class Parser(ABC):
    """Parses one event file, piece by piece."""

    def __init__(self, tags: Tags) -> None:
        self.tags = tags

    @abstractmethod
    def parse(self, data: bytes, *, hold: bool = False) -> Found:
        """The points of the complete records at the start of ``data``.

        Both checksums of each record are checked. A record with a right length and a wrong checksum of its
        content is skipped; with ``hold`` it is not, where it ends with ``data``.
        """

    def by_tag(self, found: Found, part: slice) -> list[tuple[int, Series]]:
        """Some of the points by tag, in the order in which the tags first come."""
        if not len(found.tag[part]):
            return []
        tags = found.tag[part]
        narrow = tags.astype(np.uint16) if int(tags.max()) < 1 << 16 else tags
        order = np.argsort(narrow, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(tags[order])) + 1)
        groups.sort(key=lambda rows: int(rows[0]))
        step, value, time = found.step[part], found.value[part], found.time[part]
        return [(int(tags[rows[0]]), Series(step[rows], value[rows], time[rows])) for rows in groups]
