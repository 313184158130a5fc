"""CRC32C, the checksum of TensorFlow's record files: by tables, of one string or of many records at once.

A CRC is linear over exclusive or: that of a record is the exclusive or of one table entry for each of its bytes,
chosen by the byte and by how many bytes follow it. So records of one length are checked by one look-up a byte
position, for all of them together.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Crcs = npt.NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78
_BLOCK = 256
"""Bytes that one look-up table for positions covers; longer records are taken block by block."""
_FEW = 8
"""Records for which a loop over their bytes is faster than array operations."""
_ALL = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8


def _first_table() -> Crcs:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, (values >> 1) ^ np.uint32(_POLYNOMIAL), values >> 1).astype(np.uint32)
    return values


@functools.cache
def tables() -> Crcs:
    """[256 positions, 256 bytes]: what a byte adds to the CRC where this many bytes follow it."""
    found = np.empty((_BLOCK, 256), dtype=np.uint32)
    found[0] = first = _first_table()
    for i in range(1, _BLOCK):
        found[i] = first[found[i - 1] & 255] ^ (found[i - 1] >> 8)
    return found


@functools.cache
def _of_start(length: int) -> int:
    """What the register's start, all ones, adds to the CRC of so many bytes."""
    value = _ALL
    first = tables()[0]
    for _ in range(length):
        value = int(first[value & 255]) ^ (value >> 8)
    return value


def masked(crcs: Crcs) -> Crcs:
    """The CRCs as the files hold them: rotated, and a constant added."""
    turned: Crcs = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    return turned + np.uint32(_MASK_DELTA)


def crcs_of(rows: Bytes) -> Crcs:
    """The masked CRC32C of each row of bytes [n, length]."""
    count, length = rows.shape
    if length > _BLOCK:
        return np.array([_of_long(row) for row in rows], dtype=np.uint32)
    if count <= _FEW:
        return np.array([_of_short(row.tobytes()) for row in rows], dtype=np.uint32)
    by_position = tables()
    result = np.full(count, _of_start(length) ^ _ALL, dtype=np.uint32)
    for i in range(length):
        result ^= by_position[length - 1 - i][rows[:, i]]
    return masked(result)


def _of_short(data: bytes) -> int:
    """The masked CRC32C of one short string of bytes."""
    table = _first_list()
    crc = _ALL
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= _ALL
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ALL


@functools.cache
def _first_list() -> list[int]:
    values: list[int] = _first_table().tolist()
    return values


def _of_long(row: Bytes) -> int:
    """The masked CRC32C of one string of bytes that is longer than a block."""
    by_position = tables()
    head = len(row) % _BLOCK
    blocks = np.zeros((len(row) // _BLOCK + 1, _BLOCK), dtype=np.uint8)
    blocks[0, _BLOCK - head :] = row[:head]
    blocks[1:] = row[head:].reshape(-1, _BLOCK)
    start = blocks.reshape(-1)[_BLOCK - head :]
    start[:4] ^= 255  # the register starts with all ones, which is as if these bytes were inverted
    parts = np.zeros(len(blocks), dtype=np.uint32)
    for i in range(_BLOCK):
        parts ^= by_position[_BLOCK - 1 - i][blocks[:, i]]
    shift = by_position[_BLOCK - 4 :]
    value = 0
    for part in parts.tolist():
        moved = int(
            shift[3][value & 255]
            ^ shift[2][value >> 8 & 255]
            ^ shift[1][value >> 16 & 255]
            ^ shift[0][value >> 24]
        )
        value = moved ^ part
    crc = np.array([value ^ _ALL], dtype=np.uint32)
    return int(masked(crc)[0])


def crc_of(data: bytes) -> int:
    """The masked CRC32C of some bytes."""
    return int(crcs_of(np.frombuffer(data, dtype=np.uint8)[None, :])[0])
