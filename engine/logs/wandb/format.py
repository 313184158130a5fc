"""Which runs of wandb a folder holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..folder import Folder, read_head
from ..frame_layout import framed_logs
from ..reader import Claim, Format, Reader

IDENTIFIER = b":W&B"
_ONLINE = re.compile(r"run-[0-9]{8}_[0-9]{6}-(.+)")
"""Directory of a run that is sent to a server as well."""
BESIDE = ("files", "logs", "tmp")
"""Folders of a run that repeat its console and settings, or hold files that it saved."""


class Wandb(Format):
    """wandb's own files, which it writes whether a run is offline or is sent to a server too."""

    name = "wandb"
    label = "wandb"
    habit = "this writer flushes every 15 s"

    def claims(self, folder: Folder) -> Iterator[Claim]:
        """One run for each ``.wandb`` file, and one for files with the same id that were sent to a server.

        A run that is resumed has a further directory beside the first, and goes on counting steps where the server
        says. What is offline cannot ask: each time it counts from 0, so that each of its directories is a run.
        """
        found = framed_logs(folder, ".wandb", IDENTIFIER)
        for name in found:
            run = name if len(found) > 1 else ""
            yield Claim(self.name, folder.path, (folder.path / name,), run, tuple(_beside(folder)))
        by_id: dict[str, list[str]] = {}
        for name in folder.folders:
            if match := _ONLINE.fullmatch(name):
                by_id.setdefault(match[1], []).append(name)
        for identifier, names in by_id.items():
            if len(names) > 1:
                yield from self._resumed(folder, identifier, names)

    def _resumed(self, folder: Folder, identifier: str, names: list[str]) -> Iterator[Claim]:
        """The run whose directories have these names, which begin with the times at which it was started."""
        file = f"run-{identifier}.wandb"
        # The files of a run found before are hidden from folders, so they are looked at by their paths.
        parts = [folder.folder(name) for name in names]
        parts = [part for part in parts if read_head(part.path / file, len(IDENTIFIER)) == IDENTIFIER]
        if len(parts) > 1:
            files = tuple(part.path / file for part in parts)
            beside = tuple(part.path / name for part in parts for name in BESIDE)
            yield Claim(self.name, parts[0].path, files, "", beside)

    def reader(self, claim: Claim) -> Reader:
        """A reader of the run."""
        from .reader import WandbReader

        return WandbReader(claim)


def _beside(folder: Folder) -> Iterator[Path]:
    return (folder.path / name for name in BESIDE if name in folder.entries)
