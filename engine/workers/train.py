"""Fills the directory of a ``train`` run: trains one network and obeys its control file."""

from __future__ import annotations

import os
import socket
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import torch

from ..datasets.load import Dataset, load_dataset
from ..ensemble.trainer import CompiledTrainer, load_compiled, trainer_for
from ..errors import DivergedError, RunDirectoryError, RunError
from ..measures.hessian import Curvature
from ..measures.load_curve import statistics
from ..measures.registry import DEFAULT_MEASURE, PROBES
from ..networks.trainer import Measurement, Trainer
from ..runs.controls import ControlReader
from ..runs.directory import Run
from ..runs.records import Curve, Ended, Event, Note, Started, finite
from ..runs.replay import Replay
from ..runs.status import Status
from ..runs.writer import RunWriter
from ..settings.train import TrainConfig
from .control_loop import ControlLoop, Interrupted, Stopwatch

_UNBOUNDED = 1 << 40
_WAIT = 0.03
"""Seconds between looks for requests while a network is held."""


def run_training(
    run: Run, writer: RunWriter, controls: ControlReader, interrupted: Interrupted | None = None
) -> Ended:
    """Train to the end, or until stopped, and return the last record. The caller releases the writer.

    An interrupted run continues from its checkpoint, bit for bit as if it had not been interrupted.

    Args:
        run: the network's directory.
        writer: of that run.
        controls: reader of its control file.
        interrupted: set by SIGTERM.

    Raises:
        InputError: the settings, the data or the checkpoint are wrong, or the directory is gone.
        DiskFullError: there is no room for a record or a checkpoint.
        RunError: the run is of another kind.
    """
    config = run.config().settings
    if not isinstance(config, TrainConfig):
        raise RunError(f"{run.id} is no training run")
    torch.set_num_threads(config.threads)

    def note(text: str) -> None:
        writer.write(Note(text=text))

    dataset, events = load_dataset(config, note), run.events()
    trainer = trainer_for(config, dataset, _kind_of(events))
    if trainer.kind == CompiledTrainer.kind:
        load_compiled(note)
    with trainer.limits():
        job = _Job(run, writer, controls, interrupted, trainer, dataset, Replay(events))
        ended = job.run()
    writer.write(ended)
    return ended


def _kind_of(events: Sequence[Event]) -> str:
    """Kind of trainer that a run began with: the plain one in old logs, which name none; empty in a new run."""
    began = next((event for event in events if isinstance(event, Started)), None)
    return "" if began is None else str(began.facts.get("trainer", Trainer.kind))


