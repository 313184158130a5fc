"""Slowdown of a training by watching it: pairs of windows of time with and without an app that watches.

One worker trains at full speed without end. In each pair it is watched in one window, by the app in a
pseudo-terminal, and not in the other, in random order, with a pause before each. Its speed is in optimiser steps a
second, from the first to the last record of the window. The app's output is read and dropped, as by a terminal on
another machine.

Wanted is a slowdown of at most 3 %. With other work on the machine the pairs scatter, and the interval widens.
Usage: python benchmarks/watching.py [PAIRS [SECONDS]]
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import random
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import open_home
from engine.runs.records import Curve
from engine.settings.fields import make
from engine.settings.recipes import RECIPES
from engine.settings.train import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
SETTLE = 3.0
"""Seconds of pause after the app has started or ended."""
SIZE = (30, 100)
WANTED = 3.0


@contextlib.contextmanager
def watched(run: Run, home: Path) -> Iterator[None]:
    """Run an app that watches the run; its output is read and dropped."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "SPRINGTUI_HOME": str(home)}
    words = [sys.executable, "-m", "springtui", "watch", run.id]
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT, start_new_session=True
    )
    os.close(theirs)
    done = threading.Event()
    output = bytearray()

    def read_output() -> None:
        with contextlib.suppress(OSError):  # Linux raises EIO where the other end is closed
            while not done.is_set():
                if select.select([ours], [], [], 0.2)[0]:
                    output.extend(os.read(ours, 65536))

    thread = threading.Thread(target=read_output)
    thread.start()
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the app ended by itself: {bytes(output[-500:])!r}")
    finally:
        process.terminate()
        process.wait(20)
        done.set()
        thread.join()
        os.close(ours)


def speed(run: Run, seconds: float) -> float:
    """Optimiser steps a second in the next ``seconds``, by the run's records."""
    log = run.log()
    start = log.signature().size
    time.sleep(seconds)
    curves = [event for event in log.events(start) if isinstance(event, Curve)]
    if len(curves) < 10:
        raise RuntimeError(f"only {len(curves)} records in {seconds} s; give more seconds")
    return (curves[-1].step - curves[0].step) / (curves[-1].time - curves[0].time)


def pair(run: Run, home: Path, seconds: float, *, watched_first: bool) -> dict[str, float]:
    """Speeds in one pair of windows, ``watched`` and ``alone``."""
    speeds: dict[str, float] = {}
    for kind in ("watched", "alone") if watched_first else ("alone", "watched"):
        with watched(run, home) if kind == "watched" else contextlib.nullcontext():
            time.sleep(SETTLE)
            speeds[kind] = speed(run, seconds)
    return speeds


def interval(values: list[float], chance: random.Random) -> tuple[float, float]:
    """95 % confidence interval of the median, by bootstrap."""
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[1949]


def main() -> None:
    """Print the slowdown as JSON."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 8.0
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder) / "home")
        endless = {"epochs": 100_000_000, "early_stop": False, "hessian": False}
        run = Run.create(home, make(TrainConfig, {**RECIPES["lab"].settings, **endless}))
        process = launch(run)
        try:
            while not any(isinstance(event, Curve) for event in run.last_events(1)):
                time.sleep(0.1)
            time.sleep(SETTLE)
            speed_pairs = [pair(run, home, seconds, watched_first=chance.random() < 0.5) for _ in range(pairs)]
        finally:
            process.kill()
            process.wait()
    slower = [100.0 * (1.0 - speeds["watched"] / speeds["alone"]) for speeds in speed_pairs]
    low, high = interval(slower, chance)
    result: dict[str, Any] = {
        "pairs": pairs,
        "seconds": seconds,
        "steps_per_s_alone": round(statistics.median(speeds["alone"] for speeds in speed_pairs), 1),
        "slowed_percent": round(statistics.median(slower), 2),
        "interval_95_percent": [round(low, 2), round(high, 2)],
        "each": [round(value, 2) for value in slower],
        "wanted_percent": WANTED,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
