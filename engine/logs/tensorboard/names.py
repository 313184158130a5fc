"""The names of event files, ``events.out.tfevents.SECONDS.HOST.PID.COUNTER``, with a suffix or without."""

from __future__ import annotations

import re

WORD = "tfevents"
"""TensorBoard itself reads only files with this word in their name."""
_NAME = re.compile(r"tfevents\.(\d{1,18})(?:\..*?\.(\d{1,18})\.(\d{1,18})(?!\.?\d))?")


def name_order(name: str) -> tuple[int, int, int, str]:
    """When a file was begun, by its name: seconds, process, counter, all as numbers; then the name."""
    found = _NAME.search(name)
    seconds, process, counter = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return seconds, process, counter, name
