"""Trains the members of a group on several threads, and reports between epochs.

Compiled code holds no interpreter lock, so threads are as good as processes here and share the data.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from ..cores import core_count
from ..datasets.load import Dataset
from ..errors import DivergedError
from ..jit import sgemm_address
from ..settings.train import TrainConfig
from .member import Group, Member, MemberResult, MemberTrainer, Progress
from .state import Workspace

Report = Callable[[Progress], object]


_limits_lock = threading.Lock()
_limited: list[Any] = []
"""The limit on BLAS's threads while there are ``_holders``; the last one to leave lifts it."""
_holders = 0


@contextlib.contextmanager
def single_threaded(torch_threads: int = 1) -> Iterator[None]:
    """Limit BLAS to one thread in the process and torch to some in the calling thread; undone at the end."""
    global _holders
    before = torch.get_num_threads()
    sgemm_address()  # loads SciPy's BLAS: only what is loaded can be limited
    with _limits_lock:
        _holders += 1
        if _holders == 1:
            _limited.append(threadpool_limits(1, user_api="blas"))
    torch.set_num_threads(torch_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        with _limits_lock:
            _holders -= 1
            if _holders == 0:
                _limited.pop().restore_original_limits()


def train_ensemble(
    config: TrainConfig,
    members: Sequence[Member],
    dataset: Dataset,
    *,
    threads: int | None = None,
    measure_every: int = 0,
    on_progress: Report | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[MemberResult]:
    """Train members to the end, in their order, as many at a time as there are threads.

    Args:
        config: shape, batch size, epochs and all else that members share; a member's own settings replace its.
        members: the settings that differ.
        dataset: flat samples, x [N, D].
        threads: default one per core that the process may use.
        measure_every: epochs between load curves; 0 measures at the end alone. Each takes about two epochs' time.
        on_progress: called after each epoch of each member, one call at a time, from the training threads; as long
            as it does not return, its member pauses.
        stop: called before each epoch and every thousand steps; after True, unfinished members stay as they are.

    A member that diverges is marked and the others go on.

    Raises:
        ConfigError: these settings are not trained in ensembles, or a member's are out of range.
    """
    job = _Job(Group(config, dataset), members, measure_every, on_progress, stop)
    return job.run(min(threads or core_count(), max(1, len(members))))


class _Job:
    """Members that wait, the results of those that are done, and the threads that train them."""

    def __init__(
        self,
        group: Group,
        members: Sequence[Member],
        measure_every: int,
        on_progress: Report | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        self.group = group
        self.members = members
        self.measure_every = measure_every
        self.on_progress = on_progress
        self.asked = stop
        self.results: list[MemberResult | None] = [None for _ in members]
        self.waiting = iter(range(len(members)))
        self.lock = threading.Lock()
        self.report_lock = threading.Lock()
        self.broken: BaseException | None = None

    def run(self, threads: int) -> list[MemberResult]:
        with single_threaded():
            crew = [threading.Thread(target=self._work, name=f"ensemble-{i}") for i in range(threads)]
            for thread in crew:
                thread.start()
            try:
                for thread in crew:
                    thread.join()
            except BaseException as error:  # Ctrl-C: no thread may go on training
                self.broken = error
                for thread in crew:
                    thread.join()
                raise
        if self.broken is not None:
            raise self.broken
        pairs = zip(self.members, self.results, strict=True)
        return [result or MemberResult(member, 0, None, [], False, "", False) for member, result in pairs]

    def _stopped(self) -> bool:
        return self.broken is not None or (self.asked is not None and self.asked())

    def _work(self) -> None:
        torch.set_num_threads(1)
        try:
            work = self.group.workspace()
            while not self._stopped() and (index := self._next()) is not None:
                self.results[index] = self._train(index, work)
        except BaseException as error:  # ``run`` raises it in the thread that waits
            self.broken = error

    def _next(self) -> int | None:
        with self.lock:
            return next(self.waiting, None)

    def _train(self, index: int, work: Workspace) -> MemberResult:
        trainer = MemberTrainer(self.group, self.members[index])
        history: list[tuple[int, Any]] = []
        diverged, finished = "", False
        try:
            while not trainer.finished and not self._stopped() and trainer.run_epoch(work, self._stopped):
                due = self.measure_every > 0 and trainer.epoch % self.measure_every == 0
                if due or trainer.finished:
                    history.append((trainer.epoch, trainer.measure()))
                self._report(index, trainer, history)
            finished = trainer.finished
            if not history:
                history.append((trainer.epoch, trainer.measure()))
        except DivergedError as error:
            diverged, finished = str(error), True
        last = history[-1][1] if history else None
        return MemberResult(
            self.members[index], trainer.epoch, last, history, trainer.converged, diverged, finished
        )

    def _report(self, index: int, trainer: MemberTrainer, history: list[tuple[int, Any]]) -> None:
        if self.on_progress is None:
            return
        measured = history[-1][1] if history and history[-1][0] == trainer.epoch else None
        with self.report_lock:
            self.on_progress(Progress(index, trainer.epoch, trainer.train_loss, measured))
