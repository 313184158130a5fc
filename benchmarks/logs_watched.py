"""Watching other tools' logs with the real program: first pictures, idle cost, and the delay of a record.

Starts ``springtui watch PATH`` in a pseudo-terminal on: one event file of 200 MB; a folder of 1000 runs; a folder
of 100 files to which a record comes now and then. Told are the seconds from the command to the first curve and to
the whole log, the share of a core that the app and its reading process take while nothing comes, and the seconds
from a record's write to its number on the screen.

Usage: python benchmarks/logs_watched.py [MEGABYTES] [RUNS]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from _pty import SPRINGTUI, Terminal
from event_files import NAME, write
from support import tensorboard_writer as made

PATIENCE = 120.0
IDLE_SECONDS = 20.0
FILES, DELAYS = 100, 12


@contextmanager
def watched(path: Path, home: Path) -> Iterator[Terminal]:
    """The program on a path, at 120x40."""
    env = {**os.environ, "SPRINGTUI_HOME": str(home), "SPRINGTUI_CONFIG": str(home / "config.toml")}
    with Terminal((*SPRINGTUI, "watch", str(path)), env=env, columns=120, rows=40) as terminal:
        yield terminal


def wait(terminal: Terminal, holds: Callable[[str], bool]) -> float:
    """Seconds from the command until the screen's text holds something.

    Raises:
        RuntimeError: it does not within ``PATIENCE``.
    """
    end = time.monotonic() + PATIENCE
    while not holds(terminal.text()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain:\n{terminal.text()}")
        terminal.read(0.01)
    return time.perf_counter() - terminal.started


def has_curve(text: str) -> bool:
    """Whether a curve is drawn."""
    return sum("\N{BRAILLE PATTERN DOTS-1}" <= char <= "\N{BRAILLE PATTERN DOTS-12345678}" for char in text) > 60


def processor_time(terminal: Terminal) -> float:
    """User and system seconds of the app and of its children so far."""
    app = psutil.Process(terminal.process.pid)
    return sum(sum(process.cpu_times()[:2]) for process in (app, *app.children(recursive=True)))


def large(folder: Path, home: Path, megabytes: float) -> dict[str, float]:
    """Opening one event file of some megabytes."""
    points, last = write(folder, megabytes)
    with watched(folder, home) as terminal:
        first = wait(terminal, has_curve)
        whole = wait(terminal, lambda text: has_curve(text) and f"step {last}" in text.splitlines()[0])
        used = processor_time(terminal)
        memory = [psutil.Process(terminal.process.pid).memory_info().rss]
        memory += [child.memory_info().rss for child in psutil.Process(terminal.process.pid).children()]
    return {
        "points": points,
        "first_curve_s": round(first, 2),
        "whole_s": round(whole, 2),
        "processor_s": round(used, 2),
        "mib": round(sum(memory) / (1 << 20)),
    }


def many(folder: Path, home: Path, runs: int) -> dict[str, float]:
    """Opening a folder of so many runs."""
    for number in range(runs):
        run = folder / f"run{number:04d}"
        run.mkdir(parents=True)
        values = [made.event(1.7e9 + i, i, made.summary([made.simple("loss", 1.0 / (1 + i))])) for i in range(50)]
        (run / NAME).write_bytes(b"".join([made.version(1.7e9), *values]))
    with watched(folder, home) as terminal:
        first = wait(terminal, lambda text: text.count("TensorBoard") + text.count("run0") > 10)
        whole = wait(terminal, lambda text: f"{runs} runs" in text and has_curve(text))
    return {"first_rows_s": round(first, 2), "all_listed_s": round(whole, 2)}


def live(folder: Path, home: Path) -> dict[str, float]:
    """Idle cost with 100 files that were just written, and the delay of records in one of them."""
    for number in range(FILES):
        run = folder / f"run{number:03d}"
        run.mkdir(parents=True)
        now = time.time()
        values = [made.event(now, i, made.summary([made.simple("loss", 1.0)])) for i in range(20)]
        (run / NAME).write_bytes(b"".join([made.version(now), *values]))
    with watched(folder, home) as terminal:
        wait(terminal, lambda text: f"{FILES} runs" in text and has_curve(text))
        _rest(terminal, 5.0)
        before, began = processor_time(terminal), time.perf_counter()
        _rest(terminal, IDLE_SECONDS)
        share = (processor_time(terminal) - before) / (time.perf_counter() - began)
    with watched(folder / "run000", home) as terminal:
        wait(terminal, has_curve)
        _rest(terminal, 2.0)
        delays = []
        for step in range(20, 20 + DELAYS):
            with (folder / "run000" / NAME).open("ab") as file:
                file.write(made.event(time.time(), step, made.summary([made.simple("loss", 1.0)])))
            began = time.perf_counter()
            wait(terminal, lambda text, step=step: f"step {step}" in text.splitlines()[0])  # type: ignore[misc]
            delays.append(time.perf_counter() - began)
            _rest(terminal, 0.37)
    return {
        "idle_share_of_a_core": round(share, 4),
        "delay_median_s": round(statistics.median(delays), 2),
        "delay_most_s": round(max(delays), 2),
    }


def _rest(terminal: Terminal, seconds: float) -> None:
    """Take what the program writes for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        terminal.read(0.1)


def main() -> int:
    """Print one JSON object a case."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 200.0
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with tempfile.TemporaryDirectory() as folder:
        base, home = Path(folder), Path(folder) / "home"
        print(json.dumps({"large": large(base / "large", home, megabytes)}), flush=True)
        print(json.dumps({"many": many(base / "many", home, runs)}), flush=True)
        print(json.dumps({"live": live(base / "live", home)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
