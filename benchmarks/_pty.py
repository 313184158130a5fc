"""What the benchmarks of the screen share: the real program in a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.real_terminal import SPRINGTUI, Terminal

__all__ = ["ROOT", "SPRINGTUI", "Lab", "Piece", "SwiftTerminal", "Terminal", "cpu_clock", "lab", "python_of"]

ROOT = Path(__file__).resolve().parents[1]
WHERE, HERE = b"\x1b[6n", b"\x1b[1;1R"
"""What the app asks behind every picture, and what a terminal answers."""


def python_of(build: Path) -> str:
    """The interpreter of a checkout: its own environment's; of this one that which runs the benchmark."""
    if build == ROOT:
        return sys.executable
    python = build / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{build} has no .venv/bin/python: run make .venv/.compiled there")
    return str(python)


class Lab(Terminal):
    """The app in a terminal, and where its runs are."""

    home: Path


@contextmanager
def lab(columns: int, rows: int, build: Path = ROOT, extra: Mapping[str, str] | None = None) -> Iterator[Lab]:
    """The lab of a build in a home of its own, with ``extra`` in its environment; its workers end with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        preferences = str(Path(folder) / "config.toml")  # nobody's: the defaults are measured
        own = {"SPRINGTUI_HOME": str(home), "SPRINGTUI_CONFIG": preferences, "SPRINGTUI_TOUR": "off"}
        own["PYTHONPATH"] = str(build)  # its workers too: they do not look into the working directory
        argv = [python_of(build), "-m", "springtui"]
        try:
            with Lab(
                argv, columns=columns, rows=rows, env={**os.environ, **own, **(extra or {})}, cwd=build
            ) as terminal:
                terminal.home = home
                yield terminal
        finally:
            stop_workers(home)


def stop_workers(home: Path) -> None:
    """End every process that works on a run under a home, whatever module another build runs its workers by.

    The app is gone by then, but a process that it was starting may not have its own command line yet.
    """
    for pause in (0.0, 0.1, 0.3):
        time.sleep(pause)
        for process in psutil.process_iter(["cmdline"]):
            if any(part.startswith(f"{home}{os.sep}") for part in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    process.wait(10)


def cpu_clock(pid: int) -> Callable[[], float]:
    """What reads a process's CPU time, user and system, in seconds: of all its threads, not of its children."""
    number = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(number)) != 0:
        raise ProcessLookupError(pid)
    return lambda: time.clock_gettime(number.value)


class Piece(NamedTuple):
    """What the app wrote at once."""

    moment: float
    """When it came, by ``time.perf_counter``."""
    cpu: float
    """The CPU time that the app had taken by then, in seconds."""
    data: bytes


class SwiftTerminal(threading.Thread):
    """Takes what comes and answers at once, as a terminal does; what it means is found out afterwards.

    An emulator in Python needs longer for a picture than the app, and would be measured with it.
    """

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(daemon=True)
        self._fd = terminal.descriptor
        self._cpu = cpu_clock(terminal.process.pid)
        self._done = threading.Event()
        self.came: list[Piece] = []

    def run(self) -> None:
        last = b""
        while not self._done.is_set():
            if select.select([self._fd], [], [], 0.1)[0]:
                data = os.read(self._fd, 65536)
                self.came.append(Piece(time.perf_counter(), self._cpu(), data))
                for _ in range((last + data).count(WHERE)):
                    os.write(self._fd, HERE)
                last = data[-len(WHERE) + 1 :]  # a question may come in two pieces

    def stop(self) -> list[Piece]:
        """All that came."""
        self._done.set()
        self.join()
        return self.came
