"""Compiled search for the records of a log in LevelDB's framing; ``frames_plain`` has the same in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import jit
from .frame_layout import BAD_CONTENT, BAD_HEADER, BLOCK, FIRST, HEADER, LAST, WAITED, WHOLE, Split
from .frames_plain import behind_damage


def _crc_tables() -> Any:
    """[8, 256]: for CRC-32 of 8 bytes at once ("slicing by 8"): row k is for a byte with k bytes behind it."""
    tables = np.empty((8, 256), dtype=np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        tables[0, byte] = value
    for row in range(1, 8):
        last = tables[row - 1]
        tables[row] = last >> np.uint32(8) ^ tables[0, last & np.uint32(255)]
    return tables


_CRC = _crc_tables()


@jit
def crc32(data: Any, start: Any, end: Any, crc: Any) -> Any:
    """CRC-32 (of zlib) of ``data[start:end]``, going on from ``crc``; all arithmetic in 32 bits of 64."""
    low, byte = np.uint64(0xFFFFFFFF), np.uint64(255)
    value = np.uint64(crc) ^ low
    at = start
    while at + 8 <= end:
        first = (
            np.uint64(data[at])
            | np.uint64(data[at + 1]) << np.uint64(8)
            | np.uint64(data[at + 2]) << np.uint64(16)
            | np.uint64(data[at + 3]) << np.uint64(24)
        ) ^ value
        value = np.uint64(
            _CRC[7, first & byte]
            ^ _CRC[6, first >> np.uint64(8) & byte]
            ^ _CRC[5, first >> np.uint64(16) & byte]
            ^ _CRC[4, first >> np.uint64(24) & byte]
            ^ _CRC[3, data[at + 4]]
            ^ _CRC[2, data[at + 5]]
            ^ _CRC[1, data[at + 6]]
            ^ _CRC[0, data[at + 7]]
        )
        at += 8
    while at < end:
        value = np.uint64(_CRC[0, (value ^ np.uint64(data[at])) & byte]) ^ value >> np.uint64(8)
        at += 1
    return (value ^ low) & low


@jit
def _sound_length(data: Any, at: int, left: int, size: int) -> int:
    """As ``frames_plain.sound_length``."""
    length = np.int64(data[at + 4]) + 256 * np.int64(data[at + 5])
    kind = data[at + 6]
    checksum = np.uint64(0)
    for byte in range(4):
        checksum |= np.uint64(data[at + byte]) << np.uint64(8 * byte)
    if kind < WHOLE or kind > LAST or length + HEADER > left:
        return BAD_HEADER
    if at + HEADER + length > size:
        return WAITED
    if crc32(data, at + 6, at + HEADER + length, np.uint64(0)) != checksum:
        return BAD_CONTENT
    return int(length)


@jit
def _split(data: Any, base: int, at: int, state: Any, starts: Any, ends: Any) -> Any:
    """Take sound frames from ``at`` on: the number of records, where it stopped, and why.

    ``state`` [3]: where the first frame of an unfinished record begins (-1: none), and the bounds of its content.
    Why: what ``frames_plain.sound_length`` gives for what is no sound frame; ``WAITED`` also at the end. Returned
    last: the number of records that were cut by a new one.
    """
    size = len(data)
    count = cut = 0
    while True:
        left = BLOCK - (base + at) % BLOCK
        if left < HEADER:
            if at + left > size:
                return count, at, WAITED, cut
            at += left
            continue
        if at + HEADER > size:
            return count, at, WAITED, cut
        length = _sound_length(data, at, left, size)
        if length < 0:
            return count, at, length, cut
        kind = data[at + 6]
        content = at + HEADER
        at = content + length
        if kind in (WHOLE, FIRST):
            if state[0] >= 0:
                cut += 1
            state[0] = -1
            if kind == WHOLE:
                starts[count] = content
                ends[count] = at
                count += 1
            else:
                state[0], state[1], state[2] = content - HEADER, content, at
        elif state[0] >= 0:
            joined = state[2]
            for offset in range(length):
                data[joined + offset] = data[content + offset]
            state[2] = joined + length
            if kind == LAST:
                starts[count] = state[1]
                ends[count] = state[2]
                count += 1
                state[0] = -1


def split_compiled(data: bytearray, base: int) -> Split:
    """As ``frames_plain.split_plain``, with compiled code for all but damaged places."""
    view = np.frombuffer(data, dtype=np.uint8)
    starts = np.empty(len(data) // HEADER + 1, dtype=np.int64)
    ends = np.empty_like(starts)
    state = np.array([-1, 0, 0], dtype=np.int64)
    at = total = damaged = 0
    while True:
        count, at, why, cut = _split(view, base, at, state, starts[total:], ends[total:])
        total += count
        damaged += cut
        if why == WAITED:
            break
        on = behind_damage(data, at, BLOCK - (base + at) % BLOCK, why)
        if on == WAITED:
            break
        at, state[0], damaged = on, -1, damaged + 1
    behind = int(state[0]) if state[0] >= 0 else at
    return Split(starts[:total].copy(), ends[:total].copy(), behind, at, damaged)
