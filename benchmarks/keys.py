"""Key press to repaint while a network trains and the chain runs, and what that costs.

Once as the lab opens, once beside another training at full speed, so that no core is idle. The rival is the same
app at rest: paused, with nothing to draw but the key's own effect.
Usage: python benchmarks/keys.py [PRESSES]
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from _pty import SPRINGTUI, SwiftTerminal, Terminal, lab

LEFT, RIGHT = "\x1b[D", "\x1b[C"
GAP = (0.15, 0.35)
"""Seconds between keys; one that is answered later than the next is an error."""
SECONDS = 10.0


def slider_value(terminal: Terminal) -> str:
    """The first slider's line, which is its label and the value asked for."""
    line = next(line for line in terminal.screen.display if "Nonlinearity" in line)
    return line.split("Nonlinearity")[1].split()[0]


def press_times(terminal: Terminal, presses: int) -> list[float]:
    """Seconds from each key to the changed number on the screen; keys fall at random moments.

    Raises:
        RuntimeError: some key changed nothing before the next.
    """
    rng = random.Random(0)
    value = slider_value(terminal)
    swift = SwiftTerminal(terminal)
    swift.start()
    pressed = []
    for i in range(presses):
        time.sleep(rng.uniform(*GAP))
        pressed.append(time.perf_counter())
        terminal.press(LEFT if i % 2 else RIGHT)
    time.sleep(GAP[1])
    changed = []
    for moment, _, data in swift.stop():
        terminal.draw(data)
        if slider_value(terminal) != value:
            value = slider_value(terminal)
            changed.append(moment)
    if len(changed) != presses or any(b > c for b, c in zip(changed, pressed[1:], strict=False)):
        raise RuntimeError(f"{presses} keys changed the number {len(changed)} times, or later than the next key")
    return [after - before for before, after in zip(pressed, changed, strict=True)]


@contextmanager
def neighbour() -> Iterator[None]:
    """One more training, at full speed: with the lab's own workers there is no idle core."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*SPRINGTUI, "train", "--set", "epochs=100000", "--set", "early_stop=false"]
        environment = {**os.environ, "SPRINGTUI_HOME": folder, "SPRINGTUI_CONFIG": f"{folder}/config.toml"}
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(8.0)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def traffic(terminal: Terminal) -> dict[str, float]:
    """Bytes a second to the terminal and the app's share of a core, over some seconds without a key."""
    process = psutil.Process(terminal.process.pid)
    drain(terminal, 1.0)
    began, sent, used = time.monotonic(), len(terminal.raw), sum(process.cpu_times()[:2])
    drain(terminal, SECONDS)
    took = time.monotonic() - began
    return {
        "kilobytes_per_s": round((len(terminal.raw) - sent) / 1000 / took, 2),
        "app_core_percent": round(100 * (sum(process.cpu_times()[:2]) - used) / took, 1),
    }


def drain(terminal: Terminal, seconds: float) -> None:
    """Read for a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        terminal.read(0.02)


def summary(taken: list[float]) -> dict[str, float]:
    """Milliseconds: median, 99th percentile and worst."""
    cuts = statistics.quantiles(taken, n=100)
    values = {"median_ms": statistics.median(taken), "p99_ms": cuts[98], "worst_ms": max(taken)}
    return {name: round(1000 * value, 1) for name, value in values.items()}


def main() -> None:
    """Print live and paused figures as JSON."""
    presses = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    result: dict[str, Any] = {"presses": presses}
    with lab(120, 40) as terminal:
        terminal.wait_for("test", 60)
        drain(terminal, 3.0)
        result["key_to_repaint_live_120x40"] = summary(press_times(terminal, presses))
        with neighbour():
            result["key_to_repaint_beside_a_training_120x40"] = summary(press_times(terminal, presses))
        terminal.press(" ")
        terminal.wait_for("paused")
        result["key_to_repaint_paused_120x40"] = summary(press_times(terminal, presses))
    with lab(100, 30) as terminal:
        terminal.wait_for("test", 60)
        result["live_100x30"] = traffic(terminal)
        terminal.press(" ")
        terminal.wait_for("paused")
        drain(terminal, 3.0)
        result["idle_100x30"] = traffic(terminal)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
