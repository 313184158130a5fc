"""The load probe as a callback of Hugging Face's Trainer.

from springtui.adapters.transformers import LoadProbeCallback
trainer = Trainer(model=model, …, callbacks=[LoadProbeCallback(inputs, labels)])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

try:
    from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
    from transformers.training_args import TrainingArguments
except ImportError as missing:
    raise ImportError("transformers is not installed: pip install 'springtui[transformers]'") from missing

import springtui

if TYPE_CHECKING:
    from engine.probe.load_probe import LoadProbe


class LoadProbeCallback(TrainerCallback):
    """Measures the model while ``Trainer.train`` trains it, and records what the Trainer logs, at its own steps.

    Training is the same bit for bit with and without it. ``probe`` is the ``LoadProbe``, from the start of the
    training on.

    Args:
        inputs: the fixed probe batch, as a tokenizer gives it: ``{"input_ids": …, "attention_mask": …}``.
        labels: classes [N]; or None for the next token of a language model's inputs [N, T].
        every: optimiser steps between measurements; by default once an epoch.
        options: other arguments of ``LoadProbe``. ``health`` needs no ``optimizer``: the Trainer's is taken.

    Training arguments that shard the model (fsdp, deepspeed) are refused. Under DDP, rank 0 writes.
    """

    def __init__(self, inputs: Any, labels: Any = None, *, every: int | None = None, **options: Any) -> None:
        self.probe: LoadProbe | None = None
        self._inputs, self._labels = inputs, labels
        self._every, self._options = every, options

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Find the layers and measure the model before the first step.

        Raises:
            ValueError: the training arguments shard the model.
            ConfigError, DataError: an argument of the probe is not allowed.
        """
        for name in ("fsdp", "deepspeed"):
            if getattr(args, name, None):
                raise ValueError(
                    f"{name} shards the model, which this callback does not follow; allowed: one device or DDP, "
                    f"or call LoadProbe in a training loop of your own"
                )
        kind = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
        once = max(1, round(state.max_steps / max(1.0, float(state.num_train_epochs))))
        self.probe = springtui.LoadProbe(
            given["model"],
            self._inputs,
            self._labels,
            every=self._every or once,
            **{"autocast": kind, "optimizer": given.get("optimizer"), **self._options},
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Count one optimiser step."""
        if self.probe is not None:
            self.probe.step(step=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Record the numbers that the Trainer logs."""
        logs = given.get("logs") or {}
        numbers = {
            name: value for name, value in logs.items() if isinstance(value, int | float) and name != "epoch"
        }
        if self.probe is not None:
            self.probe.log(**{**numbers, "step": state.global_step, "epoch": state.epoch})

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Measure, where ``every`` was not given."""
        if self.probe is not None and self._every is None:
            self.probe.measure()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Measure the trained model and end the run."""
        if self.probe is not None:
            self.probe.close()
