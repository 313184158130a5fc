"""What earlier workers of a run did after its checkpoint, so that a new one does the same again at the same steps.

A worker that dies leaves a checkpoint from step C and records up to a later step H. The next worker begins at C
and repeats C … H bit for bit: slider moves that were acknowledged hold from their steps again, what was recorded
is not recorded twice, and new slider moves wait until H is reached, so that every record of the run stays true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .records import Acknowledged, Curve, Event

Settings = Mapping[str, Any]


class Replay:
    """Made from a run's records when a worker takes it up; a run's first worker has nothing to repeat.

    Every worker takes moves in the order of their acknowledgements, whose steps never go back; so the number
    of moves that a checkpoint holds says which are still to come.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.moves: list[tuple[int, Settings]] = []
        """(step that it holds from, settings) of each slider move, in order."""
        self.recorded = -1
        """The last step at which a curve was recorded."""
        self.taken = 0
        """How many moves are in force."""
        for event in events:
            if isinstance(event, Curve):
                self.recorded = max(self.recorded, event.step)
            elif isinstance(event, Acknowledged) and event.action == "set" and not event.error:
                self.moves.append((event.step, event.settings))
        self.horizon = max([self.recorded, *(step for step, _ in self.moves)])
        """The step up to which a new worker only repeats; -1 where nothing was done."""

    def behind(self, step: int) -> bool:
        """Whether this step was done before, by an earlier worker."""
        return step < self.horizon

    def due(self, step: int) -> list[Settings]:
        """The moves that hold from this step on and are not yet in force; they count as taken."""
        begun = self.taken
        while self.taken < len(self.moves) and self.moves[self.taken][0] <= step:
            self.taken += 1
        return [settings for _, settings in self.moves[begun : self.taken]]

    def next_mark(self, step: int) -> int | None:
        """The next step at which a move comes due or repeating ends; None where nothing is left to repeat."""
        marks = [self.horizon, *(at for at, _ in self.moves[self.taken : self.taken + 1])]
        return min((mark for mark in marks if mark > step), default=None)

    def ahead(self) -> dict[str, Any]:
        """The settings that the moves still to come will have put in force."""
        found: dict[str, Any] = {}
        for _, settings in self.moves[self.taken :]:
            found |= settings
        return found

    def took(self, step: int, settings: Settings) -> None:
        """A new move is in force."""
        self.moves.append((step, settings))
        self.taken += 1
