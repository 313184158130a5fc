"""What is remembered of a log's tags, and how it is told where a step goes back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..series import Floats, Ints

Bools = npt.NDArray[np.bool_]
NEVER = int(np.iinfo(np.int64).min)
"""Below every step."""


@dataclass(slots=True, eq=False)
class Tag:
    """What is remembered of a tag from batch to batch."""

    name: str
    is_counter: bool
    counts: str = ""
    last_step: float = math.nan
    last_value: float = math.nan
    """Of the last point; NaN where it is void."""
    highest: float = -math.inf
    """No point that was given has a higher step."""
    reached: int = 0
    """How far the run's counter was at its last point; see ``Fold._counter``."""
    is_main: bool = True
    """Whether its last point was at the log's highest step so far: it has no counter of its own."""


@dataclass(slots=True)
class News:
    """The points of a tag in one block."""

    lines: Ints
    values: Floats
    kept: Bools | None = None
    """None: all of them."""

    def holds(self, line: int) -> bool:
        """Whether one of them is of this line."""
        at = self.before(line)
        return at < len(self.lines) and int(self.lines[at]) == line

    def before(self, line: int) -> int:
        """How many of them are of earlier lines."""
        return int(np.searchsorted(self.lines, line))


def backward(main: Ints, high: Ints, highest: int, first: int) -> list[int]:
    """The lines from ``first`` on that are below an earlier one, the last line first."""
    earlier = np.concatenate(([highest], high[first:-1]))
    lines: list[int] = (first + np.flatnonzero((main[first:] < earlier) & (main[first:] > NEVER))).tolist()
    return lines[::-1]


def goes_back(tag: Tag, found: News, line: int, since: int, main: Ints, high: Ints) -> bool:
    """Whether a tag without a counter of its own was beyond the step of ``line`` before.

    ``since``: the line at which the run's counter last began again, in this block; -1 where it did not.
    """
    before = found.before(line)
    if not before:
        return tag.is_main and tag.reached > main[line]
    last = found.lines[before - 1]
    is_of_before = last < since and main[last] >= main[since]
    return bool(not is_of_before and main[last] >= high[last] and main[last] > main[line])
