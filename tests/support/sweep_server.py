"""Preloaded by a fork server, so that a sweep's worker starts fast and can be killed often."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import torch

from engine.runs.directory import Run
from engine.settings.train import TrainConfig
from engine.sweep import throughput
from engine.sweep.networks import Networks
from engine.workers import sweep as sweep_worker
from engine.workers.work import work

torch.set_num_threads(1)
# one tiny training, so that compiled code is loaded before the first fork
Networks(lambda: True, lambda _cell: None).train(
    TrainConfig(epochs=1, width=16, depth=4, train_size=50, batch_size=25), (0, 0)
)
__all__ = ["fill", "sweep_worker", "throughput"]


def fill(path: str) -> None:
    """Fill a run in a process of its own session, as a worker does."""
    os.setsid()
    with contextlib.suppress(OSError):
        os.nice(5)
    work(Run(Path(path)))
