"""TensorBoard's event files as a format: which files they are, and which directories are runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..folder import HEAD, Folder
from ..reader import Claim, Format, Reader
from .names import WORD, name_order

_FEW = 32
"""Files in a folder up to which those of other names are looked at as well."""
_VERSION = b"brain.Event:"
"""What the first record of an event file holds."""
_MOMENT = re.compile(r"\d{10}(\.\d+)?")
"""The name of a folder that ``add_hparams`` makes, unless it is told another: the time of the call."""
_SETTINGS = b"_hparams_/session_start_info"
_RESULT = b"hparam/"
"""Begins the tags of what a training came to, which ``add_hparams`` writes beside the settings."""
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
        if found and not self._belongs_to_parent(folder):
            files = tuple(folder.path / name for name in sorted(found, key=name_order))
            moments = [name for name in folder.folders if _MOMENT.fullmatch(name)]
            settings = [path for name in moments if (path := self._settings(folder.folder(name)))]
            yield Claim(self.name, folder.path, (*files, *settings))
            for name in (folder.path.name, *moments):  # settings may still be being written
                if _MOMENT.fullmatch(name):
                    below = folder.folder(name) if name in moments else folder
                    for file in below.files[:1]:
                        folder.watch(below.path / file)

    def _belongs_to_parent(self, folder: Folder) -> bool:
        """Whether a folder holds nothing but settings of the run in the folder above, and what they led to."""
        if self._settings(folder) is None:
            return False
        above = Folder(folder.path.parent)
        return any(WORD in name and _may_be_events(above.head(name)) for name in above.files)

    def _settings(self, folder: Folder) -> Path | None:
        """The event file of a folder as ``add_hparams`` makes it, where it holds no scalar of the training."""
        if not _MOMENT.fullmatch(folder.path.name):
            return None
        named = [name for name in folder.files if WORD in name]
        if len(named) != 1 or len(head := folder.head(named[0])) >= HEAD or _SETTINGS not in head:
            return None
        from .framing import PlainParser
        from .tags import Tags

        tags = Tags()
        found = {tags.names[number] for number in PlainParser(tags).parse(head).tag.tolist()}
        return folder.path / named[0] if all(tag.startswith(_RESULT) for tag in found) else None

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
