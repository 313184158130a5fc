"""What a parser makes of a piece of an event file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from ..series import Floats, Ints
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
