"""Fills the directory of a ``sweep`` run: computes its cells, coarse to fine, and obeys its control file.

Every finished member is a record of the run, so an interrupted sweep continues where it was: recorded members are
kept, the others are computed again from their seeds, with the same result. Only the worker that holds the run's
lock writes; producers (``sweep.producers``) hand it their cells.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

import msgspec

from ..cores import core_count
from ..errors import ConfigError, RunError
from ..runs.controls import ControlReader
from ..runs.directory import Run
from ..runs.records import Cell, Ended, Started, finite
from ..runs.status import Status
from ..runs.writer import RunWriter
from ..settings.sweep import SweepConfig
from ..settings.train import TrainConfig
from ..sweep.backends import CallerExecutor, check_executor, open_backend
from ..sweep.grid import cell_count, cell_settings, coarse_to_fine, members
from ..sweep.producers import (
    CHAINS_AT_ONCE,
    LOOK,
    ExecutorProducers,
    Producers,
    Queue,
    StopSignal,
    ThreadProducers,
)
from ..sweep.summary import accuracy_cv_correlation, summarise, with_accuracy_and_cv
from ..sweep.task import Job, only_chains
from .control_loop import ControlLoop, Interrupted, Stopwatch

SLICE_SECONDS = 2.0
"""Seconds of a network's training in one slice on an executor; a pause takes effect after as long."""


