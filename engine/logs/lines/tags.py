"""What is remembered of a log's tags, and how it is told where a step goes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..series import Floats, Ints, Series

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

    def last(self, before: int, aside: Bools) -> int:
        """The number of the last of its first points whose line is not set aside; -1 where there is none."""
        while before and aside[self.lines[before - 1]]:
            before -= 1
        return before - 1


@dataclass(slots=True)
class Doubt:
    """A step at the end of what is known that lies below those before it.

    Either the training was resumed there, or the line stands alone, as one about an old checkpoint does: the next
    line of another step tells. Until then its points are given and nothing is void.
    """

    step: int
    main: int
    """The run's counter there."""
    time: float
    is_new_epoch: bool
    points: dict[Tag, list[Series]] = field(default_factory=dict)
    """What was given since: to be given again where the training was resumed."""
    lines: int = 0


def backward(main: Ints, high: Ints, highest: int, first: int) -> list[int]:
    """The lines from ``first`` on that are below an earlier one, the last line first."""
    earlier = np.concatenate(([highest], high[first:-1]))
    lines: list[int] = (first + np.flatnonzero((main[first:] < earlier) & (main[first:] > NEVER))).tolist()
    return lines[::-1]


def behind(main: Ints, line: int, counter: int) -> int:
    """The first line from ``line`` on that tells another counter; the number of lines where none does."""
    while line < len(main) and main[line] in (counter, NEVER):
        line += 1
    return line


def goes_back(tag: Tag, found: News, line: int, main: Ints, high: Ints, aside: Bools) -> bool:
    """Whether a tag without a counter of its own was beyond the step of ``line`` before."""
    last = found.last(found.before(line), aside)
    if last < 0:
        return tag.is_main and tag.reached > main[line]
    at = found.lines[last]
    is_void = found.kept is not None and not found.kept[last]
    return bool(not is_void and main[at] >= high[at] and main[at] > main[line])
