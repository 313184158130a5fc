"""What the keys of a log's objects mean: the step, the time, a scalar's tag, a setting, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ..axis_names import STEPS, TIMES, plain

EPOCH = "epoch"
_SIZES = ("batch", "steps", "iterations")
"""In lines of JSON these often say a size, the same in each line."""
_STEPS = tuple(name for name in STEPS if name not in (EPOCH, "epochs", *_SIZES))
"""Keys that hold the step, the surest first; the others of a line are scalars."""
SPLITS = ("split", "phase", "mode", "stage", "subset")
"""Keys whose text may say which samples a line is about."""
PARTS = ("train", "training", "val", "valid", "validation", "eval", "evaluation", "dev", "test")
"""What such text may be; the tags of the line begin with it, so that one tag has one counter."""
MMENGINE_VAL = len(PARTS) + 1
"""Where a line's part is numbered from 1 on in ``PARTS``: a line of MMEngine about the validation."""
DEEPEST = 16
"""Objects within objects that are looked into."""
MOST = 20_000
"""Keys that are told apart in one log; the others are left out."""
_LONGEST_KEY = 512
NO_RANK = 1 << 20
"""Above every rank."""


class Role(IntEnum):
    """What is done with a key's value."""

    NUMBER = 0
    """A number is a point; an object is looked into."""
    STEP = 1
    TIME = 2
    EPOCH = 3
    FRACTION = 4
    """Text such as "5/100" is the step; else as NUMBER."""
    SPLIT = 5
    """Text that is one of ``PARTS`` is the line's part; else as NUMBER."""
    LEFT_OUT = 6


@dataclass(frozen=True, slots=True)
class Node:
    """A key at one place among the objects of a line."""

    parent: int
    key: bytes
    role: Role
    rank: int
    """Of several steps or times of a line that of the lowest rank counts."""
    tag: str
    prefix: str
    """Of the tags of an object's keys."""
    is_null_nan: bool
    """Whether null stands for a number that is not finite."""
    depth: int


class Keys:
    """The keys that a log has shown so far, numbered in the order in which they came; the line itself is 0."""

    def __init__(self) -> None:
        self.nodes = [Node(-1, b"", Role.NUMBER, 0, "", "", False, 0)]
        self._numbers: dict[tuple[int, str], int] = {}
        self._tags: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.nodes)

    def of(self, parent: int, key: str, line: Mapping[str, Any]) -> int:
        """The number of a key; -1 where there are too many. A new one is judged by the line it came in."""
        number = self._numbers.get((parent, key))
        if number is not None:
            return number
        if len(self.nodes) >= MOST:
            return -1
        node = self._new(parent, key, line)
        self._numbers[parent, key] = number = len(self.nodes)
        self.nodes.append(node)
        self._tags.setdefault(node.tag, number)
        return number

    def root(self, key: str) -> int:
        """The number of a key of the line itself; -1 where it has not come yet."""
        return self._numbers.get((0, key), -1)

    def _new(self, parent: int, key: str, line: Mapping[str, Any]) -> Node:
        above = self.nodes[parent]
        role, rank = _role(key, line) if parent == 0 else (Role.NUMBER, 0)
        if len(key) > _LONGEST_KEY or above.depth >= DEEPEST:
            role = Role.LEFT_OUT
        tag = above.prefix + key
        if tag in self._tags:  # two keys may give one tag: {"a.b": 1, "a": {"b": 2}}
            tag = next(name for n in range(2, MOST + 3) if (name := f"{tag} #{n}") not in self._tags)
        is_wrapper = parent == 0 and key == "data"
        separator = "/" if is_ray(line) else "."
        return Node(
            parent, key.encode("utf-8", "surrogatepass"), role, rank, tag, "" if is_wrapper else tag + separator,
            is_wrapper or above.is_null_nan, above.depth + 1,
        )  # fmt: skip


def is_ray(line: Mapping[str, Any]) -> bool:
    """Whether a line is a result of Ray, whose tools join nested names by a slash."""
    return "training_iteration" in line and "trial_id" in line


def is_llama_factory(line: Mapping[str, Any]) -> bool:
    """Whether a line says how far a training of known length is, as LLaMA-Factory's lines do."""
    return "current_steps" in line and "total_steps" in line


def _role(key: str, line: Mapping[str, Any]) -> tuple[Role, int]:
    """Role and rank of a key of the line itself."""
    if (is_ray(line) and key in ("config", "pid")) or (
        is_llama_factory(line) and key in ("total_steps", "percentage")
    ):
        return Role.LEFT_OUT, 0
    name = plain(key)
    if name in _STEPS:
        return Role.STEP, _STEPS.index(name)
    if key == EPOCH:
        return Role.EPOCH, 0
    if name in TIMES:
        return Role.TIME, TIMES.index(name)
    if key in SPLITS:
        return Role.SPLIT, 0
    if "step" in key:
        return Role.FRACTION, len(_STEPS)
    return Role.NUMBER, 0
