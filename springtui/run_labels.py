"""What a person calls a run: a name, a note, a pin. Kept in the run's directory, so that they travel with it."""

from __future__ import annotations

import msgspec

from engine.errors import ConfigError, SpringtuiError
from engine.files import read_file, replace_file
from engine.rundir import Run

LABEL_FILE = "label.json"
_LIMIT = 1 << 16
LONGEST = 500


class Label(msgspec.Struct, frozen=True):
    """Empty where nothing was said."""

    name: str = ""
    note: str = ""
    pinned: bool = False


def read_label(run: Run) -> Label:
    """The run's label; an empty one where there is none or it is damaged."""
    try:
        return msgspec.json.decode(read_file(run.path / LABEL_FILE, _LIMIT), type=Label)
    except (SpringtuiError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Label()


def write_label(run: Run, **changes: object) -> Label:
    """Change the label; the new one.

    Raises:
        ConfigError: a text is too long.
        OSError: it cannot be written.
    """
    for key, value in changes.items():
        check_text(str(value), key)
    label = msgspec.structs.replace(read_label(run), **changes)
    replace_file(run.path / LABEL_FILE, msgspec.json.encode(label) + b"\n")
    return label


def check_text(text: str, what: str) -> None:
    """Raises:
    ConfigError: it is too long.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"a {what} of {len(text)} characters is too long; allowed: up to {LONGEST}")
