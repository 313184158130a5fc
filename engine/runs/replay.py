"""The slider moves that earlier workers of a run made after its checkpoint, for a new worker to repeat.

A worker that is killed leaves a checkpoint from step C and records up to a later step H. The next worker begins
at C and repeats the steps up to H bit for bit: the acknowledged moves come into force at their steps again,
nothing is recorded twice, and new moves wait until H is reached. So every record of the run stays true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .records import Acknowledged, Curve, Event

Settings = Mapping[str, Any]


class Replay:
    """The changes of settings that a new worker must repeat, from the run's records; none for the first worker.

    Moves are numbered in the order of their acknowledgements, whose steps never decrease. A checkpoint holds the
    number of moves in force, hence also which are still to be repeated.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.moves: list[tuple[int, Settings]] = []
        """(first step at which it is in force, settings) of each slider move, in order."""
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
        """H: the step up to which a new worker only repeats; -1 where there is nothing to repeat."""

    def behind(self, step: int) -> bool:
        """Whether an earlier worker has gone beyond this step."""
        return step < self.horizon

    def due(self, step: int) -> list[Settings]:
        """The moves due at this step that are not in force yet; they are counted as taken."""
        begun = self.taken
        while self.taken < len(self.moves) and self.moves[self.taken][0] <= step:
            self.taken += 1
        return [settings for _, settings in self.moves[begun : self.taken]]

    def next_mark(self, step: int) -> int | None:
        """The next step at which a move is due or repeating ends; None where nothing is left to repeat."""
        marks = [self.horizon, *(at for at, _ in self.moves[self.taken : self.taken + 1])]
        return min((mark for mark in marks if mark > step), default=None)

    def ahead(self) -> dict[str, Any]:
        """The settings in force once all remaining moves have been repeated."""
        found: dict[str, Any] = {}
        for _, settings in self.moves[self.taken :]:
            found |= settings
        return found

    def took(self, step: int, settings: Settings) -> None:
        """Count a new move, in force from this step on."""
        self.moves.append((step, settings))
        self.taken += 1
