"""Runs that other tools logged, made up for the screens: without files and without another process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.logs.batch import Batch, Remark
from engine.logs.foreign import ForeignRun
from engine.logs.series import Series, series_of
from engine.runs.any_run import AnyRun

POINTS = 50_000
SPIKE = 33_333
"""The step at which the loss of ``long_run`` is 9."""


class Given:
    """A source of runs that a test fills."""

    trouble = ""

    def __init__(self, *runs: AnyRun) -> None:
        self.found: list[AnyRun] = [*runs]

    def runs(self) -> Sequence[AnyRun]:
        return self.found

    def mark(self) -> int:
        return len(self.found)


def long_run(run_id: str = "exp1", height: float = 1.0) -> ForeignRun:
    """A run with a long loss that has one spike, a value now and then, a loss by epochs, and a remark."""
    run = ForeignRun(run_id, Path("/logs") / run_id, "TensorBoard", "this writer flushes every 15 s")
    step = np.arange(POINTS)
    loss = height / (1 + step / 1000)
    loss[SPIKE] = 9.0
    time = 1.7e9 + step / 100
    run.take(
        Batch(
            points={
                "train/loss": Series(step, loss, time),
                "val/loss": Series(step[::100], loss[::100] + 0.1, time[::100]),
                "bad": series_of([1, 2, 3], [1.0, math.nan, math.inf], 1.7e9),
                "epoch_loss": series_of([0, 1, 2], [3.0, 2.0, 1.0], [1.7e9, 1.7e9 + 200, 1.7e9 + 400]),
            },
            counts={"epoch_loss": "epoch"},
            settings={"lr": 0.1, "model.width": 64},
            remarks=[Remark(100, 1.7e9, "\x1b[31mresumed", "resumed")],
            console=b"step 1\nstep 2\n",
            ended="finished",
            read=9,
            size=9,
        )
    )
    return run
