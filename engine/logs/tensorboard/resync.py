"""Finding records in bytes that are none at their start: behind a damage, or in the last bytes of a file."""

from __future__ import annotations

import numpy as np

from .crc import crc_of
from .found import FRAME, HEADER, LARGEST
from .framing import has_right_header

_STRETCH = 1 << 20
"""Bytes that are searched at once."""


def next_record(data: bytes, start: int = 0) -> int | None:
    """Where the first complete record from ``start`` on stands, both its checksums right; None without one."""
    for place in places(data, start):
        length = int.from_bytes(data[place : place + 8], "little")
        end = place + FRAME + length
        if end <= len(data) and is_whole(data[place:end]):
            return place
    return None


def places(data: bytes, start: int) -> list[int]:
    """Where a length with a right checksum stands that a record could have, in order; complete or not."""
    whole = np.frombuffer(data, dtype=np.uint8)
    found: list[int] = []
    for begins in range(start, len(data) - HEADER + 1, _STRETCH):
        ends = min(begins + _STRETCH, len(data) - HEADER + 1)
        upper = whole[begins + 3 : ends + 7]
        is_small = np.ones(ends - begins, dtype=bool)
        for i in range(5):
            is_small &= upper[i : i + ends - begins] == 0
        candidates = np.flatnonzero(is_small) + begins
        lengths = (
            whole[candidates].astype(np.int64) | whole[candidates + 1].astype(np.int64) << 8
            | whole[candidates + 2].astype(np.int64) << 16
        )  # fmt: skip
        candidates = candidates[(lengths > 0) & (lengths <= LARGEST)]
        found += candidates[has_right_header(whole, candidates)].tolist()
    return found


def is_whole(record: bytes) -> bool:
    """Whether the content of a complete record has the checksum that follows it."""
    return crc_of(record[HEADER:-4]) == int.from_bytes(record[-4:], "little")
