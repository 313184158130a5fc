"""Saves state of the user between sessions: the theme chosen in the app, and whether the tour was seen.

The file is ``state.json`` in the platform's state directory, or beside the file that ``SPRINGTUI_CONFIG`` names.
Errors of reading and writing are ignored. Call these functions from a thread once the app is open.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from engine.errors import RunDirectoryError
from engine.runs.files import read_file, replace_file


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``state.json``."""

    theme: str = ""
    theme_over: str = ""
    """The theme in the preferences' file at that time; the choice is dropped once that changes."""
    tour_seen: bool = False


def memory_path() -> Path:
    """Path of the file."""
    named = os.environ.get("SPRINGTUI_CONFIG")
    if named:
        return Path(named).expanduser().with_name("state.json")
    return Path(platformdirs.user_state_dir("springtui")) / "state.json"


def recall() -> Memory:
    """The saved state; the default one where the file is missing or damaged."""
    try:
        return msgspec.json.decode(read_file(memory_path(), 1 << 16), type=Memory)
    except (RunDirectoryError, msgspec.MsgspecError):
        return Memory()


def remember(**changes: Any) -> None:
    """Change these fields of the saved state."""
    path = memory_path()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(msgspec.structs.replace(recall(), **changes)))
