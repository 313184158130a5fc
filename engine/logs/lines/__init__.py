"""JSON lines: LLaMA-Factory, ms-swift, verl, MMEngine, Ray, stable-baselines3, and logs of one's own."""

from __future__ import annotations

from collections.abc import Iterable

from ..folder import Folder
from ..reader import Claim, Format, Reader


class JsonLines(Format):
    """A file with one JSON object a line."""

    name = "jsonl"
    label = "JSON lines"

    def claims(self, folder: Folder) -> Iterable[Claim]:
        """One run a file; files with the same content are one run."""
        from .detect import logs

        found = logs(folder)
        is_alone = len(found) == 1
        for name, copies in found.items():
            at = folder.path.parent if folder.path.name == "vis_data" else folder.path  # MMEngine's
            yield Claim(
                self.name,
                at,
                (folder.path / name,),
                "" if is_alone else name,
                tuple(folder.path / copy for copy in copies),
            )

    def reader(self, claim: Claim) -> Reader:
        """A reader of the file."""
        from .reader import LinesReader

        return LinesReader(claim)
