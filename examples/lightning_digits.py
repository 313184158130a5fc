"""A LightningModule, with its layers measured by one callback.

    python examples/lightning_digits.py
    springtui watch last        # in another terminal, while it trains

Needs springtui[lightning]. A small convolutional network learns handwritten digits. Runs offline in a few seconds.
"""

import argparse
import logging
import warnings

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from springtui.adapters.lightning import LoadProbeCallback  # first: its error names a missing package

import lightning.pytorch as pl  # isort: skip


class Digits(pl.LightningModule):
    """A convolutional network with its loss and optimiser."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm2d(1)]
        channels = 1
        for _ in range(4):
            layers += [nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
            channels = 8
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 64, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images [N, 1, 8, 8]."""
        out: Tensor = self.net(x)
        return out

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        """Cross-entropy of a batch, []."""
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), 1e-3)


def main() -> None:
    """Train, and print the load of each layer."""
    parser = argparse.ArgumentParser(description="A LightningModule with a load probe.")
    parser.add_argument("--epochs", type=int, default=3)
    epochs = parser.parse_args().epochs
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    torch.set_num_threads(1)  # fastest for so small a network
    pl.seed_everything(0, verbose=False)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(labels)
    probe = LoadProbeCallback(x[:256], y[:256], part="net", name="lightning")  # springtui's
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[probe],  # springtui's
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(), DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True))

    assert probe.probe is not None
    print(f"{probe.probe.run_id}: the curve says: {probe.probe.statistics.words}")
    for layer, load in probe.probe.loads.items():
        print(f"  {layer:>8}  load {load:+.2f}")


if __name__ == "__main__":
    main()
