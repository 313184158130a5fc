"""Reading one run in a thread: its records, its worker's output, its status, and what its worker uses.

No messages are posted: ``version`` grows with every change, and a screen that draws a few times a second
compares it. Of a long log a few hundred records are read first; then all of it is read in small pieces, with
pauses in which the screen's thread runs.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.runs.any_run import AnyRun
from engine.runs.log import Bulk
from engine.runs.status import Observation, Status

from ..state.run_state import RunState
from ..state.sampling import LONG, sampled_state
from ..state.timeline import Points, Timeline, View

if TYPE_CHECKING:
    from .usage import Sample, Usage

PIECE = 1 << 16
"""Bytes that are read at once: about a millisecond of work."""
BREATH = 0.001
"""Seconds between pieces of a log that is being read through, in which other threads run."""
BUSY, QUIET = 0.04, 0.2
"""Seconds between looks at the log while records come, and while none do."""
STATUS_EVERY, USAGE_EVERY = 0.7, 1.0
"""Seconds between looks at the lock and the worker's output, and at what is used of the machine."""
HEAD_START = 2.0
"""Seconds that a screen has at most to draw the first look at a long log, before reading it through begins."""
SAMPLES = 240
"""Measurements of processor and memory that are kept."""


class Follower:
    """Reads a run until it is closed. Everything public may be read from any thread at any time."""

    def __init__(self, run: AnyRun, process: subprocess.Popen[bytes] | None = None) -> None:
        self.run = run
        self.timeline = Timeline(run.log(), run.id)
        self.version = 0
        self.observation: Observation | None = None
        """How the run stands; None until the first look."""
        self.gone = False
        """Whether the directory was removed."""
        self.log: list[str] = []
        """The last lines of the worker's output."""
        self.usage: deque[Sample] = deque(maxlen=SAMPLES)
        self.gpu_note = ""
        self.complete = False
        """Whether the log was read to its present end at least once."""
        self._sampled: RunState | None = None
        self._seen_with: Observation | None = None
        """The observation made before the log was last read to its end."""
        self._size = 0
        self._process = process
        self._meter: Usage | None = None
        self._printed: object = None
        """The mark of what the training had printed when it was last read."""
        self._closed = threading.Event()
        self._drawn = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"follow-{run.id}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._drawn.set()

    def drawn(self) -> None:
        """Note that the screen has drawn the first look at a long log, which may be read through now."""
        self._drawn.set()

    def join(self, seconds: float = 5.0) -> None:
        """Wait for the thread to end."""
        self._thread.join(seconds)

    def view(self) -> View:
        """The run by the records read so far; by the sampled log where that reaches further."""
        view = self.timeline.view()
        state = view.state
        if self._sampled is not None:
            view = self._blended(view, self._sampled)
            state = view.state
        found = self.observation
        if self.gone:
            state.status = Status.GONE
        elif found is not None and self.complete and not found.status.is_live:
            state.status = found.status
        if self._size:
            view.read = 1.0 if self.complete else min(1.0, self.timeline.offset / self._size)
        return view

    def _blended(self, view: View, sampled: RunState) -> View:
        """The first look's state, and histories that are exact as far as the log was read."""
        histories = {}
        for name, history in sampled.history.items():
            histories[name] = _spliced(view.histories.get(name, ([], [])), history.points())
        return View(replace(sampled), {**view.histories, **histories}, view.curves, 0.0, view.damaged, view.moves)

    # called in the thread

    def _follow(self) -> None:
        log = self.timeline.log
        self.observation = self.run.observe()
        if ((bulk := log.bulk()) is None or bulk.has_records) and (size := log.signature().size) >= LONG:
            self._size = size
            self._sampled = sampled_state(log, self.run.id)
            self.version += 1
            self._look_log()
            self._drawn.wait(HEAD_START)
        looks = {self._look_alive: 0.0, self._look_log: 0.0, self._look_usage: time.monotonic() + STATUS_EVERY}
        every = {self._look_alive: STATUS_EVERY, self._look_log: STATUS_EVERY, self._look_usage: USAGE_EVERY}
        while not self._closed.is_set():
            for look, due in looks.items():
                if time.monotonic() >= due:
                    look()
                    looks[look] = time.monotonic() + every[look]
            self._closed.wait(self._take_piece())

    def _take_piece(self) -> float:
        """Read the next piece of the log; how many seconds to wait then."""
        timeline = self.timeline
        found = self.observation  # from before the log is read, whose last record may be the worker's end
        log = timeline.log
        if (bulk := log.bulk()) is not None:
            wait = self._take_bulk(bulk)
            if not bulk.has_records:
                return wait
        piece = log.read(timeline.offset, PIECE)
        if piece.start != timeline.offset:  # the log was replaced or cut: read it from the front
            self.timeline = timeline = Timeline(log, self.run.id)
            if bulk is not None:
                timeline.take_bulk(bulk)
            self._sampled, self.complete = None, False
        self._size = max(self._size, log.signature().size)
        records = timeline.take(piece)
        if records:
            self.version += 1
        if piece.more:
            return BREATH
        if not self.complete or self._seen_with != found:
            self._seen_with, self.complete, self._sampled = found, True, None
            self.version += 1
        return BUSY if records else QUIET

    def _take_bulk(self, bulk: Bulk) -> float:
        """Take a log that another process reads; how many seconds to wait then."""
        if self.timeline.take_bulk(bulk):
            self.complete = bulk.read >= 1.0 and (self.complete or not bulk.has_records)
            self.version += 1
            return BUSY
        return QUIET

    def _look_alive(self) -> None:
        found, gone = self.run.observe(), self.run.is_gone()
        if (found, gone) != (self.observation, self.gone):
            self.observation, self.gone = found, gone
            self.version += 1

    @property
    def alive(self) -> bool | None:
        """Whether a worker holds the run or is about to; None where that cannot be seen from here."""
        if self.observation is None:
            return None
        starting = self._process is not None and self._process.poll() is None
        return True if starting else self.observation.live

    def _look_log(self) -> None:
        if (found := self.run.printed(self._printed)) is not None:
            self._printed, self.log = found
            self.version += 1

    def _look_usage(self) -> None:
        """Measure what the worker and the machine use, where the worker lives on this host."""
        found = self.observation
        if found is None or not found.in_sight:
            return
        if self._meter is None:
            from .usage import Usage  # imports psutil, which the first picture need not wait for

            self._meter = Usage()
            self.gpu_note = self._meter.gpu_note
        self.usage.append(self._meter.sample(found.pid))
        self.gpu_note = self._meter.gpu_note
        self.version += 1


def _spliced(known: Points, coarse: Points) -> Points:
    end = known[0][-1] if known[0] else float("-inf")
    beyond = [(x, y) for x, y in zip(*coarse, strict=True) if x > end]
    return known[0] + [x for x, _ in beyond], known[1] + [y for _, y in beyond]
