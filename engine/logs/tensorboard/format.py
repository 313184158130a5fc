"""TensorBoard's event files as a format: which files they are, and which directories are runs."""

from __future__ import annotations

from collections.abc import Iterable

from ..folder import Folder
from ..reader import Claim, Format, Reader
from .names import WORD, name_order

_FEW = 32
"""Files in a folder up to which those of other names are looked at as well."""
_VERSION = b"brain.Event:"
"""What the first record of an event file holds."""
_HEADER = 12
_RECORD = 200
"""Bytes in which the first record ends."""


class TensorBoard(Format):
    """Each directory with event files is a run, as in TensorBoard itself."""

    name = "tensorboard"
    label = "TensorBoard"
    habit = (
        "torch writes each record at once; TensorFlow and Keras write every 2 minutes or at the end of an epoch, "
        "tensorboardX every 2 minutes"
    )

    def claims(self, folder: Folder) -> Iterable[Claim]:
        """As ``Format.claims``."""
        names = folder.files
        named = [name for name in names if WORD in name]
        others = [name for name in names if WORD not in name] if len(names) <= _FEW else []
        found = [name for name in named if _may_be_events(folder.head(name))]
        found += [name for name in others if _is_events(folder.head(name))]
        if found:
            files = tuple(folder.path / name for name in sorted(found, key=name_order))
            yield Claim(self.name, folder.path, files)

    def reader(self, claim: Claim) -> Reader:
        """As ``Format.reader``."""
        from .reader import EventReader

        return EventReader(claim)


def _is_events(head: bytes) -> bool:
    """Whether these are the first bytes of an event file."""
    return _VERSION in head[_HEADER:_RECORD] and head[3:8] == bytes(5)


def _may_be_events(head: bytes) -> bool:
    """Whether a file with the name of an event file can be one: its first record may be unfinished or damaged."""
    return _VERSION in head[:_RECORD] or len(head) < _HEADER or not head.strip(b"\0") or head[3:8] == bytes(5)
