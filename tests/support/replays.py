"""Interrupts runs, and compares them with the same training without interruption."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

from engine.datasets.load import load_dataset
from engine.ensemble.trainer import trainer_for
from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.records import Acknowledged, Curve, Ended, Event
from engine.settings.train import TrainConfig

E = TypeVar("E", bound=Event)


class Broken:
    """A run whose workers a test kills and starts again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = launch(self.run)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.run.events() if isinstance(event, kind)]

    def until(self, what: Callable[[], Any]) -> None:
        assert self.process is not None
        deadline = time.monotonic() + 60.0
        while not what():
            assert self.process.poll() is None, self.run.last_log_lines()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def curves_beyond(self, count: int) -> None:
        self.until(lambda: len(self.all(Curve)) >= count)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def finish(self) -> Ended:
        assert self.process is not None
        assert self.process.wait(90) == 0, self.run.last_log_lines()
        return self.all(Ended)[-1]


def assert_never_broken(broken: Broken) -> None:
    """Assert that curves equal those of an uninterrupted training with settings changed at the same steps."""
    config = broken.run.config().settings
    assert isinstance(config, TrainConfig)
    moves = [(a.step, a.settings) for a in broken.all(Acknowledged) if a.action == "set" and not a.error]
    trainer = trainer_for(config, load_dataset(config))
    expected = {0: trainer.measure().curves}
    while trainer.epoch < config.epochs:
        for _ in trainer.run_epoch():
            for _, settings in filter(lambda move: move[0] == trainer.step_count, moves):
                trainer.change(settings)
            if config.measure_steps and trainer.step_count % config.measure_steps == 0:
                expected[trainer.step_count] = trainer.measure().curves
        if not config.measure_steps and trainer.epoch % config.measure_every == 0:
            expected[trainer.step_count] = trainer.measure().curves
    expected[trainer.step_count] = trainer.measure().curves
    recorded = broken.all(Curve)
    assert [curve.step for curve in recorded] == sorted({curve.step for curve in recorded}), "no step twice"
    by_step: dict[int, Any] = {curve.step: curve.curves for curve in recorded}
    assert by_step.keys() >= expected.keys()
    assert {step: by_step[step] for step in expected} == expected
