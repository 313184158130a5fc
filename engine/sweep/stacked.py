"""The networks of a sweep on an accelerator: stacked, as many at once as fit in its memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from ..ensemble.learner import group_key, group_of, hessian_trace
from ..ensemble.member import Group, MemberResult, member_of
from ..ensemble.stack import Stack, members_within
from ..errors import DivergedError
from ..runs.records import Cell, finite
from ..settings.train import TrainConfig
from .networks import PRESENT_EVERY, cell_of, diverged_cell
from .producers import ProducerThreads, Queue, StopSignal
from .task import Job

_CPU_MEMORY = 1 << 30
_SHOWING = 0.1
"""Fraction of the time that may go into curves of unfinished networks."""


def memory_of(device: torch.device) -> int:
    """Bytes that members may use: half of the free memory of an accelerator; 1 GiB on a CPU."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else _CPU_MEMORY


def settings_of(job: Job) -> TrainConfig:
    """The settings of a job that must be a network."""
    assert isinstance(job.settings, TrainConfig)
    return job.settings


class StackedProducers(ProducerThreads):
    """One thread that trains all jobs on one device, those of one shape and batch size together."""

    def __init__(self, jobs: Sequence[Job], outputs: Queue, signal: StopSignal, device: str) -> None:
        super().__init__(outputs, signal, "sweep-stacked")
        self._device, self._jobs = torch.device(device), list(jobs)

    def _run(self) -> None:
        for jobs in self._groups():
            group = group_of(settings_of(jobs[0]))
            size = members_within(group, memory_of(self._device))
            for start in range(0, len(jobs), size):
                if not self._train(group, jobs[start : start + size]):
                    return

    def _groups(self) -> list[list[Job]]:
        """The jobs that can be stacked together, group by group."""
        groups: dict[str, list[Job]] = {}
        for job in self._jobs:
            groups.setdefault(group_key(settings_of(job)), []).append(job)
        return list(groups.values())

    def _train(self, group: Group, jobs: Sequence[Job]) -> bool:
        """Train networks as one stack and output their cells; False where it was stopped."""
        members = [member_of(settings_of(job)) for job in jobs]
        stack, ended, shown, turn = Stack(group, members, self._device), set[int](), time.monotonic(), 0
        while not stack.finished:
            if not stack.run_epoch(lambda: not self._signal.may_continue()):
                return False
            active = stack.active
            for i in set(range(len(jobs))) - set(active) - ended:
                ended.add(i)
                self._outputs.put(_final(jobs[i], stack, i))
            if time.monotonic() - shown >= PRESENT_EVERY:
                turn = self._present(stack, jobs, active, turn)
                shown = time.monotonic()
        return True

    def _present(self, stack: Stack, jobs: Sequence[Job], active: Sequence[int], turn: int) -> int:
        """Output cells of unfinished members for a limited time, from number ``turn`` on; the next number."""
        end = time.monotonic() + _SHOWING * PRESENT_EVERY
        for _ in active:
            i = active[turn % len(active)]
            turn += 1
            self._outputs.put(_present(jobs[i], stack, i))
            if time.monotonic() >= end:
                break
        return turn


def _present(job: Job, stack: Stack, i: int) -> Cell:
    """The cell record of member ``i`` while it trains."""
    task = (job.cell, job.member)
    try:
        return cell_of(task, stack.epochs[i], stack.measure(i), final=False)
    except DivergedError as error:  # the next epoch ends it, by its loss
        return Cell(cell=job.cell, member=job.member, final=False, at=stack.epochs[i], text=str(error))


def _final(job: Job, stack: Stack, i: int) -> Cell:
    """The final cell record of member ``i``."""
    task = (job.cell, job.member)
    result: MemberResult = stack.result(i)
    if result.measurement is None:
        return diverged_cell(task, DivergedError(result.diverged))
    cell = cell_of(task, result.epochs, result.measurement, final=True)
    if stack.configs[i].hessian:
        cell.scalars["hessian_trace"] = finite(hessian_trace(stack.network(i), stack.group, stack.configs[i].seed))
    return cell
