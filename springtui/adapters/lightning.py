"""The load probe as a Lightning callback.

from springtui.adapters.lightning import LoadProbeCallback
trainer = Trainer(callbacks=[LoadProbeCallback(inputs, labels)])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as missing:
    raise ImportError("Lightning is not installed: pip install 'springtui[lightning]'") from missing

import springtui

if TYPE_CHECKING:
    from engine.probe.load_probe import LoadProbe

_NEVER = 10**12


class LoadProbeCallback(Callback):
    """Measures a LightningModule, or a part of it, while ``Trainer.fit`` trains it.

    The loss that the training step returns and the module's logged metrics are recorded at the steps to which they
    belong: those of a validation and of an epoch at its end. Training is the same bit for bit with and without it.
    ``probe`` is the ``LoadProbe``, from the start of the training on.

    Args:
        inputs, labels: the fixed probe batch, N samples and their classes [N], as ``LoadProbe`` takes them.
        every: optimiser steps between measurements; by default once an epoch.
        part: name of the submodule that is measured; by default the whole module through its ``forward``.
        log: whether the metrics also go to the trainer's loggers, once an epoch.
        options: other arguments of ``LoadProbe``. ``health`` needs no ``optimizer``: the trainer's are taken.

    Strategies that shard the model (FSDP, DeepSpeed, ModelParallel) are refused at the start: they train another
    module than the one that a callback gets. DDP works; rank 0 writes.
    """

    def __init__(
        self,
        inputs: Any,
        labels: Any = None,
        *,
        every: int | None = None,
        part: str = "",
        log: bool = True,
        **options: Any,
    ) -> None:
        self.probe: LoadProbe | None = None
        self._inputs, self._labels = inputs, labels
        self._every, self._part, self._log = every, part, log
        self._options = options
        self._step, self._epoch = 0, 0.0
        self._seen: dict[str, torch.Tensor] = {}
        """The newest value of each logged metric that was recorded, or was there before the training."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers and measure the model before the first step.

        Raises:
            ValueError: the strategy shards the model.
            ConfigError, DataError: an argument of the probe is not allowed.
        """
        strategy = type(trainer.strategy).__name__
        if any(word in strategy for word in ("FSDP", "DeepSpeed", "ModelParallel")):
            raise ValueError(
                f"strategy {strategy} shards the model, which this callback does not follow; allowed: one device "
                f"or DDP, or call LoadProbe in a training loop of your own"
            )
        given = {"autocast": trainer.precision_plugin.forward_context, "optimizer": trainer.optimizers}
        options = {**given, **self._options}
        self._step, self._epoch = trainer.global_step, float(trainer.current_epoch)
        self._fresh(trainer)
        self.probe = springtui.LoadProbe(
            pl_module.get_submodule(self._part),
            self._inputs,
            self._labels,
            every=self._every or _steps_in_epoch(trainer),
            **options,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count an optimiser step where this batch took one; with accumulated gradients not every batch does."""
        if trainer.num_training_batches != float("inf"):
            self._epoch = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
        if self.probe is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        self.probe.step(step=self._step, **({} if loss is None else {"loss": loss}))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record what validation logged."""
        self._record(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record what others logged at the end of the last epoch, after this callback's turn."""
        self._record(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch's metrics; measure, where ``every`` was not given, and log the measurement."""
        self._epoch = trainer.current_epoch + 1.0
        self._record(trainer)
        if self.probe is None:
            return
        if self._every is None:
            self.probe.measure()
        if self._log and (metrics := self.probe.metrics(logged=False)):
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the trained model and end the run."""
        self._record(trainer)
        if self.probe is not None:
            self.probe.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the run with the exception that ended the training."""
        if self.probe is not None:
            self.probe.close(exception)

    def _record(self, trainer: Trainer) -> None:
        """Record the metrics that the module logged since the last call, at the present step."""
        if self.probe is not None and (fresh := self._fresh(trainer)):
            self.probe.log(epoch=self._epoch, **fresh)

    def _fresh(self, trainer: Trainer) -> dict[str, Any]:
        """The logged metrics of one number that were computed since the last call.

        The trainer keeps those of earlier epochs beside the new ones: they are told by the memory they lie in.
        """
        fresh = {}
        for name, value in trainer.callback_metrics.items():
            before = self._seen.get(name)
            if isinstance(value, torch.Tensor) and value.numel() == 1:
                if before is None or before.data_ptr() != value.data_ptr():
                    fresh[name] = value
                self._seen[name] = value
        return fresh


def _steps_in_epoch(trainer: Trainer) -> int:
    """Optimiser steps of an epoch; 10¹² where the loader has no length, so that only ``measure`` measures."""
    batches = trainer.num_training_batches
    if batches == float("inf"):
        return _NEVER
    return max(1, -(-int(batches) // trainer.accumulate_grad_batches))
