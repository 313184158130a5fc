"""Time from key press to repaint while a network trains and a chain runs; output rate and processor time.

Measured with the lab's two workers, with another training at full speed beside them, so that no core is idle, and
with both paused, where only the key's effect is drawn.
Usage: python benchmarks/keys.py [PRESSES]
"""

from __future__ import annotations

import json
import os
import random
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from _pty import SPRINGTUI, Terminal, lab

LEFT, RIGHT = "\x1b[D", "\x1b[C"
WHERE, HERE = b"\x1b[6n", b"\x1b[1;1R"
"""The cursor position query that the app sends after every frame, and a terminal's answer."""
GAP = (0.15, 0.35)
"""Least and most seconds between keys; a repaint after the next key is an error."""
SECONDS = 10.0


def slider_value(terminal: Terminal) -> str:
    """The value of the first slider, as shown on the screen."""
    line = next(line for line in terminal.screen.display if "Nonlinearity" in line)
    return line.split("Nonlinearity")[1].split()[0]


class SwiftTerminal(threading.Thread):
    """Reads the app's output with its time and answers queries at once, but emulates nothing.

    A terminal emulator in Python is slower than the app, and would be measured with it; the output is emulated
    afterwards.
    """

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(daemon=True)
        self._fd = terminal.descriptor
        self._done = threading.Event()
        self.came: list[tuple[float, bytes]] = []

    def run(self) -> None:
        last = b""
        while not self._done.is_set():
            if select.select([self._fd], [], [], 0.1)[0]:
                data = os.read(self._fd, 65536)
                self.came.append((time.perf_counter(), data))
                for _ in range((last + data).count(WHERE)):
                    os.write(self._fd, HERE)
                last = data[-len(WHERE) + 1 :]  # a query may be split

    def stop(self) -> list[tuple[float, bytes]]:
        """Time, of ``time.perf_counter``, and bytes of each read."""
        self._done.set()
        self.join()
        return self.came


def press_times(terminal: Terminal, presses: int) -> list[float]:
    """Seconds from each key to the changed number on the screen; keys come at random times.

    Raises:
        RuntimeError: a key did not change the number before the next key.
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
    for moment, data in swift.stop():
        terminal.draw(data)
        if slider_value(terminal) != value:
            value = slider_value(terminal)
            changed.append(moment)
    if len(changed) != presses or any(b > c for b, c in zip(changed, pressed[1:], strict=False)):
        raise RuntimeError(f"{presses} keys changed the number {len(changed)} times, or later than the next key")
    return [after - before for before, after in zip(pressed, changed, strict=True)]


@contextmanager
def neighbour() -> Iterator[None]:
    """Run another training at full speed, so that with the lab's workers no core is idle."""
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
    """Kilobytes a second to the terminal and the app's per cent of a core, over ``SECONDS`` without a key."""
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
    """Read the terminal for some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        terminal.read(0.02)


def summary(taken: list[float]) -> dict[str, float]:
    """Median, 99th percentile and largest of times in seconds, in milliseconds."""
    cuts = statistics.quantiles(taken, n=100)
    values = {"median_ms": statistics.median(taken), "p99_ms": cuts[98], "worst_ms": max(taken)}
    return {name: round(1000 * value, 1) for name, value in values.items()}


def main() -> None:
    """Print all measurements as JSON."""
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
