"""Runs the lab in a pseudo-terminal, for the benchmarks of the screen."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.real_terminal import SPRINGTUI, Terminal, stop_workers

__all__ = ["SPRINGTUI", "Terminal", "lab"]


@contextmanager
def lab(columns: int, rows: int) -> Iterator[Terminal]:
    """The lab in a temporary home directory with default preferences; its workers are killed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        try:
            preferences = str(Path(folder) / "config.toml")  # does not exist, so defaults are measured
            own = {"SPRINGTUI_HOME": str(home), "SPRINGTUI_CONFIG": preferences, "SPRINGTUI_TOUR": "off"}
            with Terminal(columns=columns, rows=rows, env={**os.environ, **own}) as terminal:
                yield terminal
        finally:
            stop_workers(home)
