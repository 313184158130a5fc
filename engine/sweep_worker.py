"""Fills the directory of a ``sweep`` run: makes its cells on all cores, coarse to fine, and obeys its controls.

Every finished member is a line of ``events.jsonl``, so a sweep broken off at any moment goes on where it was: what
is written is not made again, what is not written is made anew from its seed, with the same result.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from .config import ChainConfig, SweepConfig, TrainConfig
from .controlled import ControlLoop, Interrupted
from .errors import ConfigError, DivergedError, RunError
from .records import Cell, Ended, Started
from .rundir import Controls, Run
from .sweep import accuracy_cv_correlation, cell_settings, coarse_to_fine, members, size, summarise

_LOOK = 0.05
"""Seconds between looks at what threads made and what is asked."""
Task = tuple[int, int]
"""A cell and a member of it."""


def run_sweep(run: Run, controls: Controls, interrupted: Interrupted | None = None) -> Ended:
    """Make all cells, or as many as there is time for; the lock is the caller's. The last record is returned."""
    config = run.config().settings
    if not isinstance(config, SweepConfig):
        raise RunError(f"{run.id} is no sweep")
    ended = _Job(run, controls, interrupted, config).run()
    run.write(ended)
    return ended


class _Job:
    """One sweep, from its first record to its last."""

    def __init__(self, run: Run, controls: Controls, interrupted: Interrupted | None, config: SweepConfig) -> None:
        self.at_file = run
        self.config = config
        self.loop = ControlLoop(run, controls, _refuse, interrupted)
        self.began = time.monotonic()
        self.cells: list[Cell] = [event for event in run.events() if isinstance(event, Cell) and event.final]
        done = {(cell.cell, cell.member) for cell in self.cells}
        order = coarse_to_fine(len(config.x_values), len(config.y_values))
        self.total = len(order) * members(config)
        # member by member: one seed of every cell before the next, so that the whole map is seen early
        self.waiting = [(cell, m) for m in range(members(config)) for cell in order if (cell, m) not in done]
        self.made: queue.SimpleQueue[Cell | BaseException] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self.lock = threading.Lock()

    def run(self) -> Ended:
        self._write_started()
        with _cores_to_ourselves() if self._in_parallel() else contextlib.nullcontext():
            return self._run()

    def _run(self) -> Ended:
        crew = self._crew()
        for thread in crew:
            thread.start()
        broken: BaseException | None = None
        try:
            while any(thread.is_alive() for thread in crew) or not self.made.empty():
                if not self.loop.poll(len(self.cells)):
                    self.stopped.set()
                broken = self._write_made() or broken
        finally:
            self.stopped.set()
            for thread in crew:
                thread.join()
        broken = self._write_made(wait=0.0) or broken
        if broken is not None:
            raise broken
        return self._ended()

    def _write_made(self, wait: float = _LOOK) -> BaseException | None:
        """Write what the threads made, as it comes; what broke one of them, if anything did."""
        broken = None
        try:
            while True:
                made = self.made.get(timeout=wait) if wait else self.made.get_nowait()
                if isinstance(made, BaseException):
                    self.stopped.set()
                    broken = made
                    continue
                if made.final:
                    self.cells.append(made)
                self.at_file.write(msgspec.structs.replace(made, done=len(self.cells)))
                wait = 0.0
        except queue.Empty:
            return broken

    # the threads

    def _crew(self) -> list[threading.Thread]:
        work = self._train_all if self.config.system == "network" else self._pull_all
        count = (self.config.threads or _cores()) if self._in_parallel() else 1
        count = max(1, min(count, len(self.waiting)))
        return [threading.Thread(target=self._guarded, args=(work,), name=f"sweep-{i}") for i in range(count)]

    def _in_parallel(self) -> bool:
        """Chains use all cores for a cell; networks that the ensemble cannot train use them for one network."""
        if self.config.system == "chain" or not self.waiting:
            return False
        from .ensemble import why_not

        settings = cell_settings(self.config, 0)
        return isinstance(settings, TrainConfig) and not why_not(settings)

    def _guarded(self, work: Any) -> None:
        try:
            if self._in_parallel():
                _one_core_each()
            work()
        except BaseException as error:  # raised by the thread that waits
            self.made.put(error)

    def _next(self) -> Task | None:
        with self.lock:
            return self.waiting.pop(0) if self.waiting and not self.stopped.is_set() else None

    def _holds(self) -> bool:
        """Whether to go on; waits out a pause."""
        while self.loop.paused and not self.stopped.is_set():
            time.sleep(_LOOK)
        return not self.stopped.is_set()

    def _train_all(self) -> None:
        from .sweep_train import Networks

        networks = Networks(self._holds, self._present)
        while self._holds() and (task := self._next()) is not None:
            settings = cell_settings(self.config, *task)
            assert isinstance(settings, TrainConfig)
            cell = networks.train(settings, task)
            if cell is not None:
                self.made.put(cell)

    def _present(self, cell: Cell) -> None:
        self.made.put(cell)

    def _pull_all(self) -> None:
        from .mean_field_cells import mean_field_cells

        if self.config.method == "mean_field":
            self._pull_by_theory(mean_field_cells)
            return
        from .chain_ensemble import pull_cells

        while self._holds() and (task := self._next()) is not None:
            settings = cell_settings(self.config, *task)
            assert isinstance(settings, ChainConfig)
            try:
                (pulled,) = pull_cells([settings], threads=self.config.threads or None, first_cell=task[0])
            except DivergedError as error:
                self.made.put(Cell(cell=task[0], member=0, final=True, at=settings.steps, text=str(error)))
                continue
            self.made.put(_chain_cell(task, settings, pulled.mean_L.tolist(), pulled.sd_L.tolist()))

    def _pull_by_theory(self, solve: Any) -> None:
        """All cells in a few batches."""
        while self._holds():
            tasks = [task for _ in range(500) if (task := self._next()) is not None]
            if not tasks:
                return
            chains = [cell_settings(self.config, *task) for task in tasks]
            first = chains[0]
            assert isinstance(first, ChainConfig)
            x_CL = solve(
                [c.mu_right for c in chains if isinstance(c, ChainConfig)],
                [c.mu_left for c in chains if isinstance(c, ChainConfig)],
                [c.noise for c in chains if isinstance(c, ChainConfig)],
                blocks=first.blocks,
                k=first.k,
                eta=first.eta,
                steps=first.steps,
                target=first.target,
            )
            for task, x_L in zip(tasks, x_CL, strict=True):
                self.made.put(_chain_cell(task, first, x_L.tolist(), []))

    # first and last words

    def _write_started(self) -> None:
        self.at_file.write(
            Started(
                pid=os.getpid(),
                host=socket.gethostname(),
                settings=msgspec.structs.asdict(self.config),
                layers=[],
                total=self.total,
                facts={"cells": size(self.config), "resumed_with": len(self.cells)},
            )
        )

    def _ended(self) -> Ended:
        done = len(self.cells) == self.total
        seconds = time.monotonic() - self.began - self.loop.paused_seconds
        spearman = accuracy_cv_correlation(summarise(self.config, self.cells))
        summary = {"seconds": seconds, "spearman_accuracy_cv": spearman if math.isfinite(spearman) else None}
        text = f"{len(self.cells)} of {self.total} {self.config.system}s made"
        return Ended(reason="finished" if done else "stopped", text=text, at=len(self.cells), summary=summary)


def _chain_cell(task: Task, config: ChainConfig, mean: list[float], sd: list[float]) -> Cell:
    y = config.target
    curves: dict[str, list[float | None]] = {"distance": [y, *(y - x for x in mean), 0.0]}
    if sd:
        curves["sd"] = [0.0, *sd, 0.0]
    return Cell(cell=task[0], member=task[1], final=True, at=config.steps, curves=curves)


def _refuse(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ConfigError(f"nothing of a sweep can change while it runs; asked: {', '.join(settings)}")


def _cores_to_ourselves() -> contextlib.AbstractContextManager[None]:
    """One thread for each product: the networks beside each other use the cores already."""
    from .ensemble_threads import single_threaded

    return single_threaded()


def _one_core_each() -> None:
    import torch

    torch.set_num_threads(1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
