"""Fills the directory of a ``train`` run: trains one network and obeys its control file."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import torch

from .config import TrainConfig
from .controlled import ControlLoop, Interrupted
from .datasets import Dataset, load_dataset
from .errors import DivergedError, RunError
from .files import read_file, replace_file
from .loads import statistics
from .records import Curve, Ended, Started
from .rundir import Controls, Run
from .training import Measurement, Trainer

_CHECKPOINT_LIMIT = 1 << 34


def run_training(run: Run, controls: Controls, interrupted: Interrupted | None = None) -> Ended:
    """Train to the end, or until stopped; the lock is the caller's. The last record is returned.

    Raises:
        InputError: the settings or the data are wrong; nothing was recorded.
    """
    config = run.config().settings
    if not isinstance(config, TrainConfig):
        raise RunError(f"{run.id} is no training run")
    torch.set_num_threads(config.threads)
    dataset = load_dataset(config)
    job = _Job(run, controls, interrupted, Trainer(config, dataset), dataset)
    ended = job.run()
    run.write(ended)
    return ended


class _Job:
    """One run's training, from its first record to its last."""

    def __init__(
        self, run: Run, controls: Controls, interrupted: Interrupted | None, trainer: Trainer, dataset: Dataset
    ) -> None:
        self.at_file = run
        self.trainer = trainer
        self.dataset = dataset
        self.loop = ControlLoop(run, controls, self._change, interrupted)
        self.latest: Measurement | None = None
        self.began = self.saved = time.monotonic()
        self._mark = (time.monotonic(), 0)
        self._measured_at = -1

    def run(self) -> Ended:
        if self.at_file.checkpoint_path.exists():
            self.trainer.load_state(read_file(self.at_file.checkpoint_path, _CHECKPOINT_LIMIT))
        self._write_started()
        try:
            reason, text = self._train()
            self._measure()
        except DivergedError as error:
            return self._ended("diverged", str(error))
        self._save()
        return self._ended(reason, text)

    def _train(self) -> tuple[str, str]:
        trainer = self.trainer
        self._measure()
        while trainer.epoch < trainer.config.epochs and not trainer.converged:
            for _ in trainer.run_epoch():
                if not self.loop.poll(trainer.step_count):
                    return "stopped", f"stopped at epoch {trainer.epoch}"
            if trainer.epoch % trainer.config.measure_every == 0:
                self._measure()
            if 0 < trainer.config.checkpoint_every <= time.monotonic() - self.saved:
                self._save()
        early = trainer.converged and trainer.epoch < trainer.config.epochs
        return "finished", f"{'converged' if early else 'finished'} after {trainer.epoch} epochs"

    def _change(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        self.trainer.change(settings)
        return {name: getattr(self.trainer.config, name) for name in settings}

    def _measure(self) -> None:
        trainer = self.trainer
        if self._measured_at == trainer.epoch:
            return
        self._measured_at = trainer.epoch
        self.latest = trainer.measure()
        scalars: dict[str, float | None] = {**self.latest.scalars, "rate": self._rate()}
        curves: dict[str, list[float | None]] = {name: [*curve] for name, curve in self.latest.curves.items()}
        self.at_file.write(Curve(at=trainer.epoch, step=trainer.step_count, curves=curves, scalars=scalars))

    def _rate(self) -> float:
        """Epochs per second over the last second or so, pauses left out."""
        then, epochs = self._mark
        now = time.monotonic() - self.loop.paused_seconds
        rate = (self.trainer.epoch - epochs) / max(now - then, 1e-9)
        if now - then > 1.0:
            self._mark = (now, self.trainer.epoch)
        return rate

    def _save(self) -> None:
        replace_file(self.at_file.checkpoint_path, self.trainer.state())
        self.saved = time.monotonic()

    def _write_started(self) -> None:
        trainer, dataset = self.trainer, self.dataset
        self.at_file.write(
            Started(
                pid=os.getpid(),
                host=socket.gethostname(),
                settings=msgspec.structs.asdict(trainer.config),
                layers=trainer.network.points,
                total=trainer.config.epochs,
                facts={
                    "train_size": len(dataset.x_train),
                    "test_size": len(dataset.x_test),
                    "classes": dataset.n_classes,
                    "device": str(trainer.device),
                    "parameters": sum(p.numel() for p in trainer.network.parameters()),
                },
            )
        )

    def _ended(self, reason: str, text: str) -> Ended:
        summary: dict[str, Any] = {
            "epochs": self.trainer.epoch,
            "seconds": time.monotonic() - self.began - self.loop.paused_seconds,
        }
        if self.latest is not None:
            shape = statistics(self.latest.curves["trace_ratio"], logits=True)
            summary |= {**self.latest.scalars, "load_curve": self.latest.curves, "regime": shape.regime}
            summary |= {"cv": _finite(shape.cv), "asymmetry": _finite(shape.asymmetry)}
        return Ended(reason=reason, text=text, at=self.trainer.epoch, summary=summary)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
