"""The networks of a sweep, one at a time, as cell records."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ..ensemble.learner import Learner, begin
from ..ensemble.member import why_not
from ..errors import DivergedError
from ..networks.trainer import Measurement
from ..runs.records import Cell, finite
from ..settings.train import TrainConfig

PRESENT_EVERY = 1.0
"""Seconds between curves of an unfinished network; one takes as long as some epochs."""
Task = tuple[int, int]
"""Index of a cell, and number of its member."""


def finished_cell(task: Task, learner: Learner, config: TrainConfig) -> Cell:
    """The final cell record of a trained network, with the Hessian's trace where the settings ask for it.

    Raises:
        DivergedError: the activations are no longer finite.
    """
    cell = cell_of(task, learner.epoch, learner.measure(), final=True)
    if config.hessian:
        cell.scalars["hessian_trace"] = finite(learner.hessian_trace())
    return cell


class Networks:
    """Trains networks on the calling thread; threads may share one instance.

    Args:
        may_continue: polled between steps; False stops the training.
        present: called with the cell of an unfinished network, every ``PRESENT_EVERY`` seconds.
        threads: of PyTorch, for each network that the plain trainer trains.
    """

    def __init__(
        self, may_continue: Callable[[], bool], present: Callable[[Cell], None], threads: int = 1
    ) -> None:
        self._threads = threads
        """PyTorch threads of each network that the plain trainer trains."""
        self._may_continue = may_continue
        self._present = present

    def train(self, config: TrainConfig, task: Task) -> Cell | None:
        """The trained network's cell, without curves where it diverged; None where it was stopped.

        Raises:
            ConfigError, DataError: as ``begin``.
        """
        torch.set_num_threads(self._threads if why_not(config) else 1)
        shown = time.monotonic()
        try:
            learner = begin(config)
            while not learner.finished:
                if not learner.run_epoch(lambda: not self._may_continue()) or not self._may_continue():
                    return None
                if not learner.finished and time.monotonic() - shown >= PRESENT_EVERY:
                    self._present(cell_of(task, learner.epoch, learner.measure(), final=False))
                    shown = time.monotonic()
            return finished_cell(task, learner, config)
        except DivergedError as error:
            return diverged_cell(task, error)


def diverged_cell(task: Task, error: DivergedError) -> Cell:
    """The final cell record of a diverged network: the error's text and no curves."""
    return Cell(cell=task[0], member=task[1], final=True, at=0, text=str(error))


def cell_of(task: Task, epoch: int, measured: Measurement, *, final: bool) -> Cell:
    """A measurement as a cell record; values that are not finite become None."""
    curves = {name: [finite(v) for v in curve] for name, curve in measured.curves.items()}
    scalars = {name: finite(value) for name, value in measured.scalars.items()}
    return Cell(cell=task[0], member=task[1], final=final, at=epoch, curves=curves, scalars=scalars)
