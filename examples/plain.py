"""A plain PyTorch training loop, with its layers measured: three lines are springtui's.

    python examples/plain.py
    springtui watch last        # in another terminal, while it trains

A network of seven hidden layers learns handwritten digits. Runs offline in a few seconds.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

from springtui import LoadProbe


def network(depth: int = 8, width: int = 64) -> nn.Sequential:
    """A smaller version of the paper's network: ``depth`` linear maps from 64 inputs to 10 logits."""
    layers: list[nn.Module] = [nn.BatchNorm1d(64)]
    size = 64
    for _ in range(depth - 1):
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1)]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, 10))


def main() -> None:
    """Train, and print the load of each layer."""
    parser = argparse.ArgumentParser(description="A plain training loop with a load probe.")
    parser.add_argument("--epochs", type=int, default=15)
    epochs = parser.parse_args().epochs

    torch.set_num_threads(1)  # fastest for so small a network
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
    train, held_out = slice(0, 1440), slice(1440, None)
    model = network()
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    batches = 1440 // 96

    with LoadProbe(model, x[train][:384], y[train][:384], every=batches, name="plain") as probe:  # springtui's
        print(f"watch it: springtui watch {probe.run_id}")
        for epoch in range(1, epochs + 1):
            model.train()
            for rows in torch.randperm(1440).split(96):
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                probe.step(loss=loss)  # springtui's
            model.eval()
            with torch.no_grad():
                accuracy = (model(x[held_out]).argmax(1) == y[held_out]).float().mean()
            probe.log(test_accuracy=accuracy, epoch=epoch)

    print(f"test accuracy {accuracy:.3f}; the curve says: {probe.statistics.words}")
    for layer, load in probe.loads.items():
        print(f"  {layer:>8}  load {load:+.2f}")
    if probe.twin is not None:
        print(f"effective friction of the chain that behaves like it: {probe.effective_friction:+.3f}")


if __name__ == "__main__":
    main()
