"""The networks of a sweep: compiled ensemble members where they can be, the plain trainer where not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from .config import TrainConfig, make
from .datasets import Dataset, load_dataset
from .ensemble import Group, Member, MemberTrainer, member_of, why_not
from .ensemble_state import Workspace
from .errors import DivergedError
from .records import Cell
from .training import Measurement, Trainer

PRESENT_EVERY = 1.0
"""Seconds between two curves of one unfinished network: each costs some epochs' time."""
_MOST_GROUPS = 12
_data_lock = threading.Lock()
_datasets: dict[tuple[object, ...], Dataset] = {}
_groups: dict[str, Group] = {}


class Networks:
    """Trains one network after another on the calling thread; many of these may run side by side."""

    def __init__(self, holds: Callable[[], bool], present: Callable[[Cell], None]) -> None:
        self._holds = holds
        self._present = present
        self._scratch: tuple[Group, Workspace] | None = None

    def train(self, config: TrainConfig, task: tuple[int, int]) -> Cell | None:
        """The finished network's cell, without curves where it diverged; None where it was broken off."""
        shown = time.monotonic()

        def progress(epoch: int, measure: Callable[[], Measurement]) -> bool:
            nonlocal shown
            if time.monotonic() - shown >= PRESENT_EVERY:
                self._present(_cell(task, epoch, measure(), final=False))
                shown = time.monotonic()
            return self._holds()

        try:
            ended = (self._eager if why_not(config) else self._compiled)(config, progress)
        except DivergedError as error:
            return Cell(cell=task[0], member=task[1], final=True, at=0, text=str(error))
        return None if ended is None else _cell(task, *ended, final=True)

    def _compiled(self, config: TrainConfig, progress: Callable[..., bool]) -> tuple[int, Measurement] | None:
        group = _group(config)
        if self._scratch is None or self._scratch[0] is not group:
            self._scratch = (group, group.workspace())
        trainer = MemberTrainer(group, member_of(config))
        while not trainer.finished:
            if not trainer.run_epoch(self._scratch[1], lambda: not self._holds()):
                return None
            if not trainer.finished and not progress(trainer.epoch, trainer.measure):
                return None
        return trainer.epoch, trainer.measure()

    def _eager(self, config: TrainConfig, progress: Callable[..., bool]) -> tuple[int, Measurement] | None:
        trainer = Trainer(config, _dataset(config))
        while not _is_done(trainer):
            for _ in trainer.run_epoch():
                if not self._holds():
                    return None
            if not _is_done(trainer) and not progress(trainer.epoch, trainer.measure):
                return None
        return trainer.epoch, trainer.measure()


def _is_done(trainer: Trainer) -> bool:
    return trainer.converged or trainer.epoch >= trainer.config.epochs


def _dataset(config: TrainConfig) -> Dataset:
    """Loaded once for all networks that share it."""
    names = ("dataset", "data_dir", "train_size", "image_size", "mixture_mu", "mixture_features", "model")
    key = tuple(getattr(config, name) for name in names)
    with _data_lock:
        if key not in _datasets:
            _datasets[key] = load_dataset(config)
        return _datasets[key]


def _group(config: TrainConfig) -> Group:
    """What a network shares with others of its shape and batch size; made once."""
    shared = make(TrainConfig, {name: getattr(Member(), name) for name in Member.__struct_fields__}, config)
    dataset = _dataset(config)
    key = repr(shared)
    with _data_lock:
        if key not in _groups:
            if len(_groups) >= _MOST_GROUPS:
                _groups.pop(next(iter(_groups)))
            _groups[key] = Group(shared, dataset)
        return _groups[key]


def _cell(task: tuple[int, int], epoch: int, measured: Measurement, *, final: bool) -> Cell:
    curves = {name: [_finite(v) for v in curve] for name, curve in measured.curves.items()}
    scalars = {name: _finite(value) for name, value in measured.scalars.items()}
    return Cell(cell=task[0], member=task[1], final=final, at=epoch, curves=curves, scalars=scalars)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
