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

    The loss that the training step returns and the module's logged metrics are recorded with the curve. Training
    is the same bit for bit with and without it. ``probe`` is the ``LoadProbe``, from the start of the training on.

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
        self._step = 0

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
        self._step = trainer.global_step
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
        if self.probe is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        self.probe.step(step=self._step, **({} if loss is None else {"loss": loss}))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record what validation logged with the next measurement."""
        if self.probe is not None:
            self.probe.log(**_logged(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, where ``every`` was not given, and log the metrics."""
        if self.probe is None:
            return
        self.probe.log(epoch=trainer.current_epoch, **_logged(trainer))
        if self._every is None:
            self.probe.measure()
        if self._log and (metrics := self.probe.metrics()):
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the trained model and end the run."""
        if self.probe is not None:
            self.probe.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the run with the exception that ended the training."""
        if self.probe is not None:
            self.probe.close(exception)


def _steps_in_epoch(trainer: Trainer) -> int:
    """Optimiser steps of an epoch; 10¹² where the loader has no length, so that only ``measure`` measures."""
    batches = trainer.num_training_batches
    if batches == float("inf"):
        return _NEVER
    return max(1, -(-int(batches) // trainer.accumulate_grad_batches))


def _logged(trainer: Trainer) -> dict[str, float]:
    """The module's logged metrics that are single numbers."""
    metrics = {}
    for name, value in trainer.callback_metrics.items():
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            metrics[name] = float(value.detach())
    return metrics