def run_sweep(
    run: Run,
    writer: RunWriter,
    controls: ControlReader,
    interrupted: Interrupted | None = None,
    executor: Executor | str | None = None,
    slice_seconds: float = SLICE_SECONDS,
) -> Ended:
    """Compute all cells, or until stopped, and return the last record. The caller releases the writer.

    Args:
        run: the sweep's directory.
        writer: of that run.
        controls: reader of its control file.
        interrupted: set by SIGTERM.
        executor: replaces the executor in the sweep's settings: another name, or an executor.
        slice_seconds: seconds of a network's training in one slice on an executor.

    Raises:
        InputError: the settings, the data or the executor are wrong, or the directory is gone.
        WorkerError: the executor is gone, or a cell lost its worker several times in a row.
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
        self.stopwatch = Stopwatch(self.loop)
        self.cells: list[Cell] = [event for event in run.events() if isinstance(event, Cell) and event.final]
        done = {(cell.cell, cell.member) for cell in self.cells}
        order = coarse_to_fine(len(config.x_values), len(config.y_values))
        self.total = len(order) * members(config)
        # one seed of every cell before the next seed, so that the whole diagram is seen early
        self.waiting = [
            Job(cell=cell, member=m, settings=cell_settings(config, cell, m))
            for m in range(members(config))
            for cell in order
            if (cell, m) not in done
        ]
        self.outputs: Queue = queue.SimpleQueue()
        self.signal = StopSignal(lambda: self.loop.paused)
        self.facts: dict[str, Any] = {"cells": cell_count(config), "resumed_with": len(self.cells)}

    def run(self) -> Ended:
        with contextlib.ExitStack() as held:
            producers = self._producers(held) if self.waiting else []
            self._write_started()
            self._run(producers)
        return self._ended()

    def _run(self, producers: list[Producers]) -> None:
        broken: BaseException | None = None
        try:
            for producer in producers:
                producer.start()
            while any(producer.is_at_work() for producer in producers) or not self.outputs.empty():
                if not self.loop.poll(len(self.cells)):
                    self.signal.stopped.set()
                broken = self._write_outputs() or broken
        finally:
            self.signal.stopped.set()
            for producer in producers:
                producer.join()
        broken = self._write_outputs(wait=0.0) or broken
        if broken is not None:
            raise broken

    def _write_outputs(self, wait: float = LOOK) -> BaseException | None:
        """Write the outputs in the queue; the exception that ended a producer, or None."""
        broken = None
        try:
            while True:
                output = self.outputs.get(timeout=wait) if wait else self.outputs.get_nowait()
                wait = 0.0
                if isinstance(output, BaseException):
                    self.signal.stopped.set()
                    broken = output
                elif isinstance(output, Cell):
                    if output.final:
                        self.cells.append(output)
                    self.writer.write(msgspec.structs.replace(output, done=len(self.cells)))
                else:
                    self.writer.write(output)
        except queue.Empty:
            return broken

    # producers of the cells

    def _producers(self, held: contextlib.ExitStack) -> list[Producers]:
        config = self.config
        if self.executor is not None:
            return [self._executor_producers(CallerExecutor(self.executor))]
        if config.executor.startswith(("processes", "dask:")):
            count = min(config.threads or core_count(), len(self.waiting))
            return [self._executor_producers(open_backend(config.executor, count))]
        self.facts["executor"] = config.executor
        if config.system == "chain":
            return [self._chain_producers()]
        threads = 1 if config.executor == "in-process" else config.threads
        return list(self._network_producers(threads, held))

    def _executor_producers(self, backend: Any) -> Producers:
        self.facts["executor"] = backend.name
        return ExecutorProducers(
            self.waiting, self.outputs, self.signal, backend, self.config.method, self.slice_seconds
        )

    def _chain_producers(self) -> Producers:
        """One thread that solves chains group by group; each call uses all cores."""
        from ..sweep.chains import pull  # compiled code, which networks do without

        config, threads = self.config, 1 if self.config.executor == "in-process" else self.config.threads or None
        many = CHAINS_AT_ONCE if config.method == "mean_field" else 1
        heads = self.waiting[::many]
        rows = {id(head): self.waiting[i * many : (i + 1) * many] for i, head in enumerate(heads)}

        def work(head: Job) -> None:
            for cell in pull(only_chains(rows[id(head)]), config.method, threads=threads):
                self.outputs.put(cell)

        return ThreadProducers(heads, self.outputs, self.signal, 1, work)

    def _network_producers(self, threads: int, held: contextlib.ExitStack) -> Iterable[Producers]:
        """Producers of networks: a stack for each accelerator, and threads for compiled and plain training."""
        # PyTorch, which chains and an executor's run do without
        from ..ensemble.member import why_not
        from ..ensemble.threads import single_threaded
        from ..sweep.stacked import StackedProducers
        from ..sweep.throughput import choose

        choices = choose(self.waiting, threads)
        self.facts["rates"] = [choice.rates for choice in choices if choice.rates]
        for device in sorted({choice.device for choice in choices} - {""}):
            jobs = [job for choice in choices if choice.device == device for job in choice.jobs]
            self.facts["device"] = device
            yield StackedProducers(jobs, self.outputs, self.signal, device)
        here = [choice for choice in choices if not choice.device]
        if here:
            self.facts["threads"] = at_once = min(choice.at_once for choice in here)
            most = max(choice.at_once for choice in choices)
            held.enter_context(single_threaded())
            wanted = {(job.cell, job.member) for choice in here for job in choice.jobs}
            jobs = [job for job in self.waiting if (job.cell, job.member) in wanted]
            alone = all(why_not(job.settings) for job in jobs if isinstance(job.settings, TrainConfig))
            yield self._thread_producers(jobs, at_once, threads or core_count() if alone else most)

    def _thread_producers(self, jobs: list[Job], at_once: int, cores: int) -> Producers:
        """Threads that train networks; where memory fits fewer networks than cores, each network uses several."""
        from ..sweep.networks import Networks  # PyTorch, as above

        networks = Networks(self.signal.may_continue, self.outputs.put, max(1, cores // at_once))

        def work(job: Job) -> Cell | None:
            assert isinstance(job.settings, TrainConfig)
            return networks.train(job.settings, (job.cell, job.member))

        return ThreadProducers(jobs, self.outputs, self.signal, at_once, work)

    # first and last record

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
        summaries = summarise(self.config, self.cells)
        spearman = accuracy_cv_correlation(summaries)
        counted = len(with_accuracy_and_cv(summaries))
        summary = {
            "seconds": self.stopwatch.seconds(),
            "spearman_accuracy_cv": finite(spearman),
            "spearman_cells": counted,
        }
        text = f"{len(self.cells)} of {self.total} {self.config.system}s made"
        reason = Status.FINISHED if done else Status.STOPPED
        return Ended(reason=reason, text=text, at=len(self.cells), summary=summary)


def _refuse(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ConfigError(f"nothing of a sweep can change while it runs; asked: {', '.join(settings)}")