class _Job:
    """Trains one network and writes all records of one worker."""

    def __init__(
        self,
        run: Run,
        writer: RunWriter,
        controls: ControlReader,
        interrupted: Interrupted | None,
        trainer: Trainer,
        dataset: Dataset,
        replay: Replay,
    ) -> None:
        self.at_file = run
        self.writer = writer
        self.trainer = trainer
        self.dataset = dataset
        self.replay = replay
        self.loop = ControlLoop(writer, controls, self._change, interrupted, self.replay.behind)
        self.latest: Measurement | None = None
        self.curvature: Curvature | None = None
        began = run.config()
        self.has_sliders = began.origin == "lab"
        """Whether a held network waits for a setting to change; elsewhere its training has finished then."""
        self.waits = isinstance(began.settings, TrainConfig) and began.settings.hold > 0
        """Whether the run began as one that is held and trained anew, so that its epochs are counted anew too."""
        self.labels = zlib.crc32(dataset.y_test.tobytes(), zlib.crc32(dataset.y_train.tobytes()))
        """CRC-32 of the data set's labels, to detect another data set; resized pixels differ between machines."""
        self.stopwatch = Stopwatch(self.loop, earlier=self._restore())
        self.saved = time.monotonic()
        self._mark = (time.monotonic(), trainer.epoch)
        self._measured_at = self._saved_at = -1

    def _restore(self) -> float:
        """Go back to the checkpoint, if there is one; the seconds that earlier workers spent up to it."""
        self.writer.remove_half_written_checkpoints()
        if (checkpoint := self.at_file.checkpoint()) is not None:
            notes = self.trainer.load_state(checkpoint)
            if notes.get("labels", self.labels) != self.labels:
                raise RunDirectoryError(
                    f"{self.at_file.id} cannot go on: its data set, {self.trainer.config.dataset}, has changed "
                    f"since the checkpoint was written; put the old data back, or train anew"
                )
            self.replay.taken = min(int(notes.get("moves", 0)), len(self.replay.moves))
            return float(notes.get("seconds", 0.0))
        return 0.0

    def run(self) -> Ended:
        self._write_started()
        try:
            reason, text = self._train()
            self._measure(last=True)
            self._save()
            if reason is Status.FINISHED and self.trainer.config.hessian:
                self.curvature = self.trainer.curvature(lambda: self.loop.poll(self.trainer.step_count))
        except DivergedError as error:
            return self._ended(Status.DIVERGED, str(error))
        return self._ended(reason, text)

    def _train(self) -> tuple[Status, str]:
        trainer, config = self.trainer, self.trainer.config
        if trainer.step_count == 0:
            self._measure()
        while trainer.epoch < config.epochs and not (trainer.converged and not trainer.config.hold):
            if trainer.is_held and not self.replay.behind(trainer.step_count):
                if not self.has_sliders:
                    return Status.FINISHED, f"held after {trainer.epoch} epochs, where nobody moves a slider"
                if not self._wait():
                    return Status.STOPPED, f"stopped at epoch {trainer.epoch}"
                continue
            for _ in trainer.run_epoch(self._at_once):
                if not self._between_steps():
                    return Status.STOPPED, f"stopped at epoch {trainer.epoch}"
            if not config.measure_steps and trainer.epoch % config.measure_every == 0:
                self._measure()
        early = trainer.converged and trainer.epoch < config.epochs
        return Status.FINISHED, f"{'converged' if early else 'finished'} after {trainer.epoch} epochs"

    def _wait(self) -> bool:
        """Measure and save a network that is held, once, and wait for requests; False once stopped."""
        step = self.trainer.step_count
        if self.trainer.config.linear_probes and (self.latest is None or self.latest.probes is None):
            self._measured_at, self.replay.recorded = -1, -1  # probes are wanted of the curve that is recorded
        self._measure()
        if self.trainer.config.checkpoint_every and self._saved_at != step:
            self._save()
        for settings in self.replay.due(step):
            self.trainer.change(settings)
        time.sleep(_WAIT)
        return self.loop.poll(step)

    def _between_steps(self) -> bool:
        """Measure, save, then apply requests, in this order: a change of settings affects the next step first."""
        step, config = self.trainer.step_count, self.trainer.config
        if config.measure_steps and step % config.measure_steps == 0:
            self._measure()
        if 0 < config.checkpoint_every <= time.monotonic() - self.saved:
            self._save()
        for settings in self.replay.due(step):
            self.trainer.change(settings)
        return self.loop.poll(step)

    def _at_once(self) -> int:
        """Steps until the next one that a curve, a replayed change of settings or the end of replay falls on."""
        step, every = self.trainer.step_count, self.trainer.config.measure_steps
        mark = self.replay.next_mark(step)
        return min(every - step % every if every else _UNBOUNDED, _UNBOUNDED if mark is None else mark - step)

    def _change(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        self.trainer.change(settings)
        in_force = {name: getattr(self.trainer.config, name) for name in settings}
        self.replay.took(self.trainer.step_count, in_force)
        return in_force

    def _measure(self, *, last: bool = False) -> None:
        """Record a curve, unless an earlier worker did; the ``last`` one is always measured, for the summary."""
        trainer = self.trainer
        step, known = trainer.step_count, trainer.step_count <= self.replay.recorded
        if self._measured_at == step or (known and not last):
            return
        self._measured_at = step
        self.latest = trainer.measure()
        if known:
            return
        scalars: dict[str, float | None] = {**self.latest.scalars, "rate": self._rate()}
        if self.waits:
            scalars |= {"epochs": trainer.epoch - trainer.began, "held": float(trainer.is_held)}
        curves: dict[str, list[float | None]] = {name: [*curve] for name, curve in self.latest.curves.items()}
        self.writer.write(
            Curve(at=trainer.epoch, step=step, curves=curves, scalars=scalars, linear_probes=self.latest.probes)
        )

    def _rate(self) -> float:
        """Epochs per second over about the last second, without pauses."""
        then, epochs = self._mark
        now = time.monotonic() - self.loop.paused_seconds
        rate = (self.trainer.epoch - epochs) / max(now - then, 1e-9)
        if now - then > 1.0:
            self._mark = (now, self.trainer.epoch)
        return rate

    def _save(self) -> None:
        notes = {"moves": self.replay.taken, "seconds": self.stopwatch.seconds(), "labels": self.labels}
        self.writer.write_checkpoint(self.trainer.state(notes))
        self.saved, self._saved_at = time.monotonic(), self.trainer.step_count

    def _write_started(self) -> None:
        trainer, dataset = self.trainer, self.dataset
        self.writer.write(
            Started(
                pid=os.getpid(),
                host=socket.gethostname(),
                settings=msgspec.structs.asdict(trainer.config) | self.replay.ahead(),
                layers=trainer.network.points,
                total=trainer.config.epochs,
                facts={
                    "train_size": len(dataset.x_train),
                    "test_size": len(dataset.x_test),
                    "classes": dataset.n_classes,
                    "device": str(trainer.device),
                    "trainer": trainer.kind,
                    "parameters": sum(p.numel() for p in trainer.network.parameters()),
                    "from_step": trainer.step_count,
                    "known_to_step": max(self.replay.horizon, trainer.step_count),
                },
            )
        )

    def _ended(self, reason: Status, text: str) -> Ended:
        summary: dict[str, Any] = {
            "epochs": self.trainer.epoch,
            "seconds": self.stopwatch.seconds(),
        }
        if self.latest is not None:
            error = self.latest.scalars.get("curve_error")
            shape = statistics(self.latest.curves[DEFAULT_MEASURE], logits=True, error=error, ended=True)
            summary |= {**self.latest.scalars, "load_curve": self.latest.curves, "regime": shape.regime}
            summary |= {"cv": finite(shape.cv), "asymmetry": finite(shape.asymmetry)}
            summary |= {"regime_reason": shape.reason}
            summary |= {PROBES: self.latest.probes, "hessian": _curvature_summary(self.curvature)}
        return Ended(reason=reason, text=text, at=self.trainer.epoch, summary=summary)


def _curvature_summary(curvature: Curvature | None) -> dict[str, float | None] | None:
    return None if curvature is None else {name: finite(value) for name, value in curvature._asdict().items()}
