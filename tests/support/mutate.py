"""Damages the bytes of a log at random, by seed: what disks, copies and killed writers do, and worse."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

_ODD = (
    b"", b"\0", b"\xff" * 9, b"\n", b"\r", b"\x1b[2J\x1b]0;x\x07", b"{}", b"[]", b'"', b",", b"NaN", b"-Infinity",
    b"1e999", b"-1e-999", b"9" * 400, b"18446744073709551616", b"null", b"\\ud800", "\u202e".encode(),
    b"\xed\xa0\x80",
    b"[" * 300, b'{"a":' * 300, b"\x80" * 12, b"\xff\xff\xff\xff\x7f",
)  # fmt: skip
_LONGEST = 4096


def flip(data: bytes, chance: random.Random) -> bytes:
    """One bit the other way."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def overwrite(data: bytes, chance: random.Random) -> bytes:
    """A few bytes replaced by others."""
    start, end = _part(data, chance, 16)
    return data[:start] + chance.randbytes(end - start) + data[end:]


def delete(data: bytes, chance: random.Random) -> bytes:
    """A part left out."""
    start, end = _part(data, chance)
    return data[:start] + data[end:]


def insert(data: bytes, chance: random.Random) -> bytes:
    """Something put in that means trouble in one format or another."""
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_ODD) + data[at:]


def duplicate(data: bytes, chance: random.Random) -> bytes:
    """A part written twice."""
    start, end = _part(data, chance)
    return data[:end] + data[start:]


def truncate(data: bytes, chance: random.Random) -> bytes:
    """The end cut off."""
    return data[: chance.randrange(len(data))]


def zeros(data: bytes, chance: random.Random) -> bytes:
    """A part that never reached the disk."""
    start, end = _part(data, chance)
    return data[:start] + bytes(end - start) + data[end:]


def splice(data: bytes, chance: random.Random) -> bytes:
    """A part taken from elsewhere in the log and put in the place of another."""
    start, end = _part(data, chance)
    at = chance.randrange(len(data))
    return data[:at] + data[start:end] + data[at + chance.randrange(64) :]


def swap_lines(data: bytes, chance: random.Random) -> bytes:
    """Two lines in each other's places."""
    lines = data.split(b"\n")
    left, right = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[left], lines[right] = lines[right], lines[left]
    return b"\n".join(lines)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip, overwrite, delete, insert, duplicate, truncate, zeros, splice, swap_lines,
)  # fmt: skip


def _part(data: bytes, chance: random.Random, longest: int = _LONGEST) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + 1 + int(longest ** chance.random()))


def mutated(data: bytes, seed: int) -> bytes:
    """The bytes with one to four damages; the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if data:
            data = chance.choice(MUTATIONS)(data, chance)
    return data


def mutations(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """``count`` damaged versions of a log."""
    return (mutated(data, number) for number in range(seed, seed + count))


def mutated_copy(source: Path, target: Path, seed: int) -> list[Path]:
    """Copy a folder of logs to a new one and damage one to three of its files, found anywhere below.

    Returns the damaged files. ``TRUTH.json`` is left out.
    """
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("TRUTH.json"))
    chance = random.Random(seed)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    chosen = chance.sample(files, min(len(files), chance.choice((1, 1, 1, 2, 3))))
    for number, file in enumerate(chosen):
        file.chmod(0o644)
        file.write_bytes(mutated(file.read_bytes(), seed * 4 + number))
    return chosen
