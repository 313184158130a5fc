"""The runs of the paths that a person named: springtui's own, and those of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.runs.any_run import AnyRun
from engine.runs.directory import Run

if TYPE_CHECKING:
    from engine.logs.client import LogClient


class OpenedRuns:
    """A source of runs: some that were named, and all that a process finds under paths.

    Args:
        own: runs of springtui.
        client: of the process that looks through the paths.
    """

    def __init__(self, own: Sequence[Run], client: LogClient) -> None:
        self._own = list(own)
        self._client = client
        self._found: dict[str, Run] = {}

    def runs(self) -> list[AnyRun]:
        """All runs that there are now."""
        for path in self._client.own_runs:
            self._found.setdefault(str(path), Run(path))
        named = {run.path for run in self._own}
        return [*self._own, *self._client.runs(), *(run for run in self._found.values() if run.path not in named)]

    def mark(self) -> int:
        """Differs once a run was found."""
        return self._client.mark()

    @property
    def trouble(self) -> str:
        """Why nothing new is read, in words; empty while all is well."""
        return self._client.error
