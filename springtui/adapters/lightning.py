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

_ONLY_ASKED = 10**12


class LoadProbeCallback(Callback):
    """Measures a LightningModule, or a part of it, while ``Trainer.fit`` trains it.

    What the training step returned as its loss, and what the module logs, are kept with the curve. Training is the
    same bit for bit with and without it. ``probe`` is the ``LoadProbe`` while and after it trains.

    Args:
        inputs, labels: the fixed probe batch, N samples and their classes [N], as ``LoadProbe`` takes them.
        every: optimiser steps between measurements; by default once an epoch.
        part: name of the submodule that is measured; by default the whole module through its ``forward``.
        log: whether the metrics also go to the trainer's loggers, once an epoch.
        options: whatever else ``LoadProbe`` takes.

    Strategies that shard the model (FSDP, DeepSpeed, ModelParallel) are refused at the start: the module that they
    train is not the one that a callback is given. DDP works, and rank 0 writes.
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
        """Find the layers and measure the model as it is before the first step.

        Raises:
            ValueError: the strategy shards the model.
            ConfigError, DataError: an argument of the probe is wrong.
        """
        strategy = type(trainer.strategy).__name__
        if any(word in strategy for word in ("FSDP", "DeepSpeed", "ModelParallel")):
            raise ValueError(
                f"strategy {strategy} shards the model, which this callback does not follow; allowed: one device "
                f"or DDP, or call LoadProbe in a training loop of your own"
            )
        options = {"autocast": trainer.precision_plugin.forward_context, **self._options}
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
        """Count optimiser steps: with gradients accumulated, not every batch is one."""
        if self.probe is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        self.probe.step(step=self._step, **({} if loss is None else {"loss": loss}))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what validation logged for the next measurement."""
        if self.probe is not None:
            self.probe.log(**_logged(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure once an epoch, unless ``every`` says otherwise."""
        if self.probe is None:
            return
        self.probe.log(epoch=trainer.current_epoch, **_logged(trainer))
        if self._every is None:
            self.probe.measure()
        if self._log and (metrics := self.probe.metrics()):
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the model as it is in the end, and close the run."""
        if self.probe is not None:
            self.probe.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say in the run why the training broke off."""
        if self.probe is not None:
            self.probe.close(exception)


def _steps_in_epoch(trainer: Trainer) -> int:
    """Optimiser steps of an epoch; so many that none comes to it where the loader has no length."""
    batches = trainer.num_training_batches
    if batches == float("inf"):
        return _ONLY_ASKED
    return max(1, -(-int(batches) // trainer.accumulate_grad_batches))


def _logged(trainer: Trainer) -> dict[str, float]:
    """What the module has logged, as numbers."""
    found = {}
    for name, value in trainer.callback_metrics.items():
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            found[name] = float(value.detach())
    return found
