"""Producers of a sweep's cells: threads of this process, or an executor that is sent slices.

Producers take jobs from the front of a list, put cells, notes and errors into a queue, and poll a ``StopSignal``.
They write no files: only the sweep's worker does, so a lost executor neither loses nor repeats a record.
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
"""Seconds between polls of the outputs and of the stop signal."""
MOST_LOSSES = 5
"""After so many lost workers in a row a slice counts as their cause, and the sweep fails."""
CHAINS_AT_ONCE = 500
"""Chains in one slice, in the mean field: each takes microseconds."""
_AHEAD = 1.5
"""Slices sent to an executor for each that it can work on at once, so that no worker waits for the next."""
Output = Cell | Note | BaseException
"""A finished or unfinished cell, a note for the run, or the error that ended a producer."""
Queue = queue.SimpleQueue[Output]


class StopSignal:
    """Pauses and stops all producers of a sweep; set by the worker's main thread, polled by theirs."""

    def __init__(self, paused: Callable[[], bool]) -> None:
        self._paused = paused
        self.stopped = threading.Event()

    @property
    def paused(self) -> bool:
        """Whether producers must begin no new job."""
        return self._paused() and not self.stopped.is_set()

    def may_continue(self) -> bool:
        """False once stopped; while paused it blocks, until resumed or stopped."""
        while self.paused:
            time.sleep(LOOK)
        return not self.stopped.is_set()


class Producers(Protocol):
    """One or more threads that produce cells; started once, and polled until they end."""

    def start(self) -> None:
        """Start the threads."""

    def is_at_work(self) -> bool:
        """Whether any thread is alive, so that more outputs may come."""

    def join(self) -> None:
        """Wait for the threads to end."""


class ProducerThreads:
    """Base of producers: threads that put the exception that ends one of them into the queue."""

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
        """The work of one thread, in subclasses."""
        raise NotImplementedError


class ThreadProducers(ProducerThreads):
    """Threads of this process, each with one job at a time; ``work`` returns its cell, or None if stopped."""

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
    """One thread that keeps an executor busy with slices and sends those again whose worker was lost."""

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
        self._sent: dict[Future[bytes], tuple[Slice, int]] = {}
        """By future: its slice, and how often the backend had been repaired when it was sent."""
        self._repairs = 0
        self._losses: dict[tuple[int, int], int] = {}
        self._without_workers = False

    def _run(self) -> None:
        try:
            self._dispatch()
        finally:
            for future in self._sent:
                future.cancel()
            self._backend.close()
            self._put_finished()

    def _dispatch(self) -> None:
        while (self._waiting or self._sent) and not self._signal.stopped.is_set():
            if not self._signal.paused:
                self._send()
            if not self._sent:
                time.sleep(LOOK)
                continue
            done, _ = wait(self._sent, timeout=LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                part, sent_after = self._sent.pop(future)
                if not self._put_result(future, part):
                    self._resend(part, sent_after)

    def _send(self) -> None:
        width = self._backend.width()
        self._note_losses()
        self._note_workers(width)
        while self._waiting and len(self._sent) < max(1, round(_AHEAD * width)):
            part = self._waiting.popleft()
            try:
                self._sent[self._backend.submit(pack(part))] = (part, self._repairs)
            except BaseException as error:
                if not self._backend.is_loss(error):
                    raise
                self._resend(part, self._repairs)

    def _note_losses(self) -> None:
        """Put a note into the queue where workers were lost."""
        if (lost := self._backend.losses()) is not None:
            text = f"{self._backend.name}: {lost.in_words()}"
            self._outputs.put(Note(text=text, level="warning", lost=len(lost.workers)))

    def _note_workers(self, width: int) -> None:
        """Put a note into the queue when the last worker leaves or the first one comes."""
        if (width == 0) != self._without_workers:
            self._without_workers = width == 0
            text = "waiting for workers" if self._without_workers else f"{width} workers"
            self._outputs.put(Note(text=f"{self._backend.name}: {text}"))

    def _put_result(self, future: Future[bytes], part: Slice) -> bool:
        """Put a slice's cells into the queue and queue the rest of its work; False where its worker was lost."""
        try:
            result = unpack(future.result())
        except BaseException as error:
            if not self._backend.is_loss(error):
                raise
            return False
        for job in part.jobs:
            self._losses.pop((job.cell, job.member), None)
        for cell in result.cells:
            self._outputs.put(cell)
        if result.state:
            self._waiting.appendleft(msgspec.structs.replace(part, state=result.state))
        return True

    def _put_finished(self) -> None:
        """Put the cells of slices that finished while the backend closed into the queue."""
        for future in self._sent:
            if future.done() and not future.cancelled() and future.exception() is None:
                for cell in unpack(future.result()).cells:
                    self._outputs.put(cell)

    def _resend(self, part: Slice, sent_after: int) -> None:
        """Put a lost slice to the front of the queue; repair the backend once for all slices lost together."""
        first = part.jobs[0]
        key = (first.cell, first.member)
        self._losses[key] = self._losses.get(key, 0) + 1
        if self._losses[key] >= MOST_LOSSES:
            raise WorkerError(
                f"cell {first.cell}, member {first.member} lost its worker {MOST_LOSSES} times in a row: it may "
                f"need more memory than there is; what else was made is kept, and resume goes on from there"
            )
        self._waiting.appendleft(part)
        if sent_after == self._repairs:
            self._repairs += 1
            self._backend.repair()
            self._note_losses()


def _slices(jobs: Sequence[Job], method: str, seconds: float) -> list[Slice]:
    """One slice for each network or chain of replicas; one for ``CHAINS_AT_ONCE`` chains in the mean field."""
    many = CHAINS_AT_ONCE if jobs and isinstance(jobs[0].settings, ChainConfig) and method == "mean_field" else 1
    return [
        Slice(jobs=list(jobs[start : start + many]), method=method, seconds=seconds)
        for start in range(0, len(jobs), many)
    ]
