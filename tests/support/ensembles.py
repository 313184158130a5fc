"""Members of an ensemble trained to their end, by compiled and by stacked code."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from engine.cores import core_count
from engine.datasets.load import Dataset
from engine.ensemble.member import Group, Member, MemberResult, MemberTrainer
from engine.ensemble.stack import Stack, members_within
from engine.ensemble.state import Workspace
from engine.ensemble.threads import single_threaded
from engine.errors import DivergedError
from engine.settings.train import TrainConfig


def train_ensemble(
    config: TrainConfig, members: Sequence[Member], dataset: Dataset, *, threads: int | None = None
) -> list[MemberResult]:
    """The results of members, in their order; a thread trains its members one after the other in one workspace.

    ``threads`` defaults to the number of cores; x of the data set is [N, D].

    Raises:
        ConfigError: these settings are not trained in ensembles, or a member's are out of range.
    """
    group = Group(config, dataset)
    count = min(threads or core_count(), len(members))

    def train_some(first: int) -> list[MemberResult]:
        torch.set_num_threads(1)
        work = group.workspace()
        return [_trained(group, member, work) for member in members[first::count]]

    with single_threaded(), ThreadPoolExecutor(count) as pool:
        results = list(pool.map(train_some, range(count)))
    return [results[i % count][i // count] for i in range(len(members))]


def _trained(group: Group, member: Member, work: Workspace) -> MemberResult:
    trainer = MemberTrainer(group, member)
    try:
        while not trainer.finished:
            trainer.run_epoch(work)
        measured = trainer.measure()
    except DivergedError as error:
        return MemberResult(member, trainer.epoch, None, trainer.converged, str(error), True)
    return MemberResult(member, trainer.epoch, measured, trainer.converged, "", True)


def train_stacked(
    config: TrainConfig, members: Sequence[Member], dataset: Dataset, device: str, *, memory: int = 1 << 30
) -> list[MemberResult]:
    """The results of members, in their order, trained as many at once as fit into ``memory`` bytes.

    Raises:
        ConfigError: these settings are not trained in ensembles, or a member's are out of range.
    """
    group = Group(config, dataset)
    size = members_within(group, memory)
    results: list[MemberResult] = []
    for start in range(0, len(members), size):
        stack = Stack(group, members[start : start + size], torch.device(device))
        while not stack.finished:
            stack.run_epoch()
        results += [stack.result(i) for i in range(len(stack.members))]
    return results
