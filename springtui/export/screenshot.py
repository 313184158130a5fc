"""Saves the app's screen as an SVG that loads nothing from the network."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from textual.app import App

from engine.runs.files import replace_file

_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture_of(app: App[Any]) -> str:
    """The screen as SVG text, without the font that Textual's own SVG loads from a server."""
    return _FONT.sub("", app.export_screenshot(title=str(app.title)))


def screen_name(app: App[Any]) -> str:
    """The screen's name for a file name: lab, phase, help …"""
    return type(app.screen).__name__.removesuffix("Screen").lower() or "screen"


def save_picture(folder: Path, name: str, picture: str) -> Path:
    """Write a picture to a new file, named by ``name`` and time, and return its path.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    taken = sum(1 for path in folder.glob(f"{stem}*.svg") if path.is_file())
    path = folder / (f"{stem}-{taken + 1}.svg" if taken else f"{stem}.svg")
    replace_file(path, picture.encode())
    return path
