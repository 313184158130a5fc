"""Chooses the number of threads, or an accelerator, for a sweep's networks by a short measurement of speed.

Results of compiled code do not depend on the number of threads. On an accelerator networks draw other random
numbers, so its results agree with those of a CPU within their standard errors only.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..cores import core_count
from ..datasets.load import PAPER_SIDE, PAPER_TRAIN
from ..ensemble.learner import group_key, group_of
from ..ensemble.member import MemberTrainer, member_of, why_not
from ..ensemble.stack import Stack, members_within
from ..ensemble.threads import single_threaded
from ..errors import ConfigError, DivergedError
from ..settings.train import TrainConfig
from .stacked import memory_of, settings_of
from .task import Job

_SECONDS = 0.15
"""Duration of each measurement, in seconds."""
_AS_GOOD = 0.9
"""The largest number of threads that reaches this fraction of the best rate is taken: measurements are noisy."""
_MEMORY = 5 << 28
"""Bytes that all networks of the plain trainer may use together; the whole process then stays below 2 GiB."""
_HELD = 6
"""Tensors that a step keeps for each linear or convolutional map."""
_STACKED = 64
"""Networks that an accelerator is measured with, at most."""


class Choice(NamedTuple):
    """How networks of one shape and batch size train."""

    jobs: list[Job]
    device: str
    """Device of the stacked code; empty for compiled code and the plain trainer."""
    at_once: int
    """Networks that train at once, a thread each."""
    rates: dict[str, float]
    """Optimiser steps per second, summed over networks, by what was measured; empty where nothing was."""


def choose(jobs: Sequence[Job], threads: int) -> list[Choice]:
    """One choice for each shape and batch size among the jobs.

    Args:
        jobs: networks of one sweep.
        threads: networks at once; 0 to measure how many.

    Raises:
        ConfigError: the settings name a device that does not exist here.
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
        choices = [_choose(same, at_once, rates if same is most else {}) for same in alike.values()]
    if not eager:
        return choices
    fitting = _MEMORY // max(eager_bytes(settings_of(job)) for job in eager)
    return [*choices, Choice(eager, "", max(1, min(at_once, fitting)), {})]


def eager_bytes(config: TrainConfig) -> int:
    """Bytes that the plain trainer keeps of a step: each map's product, its norm, activation, pooling …"""
    rows = min(config.batch_size, config.train_size or PAPER_TRAIN)
    side = config.image_size or PAPER_SIDE
    units = config.width * (side * side if config.model == "cnn" else 1)
    return 4 * _HELD * rows * config.depth * units


def _choose(jobs: list[Job], at_once: int, rates: dict[str, float]) -> Choice:
    """The choice for one group: an accelerator where the settings name one, or allow one and it is faster."""
    device = settings_of(jobs[0]).device
    if device not in {"cpu", "auto"}:
        return Choice(jobs, _require_device(device), at_once, {})
    if device == "auto" and torch.cuda.is_available():
        here = f"{at_once} threads"
        rates = {
            here: compiled_rate(jobs, at_once),
            **rates,
            "cuda": stacked_rate(jobs, "cuda"),
        }
        return Choice(jobs, "cuda" if rates["cuda"] > rates[here] else "", at_once, rates)
    return Choice(jobs, "", at_once, rates)


def _require_device(device: str) -> str:
    """The name of a device; raises ConfigError where it does not exist."""
    if not torch.cuda.is_available():
        raise ConfigError(f"device = {device!r} is not here: no CUDA device was found; allowed: auto, cpu")
    return device


def _runningfor(jobs: Sequence[Job], count: int, threads: int) -> tuple[int, dict[str, float]]:
    """Networks at once, and the rates measured for it, by number of threads.

    ``threads`` where it is not 0; one a core for few jobs; else by rates measured with the largest group's jobs.
    """
    most = core_count()
    if threads or most == 1 or count <= 2 * most or not jobs:
        return threads or most, {}
    counts = sorted({most} | {1 << i for i in range(most.bit_length()) if 1 << i < most})
    rates = {n: compiled_rate(jobs, n) for n in counts}
    enough = _AS_GOOD * max(rates.values())
    best = max(n for n, rate in rates.items() if rate >= enough)
    return best, {f"{n} threads": rate for n, rate in rates.items()}


def compiled_rate(jobs: Sequence[Job], threads: int) -> float:
    """Optimiser steps per second, summed over ``threads`` networks that train at once in compiled code."""
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
    """Optimiser steps per second, summed over a stack of networks on a device."""
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
    """Run epochs until a time of ``time.monotonic``, at least one, or until the network diverges."""
    first = True
    while first or time.monotonic() < end:
        first = False
        try:
            run_epoch(lambda: time.monotonic() >= end)
        except DivergedError:
            return
