"""Which runs of a source are one training, told anew as more of them is read."""

from __future__ import annotations

import time
from collections.abc import Mapping

from .found_run import FoundRun, Key
from .same import Candidate, same_trainings

_PAUSE = 1.0
"""Seconds from one comparison to the next at least, where no run is new."""
_SHARE, _SHARE_OF_NEW = 0.002, 0.1
"""Share of a core that comparing may take: as runs grow, and where some have never been compared."""
_MORE_POINTS = 1.1
"""Growth of a run's points from which on it is compared anew."""


class Relation:
    """Sets ``same_as`` of the runs that are the same training as another one.

    Args:
        runs: those that there are, by key; it may grow.
    """

    def __init__(self, runs: Mapping[Key, FoundRun]) -> None:
        self._runs = runs
        self._compared: dict[int, int] = {}
        """By number of a run, its points when it was compared last."""
        self._has_new = self._has_grown = False
        self._next = self._next_new = 0.0

    @property
    def is_known(self) -> bool:
        """Whether each run that was read to its end once has been compared with the others."""
        return not self._has_new

    def note(self, run: FoundRun) -> None:
        """Take note of how far a run was read."""
        if run.is_complete:
            compared = self._compared.get(run.number)
            self._has_new = self._has_new or compared is None
            self._has_grown = self._has_grown or run.sketch.points > _MORE_POINTS * (compared or 0)

    def tell_again(self, *, is_read: bool) -> bool:
        """Compare where that is worth its while; whether anything is told otherwise than before.

        ``is_read``: whether all runs have been read to their ends once; until then a new one is no reason.
        """
        now = time.monotonic()
        is_due = self._has_grown and now >= self._next
        return (is_due or (self._has_new and is_read and now >= self._next_new)) and self.tell()

    def tell(self) -> bool:
        """Compare all runs that were read to their ends once; whether anything is told otherwise than before."""
        start = time.monotonic()
        candidates = {
            run.number: Candidate(run.format.name, run.claim.folder, run.sketch)
            for run in self._runs.values()
            if run.is_complete
        }
        shown = {run.same_as for run in self._runs.values() if run.same_as is not None}
        several = len({candidate.format for candidate in candidates.values()}) > 1
        same = self._settings_alone() | (same_trainings(candidates, shown) if several else {})
        has_changed = False
        for run in self._runs.values():
            other = same.get(run.number)
            while other in same:
                other = same[other]
            has_changed = has_changed or run.same_as != other
            run.same_as = other
        self._compared = {number: one.sketch.points for number, one in candidates.items()}
        self._has_new = self._has_grown = False
        now = time.monotonic()
        self._next = now + max(_PAUSE, (now - start) / _SHARE)
        self._next_new = now + (now - start) / _SHARE_OF_NEW
        return has_changed

    def _settings_alone(self) -> dict[int, int]:
        """By number of a run that tells another one's settings, the number of that one.

        It lies in the other's folder, and holds no points but, of some scalars, how they were in the end:
        TensorBoard's writers put settings and such numbers into a folder of their own.
        """
        by_folder = {(run.format.name, run.claim.folder): run for run in self._runs.values()}
        found = {}
        for run in self._runs.values():
            if run.has_settings and run.is_complete and run.sketch.points == len(run.sketch.samples):
                above = by_folder.get((run.format.name, run.claim.folder.parent))
                if above is not None and (above.sketch.points or not run.sketch.points):
                    found[run.number] = above.number
        return found
