"""The process that reads other tools' logs for the app and hands over their columns.

Its arguments are the paths to read. It writes frames (``wire``) to its standard output, and waits where nobody
takes them: a pipe is all that it buffers. It keeps no points. It ends when its standard input is closed, as it is
when its parent ends in whatever way.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import wire
from .found_run import FoundRun
from .reader import PIECE
from .source import Source

NICENESS = 5
"""How much more patient than the app it is with other processes."""
SCAN_SECONDS = 0.05
"""Seconds at a time for listing folders, between which records are read."""
FIRST_PIECE = 1 << 18
"""Bytes that are read before anything is told, so that there is a first picture soon."""
LONGEST_WAIT = 1.0
"""Seconds without a look at most."""
_NEWEST = 4
"""Files of a run that are looked at, from the newest one on."""
Send = Callable[[wire.Message, wire.Body], None]


class Teller:
    """Tells what a source finds.

    Args:
        source: what is read.
        send: takes a message and the points of a batch.
    """

    def __init__(self, source: Source, send: Send) -> None:
        self._source = source
        self._send = send
        self._told: dict[int, object] = {}
        """By number, what of a run was told last."""
        self._idle = False
        self._changes = -1
        self._listed: wire.Listed | None = None
        self._piece = FIRST_PIECE

    def step(self) -> float:
        """List and read for a moment; how many seconds to wait then."""
        source = self._source
        more = source.scan(SCAN_SECONDS)
        self._tell_runs()
        if source.is_scanned:
            self._tell_listed()
        news = source.poll(self._piece)
        for number, batch in news:
            self._piece = PIECE
            self._tell(*wire.news(number, batch, _changed(source.run(number))))
        self._tell_runs()  # those that turned out to be the same training while they were read
        if source.is_caught_up and not self._idle:
            self._idle = True
            self._send(wire.Idle(), ())
        return 0.0 if news or more else min(source.wait, LONGEST_WAIT)

    def _tell(self, message: wire.Message, body: wire.Body = ()) -> None:
        """Send what may leave something to be read or compared."""
        self._idle = False
        self._send(message, body)

    def _tell_runs(self) -> None:
        source = self._source
        if self._changes == source.changes:
            return
        self._changes = source.changes
        others = (source.run(number) for number in list(self._told))
        for run in (*source.runs.values(), *others):
            state = run.claim, run.is_gone, run.instead, run.own, run.same_as
            if self._told.get(run.number) != state:
                self._told[run.number] = state
                self._tell(wire.found(run))

    def _tell_listed(self) -> None:
        source = self._source
        problems = {str(path): error for path, error in (source.problems | source.unreadable).items()}
        own = [os.fsencode(path) for path in source.own_runs]
        listed = wire.Listed(source.files, problems, source.newest, own)
        if listed != self._listed:
            self._listed = listed
            self._send(listed, ())


def _changed(run: FoundRun) -> float:
    """When the newest of a run's files was changed, in seconds since the epoch; 0 where none can be looked at."""
    changed = 0.0
    for path in run.claim.files[-_NEWEST:]:
        with contextlib.suppress(OSError, ValueError):
            changed = max(changed, path.stat().st_mtime)
    return changed


def _write(descriptor: int, pieces: Sequence[bytes | memoryview]) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _end_with_parent() -> None:
    """Wait for the end of the standard input, and end at once."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def main(arguments: Sequence[str]) -> int:
    """Read until the parent ends; the exit status."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no frame
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    source = Source([Path(argument) for argument in arguments])
    teller = Teller(source, lambda message, body: _write(out, wire.frame(message, body)))
    try:
        while True:
            time.sleep(teller.step())
    except BrokenPipeError:  # nobody takes the frames any more
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
