"""Runs a program in a pseudo-terminal inside the user's terminal, and records its output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from types import FrameType

from .cast import Recorder

_CHUNK = 65536
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


def terminal_size() -> tuple[int, int]:
    """Columns and rows of the user's terminal."""
    size = os.get_terminal_size(sys.stdout.fileno())
    return size.columns, size.lines


def record(command: Sequence[str], recorder: Recorder) -> int:
    """Run a command to its end, show and record its output, and return its exit status.

    Keys go to the command and are not recorded. SIGTERM and SIGHUP are passed on to it, so that it can end
    normally; the terminal's settings are always restored.
    """
    master, slave = pty.openpty()
    _set_size(master, *terminal_size())
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal
    )
    os.close(slave)
    try:
        with _raw(sys.stdin.fileno()), _signals_to(process, master, recorder) as woken:
            _carry(process, master, woken, recorder)
        return process.wait()
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _carry(process: subprocess.Popen[bytes], master: int, woken: int, recorder: Recorder) -> None:
    """Copy keys to the command and its output to the terminal, until it has ended and all output is read."""
    keys = sys.stdin.fileno()
    sources = [master, keys, woken]
    while True:
        ready, _, _ = select.select(sources, [], [], 0.5)
        if woken in ready:
            os.read(woken, _CHUNK)
        if master in ready:
            data = _read(master)
            if not data:
                return
            recorder.output(data)
            with contextlib.suppress(OSError):  # a lost terminal's SIGHUP ends the recording, not this
                _write(sys.stdout.fileno(), data)
        elif process.poll() is not None:
            return
        if keys in ready:
            typed = _read(keys)
            if typed:
                _write(master, typed)
            else:
                sources.remove(keys)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except OSError:  # Linux raises EIO where the other end is closed
        return b""


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _set_size(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    """Set the terminal to raw mode, in which Ctrl-C is a key too, and restore it afterwards."""
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _signals_to(process: subprocess.Popen[bytes], master: int, recorder: Recorder) -> Iterator[int]:
    """Pass window sizes, SIGTERM and SIGHUP on to the command; gives a descriptor that a signal makes readable."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)

    def resized(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            size = terminal_size()
            _set_size(master, *size)
            recorder.resized(*size)

    def passed_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    wanted = {signal.SIGWINCH: resized, **dict.fromkeys(_PASSED_ON, passed_on)}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    old_wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(old_wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
