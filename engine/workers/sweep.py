"""Fills the directory of a ``sweep`` run: has its cells made, coarse to fine, and obeys its controls.

Every finished member is a line of ``events.jsonl``, so a sweep broken off at any moment goes on where it was: what
is written is not made again, what is not written is made anew from its seed, with the same result. Whoever makes
the cells, the one worker that holds the run's lock writes them.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import socket
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

import msgspec

from ..errors import ConfigError, RunError
from ..runs.controls import ControlReader
from ..runs.directory import Run
from ..runs.records import Cell, Ended, Started
from ..runs.status import Status
from ..runs.writer import RunWriter
from ..settings.sweep import SweepConfig
from ..settings.train import TrainConfig
from ..sweep.backends import Given, check_executor, open_backend
from ..sweep.crew import CHAINS_AT_ONCE, LOOK, Crew, ExecutorCrew, Orders, Queue, ThreadCrew
from ..sweep.grid import cell_settings, coarse_to_fine, members, size
from ..sweep.summary import accuracy_cv_correlation, summarise
from ..sweep.task import Job, only_chains
from .control_loop import ControlLoop, Interrupted

SLICE_SECONDS = 2.0
"""Of a network's training on an executor: how long a pause may take to be obeyed."""


def run_sweep(
    run: Run,
    writer: RunWriter,
    controls: ControlReader,
    interrupted: Interrupted | None = None,
    executor: Executor | str | None = None,
    slice_seconds: float = SLICE_SECONDS,
) -> Ended:
    """Make all cells, or as many as there is time for; the last record. The caller releases the writer.

    Args:
        run: the sweep's directory.
        writer: of that run.
        controls: what is asked of it.
        interrupted: the process's SIGTERM.
        executor: in place of the one that the sweep's configuration names: another name, or any executor.
        slice_seconds: how many seconds a network trains on an executor before it is looked at.

    Raises:
        InputError: the settings, the data or the executor are wrong, or the directory is gone.
        WorkerError: the executor is gone, or a cell loses every worker.
        DiskFullError: there is no room for a record.
        RunError: the run is no sweep.
    """
    config = run.config().settings
    if not isinstance(config, SweepConfig):
        raise RunError(f"{run.id} is no sweep")
    if isinstance(executor, str):
        check_executor(executor)
        config, executor = msgspec.structs.replace(config, executor=executor), None
    ended = _Sweep(run, writer, controls, interrupted, config, executor, slice_seconds).run()
    writer.write(ended)
    return ended


