"""LevelDB's framing of logs, which .wandb and .swanlab files have: its constants, and what is found in a piece.

A file is a header of 7 bytes and then blocks of 32 KiB, counted from the file's first byte. A block holds frames:
a checksum (CRC-32 of the type and the content, 4 bytes), the content's length (2), a type (1), the content. A
frame is a whole record, or the first, a middle or the last part of one that goes over several blocks. Fewer than 7
bytes at the end of a block are padding.
"""

from __future__ import annotations

from typing import NamedTuple

from .folder import Folder
from .series import Ints

BLOCK = 1 << 15
HEADER = 7
"""Bytes of a file's header, and of a frame's."""
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""Types of a frame."""
WAITED, BAD_CONTENT, BAD_HEADER = -1, -2, -3
"""Instead of a frame's length: it is not whole yet; its checksum is wrong; it is no frame."""


class Split(NamedTuple):
    """What is found in a piece of a log."""

    starts: Ints
    """[n]: where the content of each whole record begins in the piece."""
    ends: Ints
    """[n]: where it ends."""
    behind: int
    """Offset of the first frame that does not belong to a whole record: a later call begins there."""
    reached: int
    """Offset behind the last frame that was looked at: larger than ``behind`` within an unfinished record."""
    damaged: int
    """Damaged places that were passed over."""


def framed_logs(folder: Folder, ending: str, identifier: bytes) -> list[str]:
    """Names of a folder's files with an ending whose first bytes are these; of a file that was named these decide.

    A file ``run-…`` that has just begun and does not hold as many bytes yet is one of them.
    """
    found = []
    for name in folder.files:
        has_ending = name.endswith(ending)
        if has_ending or folder.is_named:
            start = folder.start(name)[: len(identifier)]
            has_begun = has_ending and name.startswith("run-") and identifier.startswith(start)
            if start == identifier or has_begun:
                found.append(name)
    return found
