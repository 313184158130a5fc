"""Follows one run's directory from a thread, and tells the screen in batches.

Reading happens off the event loop because a run may lie on a slow network file system. The next batch is
read only once the last one was folded, so a long log never floods the screen.
"""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass

from textual.message import Message
from textual.message_pump import MessagePump

from engine.runs.directory import Run
from engine.runs.records import Event, Started
from engine.runs.status import Observation

BREATH = 0.005
"""Seconds between looks while there is more to catch up with."""
BUSY, QUIET = 0.03, 0.2
"""Seconds between looks while records come, and while none do."""
PIECE = 1 << 18
"""Bytes that are taken in at once: what the screen's thread folds without a key having to wait."""
STATUS_EVERY = 0.5
"""Seconds between looks at the lock."""


class Watcher:
    """Posts ``RecordsRead`` and ``StatusSeen`` to a target until it is closed."""

    @dataclass
    class RecordsRead(Message):
        """Records came."""

        watcher: Watcher
        events: list[Event]
        more: bool = False
        """Whether the log holds more that has not been read yet."""

    @dataclass
    class StatusSeen(Message):
        """The worker was seen to come or to go."""

        watcher: Watcher
        alive: bool
        found: Observation
        log: list[str]

    def __init__(self, run: Run, target: MessagePump, process: subprocess.Popen[bytes] | None = None) -> None:
        self.run = run
        self.process = process
        """The worker, where it is ours; a later one may take its place."""
        self._target = target
        self._closed = threading.Event()
        self._folded = threading.Event()
        self._folded.set()
        self._thread = threading.Thread(target=self._follow, name=f"watch-{run.id}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop following; nothing is posted after the batch under way."""
        self._closed.set()
        self._folded.set()

    def folded(self) -> None:
        """The batch posted last was taken in; the next may come."""
        self._folded.set()

    def _follow(self) -> None:
        log, offset = self.run.log(), 0
        told: bool | None = None
        next_look = 0.0
        alive = True
        while not self._closed.is_set():
            if time.monotonic() >= next_look:
                alive, next_look = self._is_alive(), time.monotonic() + STATUS_EVERY
            piece = log.read(offset, PIECE)
            read, offset = piece.end != offset, piece.end
            events = [event for record in piece.records if (event := log.decode(record)) is not None]
            if events:
                self._folded.clear()
                self._target.post_message(self.RecordsRead(self, events, piece.more))
                self._folded.wait()
                if any(isinstance(event, Started) for event in events):
                    told = None  # of an earlier worker
            elif alive != told and not read:
                # only after a look that found nothing more to read, so that no last word is missed
                told = alive
                self._target.post_message(
                    self.StatusSeen(self, alive, self.run.observe(), self.run.last_log_lines())
                )
            self._closed.wait(BREATH if piece.more else BUSY if read else QUIET)

    def _is_alive(self) -> bool:
        """By the lock; and a worker of ours that still imports, and holds no lock yet, by its process."""
        process = self.process
        return self.run.is_live() or (process is not None and process.poll() is None)
