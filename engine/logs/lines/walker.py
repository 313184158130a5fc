"""Compiled code at work on a log's lines: the tables of its keys, and points sorted by key."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .block import Block
from .kernels import STACK, insert, sort_points, walk_lines
from .keys import Keys


class Walker:
    """Reads lines by compiled code; learns the keys that Python came upon."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known = 0
        self._letters = 0
        self._begun = 0
        """Lines that were begun: each marks the keys that it has shown with a number of its own."""
        self._make_room(256, 1 << 12)
        self._stack = np.zeros((STACK, 2), dtype=np.int64)

    def _make_room(self, nodes: int, letters: int) -> None:
        """Room for this many nodes and letters of their keys; what was entered is entered again."""
        self._table = np.full(4 * nodes, -1, dtype=np.int32)
        self._starts = np.zeros(nodes + 1, dtype=np.int64)
        self._parents = np.zeros(nodes, dtype=np.int32)
        self._roles = np.zeros(nodes, dtype=np.int8)
        self._ranks = np.zeros(nodes, dtype=np.int64)
        self._null_nans = np.zeros(nodes, dtype=np.bool_)
        self._follow = np.zeros(nodes, dtype=np.int32)
        self._seen = np.zeros(nodes, dtype=np.int64)
        self._pool = np.zeros(letters, dtype=np.uint8)
        self._known = 0
        self._letters = 0

    def learn(self) -> None:
        """Take over the keys that came since the last call."""
        nodes = self._keys.nodes
        letters = self._letters + sum(len(node.key) for node in nodes[self._known :])
        if len(nodes) > len(self._parents) or letters > len(self._pool):
            letters = sum(len(node.key) for node in nodes)
            self._make_room(
                max(1 << (len(nodes) - 1).bit_length(), len(self._parents)) * 2, max(2 * letters, len(self._pool))
            )
        for number in range(self._known, len(nodes)):
            node = nodes[number]
            self._parents[number], self._roles[number], self._ranks[number] = node.parent, node.role, node.rank
            self._null_nans[number] = node.is_null_nan
            end = self._letters + len(node.key)
            self._pool[self._letters : end] = np.frombuffer(node.key, dtype=np.uint8)
            self._starts[number + 1] = self._letters = end
        if len(nodes) > self._known:
            insert(self._table, self._starts, self._parents, self._pool, max(self._known, 1), len(nodes))
            self._known = len(nodes)

    def walk(self, text: npt.NDArray[np.uint8], at: int, block: Block, is_full: bool) -> int:
        """Fill in the lines from ``at`` on; the index of the first that is left to Python, or the text's length.

        ``text`` [n] holds bytes and ends with a line feed. ``is_full``: no new key is taken up.
        """
        self.learn()
        block.count[2] = self._begun
        stop = int(
            walk_lines(
                text, at, len(text), is_full, self._table, self._starts, self._parents, self._pool, self._roles,
                self._ranks, self._null_nans, self._follow, self._seen, self._stack, block.count, block.node,
                block.line, block.value, block.step, block.step_node, block.epoch, block.time, block.date,
                block.part,
            )
        )  # fmt: skip
        self._begun = int(block.count[2])
        return stop


def by_node(node: Any, line: Any, value: Any, nodes: int) -> tuple[Any, Any, Any]:
    """(bounds [nodes + 1], lines, values): the points of node n are ``[bounds[n]:bounds[n + 1]]``."""
    bounds = np.zeros(nodes + 1, dtype=np.int64)
    lines, values = np.empty_like(line), np.empty_like(value)
    sort_points(node, line, value, bounds, lines, values)
    return bounds, lines, values


def compile_all() -> None:
    """Compile what reads lines, where that is not kept on disk."""
    keys, text = Keys(), b'{"step": 1, "loss": 0.5}\n'
    block = Block(len(text))
    keys.of(0, "step", {})
    keys.of(0, "loss", {})
    Walker(keys).walk(np.frombuffer(bytearray(text), dtype=np.uint8), 0, block, is_full=False)
    n = block.points
    by_node(block.node[:n], block.line[:n], block.value[:n], len(keys))
