"""What the benchmarks of the screen share: the real program in a real pseudo-terminal."""

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
    """The lab in a home of its own; its workers are stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        try:
            preferences = str(Path(folder) / "config.toml")  # nobody's: the defaults are measured
            own = {"SPRINGTUI_HOME": str(home), "SPRINGTUI_CONFIG": preferences, "SPRINGTUI_TOUR": "off"}
            with Terminal(columns=columns, rows=rows, env={**os.environ, **own}) as terminal:
                yield terminal
        finally:
            stop_workers(home)
