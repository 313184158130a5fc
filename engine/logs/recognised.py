"""Logs that are recognised and not read: a person is told what they are, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

from .folder import Folder

_AIM = ("meta", "seqs", "run_metadata.sqlite")
"""What Aim's repository holds: two stores of RocksDB, and an index."""
_ZIP = b"PK\x03\x04"
_COMET = (b"experiment.json", b"messages.json")
"""The first names in the archive of a Comet experiment that was offline."""
_NO_FILES = b"PK\x05\x06"
"""How an archive without files begins."""
_KEY = re.compile(r"[0-9a-z]{32,50}\.zip", re.IGNORECASE)
"""The name of such an archive: the experiment's key."""
_WHY_AIM = (
    "it is a repository of Aim, whose store only Aim itself can open while a training writes; "
    "Aim's Repo.query_metrics gives its values"
)
_WHY_COMET = (
    "it is the archive of an offline Comet experiment, which Comet writes when the training ends; "
    "comet upload sends it to where it can be seen"
)


def unreadable(folder: Folder) -> list[tuple[Path, str]]:
    """Paths in a folder, or the folder itself, that hold logs springtui does not read: what each of them is."""
    found = [(folder.path, _WHY_AIM)] if all(name in folder.entries for name in _AIM) else []
    archives = [name for name in folder.files if name.endswith(".zip") and _is_comet(name, folder.head(name))]
    return found + [(folder.path / name, _WHY_COMET) for name in archives]


def _is_comet(name: str, head: bytes) -> bool:
    """Whether a file is such an archive, or will be one when the training ends: until then it is empty."""
    if head.startswith(_NO_FILES):
        return _KEY.fullmatch(name) is not None
    return head.startswith(_ZIP) and any(first in head for first in _COMET)
