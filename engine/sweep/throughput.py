"""On what a sweep's networks train: how many threads, or an accelerator, as a short measurement says.

A choice changes the time that a sweep takes. Compiled results do not depend on the number of threads; on an
accelerator members draw other random numbers, so its results agree within their errors only.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..datasets.load import PAPER_SIDE, PAPER_TRAIN
from ..ensemble.member import MemberTrainer, member_of, why_not
from ..ensemble.stack import Stack, members_within
from ..ensemble.threads import cores, single_threaded
from ..errors import ConfigError, DivergedError
from ..settings.train import TrainConfig
from .networks import group_key, group_of
from .stacked import memory_of, settings_of
from .task import Job

_SECONDS = 0.15
"""Of each measurement."""
_AS_GOOD = 0.9
"""More threads are taken where they bring this part of the best rate: on a busy machine measurements waver."""
_MEMORY = 5 << 28
"""Bytes that the plain trainer's networks may hold together; with the program itself that is less than 2 GiB."""
_HELD = 6
"""Tensors of each map."""
_STACKED = 64
"""Members that an accelerator is measured with, if there are as many."""


class Choice(NamedTuple):
    """How the networks of one batch size train."""

    jobs: list[Job]
    device: str
    """Of the stacked code; empty for compiled code or the plain trainer."""
    at_once: int
    """Threads."""
    rates: dict[str, float]
    """Steps of one network per second, by what was measured; empty where nothing had to be."""


def choose(jobs: Sequence[Job], threads: int) -> list[Choice]:
    """How all jobs of networks train, one choice for each batch size and shape.

    Args:
        jobs: networks of one sweep.
        threads: how many at once; 0 where that is to be measured.

    Raises:
        ConfigError: a device is asked for that is not there.
    """
    alike: dict[str, list[Job]] = {}
    eager: list[Job] = []
    for job in jobs:
        settings = settings_of(job)
        if why_not(settings):
            eager.append(job)
        else:
            alike.setdefault(group_key(settings), []).append(job)
    with single_threaded():
        most = max(alike.values(), key=len, default=[])
        at_once, rates = _runningfor(most, len(jobs), threads)
        found = [_choose(same, at_once, rates if same is most else {}) for same in alike.values()]
    if not eager:
        return found
    fitting = _MEMORY // max(eager_bytes(settings_of(job)) for job in eager)
    return [*found, Choice(eager, "", max(1, min(at_once, fitting)), {})]


def eager_bytes(config: TrainConfig) -> int:
    """What the plain trainer holds of a step, in bytes: every map's product, its norm, activation, pooling …"""
    rows = min(config.batch_size, config.train_size or PAPER_TRAIN)
    side = config.image_size or PAPER_SIDE
    units = config.width * (side * side if config.model == "cnn" else 1)
    return 4 * _HELD * rows * config.depth * units


def _choose(jobs: list[Job], at_once: int, rates: dict[str, float]) -> Choice:
    """On an accelerator where one is asked for, or allowed and faster."""
    device = settings_of(jobs[0]).device
    if device not in {"cpu", "auto"}:
        return Choice(jobs, _there(device), at_once, {})
    if device == "auto" and torch.cuda.is_available():
        here = f"{at_once} threads"
        rates = {
            here: compiled_rate(jobs, at_once),
            **rates,
            "cuda": stacked_rate(jobs, "cuda"),
        }
        return Choice(jobs, "cuda" if rates["cuda"] > rates[here] else "", at_once, rates)
    return Choice(jobs, "", at_once, rates)


def _there(device: str) -> str:
    if not torch.cuda.is_available():
        raise ConfigError(f"device = {device!r} is not here: no CUDA device was found; allowed: auto, cpu")
    return device


def _runningfor(jobs: Sequence[Job], count: int, threads: int) -> tuple[int, dict[str, float]]:
    """How many at once: as told; one a core for few; else what measures best with the largest group's jobs."""
    most = cores()
    if threads or most == 1 or count <= 2 * most or not jobs:
        return threads or most, {}
    counts = sorted({most} | {1 << i for i in range(most.bit_length()) if 1 << i < most})
    rates = {n: compiled_rate(jobs, n) for n in counts}
    enough = _AS_GOOD * max(rates.values())
    best = max(n for n, rate in rates.items() if rate >= enough)
    return best, {f"{n} threads": rate for n, rate in rates.items()}


def compiled_rate(jobs: Sequence[Job], threads: int) -> float:
    """Steps of one network per second with so many training at once."""
    group = group_of(settings_of(jobs[0]))
    picked = [settings_of(jobs[i * len(jobs) // threads]) for i in range(threads)]
    ready = [(MemberTrainer(group, member_of(settings)), group.workspace()) for settings in picked]
    with contextlib.suppress(DivergedError):
        ready[0][0].run_epoch(ready[0][1])  # loads the compiled code
    end = time.monotonic() + _SECONDS

    def job(trainer: MemberTrainer, work: object) -> None:
        torch.set_num_threads(1)
        _until(end, lambda stop: trainer.run_epoch(work, stop))  # type: ignore[arg-type]

    running = [threading.Thread(target=job, args=pair) for pair in ready]
    before, began = sum(trainer.step_count for trainer, _ in ready), time.monotonic()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return (sum(trainer.step_count for trainer, _ in ready) - before) / (time.monotonic() - began)


def stacked_rate(jobs: Sequence[Job], device: str) -> float:
    """Steps of one network per second of a stack of them on a device."""
    settings = [settings_of(job) for job in jobs[:_STACKED]]
    group, place = group_of(settings[0]), torch.device(device)
    size = min(len(settings), members_within(group, memory_of(place)))
    stack = Stack(group, [member_of(one) for one in settings[:size]], place)
    _until(time.monotonic() + _SECONDS, stack.run_epoch)  # the first steps load the device's own code
    before, began = stack.steps, time.monotonic()
    _until(began + _SECONDS, stack.run_epoch)
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return (stack.steps - before) * size / (time.monotonic() - began)


def _until(end: float, run_epoch: Callable[[Callable[[], bool]], object]) -> None:
    """Epochs until a moment; a network that diverges is not measured on."""
    first = True
    while first or time.monotonic() < end:
        first = False
        try:
            run_epoch(lambda: time.monotonic() >= end)
        except DivergedError:
            return
