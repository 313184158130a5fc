"""A language model trained by Hugging Face's Trainer, with its layers measured by one callback.

    python examples/hugging_face.py
    springtui watch last        # in another terminal, while it trains

Needs springtui[transformers]. A small GPT with random weights learns generated sequences, in which each token
depends on the two before it; the probe measures how well each layer separates the tokens that come next. Runs
offline in a few seconds.
"""

import argparse
import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch.utils.data import Dataset

from springtui.adapters.transformers import LoadProbeCallback  # first: its error names a missing package

from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed  # isort: skip

TOKENS, LENGTH = 16, 24


class Sequences(Dataset[dict[str, torch.Tensor]]):
    """Each token is the sum of the two before it modulo ``TOKENS``, or with probability 1/8 a random one."""

    def __init__(self, count: int) -> None:
        draw = torch.Generator().manual_seed(0)
        ids = torch.randint(TOKENS, (count, LENGTH), generator=draw)
        free = torch.rand(count, LENGTH, generator=draw) < 0.125
        for t in range(2, LENGTH):
            ids[:, t] = torch.where(free[:, t], ids[:, t], (ids[:, t - 1] + ids[:, t - 2]) % TOKENS)
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[index], "labels": self.ids[index]}


def main() -> None:
    """Train, and print the load of each layer."""
    parser = argparse.ArgumentParser(description="A Hugging Face Trainer with a load probe.")
    parser.add_argument("--epochs", type=int, default=4)
    epochs = parser.parse_args().epochs

    torch.set_num_threads(1)  # fastest for so small a network
    set_seed(0)
    data = Sequences(768)
    config = GPT2Config(
        vocab_size=TOKENS, n_positions=LENGTH, n_embd=32, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0
    )
    probe = LoadProbeCallback(
        {"input_ids": data.ids[:96], "use_cache": False}, name="language model"
    )  # springtui's
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=32,
            learning_rate=3e-3,
            logging_steps=24,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        Trainer(
            model=GPT2LMHeadModel(config),
            args=arguments,
            train_dataset=data,
            callbacks=[probe],  # springtui's
        ).train()

    assert probe.probe is not None
    print(f"{probe.probe.run_id}: the curve says: {probe.probe.statistics.words}")
    for layer, load in probe.probe.loads.items():
        print(f"  {layer:>16}  load {load:+.2f}")


if __name__ == "__main__":
    main()
