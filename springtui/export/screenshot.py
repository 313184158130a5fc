"""The screen itself as a picture: an SVG that loads nothing from elsewhere."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from textual.app import App

from engine.runs.files import replace_file

_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture_of(app: App[Any]) -> str:
    """The screen as it stands, as SVG. Its font is named and not fetched: Textual's own points to a server."""
    return _FONT.sub("", app.export_screenshot(title=str(app.title)))


def screen_name(app: App[Any]) -> str:
    """What the screen is called in a file's name: lab, phase, help …"""
    return type(app.screen).__name__.removesuffix("Screen").lower() or "screen"


def save_picture(folder: Path, name: str, picture: str) -> Path:
    """Write a picture under a name of its own; the path.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    taken = sum(1 for path in folder.glob(f"{stem}*.svg") if path.is_file())
    path = folder / (f"{stem}-{taken + 1}.svg" if taken else f"{stem}.svg")
    replace_file(path, picture.encode())
    return path
