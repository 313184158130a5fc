"""Lines of JSON read by compiled code, which gives what ``plain`` gives.

Left to Python is a line with a new key, a key twice, an escaped key, letters beyond ASCII, a number that only
``float`` can tell, or no JSON at all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...jit import jit
from .keys import NO_RANK, Role
from .texts_jit import fraction_of, json_number, part_of, string_end, word_of

STACK = 64
_NUMBER, _STEP, _TIME, _EPOCH = int(Role.NUMBER), int(Role.STEP), int(Role.TIME), int(Role.EPOCH)
_FRACTION, _SPLIT, _LEFT_OUT = int(Role.FRACTION), int(Role.SPLIT), int(Role.LEFT_OUT)
_MOST_STEP = float(1 << 53)
_FNV = np.uint64(0x100000001B3)
_SEED = np.uint64(0xCBF29CE484222325)


@jit
def _hash(text: npt.NDArray[np.uint8], start: int, stop: int, parent: int) -> np.uint64:
    """A number for a key below a parent (FNV-1a)."""
    found = _SEED ^ np.uint64(parent)
    found *= _FNV
    for at in range(start, stop):
        found = (found ^ np.uint64(text[at])) * _FNV
    return found ^ (found >> np.uint64(32))


@jit
def insert(table: Any, starts: Any, parents: Any, pool: Any, first: int, count: int) -> None:
    """Enter the keys from ``first`` up to ``count``, whose letters are ``pool[starts[n]:starts[n + 1]]``.

    A key that JSON escapes, or with letters beyond ASCII, is not entered: its lines are left to Python.
    """
    mask = np.uint64(len(table) - 1)
    for node in range(first, count):
        is_odd = False
        for at in range(starts[node], starts[node + 1]):
            letter = pool[at]
            is_odd = is_odd or letter < 32 or letter > 126 or letter == 34 or letter == 92
        if is_odd:
            continue
        place = _hash(pool, starts[node], starts[node + 1], parents[node]) & mask
        while table[place] >= 0:
            place = (place + np.uint64(1)) & mask
        table[place] = node


@jit
def _is_key(text: Any, start: int, pool: Any, first: int, last: int) -> bool:
    """Whether a key with its quotation mark stands at ``start``; the text ends with a line feed, no key does."""
    for n in range(last - first):
        if text[start + n] != pool[first + n]:
            return False
    return bool(text[start + last - first] == 34)


@jit
def walk_lines(
    text: Any, at: int, stop: int, is_full: bool, table: Any, starts: Any, parents: Any, pool: Any, roles: Any,
    ranks: Any, null_nans: Any, follow: Any, seen: Any, stack: Any, count: Any, node_out: Any, line_out: Any,
    value_out: Any, step_out: Any, step_node_out: Any, epoch_out: Any, time_out: Any, date_out: Any, part_out: Any,
) -> int:  # fmt: skip
    """Read lines from ``at`` on; the index of the line that is left to Python, or ``stop``.

    ``text[stop - 1]`` is a line feed, at which every scan ends.
    """
    mask = np.uint64(len(table) - 1)
    while at < stop:
        begin = at
        while text[at] == 32 or text[at] == 9 or text[at] == 13:
            at += 1
        if text[at] == 10:
            at += 1
            continue
        if text[at] != 123:
            return begin
        points, line = count[0], count[1]
        first_point = points
        count[2] += 1
        mark = count[2]
        step, step_node, step_rank = np.nan, -1, NO_RANK
        epoch, time, time_rank, date_start, date_stop, part = np.nan, np.nan, NO_RANK, -1, -1, 0
        depth, node, is_list, child, last = 0, 0, False, -1, 0
        wanted = 0  # 0: a key or the end; 1: a key; 2: a value or the end; 3: a value; 4: a comma or the end
        at += 1
        is_sound = True
        while is_sound:
            letter = text[at]
            if letter == 32 or letter == 9 or letter == 13:
                at += 1
                continue
            if wanted <= 1 and letter == 34:
                at += 1
                child = -1
                if node >= 0:
                    guess = follow[last]
                    if (
                        guess > 0
                        and parents[guess] == node
                        and _is_key(text, at, pool, starts[guess], starts[guess + 1])
                    ):
                        child = guess
                        at += starts[guess + 1] - starts[guess]
                    else:
                        end = string_end(text, at)
                        if end < 0:
                            is_sound = False
                            break
                        place = _hash(text, at, end, node) & mask
                        while table[place] >= 0:
                            known = table[place]
                            if (
                                parents[known] == node
                                and starts[known + 1] - starts[known] == end - at
                                and _is_key(text, at, pool, starts[known], starts[known + 1])
                            ):
                                child = known
                                break
                            place = (place + np.uint64(1)) & mask
                        is_escaped = False
                        for n in range(at, end):
                            is_escaped = is_escaped or text[n] == 92
                        if is_escaped or (child < 0 and not is_full):
                            is_sound = False
                            break
                        at = end
                        if child >= 0:
                            follow[last] = child
                    if child >= 0:
                        last = child
                        if seen[child] == mark:
                            is_sound = False
                            break
                        seen[child] = mark
                        if roles[child] == _LEFT_OUT:
                            child = -1
                else:
                    at = string_end(text, at)
                    if at < 0:
                        is_sound = False
                        break
                at += 1
                while text[at] == 32 or text[at] == 9:
                    at += 1
                if text[at] != 58:
                    is_sound = False
                    break
                at += 1
                wanted = 3
                continue
            if wanted == 4 and letter == 44:
                at += 1
                wanted = 3 if is_list else 1
                continue
            if (letter == 125 and not is_list and (wanted == 4 or wanted == 0)) or (
                letter == 93 and is_list and (wanted == 4 or wanted == 2)
            ):
                at += 1
                if depth == 0:
                    break
                depth -= 1
                node, is_list = stack[depth, 0], stack[depth, 1] == 1
                wanted = 4
                continue
            if wanted != 3 and wanted != 2:
                is_sound = False
                break
            wanted = 4
            if is_list:
                child = -1
            if letter == 34:
                end = string_end(text, at + 1)
                if end < 0:
                    is_sound = False
                    break
                if child >= 0:
                    first, role = at + 1, roles[child]
                    left = end - first
                    if role == _TIME and 10 <= left <= 40 and 48 <= text[first] <= 57:
                        if ranks[child] < time_rank:
                            time, time_rank, date_start, date_stop = np.nan, ranks[child], first, end
                        at = end + 1
                        continue
                    if role == _FRACTION:
                        value, is_one = fraction_of(text, first, end)
                        if is_one:
                            if ranks[child] < step_rank:
                                step, step_node, step_rank = value, child, ranks[child]
                            at = end + 1
                            continue
                    elif role == _SPLIT:
                        which = part_of(text, first, end)
                        if which > 0:
                            if part == 0:
                                part = which
                            at = end + 1
                            continue
                    value, is_one = word_of(text, first, end)
                    if is_one:
                        node_out[points], line_out[points], value_out[points] = child, line, value
                        points += 1
                at = end + 1
            elif letter == 123 or letter == 91:
                if depth >= STACK:
                    is_sound = False
                    break
                stack[depth, 0], stack[depth, 1] = node, 1 if is_list else 0
                depth += 1
                at += 1
                is_list = letter == 91
                node = -1 if is_list else child
                wanted = 2 if is_list else 0
            elif letter == 116:
                is_sound = text[at + 1] == 114 and text[at + 2] == 117 and text[at + 3] == 101
                at += 4
            elif letter == 102:
                is_sound = (
                    text[at + 1] == 97 and text[at + 2] == 108 and text[at + 3] == 115 and text[at + 4] == 101
                )
                at += 5
            elif letter == 110:
                is_sound = text[at + 1] == 117 and text[at + 2] == 108 and text[at + 3] == 108
                at += 4
                if is_sound and child >= 0 and null_nans[child]:
                    node_out[points], line_out[points], value_out[points] = child, line, np.nan
                    points += 1
            else:
                value, end, is_whole = json_number(text, at, stop)
                if end < 0:
                    is_sound = False
                    break
                at = end
                if child < 0:
                    continue
                role, is_point = roles[child], True
                if role != _NUMBER:
                    if role == _STEP and abs(value) < _MOST_STEP and value == math.floor(value):
                        if ranks[child] < step_rank:
                            if step_node >= 0 and roles[step_node] == _STEP:
                                node_out[points], line_out[points], value_out[points] = step_node, line, step
                                points += 1
                            step, step_node, step_rank, is_point = value, child, ranks[child], False
                    elif role == _TIME and 1e8 <= value < 1e20:
                        if ranks[child] < time_rank:
                            time, time_rank = value, ranks[child]
                            if value >= 1e11:
                                time = value / (1e3 if value < 1e14 else 1e6 if value < 1e17 else 1e9)
                            date_start, date_stop = -1, -1
                        is_point = False
                    elif role == _EPOCH and is_whole and abs(value) < _MOST_STEP:
                        epoch = value
                if is_point:
                    node_out[points], line_out[points], value_out[points] = child, line, value
                    points += 1
        if is_sound:
            while text[at] == 32 or text[at] == 9 or text[at] == 13:
                at += 1
            is_sound = text[at] == 10
        if not is_sound:
            count[0] = first_point
            return begin
        at += 1
        step_out[line], step_node_out[line], epoch_out[line] = step, step_node, epoch
        time_out[line], part_out[line] = time, part
        date_out[line, 0], date_out[line, 1] = date_start, date_stop
        count[0], count[1] = points, line + 1
    return stop


@jit
def sort_points(node: Any, line: Any, value: Any, ends: Any, line_out: Any, value_out: Any) -> None:
    """Points by node, in the order of lines; ``ends`` [number of nodes + 1] holds 0 and becomes the bounds."""
    for n in range(len(node)):
        ends[node[n] + 1] += 1
    for n in range(1, len(ends)):
        ends[n] += ends[n - 1]
    places = ends.copy()
    for n in range(len(node)):
        place = places[node[n]]
        places[node[n]] += 1
        line_out[place], value_out[place] = line[n], value[n]
