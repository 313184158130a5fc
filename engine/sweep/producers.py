"""Those who make a sweep's cells: threads of this process, or any executor, fed with slices.

A crew takes jobs from the front of its list, puts what was made into a queue, and looks whether to hold on; it
writes nothing. Only the sweep's worker writes, so a lost executor loses no record and repeats none.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol

import msgspec

from ..errors import WorkerError
from ..runs.records import Cell, Note
from ..settings.chain import ChainConfig
from .backends import Backend
from .task import Job, Slice, pack, unpack

LOOK = 0.05
"""Seconds between looks at what was made and what is asked."""
MOST_LOSSES = 5
"""Workers that a slice may lose one after another before it is taken for the cause."""
CHAINS_AT_ONCE = 500
"""By theory, in one slice: a settled chain takes microseconds."""
_AHEAD = 1.5
"""Slices on their way for each that is worked on: no worker waits for the next."""
Output = Cell | Note | BaseException
Queue = queue.SimpleQueue[Output]


class StopSignal:
    """What holds for all of a crew: whether to go on. Set by the worker's own thread."""

    def __init__(self, paused: Callable[[], bool]) -> None:
        self._paused = paused
        self.stopped = threading.Event()

    @property
    def paused(self) -> bool:
        """Whether to begin nothing new."""
        return self._paused() and not self.stopped.is_set()

    def may_continue(self) -> bool:
        """Whether to go on; waits out a pause."""
        while self.paused:
            time.sleep(LOOK)
        return not self.stopped.is_set()


class Producers(Protocol):
    """Started once, and asked until it is done."""

    def start(self) -> None:
        """Begin."""

    def is_at_work(self) -> bool:
        """Whether more may come."""

    def join(self) -> None:
        """Wait for its end, once it was told to stop or has nothing left."""


class ProducerThreads:
    """A crew's threads; what one of them raises goes into the queue, for the thread that waits."""

    def __init__(self, outputs: Queue, signal: StopSignal, name: str, count: int = 1) -> None:
        self._outputs, self._signal = outputs, signal
        self._threads = [threading.Thread(target=self._guarded, name=f"{name}-{i}") for i in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def is_at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._outputs.put(error)

    def _run(self) -> None:
        """What each thread does."""
        raise NotImplementedError


class ThreadProducers(ProducerThreads):
    """Threads of this process, each with a job at a time; ``work`` makes one and knows pause and stop."""

    def __init__(
        self,
        jobs: Sequence[Job],
        outputs: Queue,
        signal: StopSignal,
        count: int,
        work: Callable[[Job], Cell | None],
    ) -> None:
        super().__init__(outputs, signal, "sweep", max(1, min(count, len(jobs))))
        self._jobs, self._work = deque(jobs), work

    def _run(self) -> None:
        while self._signal.may_continue() and (job := self._next()) is not None:
            cell = self._work(job)
            if cell is not None:
                self._outputs.put(cell)

    def _next(self) -> Job | None:
        try:
            return self._jobs.popleft()
        except IndexError:
            return None


class ExecutorProducers(ProducerThreads):
    """One thread that keeps an executor busy with slices, and starts those again whose worker was lost."""

    def __init__(
        self,
        jobs: Sequence[Job],
        outputs: Queue,
        signal: StopSignal,
        backend: Backend,
        method: str,
        seconds: float,
    ) -> None:
        super().__init__(outputs, signal, "sweep-dispatch")
        self._backend = backend
        self._waiting = deque(_slices(jobs, method, seconds))
        self._flying: dict[Future[bytes], tuple[Slice, int]] = {}
        """What was sent, and after how many mendings."""
        self._mended = 0
        self._losses: dict[tuple[int, int], int] = {}
        self._alone = False

    def _run(self) -> None:
        try:
            self._dispatch()
        finally:
            for future in self._flying:
                future.cancel()
            self._backend.close()
            self._take_the_rest()

    def _dispatch(self) -> None:
        while (self._waiting or self._flying) and not self._signal.stopped.is_set():
            if not self._signal.paused:
                self._send()
            if not self._flying:
                time.sleep(LOOK)
                continue
            done, _ = wait(self._flying, timeout=LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                part, sent_after = self._flying.pop(future)
                if not self._take(future, part):
                    self._again(part, sent_after)

    def _send(self) -> None:
        width = self._backend.width()
        self._tell_whether_alone(width)
        while self._waiting and len(self._flying) < max(1, round(_AHEAD * width)):
            part = self._waiting.popleft()
            try:
                self._flying[self._backend.submit(pack(part))] = (part, self._mended)
            except BaseException as error:
                if not self._backend.lost(error):
                    raise
                self._again(part, self._mended)

    def _tell_whether_alone(self, width: int) -> None:
        if (width == 0) != self._alone:
            self._alone = width == 0
            text = "waiting for workers" if self._alone else f"{width} workers"
            self._outputs.put(Note(text=f"{self._backend.name}: {text}"))

    def _take(self, future: Future[bytes], part: Slice) -> bool:
        """What a slice came to; False where its worker was lost."""
        try:
            found = unpack(future.result())
        except BaseException as error:
            if not self._backend.lost(error):
                raise
            return False
        for job in part.jobs:
            self._losses.pop((job.cell, job.member), None)
        for cell in found.cells:
            self._outputs.put(cell)
        if found.state:
            self._waiting.appendleft(msgspec.structs.replace(part, state=found.state))
        return True

    def _take_the_rest(self) -> None:
        """What was still made while the executor came to rest is not thrown away."""
        for future in self._flying:
            if future.done() and not future.cancelled() and future.exception() is None:
                for cell in unpack(future.result()).cells:
                    self._outputs.put(cell)

    def _again(self, part: Slice, sent_after: int) -> None:
        """Put a lost slice first in the row; an executor that broke is mended once for all that it lost."""
        first = part.jobs[0]
        key = (first.cell, first.member)
        self._losses[key] = self._losses.get(key, 0) + 1
        if self._losses[key] >= MOST_LOSSES:
            raise WorkerError(
                f"cell {first.cell}, member {first.member} lost its worker {MOST_LOSSES} times in a row: it may "
                f"need more memory than there is; what else was made is kept, and resume goes on from there"
            )
        self._waiting.appendleft(part)
        if sent_after == self._mended:
            self._mended += 1
            text = f"{self._backend.name}: a worker was lost; its work starts again"
            self._outputs.put(Note(text=text, level="warning"))
            self._backend.mend()


def _slices(jobs: Sequence[Job], method: str, seconds: float) -> list[Slice]:
    """Networks one by one; chains by theory many at once."""
    many = CHAINS_AT_ONCE if jobs and isinstance(jobs[0].settings, ChainConfig) and method == "mean_field" else 1
    return [
        Slice(jobs=list(jobs[start : start + many]), method=method, seconds=seconds)
        for start in range(0, len(jobs), many)
    ]
