"""A person's name, note and pin for a run, kept in ``label.json``; the run does not depend on it.

Anyone may have written the file: show its texts through ``springtui.terminal.text.plain_text``, without markup.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ..errors import ConfigError, RunDirectoryError
from ..settings.probe import ProbeConfig
from ..settings.run import Settings
from .files import read_file, replace_file
from .names import CONFIG, LABEL

NAME_LIMIT = 80
TEXT_LIMIT = 4000
LAST = "last"
"""Stands for the newest run where a run is named, so that no run can be called so."""
_BYTES = 1 << 16


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name, a note and a pin."""

    name: Annotated[str, Meta(max_length=NAME_LIMIT)] = ""
    """Shown in place of the run's id; empty where nobody gave one."""
    text: Annotated[str, Meta(max_length=TEXT_LIMIT)] = ""
    """A note, of one or more lines."""
    pinned: bool = False
    """Whether it stands on top of the list of runs."""


NO_LABEL = Label()


def read_label(run: Path) -> Label:
    """The label of a run's directory; without one, or with a damaged one, an empty label."""
    try:
        return msgspec.json.decode(read_file(run / LABEL, _BYTES), type=Label)
    except (RunDirectoryError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NO_LABEL


def given_names(label: Label, settings: Settings | None) -> list[str]:
    """The names in a label and in the settings of a user's own training; the one to show first."""
    own = settings.name.strip() if isinstance(settings, ProbeConfig) else ""
    return [name for name in dict.fromkeys((label.name, own)) if name]


def label_changed(run: str) -> int:
    """When the label of a run's directory was last changed, in nanoseconds since the epoch; 0 where there is none.

    The directory is given as text, since a thousand are looked at in a row and making a Path takes longer.
    """
    try:
        return os.lstat(f"{run}/{LABEL}").st_mtime_ns
    except OSError:
        return 0


def write_label(
    run: Path, *, name: str | None = None, text: str | None = None, pinned: bool | None = None
) -> Label:
    """Change the given fields of a run's label and keep the others; the new label.

    Raises:
        ConfigError: the name or the note is too long, or holds what cannot be shown; the name is ``last``.
        RunDirectoryError: there is no such run.
        OSError: it cannot be written.
    """
    if not (run / CONFIG).is_file():
        raise RunDirectoryError(f"{run} is no run; springtui runs lists them")
    if name is not None:
        name = checked_name(name)
    old = read_label(run)
    label = Label(
        name=old.name if name is None else name,
        text=old.text if text is None else _checked("note", text.strip(), TEXT_LIMIT),
        pinned=old.pinned if pinned is None else pinned,
    )
    replace_file(run / LABEL, msgspec.json.encode(label) + b"\n")
    return label


def checked_name(name: str) -> str:
    """A name for a run, without spaces around it.

    Raises:
        ConfigError: it is too long, holds what cannot be shown, or is ``last``.
    """
    if not isinstance(name, str):
        raise ConfigError(f"name = {name!r} is not allowed; allowed: text")
    name = name.strip()
    if name == LAST:
        raise ConfigError(f"a run cannot be named {LAST!r}, which stands for the newest run; choose another name")
    return _checked("name", name, NAME_LIMIT)


def _checked(what: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise ConfigError(f"the {what} has {len(text)} characters; allowed: at most {limit}")
    allowed = "\n\t" if what == "note" else ""
    for place, char in enumerate(text):
        # control characters, marks that reverse the direction of text, and surrogates, which UTF-8 cannot hold
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in allowed:
            raise ConfigError(
                f"the {what} holds {char!a} at character {place + 1}, which cannot be shown; leave it out"
            )
    return text
