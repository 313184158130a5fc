"""A reader of one run in a database."""

from __future__ import annotations

from ..batch import Batch
from ..reader import PIECE, Claim, Reader
from .hub import Hub


class DatabaseReader(Reader):
    """Takes what the database's hub has gathered for the run."""

    def __init__(self, claim: Claim, hub: Hub) -> None:
        super().__init__(claim)
        self._hub = hub
        self._run = hub.id_of(claim.run)
        self._seen = -1
        hub.joined.add(self._run)

    def poll(self, limit: int = PIECE) -> Batch:
        batch, self._seen = self._hub.poll(self._run, self._seen, limit)
        return batch

    def close(self) -> None:
        self._hub.leave(self._run)
