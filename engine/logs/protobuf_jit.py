"""Messages in protocol buffers' encoding, read by compiled code; ``protobuf`` has the same in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import jit
from .protobuf import FIXED32, FIXED64, LENGTH, VARINT

CUT = -1
"""Instead of an offset: the message is cut, or is none."""


@jit
def varint(data: Any, at: int, end: int) -> Any:
    """An unsigned number and the offset behind it, which is ``CUT`` where the number is cut or too long."""
    value = np.uint64(0)
    shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= np.uint64(byte & 127) << np.uint64(shift)
        if byte < 128:
            return value, at
        shift += 7
    return value, CUT


@jit
def field(data: Any, at: Any, end: Any) -> Any:
    """Number, wire type, value (of a varint), and bounds of the content of the field at ``at``.

    The last is ``CUT`` where there is no sound field.
    """
    key, at = varint(data, at, end)
    number, wire = np.int64(key >> np.uint64(3)), np.int64(key & np.uint64(7))
    value = np.uint64(0)
    if at == CUT:
        return number, wire, value, at, CUT
    behind = CUT
    if wire == LENGTH:
        value, at = varint(data, at, end)
        if at != CUT and value <= np.uint64(end - at):
            behind = at + np.int64(value)
    elif wire == VARINT:
        value, behind = varint(data, at, end)
    elif wire == FIXED64 and at + 8 <= end:
        behind = at + 8
    elif wire == FIXED32 and at + 4 <= end:
        behind = at + 4
    return number, wire, value, at, behind
