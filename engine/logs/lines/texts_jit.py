"""The texts and numbers of JSON, read by compiled code; what is doubtful is left to Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...jit import jit
from ..numbers_jit import EXACT, number_at
from .keys import PARTS

_PART_BYTES = np.frombuffer("".join(PARTS).encode(), dtype=np.uint8).copy()
_PART_STARTS = np.cumsum([0, *(len(word) for word in PARTS)])
_INFINITY = np.frombuffer(b"Infinity", dtype=np.uint8).copy()


@jit
def string_end(text: Any, at: int) -> int:
    """The index of the mark that ends the text which begins at ``at``; -1 where Python must look at it."""
    while True:
        letter = text[at]
        if letter == 34:
            return at
        if letter < 32 or letter > 126:
            return -1
        if letter == 92:
            at += 1
            e = text[at]
            if not (e == 34 or e == 92 or e == 47 or e == 98 or e == 102 or e == 110 or e == 114 or e == 116):
                return -1
        at += 1


@jit
def json_number(text: Any, at: int, stop: int) -> tuple[float, int, bool]:
    """(value, end, is whole) of a number in JSON, NaN and infinities included; end -1: Python must look at it."""
    first = at
    if text[first] == 45:
        first += 1
    letter = text[first]
    if letter == 48:
        if 48 <= text[first + 1] <= 57:
            return 0.0, -1, False
    elif letter == 73:  # Infinity, and no other form that number_at knows
        for n in range(8):
            if text[first + n] != _INFINITY[n]:
                return 0.0, -1, False
        return (-np.inf if first > at else np.inf), first + 8, False
    elif letter == 78:
        if first > at or text[first + 1] != 97 or text[first + 2] != 78:
            return 0.0, -1, False
        return np.nan, first + 3, False
    elif not 49 <= letter <= 57:
        return 0.0, -1, False
    value, end, kind = number_at(text, at, stop)
    if kind != EXACT or not 48 <= text[end - 1] <= 57:
        return 0.0, -1, False
    point = first
    while 48 <= text[point] <= 57:
        point += 1
    if point == end:
        return value, end, True
    if text[point] == 46 and not 48 <= text[point + 1] <= 57:
        return 0.0, -1, False
    return value, end, False


@jit
def fraction_of(text: Any, start: int, stop: int) -> tuple[float, bool]:
    """The number before the stroke of text such as 5/100, and whether it is such text."""
    value, at = 0.0, start
    while at < stop and 48 <= text[at] <= 57:
        value = value * 10.0 + (text[at] - 48)
        at += 1
    if at in (start, stop) or at - start > 15 or text[at] != 47:
        return 0.0, False
    at += 1
    first = at
    while at < stop and 48 <= text[at] <= 57:
        at += 1
    return value, at == stop and 0 < at - first <= 15


@jit
def part_of(text: Any, start: int, stop: int) -> int:
    """The place of a word in PARTS, from 1 on; 0 where it is none of them."""
    for word in range(len(_PART_STARTS) - 1):
        first, last = _PART_STARTS[word], _PART_STARTS[word + 1]
        if last - first == stop - start:
            same = True
            for n in range(last - first):
                same = same and text[start + n] == _PART_BYTES[first + n]
            if same:
                return word + 1
    return 0


@jit
def word_of(text: Any, start: int, stop: int) -> tuple[float, bool]:
    """The number that text such as NaN stands for, and whether it does."""
    if stop - start > 9 or stop - start < 3:
        return 0.0, False
    first = start
    if text[first] == 45 or text[first] == 43:
        first += 1
    if 48 <= text[first] <= 57 or text[first] == 46:
        return 0.0, False
    value, end, kind = number_at(text, start, stop)
    is_signed_nan = value != value and first > start
    return value, kind == EXACT and end == stop and not is_signed_nan
