"""The runs of the paths that a person named: springtui's own, and those of other tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.runs.any_run import AnyRun
from engine.runs.directory import Run

if TYPE_CHECKING:
    from pathlib import Path

    from engine.logs.client import LogClient
    from engine.logs.foreign import ForeignRun


class OpenedRuns:
    """A source of runs: some that were named, and all that a process finds under paths.

    Args:
        own: runs of springtui.
        client: of the process that looks through the paths.
        lost: what of its input was lost, in words; empty where nothing was.
    """

    def __init__(self, own: Sequence[Run], client: LogClient, lost: Callable[[], str] = str) -> None:
        self._own = list(own)
        self._client = client
        self._lost = lost
        self._found: dict[Path, Run] = {}

    def runs(self) -> list[AnyRun]:
        """All runs that there are now; a run of springtui and other logs of its training are one."""
        from engine.logs.joined import JoinedRun  # springtui's own runs need no NumPy

        alone: list[AnyRun] = []
        joined: dict[Path, list[ForeignRun]] = {path: [] for path in self._client.own_runs}
        for run in self._client.runs():
            if run.own is None:
                alone.append(run)
            else:
                joined.setdefault(run.own, []).append(run)
        named = {run.path: run for run in self._own}
        for path, others in joined.items():
            known = self._found.get(path)
            if known is None or (others and not (isinstance(known, JoinedRun) and known.others == others)):
                self._found[path] = JoinedRun(path, others) if others else named.get(path, Run(path))
        return [*alone, *({**named, **self._found}).values()]

    def mark(self) -> int:
        """Differs once a run was found."""
        return self._client.mark()

    @property
    def trouble(self) -> str:
        """Why nothing new is read, or what was lost, in words; empty while all is well."""
        return self._client.error or self._lost()
