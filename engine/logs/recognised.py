"""Logs that are recognised and cannot be read, so that a person is told which and why."""

from __future__ import annotations

import re
from pathlib import Path

from .folder import Folder

AIM = ".aim"
_STORES = ("meta", "seqs")
"""The folders in an Aim store that hold databases."""
_COMET = re.compile(r"[0-9a-z]{32,50}\.zip", re.IGNORECASE)
"""The name of a Comet archive: the experiment's key."""
_NO_FILES = b"PK\x05\x06"
"""How an archive without files begins."""
_FIRST_NAME = slice(30, 46)
"""Where in an archive the name of its first file stands."""
_MOST_ARCHIVES = 100


def unreadable(folder: Folder) -> dict[Path, str]:
    """By path, what a folder holds, or is, that springtui knows and cannot read, and why, in words."""
    found = {}
    for path in (folder.path / AIM, folder.path):
        if path.name == AIM and (path == folder.path or AIM in folder.entries) and _is_aim(path):
            found[path] = "is an Aim store, a database that only Aim itself can read"
            break
    for name in [name for name in folder.files if name.lower().endswith(".zip")][:_MOST_ARCHIVES]:
        head = folder.head(name)
        if head.startswith(_NO_FILES) and _COMET.fullmatch(name):
            found[folder.path / name] = "is a Comet archive, which is empty until the training ends"
        elif head[:4] == b"PK\x03\x04" and head[_FIRST_NAME].startswith((b"experiment.json", b"messages.json")):
            found[folder.path / name] = "is a Comet archive, which springtui does not read: upload it to Comet"
    return found


def _is_aim(path: Path) -> bool:
    return all((path / store / "chunks").is_dir() for store in _STORES)
