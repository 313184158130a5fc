"""Times of the Runs screen with thousands of runs and with ten: first rows, key to repaint, sorting by a value.

Usage: python benchmarks/runs_screen.py [RUNS]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _pty import SPRINGTUI, Terminal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.made_runs import make_many

PRESSES = 60
PATIENCE = 300.0
DOWN, UP = "\x1b[B", "\x1b[A"


def listed(count: int) -> dict[str, Any]:
    """Times of the screen with ``count`` generated runs."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        make_many(home, count)
        (home / "place.json").write_text('{"screen":"runs"}')
        with Terminal((*SPRINGTUI, "--last"), env={**os.environ, "SPRINGTUI_HOME": str(home)}) as terminal:
            result: dict[str, Any] = {"runs": count}
            result["first_rows_s"] = round(
                _wait(terminal, lambda text: f"{count} runs" in text and "%" in text), 2
            )
            result["key_to_repaint_ms"] = _keys(terminal)
            terminal.press("S")  # by age, oldest first
            _wait(terminal, lambda text: "reversed" in text)
            began = time.perf_counter()
            terminal.press("ssssss")  # size, name, kind, state, progress, loss
            _wait(terminal, lambda text: "by loss" in text and "reading" not in text)
            result["sorted_by_loss_s"] = round(time.perf_counter() - began, 2)
        return result


def _wait(terminal: Terminal, holds: Callable[[str], bool]) -> float:
    end = time.monotonic() + PATIENCE
    while not holds(terminal.text()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain:\n{terminal.text()}")
        terminal.read(0.01)
    return time.perf_counter() - terminal.started


def _keys(terminal: Terminal) -> dict[str, float]:
    """Milliseconds from an arrow key to the first changed byte on the screen, median and worst."""
    taken = []
    for i in range(PRESSES):
        while terminal.read(0.15):  # drains earlier output
            pass
        before, began = len(terminal.raw), time.perf_counter()
        terminal.press(UP if i % 2 else DOWN)
        while len(terminal.raw) == before and time.perf_counter() - began < 5:
            terminal.read(0.002)
        taken.append(time.perf_counter() - began)
    return {"median": round(1000 * statistics.median(taken), 1), "worst": round(1000 * max(taken), 1)}


def main() -> None:
    """Print the times of both as JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    print(json.dumps({"many": listed(count), "few": listed(10)}, indent=2))


if __name__ == "__main__":
    main()
