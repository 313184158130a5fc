"""Runs a program in a pseudo-terminal emulated by pyte. Shared by tests and benchmarks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import pyte

from support.worker_forge import ADDRESS, Forge

SPRINGTUI = (sys.executable, "-m", "springtui")
_FORGED = (sys.executable, str(Path(__file__).with_name("forged_program.py")))
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=?]?[0-9;]*\$[a-z]|\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1bP.*?\x1b\\", re.DOTALL)
"""Sequences that a terminal answers or ignores, and that pyte would print in part."""
_MODES = {b"1049": "alternate screen", b"1000": "mouse", b"1003": "mouse motion", b"2004": "bracketed paste"}


def _as_a_shell_does() -> None:
    """In the child process: take the terminal, and reset signals that a test runner ignores or blocks."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class Terminal:
    """A program and the emulated screen of its terminal; use it as a context manager, or ``close`` it."""

    forge: Forge | None = None
    """Where the workers that springtui starts come from, in tests; None: it starts them itself."""

    def __init__(
        self,
        argv: Sequence[str] = SPRINGTUI,
        *,
        columns: int = 120,
        rows: int = 40,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = bytearray()
        """Everything the program wrote."""
        self._master, slave = pty.openpty()
        self.screen.write_process_input = self._answer
        self.resize(columns, rows, tell=False)
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        if self.forge is not None and tuple(argv[:3]) == SPRINGTUI:
            argv = (*_FORGED, *argv[3:])
            environ[ADDRESS] = self.forge.address
        for name in ("COLUMNS", "LINES"):  # a test runner's own size
            environ.pop(name, None)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=cwd, start_new_session=True,
            preexec_fn=_as_a_shell_does,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, seconds: float) -> bytes:
        """Bytes of the program's output, waited for up to ``seconds``; empty where none came."""
        if self._master < 0 or not select.select([self._master], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux raises EIO where the other end is closed
            return b""
        self.take(data)
        return data

    def _answer(self, data: str) -> None:
        """Send pyte's answer to a query, as of the cursor's position."""
        if self._master >= 0:
            with contextlib.suppress(OSError):
                os.write(self._master, data.encode())

    def take(self, data: bytes) -> None:
        """Draw output on the emulated screen, and answer queries in it."""
        self.raw += data
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data))

    def draw(self, data: bytes) -> None:
        """Draw output on the emulated screen, without answering queries."""
        answer, self.screen.write_process_input = self.screen.write_process_input, lambda _: None
        self.take(data)
        self.screen.write_process_input = answer

    @property
    def descriptor(self) -> int:
        """File descriptor of the terminal's side."""
        return self._master

    def text(self) -> str:
        """The screen as lines of text."""
        return "\n".join(self.screen.display)

    def wait_for(self, wanted: str | Callable[[str], bool], seconds: float = 30.0) -> str:
        """Read until the screen has a text, or satisfies a predicate; the screen's text.

        Raises:
            AssertionError: ``seconds`` passed before; the message has the screen's text.
        """
        holds = (lambda text: wanted in text) if isinstance(wanted, str) else wanted
        end = time.monotonic() + seconds
        while not holds(self.text()):
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s in vain for {wanted!r}; the screen:\n{self.text()}")
            self.read(0.05)
        return self.text()

    def press(self, keys: str) -> None:
        """Send keys, as the bytes that a terminal sends."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int, *, tell: bool = True) -> None:
        """Change the terminal's size, and send SIGWINCH if ``tell``."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        if tell:
            os.killpg(os.getpgid(self.process.pid), signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close the terminal's side, as a lost connection does."""
        os.close(self._master)
        self._master = -1

    def wait_exit(self, seconds: float = 15.0) -> int:
        """Wait for the program's end while reading its output; its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05) or time.sleep(0.02)
        while self.read(0.1):
            pass
        return self.process.wait(0.1)

    def modes_left_on(self) -> set[str]:
        """Names of terminal modes that the program switched on and not off again."""
        left = set()
        for number, name in _MODES.items():
            on, off = self.raw.rfind(b"\x1b[?" + number + b"h"), self.raw.rfind(b"\x1b[?" + number + b"l")
            if on > off:
                left.add(name)
        if self.raw.rfind(b"\x1b[?25l") > self.raw.rfind(b"\x1b[?25h"):
            left.add("hidden cursor")
        return left

    def close(self) -> None:
        """Kill the program, if it runs, and close the terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


def workers_under(home: Path) -> list[psutil.Process]:
    """Live worker processes of the runs under a home."""
    workers = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if {"engine.workers", "engine.workers.trial"} & set(line) and any(
                part.startswith(str(home)) for part in line
            ):
                workers.append(process)
    return workers


def stop_workers(home: Path) -> None:
    """Kill all workers of the runs under a home, and wait until none of them does anything any more.

    A zombie does nothing: the machine's first process, which inherits it, may take seconds to reap it.
    """
    killed = workers_under(home)
    for process in killed:
        with contextlib.suppress(psutil.Error):
            process.kill()
    end = time.monotonic() + 10.0
    for process in killed:
        with contextlib.suppress(psutil.Error):
            while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
                time.sleep(0.005)
