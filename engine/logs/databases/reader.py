"""A reader of one run in a database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..batch import Batch
from ..reader import PIECE, Claim, Reader
from .hub import Hub


class DatabaseReader(Reader):
    """Takes what the database's hub has gathered for the run."""

    def __init__(self, claim: Claim, hub_for: Callable[[Claim], Hub]) -> None:
        super().__init__(claim)
        self._hub_for = hub_for
        self._is_anew = False
        self._join()

    def _join(self) -> None:
        self.shared = self._hub = self._hub_for(self.claim)
        self._run = self._hub.id_of(self.claim.run)
        self._seen = -1
        self._hub.joined.add(self._run)

    def poll(self, limit: int = PIECE) -> Batch:
        batch, self._seen = self._hub.poll(self._run, self._seen, limit)
        if self._is_anew:
            batch.anew, self._is_anew = True, False
        return batch

    def waiting(self) -> Collection[str]:
        return self._hub.waiting()

    def refresh(self, claim: Claim) -> None:
        super().refresh(claim)
        if self._hub.id_of(claim.run) != self._run:
            # Another run of the database, which took the place of one that was deleted.
            self.close()
            self._join()
            self._is_anew = True

    def close(self) -> None:
        self._hub.leave(self._run)
