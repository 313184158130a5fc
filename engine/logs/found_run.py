"""What is known of a run that was found under the paths that a person named."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from .finding import Found
from .reader import Claim, Format, Reader
from .same import Sketch

Key = tuple[str, Path, str]
"""A run's claim by format, folder and name within these."""
_NEWEST = 16
"""Files of a run that are looked at to tell when it was last changed: the newest come last."""


class FoundRun:
    """A run of another tool, as far as it is known: what it is, and how far it has been read."""

    def __init__(self, number: int, found: Found, name: str) -> None:
        self.number = number
        """Counts the runs of a source from 0; it never changes."""
        self.format: Format = found.format
        self.claim: Claim = found.claim
        self.name = name
        """Its directory relative to the path that was named, ``.`` where it is that; ``#NAME`` is appended where
        one folder or file holds several."""
        self.changed = _newest(found.claim)
        """When its files were last changed, in seconds since the epoch; 0 where none can be looked at."""
        self.since = math.inf
        """When its first points were logged, as far as they have been read; infinite where it is not known."""
        self.read = 0
        """Bytes read by now."""
        self.size = 0
        """Bytes that its log holds, as far as it is known."""
        self.is_complete = False
        """Whether it has been read to the end that it had, once at least."""
        self.is_gone = False
        """Whether its files are there no more; what was read of it stays."""
        self.instead: int | None = None
        """The number of the run that its files turned out to be: it was not what it looked like at first."""
        self.own: Path | None = None
        """The run directory of springtui that holds the loads of the same training; its records and the points of
        this run belong together."""
        self.same_as: int | None = None
        """The number of the run that is the same training in another format, and richer, or whose settings it
        tells; see ``Source.relate``."""
        self.sketch = Sketch()
        self.has_settings = False
        self.reader: Reader | None = None
        self.faults = 0
        self.due = 0.0
        """When to look at it next, by the monotonic clock."""
        self.grown = 0.0
        """When it was last seen to grow, in seconds since the epoch."""
        self.is_anew = False
        """Whether the next reader begins again with a run of which points were given before."""

    @property
    def key(self) -> Key:
        """What tells it from all other runs of its source."""
        return self.claim.key


def _newest(claim: Claim) -> float:
    """When the files of a claim were last changed, in seconds since the epoch; 0 where none can be looked at."""
    changed = 0.0
    for file in claim.files[-_NEWEST:]:
        with contextlib.suppress(OSError, ValueError):
            changed = max(changed, file.stat().st_mtime)
    return changed
