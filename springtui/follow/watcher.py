"""Reading one run's records in a thread and posting them to a screen in batches.

A thread, because a run may lie on a slow network file system. The next batch is read only once the screen has
folded the last one, so that a long log never fills its queue of messages.
"""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from textual.message import Message

from engine.runs.directory import Run
from engine.runs.records import Event, Started
from engine.runs.status import Observation

BREATH = 0.005
"""Seconds between batches while the log holds more."""
BUSY, QUIET = 0.03, 0.2
"""Seconds between looks at the log while records come, and while none do."""
PIECE = 1 << 18
"""Bytes of a batch: the screen's thread folds so many without letting a key wait."""
_SHOWN = 3
"""Lines of a failed worker's output that a notice shows."""
STATUS_EVERY = 0.5
"""Seconds between looks at the lock."""


class Target(Protocol):
    """Accepts messages from any thread; every Textual screen does."""

    def post_message(self, message: Message) -> bool:
        """Put a message into its queue."""


class Watcher:
    """Posts ``RecordsRead`` and ``StatusSeen`` to a target until it is closed."""

    @dataclass
    class RecordsRead(Message):
        """Records were read."""

        watcher: Watcher
        events: list[Event]
        more: bool = False
        """Whether the log holds more that has not been read yet."""

    @dataclass
    class StatusSeen(Message):
        """The worker was seen to take the run up, or to have left it."""

        watcher: Watcher
        alive: bool
        observation: Observation
        log: list[str]
        """The last lines of the worker's output."""

        def last_output(self) -> str:
            """The end of the worker's output in one line; empty where it printed nothing."""
            return " | ".join(line.strip() for line in self.log[-_SHOWN:] if line.strip())

    def __init__(self, run: Run, target: Target, process: subprocess.Popen[bytes] | None = None) -> None:
        self.run = run
        self.process = process
        """The worker's process where this app started it; set anew when it starts another."""
        self._target = target
        self._closed = threading.Event()
        self._folded = threading.Event()
        self._folded.set()
        self._thread = threading.Thread(target=self._follow, name=f"watch-{run.id}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading; at most the batch under way is still posted."""
        self._closed.set()
        self._folded.set()

    def folded(self) -> None:
        """Note that the screen has folded the last batch, so that the next may be posted."""
        self._folded.set()

    def _follow(self) -> None:
        log, offset = self.run.log(), 0
        posted: bool | None = None
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
                    posted = None  # that was about an earlier worker
            elif alive != posted and not read:
                # only once nothing more was there to read: the worker's last record comes before the message
                posted = alive
                self._target.post_message(
                    self.StatusSeen(self, alive, self.run.observe(), self.run.last_log_lines())
                )
            self._closed.wait(BREATH if piece.more else BUSY if read else QUIET)

    def _is_alive(self) -> bool:
        """Whether the lock is held, or a worker that this app started lives, which may not hold it yet."""
        process = self.process
        return self.run.is_live() or (process is not None and process.poll() is None)
