"""A program in a pseudo-terminal of its own, its screen emulated by pyte. Shared by tests and benchmarks."""

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

SPRINGTUI = (sys.executable, "-m", "springtui")
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=?]?[0-9;]*\$[a-z]|\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1bP.*?\x1b\\", re.DOTALL)
"""Queries that a real terminal answers or ignores, and that pyte would print in part."""
_MODES = {b"1049": "alternate screen", b"1000": "mouse", b"1003": "mouse motion", b"2004": "bracketed paste"}


def _as_a_shell_does() -> None:
    """The terminal is its own, and no signal is ignored or blocked because a test runner does so."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class Terminal:
    """Starts a program and reads what it draws; always ``close`` it (it is a context manager)."""

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
        """What comes within a time, at the first bytes or not at all."""
        if self._master < 0 or not select.select([self._master], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says EIO when the other end was closed
            return b""
        self.take(data)
        return data

    def _answer(self, data: str) -> None:
        """What a terminal says when it is asked, as where its cursor is."""
        if self._master >= 0:
            with contextlib.suppress(OSError):
                os.write(self._master, data.encode())

    def take(self, data: bytes) -> None:
        """Draw what came, and answer what it asks."""
        self.raw += data
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data))

    def draw(self, data: bytes) -> None:
        """Draw what came, where another answered."""
        answer, self.screen.write_process_input = self.screen.write_process_input, lambda _: None
        self.take(data)
        self.screen.write_process_input = answer

    @property
    def descriptor(self) -> int:
        """The terminal's end."""
        return self._master

    def text(self) -> str:
        """The screen as lines of text."""
        return "\n".join(self.screen.display)

    def wait_for(self, wanted: str | Callable[[str], bool], seconds: float = 30.0) -> str:
        """Read until the screen holds a text, or satisfies a predicate; the screen.

        Raises:
            AssertionError: it did not come in time; the message holds the screen.
        """
        holds = (lambda text: wanted in text) if isinstance(wanted, str) else wanted
        end = time.monotonic() + seconds
        while not holds(self.text()):
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s in vain for {wanted!r}; the screen:\n{self.text()}")
            self.read(0.05)
        return self.text()

    def press(self, keys: str) -> None:
        """Send what a keyboard sends."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int, *, tell: bool = True) -> None:
        """Change the size, as a person who drags the window's corner."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        if tell:
            os.killpg(os.getpgid(self.process.pid), signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close the terminal's end, as a lost connection does."""
        os.close(self._master)
        self._master = -1

    def wait_exit(self, seconds: float = 15.0) -> int:
        """The exit status; keeps reading meanwhile, as a terminal does."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05) or time.sleep(0.02)
        while self.read(0.1):
            pass
        return self.process.wait(0.1)

    def modes_left_on(self) -> set[str]:
        """Terminal modes that the program switched on and never off."""
        left = set()
        for number, name in _MODES.items():
            on, off = self.raw.rfind(b"\x1b[?" + number + b"h"), self.raw.rfind(b"\x1b[?" + number + b"l")
            if on > off:
                left.add(name)
        if self.raw.rfind(b"\x1b[?25l") > self.raw.rfind(b"\x1b[?25h"):
            left.add("hidden cursor")
        return left

    def close(self) -> None:
        """Kill what is left of the program and its terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


def workers_under(home: Path) -> list[psutil.Process]:
    """Live worker processes of the runs under a home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if "engine.workers" in line and any(part.startswith(str(home)) for part in line):
                found.append(process)
    return found


def stop_workers(home: Path) -> None:
    """At the end of a test: nothing of it goes on."""
    for process in workers_under(home):
        with contextlib.suppress(psutil.Error):
            process.kill()
            process.wait(10)
