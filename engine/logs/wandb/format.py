"""Which runs of wandb a folder holds."""

from __future__ import annotations

from collections.abc import Iterator

from ..folder import Folder
from ..frame_layout import framed_logs
from ..reader import Claim, Format, Reader

IDENTIFIER = b":W&B"
BESIDE = ("files", "logs", "tmp")
"""Folders of a run that repeat its console and settings, or hold files that it saved."""


class Wandb(Format):
    """wandb's own files, which it writes whether a run is offline or is sent to a server too."""

    name = "wandb"
    label = "wandb"
    habit = "this writer flushes every 15 s"

    def claims(self, folder: Folder) -> Iterator[Claim]:
        """One run for each ``.wandb`` file."""
        found = framed_logs(folder, ".wandb", IDENTIFIER)
        beside = tuple(folder.path / name for name in BESIDE if name in folder.entries)
        for name in found:
            run = name if len(found) > 1 else ""
            yield Claim(self.name, folder.path, (folder.path / name,), run, beside)

    def reader(self, claim: Claim) -> Reader:
        """A reader of the run."""
        from .reader import WandbReader

        return WandbReader(claim)
