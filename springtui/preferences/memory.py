"""What the app itself remembers between sessions: the theme chosen last, and that the tour was seen.

A small file beside the platform's other state, or beside the preferences where ``SPRINGTUI_CONFIG`` names those.
What cannot be read or written is forgotten: nothing depends on it. Call it from a thread once the app is open.
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


class UserState(msgspec.Struct, frozen=True, kw_only=True):
    """One small file."""

    theme: str = ""
    theme_over: str = ""
    """What the preferences' file said when it was chosen; a change there goes before the choice."""
    tour_seen: bool = False


def user_state_path() -> Path:
    """``state.json`` in the platform's state directory."""
    named = os.environ.get("SPRINGTUI_CONFIG")
    if named:
        return Path(named).expanduser().with_name("state.json")
    return Path(platformdirs.user_state_dir("springtui")) / "state.json"


def load_user_state() -> UserState:
    """What is remembered; nothing where the file is missing or damaged."""
    try:
        return msgspec.json.decode(read_file(user_state_path(), 1 << 16), type=UserState)
    except (RunDirectoryError, msgspec.MsgspecError):
        return UserState()


def save_user_state(**changes: Any) -> None:
    """Keep these, and what else is remembered."""
    path = user_state_path()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(msgspec.structs.replace(load_user_state(), **changes)))
