"""Opening a run with a large log: time to the first screen, to the last record, and peak memory.

Starts ``springtui watch`` in a pseudo-terminal on a generated log, and on one of a hundredth of its size; then
measures key presses on the time bar in both.

Usage: python benchmarks/large_log.py [MEGABYTES]
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

import psutil
from _pty import Terminal

from engine.runs.records import encode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.made_runs import make_run, training_records
from support.real_terminal import SPRINGTUI

PATIENCE = 600.0
SCRUBS = 40


def make_log(home: Path, megabytes: float) -> Path:
    """Path of a generated training run with a log of about this size, in 10⁶ bytes."""
    sample = [encode(event) for event in training_records(1000, moves=0)]
    count = round(megabytes * 1e6 / (sum(map(len, sample)) / len(sample)))
    return make_run(home, training_records(count, moves=200))


def memory(process: psutil.Process) -> float:
    """Resident memory in MiB."""
    return process.memory_info().rss / (1 << 20)


def opened(megabytes: float) -> dict[str, Any]:
    """Times and peak memory of opening, reading and scrubbing a log of some megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        run = make_log(home, megabytes)
        result: dict[str, Any] = {"megabytes": round((run / "events.jsonl").stat().st_size / 1e6, 1)}
        env = {**os.environ, "SPRINGTUI_HOME": str(home)}
        with Terminal((*SPRINGTUI, "watch", run.name), env=env) as terminal:
            process, peak = psutil.Process(terminal.process.pid), [0.0]

            def wait(holds: Callable[[str], bool]) -> float:
                end = time.monotonic() + PATIENCE
                while not holds(terminal.text()):
                    if time.monotonic() > end:
                        raise RuntimeError(f"waited in vain:\n{terminal.text()}")
                    terminal.read(0.01)
                    peak[0] = max(peak[0], memory(process))
                return time.perf_counter() - terminal.started

            result["first_screen_s"] = round(wait(_is_drawn), 2)
            result["read_through_s"] = round(wait(lambda text: _is_drawn(text) and "reading" not in text), 2)
            result["scrub_ms"] = _scrub(terminal)
            wait(_is_drawn)
            result["peak_memory_mib"] = round(peak[0])
        return result


def _is_drawn(text: str) -> bool:
    """Whether the screen shows the load curve, the loads of the layers and the time bar."""
    lines = text.splitlines()
    braille = sum("\N{BRAILLE PATTERN DOTS-1}" <= char <= "\N{BRAILLE PATTERN DOTS-12345678}" for char in text)
    return braille > 60 and "logits" in text and any(line.strip().startswith("record") for line in lines)


def _scrub(terminal: Terminal) -> dict[str, float]:
    """Milliseconds from an arrow key on the time bar to the changed record number, median and largest."""

    def record() -> str:
        return next((line for line in terminal.screen.display if line.strip().startswith("record ")), "")

    taken = []
    for _ in range(SCRUBS):
        before, began = record(), time.perf_counter()
        terminal.press("\x1b[D")
        while record() == before and time.perf_counter() - began < 10:
            terminal.read(0.002)
        taken.append(time.perf_counter() - began)
    return {"median": round(1000 * statistics.median(taken), 1), "worst": round(1000 * max(taken), 1)}


def main() -> None:
    """Print the measurements of both logs as JSON."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 500.0
    print(json.dumps({"large": opened(megabytes), "small": opened(megabytes / 100)}, indent=2))


if __name__ == "__main__":
    main()