class _Sweep:
    """One sweep, from its first record to its last."""

    def __init__(
        self,
        run: Run,
        writer: RunWriter,
        controls: ControlReader,
        interrupted: Interrupted | None,
        config: SweepConfig,
        executor: Executor | None,
        slice_seconds: float,
    ) -> None:
        self.writer = writer
        self.config = config
        self.executor = executor
        self.slice_seconds = slice_seconds
        self.loop = ControlLoop(writer, controls, _refuse, interrupted)
        self.began = time.monotonic()
        self.cells: list[Cell] = [event for event in run.events() if isinstance(event, Cell) and event.final]
        done = {(cell.cell, cell.member) for cell in self.cells}
        order = coarse_to_fine(len(config.x_values), len(config.y_values))
        self.total = len(order) * members(config)
        # member by member: one seed of every cell before the next, so that the whole map is seen early
        self.waiting = [
            Job(cell=cell, member=m, settings=cell_settings(config, cell, m))
            for m in range(members(config))
            for cell in order
            if (cell, m) not in done
        ]
        self.made: Queue = queue.SimpleQueue()
        self.orders = Orders(lambda: self.loop.paused)
        self.facts: dict[str, Any] = {"cells": size(config), "resumed_with": len(self.cells)}

    def run(self) -> Ended:
        with contextlib.ExitStack() as held:
            crews = self._crews(held) if self.waiting else []
            self._write_started()
            self._run(crews)
        return self._ended()

    def _run(self, crews: list[Crew]) -> None:
        broken: BaseException | None = None
        try:
            for crew in crews:
                crew.start()
            while any(crew.is_at_work() for crew in crews) or not self.made.empty():
                if not self.loop.poll(len(self.cells)):
                    self.orders.stopped.set()
                broken = self._write_made() or broken
        finally:
            self.orders.stopped.set()
            for crew in crews:
                crew.join()
        broken = self._write_made(wait=0.0) or broken
        if broken is not None:
            raise broken

    def _write_made(self, wait: float = LOOK) -> BaseException | None:
        """Write what was made, as it comes; what broke the makers, if anything did."""
        broken = None
        try:
            while True:
                made = self.made.get(timeout=wait) if wait else self.made.get_nowait()
                wait = 0.0
                if isinstance(made, BaseException):
                    self.orders.stopped.set()
                    broken = made
                elif isinstance(made, Cell):
                    if made.final:
                        self.cells.append(made)
                    self.writer.write(msgspec.structs.replace(made, done=len(self.cells)))
                else:
                    self.writer.write(made)
        except queue.Empty:
            return broken

    # who makes the cells

    def _crews(self, held: contextlib.ExitStack) -> list[Crew]:
        config = self.config
        if self.executor is not None:
            return [self._sent_to(Given(self.executor))]
        if config.executor.startswith(("processes", "dask:")):
            return [
                self._sent_to(open_backend(config.executor, min(config.threads or _cores(), len(self.waiting))))
            ]
        self.facts["executor"] = config.executor
        if config.system == "chain":
            return [self._chains()]
        threads = 1 if config.executor == "in-process" else config.threads
        return list(self._networks(threads, held))

    def _sent_to(self, backend: Any) -> Crew:
        self.facts["executor"] = backend.name
        return ExecutorCrew(self.waiting, self.made, self.orders, backend, self.config.method, self.slice_seconds)

    def _chains(self) -> Crew:
        """One thread that hands out the chains; each of its calls uses all cores."""
        from ..sweep.chains import pull

        config, threads = self.config, 1 if self.config.executor == "in-process" else self.config.threads or None
        many = CHAINS_AT_ONCE if config.method == "mean_field" else 1
        heads = self.waiting[::many]
        rows = {id(head): self.waiting[i * many : (i + 1) * many] for i, head in enumerate(heads)}

        def work(head: Job) -> None:
            for cell in pull(only_chains(rows[id(head)]), config.method, threads=threads):
                self.made.put(cell)

        return ThreadCrew(heads, self.made, self.orders, 1, work)

    def _networks(self, threads: int, held: contextlib.ExitStack) -> Iterable[Crew]:
        """Compiled networks beside each other on threads, others one at a time, and stacks on accelerators."""
        from ..ensemble.member import why_not
        from ..ensemble.threads import single_threaded
        from ..sweep.stacked import StackedCrew
        from ..sweep.throughput import choose

        choices = choose(self.waiting, threads)
        self.facts["rates"] = [choice.rates for choice in choices if choice.rates]
        for device in sorted({choice.device for choice in choices} - {""}):
            jobs = [job for choice in choices if choice.device == device for job in choice.jobs]
            self.facts["device"] = device
            yield StackedCrew(jobs, self.made, self.orders, device)
        here = [choice for choice in choices if not choice.device]
        if here:
            self.facts["threads"] = at_once = min(choice.at_once for choice in here)
            most = max(choice.at_once for choice in choices)
            held.enter_context(single_threaded())
            wanted = {(job.cell, job.member) for choice in here for job in choice.jobs}
            jobs = [job for job in self.waiting if (job.cell, job.member) in wanted]
            alone = all(why_not(job.settings) for job in jobs if isinstance(job.settings, TrainConfig))
            yield self._trained_here(jobs, at_once, threads or _cores() if alone else most)

    def _trained_here(self, jobs: list[Job], at_once: int, cores: int) -> Crew:
        """Where memory holds fewer networks than there are cores, each takes several."""
        from ..sweep.networks import Networks

        networks = Networks(self.orders.holds, self.made.put, max(1, cores // at_once))

        def work(job: Job) -> Cell | None:
            assert isinstance(job.settings, TrainConfig)
            return networks.train(job.settings, (job.cell, job.member))

        return ThreadCrew(jobs, self.made, self.orders, at_once, work)

    # first and last words

    def _write_started(self) -> None:
        self.writer.write(
            Started(
                pid=os.getpid(),
                host=socket.gethostname(),
                settings=msgspec.structs.asdict(self.config),
                layers=[],
                total=self.total,
                facts=self.facts,
            )
        )

    def _ended(self) -> Ended:
        done = len(self.cells) == self.total
        seconds = time.monotonic() - self.began - self.loop.paused_seconds
        spearman = accuracy_cv_correlation(summarise(self.config, self.cells))
        summary = {"seconds": seconds, "spearman_accuracy_cv": spearman if math.isfinite(spearman) else None}
        text = f"{len(self.cells)} of {self.total} {self.config.system}s made"
        reason = Status.FINISHED if done else Status.STOPPED
        return Ended(reason=reason, text=text, at=len(self.cells), summary=summary)


def _refuse(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ConfigError(f"nothing of a sweep can change while it runs; asked: {', '.join(settings)}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
