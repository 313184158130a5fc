"""``springtui watch PATH``: other tools' logs on the screens, or as records."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import LogError, TerminalError, WorkerError
from engine.logs.named import require_named
from engine.runs.directory import Run

from ..preferences.preferences import load_preferences
from ..terminal.gc_pauses import held
from .opening import check_terminal
from .options import STANDARD_INPUT
from .output import print_json
from .session import Session

if TYPE_CHECKING:
    from engine.logs.batch import Batch
    from engine.logs.client import Hear, LogClient
    from engine.logs.foreign import ForeignRun

_SPOOLED = "standard-input"
"""Name of the file that keeps what is piped in."""
_FIRST_LOOK = 10.0
"""Seconds within which the first run is waited for, or the end of the first look through the paths."""
_FORMATS = 6
"""Runs, at most, of which it is waited for whether they are one training in several formats."""
_ONE_TRAINING = 0.5
"""Seconds for that."""
_LOOKS = 2.5
"""Seconds in which the process looks at every file that still grew, or that nothing had recognised."""
_WAITING = 64
"""Batches that wait to be printed."""
_PIECE = 1 << 16


class Spool:
    """What comes on standard input, copied by a thread to a file that springtui reads like any other log."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="springtui-")
        self.path = Path(self._folder.name) / _SPOOLED
        self.path.touch(mode=0o600)
        self.ended = threading.Event()
        """Set once the input has ended and all of it is in the file."""
        self._since = float("inf")
        """When that was, on the monotonic clock."""
        self._input = os.dup(0)
        threading.Thread(target=self._copy, name="standard-input", daemon=True).start()

    def _copy(self) -> None:
        with contextlib.suppress(OSError), self.path.open("ab", buffering=0) as file:
            while piece := os.read(self._input, _PIECE):
                file.write(piece)
        self._since = time.monotonic()
        self.ended.set()

    @property
    def is_read(self) -> bool:
        """Whether the input ended so long ago that the process has looked at all of it."""
        return time.monotonic() - self._since >= _LOOKS

    def close(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self._folder.cleanup()


@contextlib.contextmanager
def reading(paths: Sequence[str], hear: Hear | None = None) -> Iterator[tuple[LogClient, Spool | None]]:
    """The process that reads these paths, where ``-`` is standard input, and what is piped in, if anything."""
    spool = Spool() if STANDARD_INPUT in paths else None
    named = [spool.path if spool is not None and path == STANDARD_INPUT else Path(path) for path in paths]
    try:
        require_named(named)
        from engine.logs.client import LogClient  # own runs need no NumPy

        client = LogClient(named, hear)
        try:
            yield client, spool
        finally:
            client.close()
    finally:
        if spool is not None:
            spool.close()


def open_screens(session: Session, paths: Sequence[str], own: Sequence[Run]) -> int:
    """Open the app on these paths and on runs of springtui; the exit status.

    Raises:
        LogError: nothing under the paths is a log that springtui reads.
        TerminalError: there is no terminal.
    """
    with reading(paths) as (client, spool):
        if spool is not None:
            _take_terminal()
        check_terminal("watching", f"without one: springtui watch {' '.join(paths)} --json")
        effective = load_preferences(session.options())
        with held():
            from ..app import Opening, run_app  # while the other process begins to read
            from ..follow.opened import OpenedRuns

            source = OpenedRuns(own, client)
            client.wait(lambda client: client.is_listed or len(source.runs()) > 1, _FIRST_LOOK)
            if 1 < len(source.runs()) <= _FORMATS:
                client.wait(lambda client: client.is_idle and client.is_listed, _ONE_TRAINING)
            runs = source.runs()
            if not runs and client.is_listed and spool is None:
                refuse(client)
            first = runs[0] if len(runs) == 1 and client.is_listed else None
            if spool is not None:
                threading.Thread(target=_end_input, args=(client, spool), name="end-of-input", daemon=True).start()
            opening = Opening("watch" if first is not None else "runs", first, read_only=True, source=source)
            return run_app(session.look_home(), None, effective, opening)


def refuse(client: LogClient) -> None:
    """Say that nothing is there to read; a folder without a file is waited for.

    Raises:
        WorkerError: the process that reads has failed.
        LogError: there are files, and none is a log that springtui reads, or nothing may be looked at.
    """
    if client.error:
        raise WorkerError(client.error)
    if client.problems or client.files:
        from engine.logs.read import refusal  # which needs NumPy

        told = {Path(path): why for path, why in client.problems.items()}
        raise LogError(refusal([Path(path) for path in client.paths], client.files, told))


def _take_terminal() -> None:
    """Make the terminal the standard input, which a pipe was.

    Raises:
        TerminalError: there is none.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        raise TerminalError(
            f"there is no terminal to draw on and to take keys from ({error.strerror}); "
            "without one: springtui watch - --json"
        ) from error
    os.dup2(terminal, 0)
    os.close(terminal)


def _end_input(client: LogClient, spool: Spool) -> None:
    spool.ended.wait()
    client.end_input()


def print_records(paths: Sequence[str], *, once: bool) -> int:
    """Print the records of all runs under these paths as they come; the exit status.

    Args:
        paths: to look through.
        once: to the present end; else until interrupted, or until standard input has ended and was read.

    Raises:
        LogError: nothing under the paths is a log that springtui reads.
    """
    came: queue.Queue[tuple[ForeignRun, Batch]] = queue.Queue(_WAITING)
    with reading(paths, lambda run, batch: came.put((run, batch))) as (client, spool):
        from engine.logs.rows import records_of

        begun: set[str] = set()
        while True:
            over = client.is_idle and (once or (spool is not None and spool.is_read))
            if client.is_listed and not client.runs() and (spool is None or over):
                refuse(client)
            try:
                run, batch = came.get(timeout=0.05)
            except queue.Empty:
                if over:
                    return 0
                if client.error:
                    raise WorkerError(client.error) from None
                sys.stdout.flush()
                continue
            new = run.id not in begun
            begun.add(run.id)
            for record in records_of(batch, run.begun() if new or batch.anew or batch.settings else None):
                print_json({"run": run.id, **record})
