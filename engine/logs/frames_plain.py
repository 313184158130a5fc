"""Search for the records of a log in LevelDB's framing, in plain Python: the same as the compiled one."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from .frame_layout import BAD_CONTENT, BAD_HEADER, BLOCK, FIRST, HEADER, LAST, WAITED, WHOLE, Split

SEARCHED = 1 << 20
"""Bytes whose checksums are taken in the search for the next sound frame of a damaged block; a bound for content
that was made to look like frames."""
_CRC_OF_TYPE = [zlib.crc32(bytes([kind])) for kind in range(5)]
_FRAME = struct.Struct("<IHB")


def split_plain(data: bytearray, base: int) -> Split:
    """The whole records in a piece of a log; the parts of each are moved together within the piece.

    ``base``: the piece's offset in the file.
    """
    starts: list[int] = []
    ends: list[int] = []
    at = damaged = 0
    first = -1  # where the first frame of an unfinished record begins; -1: there is none
    start = joined = 0  # bounds of that record's content so far, moved together
    size = len(data)
    while True:
        left = BLOCK - (base + at) % BLOCK
        if left < HEADER:
            if at + left > size:
                break
            at += left
            continue
        if at + HEADER > size:
            break
        length = sound_length(data, at, left, size)
        if length == WAITED:
            break
        if length < 0:
            on = behind_damage(data, at, left, length)
            if on == WAITED:
                break
            at, first, damaged = on, -1, damaged + 1
            continue
        kind, content, at = data[at + 6], at + HEADER, at + HEADER + length
        if kind in (WHOLE, FIRST):
            damaged += first >= 0
            first = -1
            if kind == WHOLE:
                starts.append(content)
                ends.append(at)
            else:
                first, start, joined = content - HEADER, content, at
        elif first >= 0:
            data[joined : joined + length] = data[content:at]
            joined += length
            if kind == LAST:
                starts.append(start)
                ends.append(joined)
                first = -1
    behind = first if first >= 0 else at
    return Split(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64), behind, at, damaged)


def sound_length(data: bytearray, at: int, left: int, size: int) -> int:
    """Length of the content of the frame at an offset, or what is wrong with it.

    ``left``: bytes from there to the end of the block; ``size``: bytes of the piece.
    """
    checksum, length, kind = _FRAME.unpack_from(data, at)
    if not WHOLE <= kind <= LAST or HEADER + length > left:
        return BAD_HEADER
    end = at + HEADER + length
    if end > size:
        return WAITED
    if zlib.crc32(memoryview(data)[at + HEADER : end], _CRC_OF_TYPE[kind]) != checksum:
        return BAD_CONTENT
    return int(length)


def behind_damage(data: bytearray, at: int, left: int, what: int) -> int:
    """Where to go on behind a damaged place; ``WAITED`` where that cannot be told before more is there."""
    size = len(data)
    block = at + left  # where the block ends
    behind = at + HEADER
    if what == BAD_CONTENT:
        behind += int.from_bytes(data[at + 4 : at + 6], "little")
    bytes_here = np.frombuffer(data, dtype=np.uint8)
    if not bytes_here[behind - 1 :].any():
        return WAITED  # some file systems show zeros where what was written has not arrived yet
    if what == BAD_CONTENT:
        if block - behind < HEADER:
            return behind
        if behind + HEADER > size or sound_length(data, behind, block - behind, size) >= WAITED:
            return behind
    view = bytes_here[at + 1 : block].astype(np.int64)
    if len(view) >= HEADER:
        lengths, kinds = view[4:-2] + 256 * view[5:-1], view[6:]
        room = left - 1 - HEADER - np.arange(len(kinds))
        searched = 0
        for offset in np.flatnonzero((kinds >= WHOLE) & (kinds <= LAST) & (lengths > 0) & (lengths <= room)):
            on = at + 1 + int(offset)
            searched += int(lengths[offset])
            if searched > SEARCHED:
                break
            if sound_length(data, on, block - on, size) >= 0:
                return on
    return block if block <= size else WAITED
