"""The points of some lines, in flat arrays that compiled code and Python fill alike."""

from __future__ import annotations

import numpy as np

from ..series import Floats, Ints


class Block:
    """Room for the lines of ``size`` bytes; ``count`` says how much of it is filled."""

    def __init__(self, size: int) -> None:
        points, lines = size // 5 + 1, size // 3 + 1  # the shortest: "":1, and {}, each with its line feed
        self.count: Ints = np.zeros(3, dtype=np.int64)
        """Points, lines, and lines that were begun."""
        self.node = np.empty(points, dtype=np.int32)
        self.line = np.empty(points, dtype=np.int32)
        self.value: Floats = np.empty(points)
        self.step: Floats = np.empty(lines)
        """By line; NaN where it has none. Steps are whole and smaller than 2^53."""
        self.step_node = np.empty(lines, dtype=np.int32)
        self.epoch: Floats = np.empty(lines)
        """By line, where it was written as a whole number; else NaN."""
        self.time: Floats = np.empty(lines)
        """Seconds since the epoch; NaN where the line has none."""
        self.date: Ints = np.empty((lines, 2), dtype=np.int64)
        """Where in the text a line's time is written as a date: start and stop; -1 where it is not."""
        self.part = np.empty(lines, dtype=np.int8)
        """0, or the place of the line's part in ``PARTS``, from 1 on."""

    @property
    def points(self) -> int:
        """How many points are filled in."""
        return int(self.count[0])

    @property
    def lines(self) -> int:
        """How many lines are filled in."""
        return int(self.count[1])

    def add_point(self, node: int, value: float) -> None:
        """A point of the line that is being filled."""
        at = self.count[0]
        self.node[at], self.line[at], self.value[at] = node, self.count[1], value
        self.count[0] += 1

    def add_line(self, step: float, step_node: int, epoch: float, time: float, part: int) -> None:
        """The line is filled."""
        at = self.count[1]
        self.step[at], self.step_node[at], self.epoch[at] = step, step_node, epoch
        self.time[at], self.date[at], self.part[at] = time, -1, part
        self.count[1] += 1
