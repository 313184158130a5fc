"""The chains of a sweep: in the mean field many at once, or as an average over replicas of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..chain.hands import held_by_both
from ..chain.pulling import hold_steps
from ..errors import DivergedError
from ..measures.registry import DISTANCE
from ..runs.records import Cell
from ..settings.chain import ChainConfig

Task = tuple[int, int]


def pull(jobs: Sequence[tuple[Task, ChainConfig]], method: str, *, threads: int | None = None) -> Iterator[Cell]:
    """One final cell record for each chain; where the chain diverged, its text is set and it has no curves.

    Args:
        jobs: (cell, member) and settings of each chain. One that two hands pull is solved in closed form.
        method: mean_field, or replicas.
        threads: by default one per core; results do not depend on it.
    """
    jobs = [(task, _up_to_hold(settings)) for task, settings in jobs]
    for task, settings in jobs:
        if settings.hands == "both":
            yield _cell(task, settings, held_by_both(settings).tolist(), [])
    jobs = [job for job in jobs if job[1].hands != "both"]
    if method == "mean_field":
        yield from _by_theory(jobs, threads)
        return
    from ..chain.ensemble import pull_cells

    for task, settings in jobs:
        try:
            (pulled,) = pull_cells([settings], threads=threads, first_cell=task[0])
        except DivergedError as error:
            yield Cell(cell=task[0], member=task[1], final=True, at=settings.steps, text=str(error))
        else:
            yield _cell(task, settings, pulled.mean_L.tolist(), pulled.sd_L.tolist())


def _up_to_hold(config: ChainConfig) -> ChainConfig:
    """The same chain with no steps beyond the time at which it is held."""
    held = hold_steps(config)
    return config if held is None or held >= config.steps else msgspec.structs.replace(config, steps=held)


def _by_theory(jobs: Sequence[tuple[Task, ChainConfig]], threads: int | None) -> Iterator[Cell]:
    """Cells in the mean field; chains that differ only in friction and noise are solved together."""
    from ..chain.mean_field_cells import mean_field_cells

    alike: dict[tuple[object, ...], list[tuple[Task, ChainConfig]]] = {}
    for task, c in jobs:
        alike.setdefault((c.blocks, c.k, c.eta, c.steps, c.target), []).append((task, c))
    for group in alike.values():
        first = group[0][1]
        x_CL = mean_field_cells(
            [c.mu_right for _, c in group],
            [c.mu_left for _, c in group],
            [c.noise for _, c in group],
            blocks=first.blocks,
            k=first.k,
            eta=first.eta,
            steps=first.steps,
            target=first.target,
            threads=threads,
        )
        for (task, c), x_L in zip(group, x_CL, strict=True):
            yield _cell(task, c, x_L.tolist(), [])


def _cell(task: Task, config: ChainConfig, mean: list[float], sd: list[float]) -> Cell:
    y = config.target
    curves: dict[str, list[float | None]] = {DISTANCE: [y, *(y - x for x in mean), 0.0]}
    if sd:
        curves["sd"] = [0.0, *sd, 0.0]
    return Cell(cell=task[0], member=task[1], final=True, at=config.steps, curves=curves)
