"""A line of JSON read by Python: what compiled code is compared with, and leaves its doubtful lines to."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from .block import Block
from .keys import NO_RANK, PARTS, Keys, Role, is_llama_factory, is_ray

_WORDS = {
    "nan": math.nan, "inf": math.inf, "infinity": math.inf, "+inf": math.inf, "+infinity": math.inf,
    "-inf": -math.inf, "-infinity": -math.inf,
}  # fmt: skip
"""Text that stands for a number, in small letters."""
_OPENING = re.compile(rb'\{\s*"[^"\\]+"')
_OF = re.compile(r"[0-9]{1,15}/[0-9]{1,15}", re.ASCII)
_MOST_STEP = float(1 << 53)
_LINE_PARTS = {word: number for number, word in enumerate(PARTS, 1)}
_MOST_SETTINGS = 1000


def record(line: bytes) -> dict[str, Any] | None:
    """The object that a line holds; None where it holds none.

    The line may begin with a record that a crash cut off, behind which the next begins with the same key.
    """
    found = decoded(line)
    if found is None and (opening := _OPENING.match(line)) is not None:
        again = line.rfind(opening[0], 1)
        found = decoded(line[again:]) if again > 0 else None
    return found if isinstance(found, dict) else None


def decoded(line: bytes) -> Any:
    """What a text in JSON holds, the words NaN and Infinity included; None where it is no such text."""
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None


def take(found: dict[str, Any], keys: Keys, block: Block) -> dict[str, Any]:
    """Fill in one line; the settings that it says and no earlier line did."""
    known = len(keys)
    step, step_node, step_rank = math.nan, -1, NO_RANK
    epoch, time, time_rank, part = math.nan, math.nan, NO_RANK, 0
    for number, value in _leaves(found, keys):
        node = keys.nodes[number]
        kind = type(value)
        if kind is str:
            if node.role is Role.TIME and is_date(value):
                if node.rank < time_rank:
                    time, time_rank = time_of(value), node.rank
            elif node.role is Role.FRACTION and _OF.fullmatch(value):
                if node.rank < step_rank:
                    step, step_node, step_rank = float(value.partition("/")[0]), number, node.rank
            elif node.role is Role.SPLIT and value in _LINE_PARTS:
                part = part or _LINE_PARTS[value]
            elif len(value) <= 9 and value.lower() in _WORDS:
                block.add_point(number, _WORDS[value.lower()])
        elif value is None:
            if node.is_null_nan:
                block.add_point(number, math.nan)
        elif kind is int or kind is float:
            numeric = as_float(value)
            if node.role is Role.STEP and abs(numeric) < _MOST_STEP and numeric == math.floor(numeric):
                if node.rank < step_rank:
                    if step_node >= 0 and keys.nodes[step_node].role is Role.STEP:
                        block.add_point(step_node, step)
                    step, step_node, step_rank = numeric, number, node.rank
                else:
                    block.add_point(number, numeric)
            elif node.role is Role.TIME and (seconds := seconds_of(numeric)) == seconds:
                if node.rank < time_rank:
                    time, time_rank = seconds, node.rank
            else:
                if node.role is Role.EPOCH and kind is int and abs(numeric) < _MOST_STEP:
                    epoch = numeric
                block.add_point(number, numeric)
    block.add_line(step, step_node, epoch, time, part)
    return _settings(found) if len(keys) > known else {}


def _leaves(found: dict[str, Any], keys: Keys) -> Iterator[tuple[int, Any]]:
    """Numbers of keys and their values, in the order of the line; objects are looked into."""
    stack = [(0, iter(found.items()))]
    while stack:
        parent, items = stack[-1]
        for key, value in items:
            number = keys.of(parent, key, found)
            if number < 0 or keys.nodes[number].role is Role.LEFT_OUT:
                continue
            if type(value) is dict:
                stack.append((number, iter(value.items())))
                break
            yield number, value
        else:
            stack.pop()


def as_float(value: float) -> float:
    """A number as a float; one that is too large is infinite."""
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if value > 0 else -math.inf


def seconds_of(value: float) -> float:
    """A time in seconds since the epoch, from seconds, milli-, micro- or nanoseconds; NaN where it is none."""
    if 1e8 <= value < 1e11:
        return value
    if 1e11 <= value < 1e14:
        return value / 1e3
    return value / (1e6 if value < 1e17 else 1e9) if 1e14 <= value < 1e20 else math.nan


def is_date(text: str) -> bool:
    """Whether text that is to say a time may be a date."""
    return 10 <= len(text) <= 40 and "0" <= text[0] <= "9"


def time_of(text: str) -> float:
    """Seconds since the epoch of a date in ISO 8601, of this machine's time zone where it names none; else NaN."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return math.nan


def _settings(found: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if is_llama_factory(found) and isinstance(found["total_steps"], int):
        settings["total_steps"] = found["total_steps"]
    for key, value in found.items():
        if "step" in key and isinstance(value, str) and _OF.fullmatch(value):
            settings["max_steps"] = int(value.partition("/")[2])
    if is_ray(found) and isinstance(config := found.get("config"), dict):
        stack: list[tuple[str, Any]] = [("", config)]
        while stack and len(settings) < _MOST_SETTINGS:
            name, value = stack.pop()
            if isinstance(value, dict):
                stack += [(f"{name}.{key}" if name else key, inner) for key, inner in reversed(value.items())]
            elif value is None or isinstance(value, (str, int, float)):
                settings[name] = value
    return settings
