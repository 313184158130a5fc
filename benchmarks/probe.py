"""Time that a load probe adds to a training, from windows of steps with and without a measurement, side by side.

    python benchmarks/probe.py            a ResNet-18 (11 million parameters) and a Transformer (2 million)
    python benchmarks/probe.py --quick    two rounds only

The probe takes all three measures once an epoch, on 256 samples; an epoch has 10,000 samples, a fifth of CIFAR-10;
in longer epochs the probe's share is smaller. A second probe takes all layer health too, with the optimiser's
hooks. Whole epochs of half a minute vary by more than the probe costs, so the time of one measurement,
with its effect on the next steps, is taken from rounds of three windows of some steps (plain, with the probe, with
layer health), in random order, and divided by the time of an epoch. Times are the process's processor time, which
other work on the machine changes little. A window has more steps than the models have layers, so that each layer
has its turn with the optimiser's hooks.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.measures.registry import HEALTH, SATURATED
from springtui import LoadProbe

PROBED, BATCH, WANTED = 256, 128, 0.02
WINDOW = 12
"""Steps of one window."""
ARMS = ("plain", "probe", "health")


class Residual(nn.Module):
    """The basic block of He et al., *Deep residual learning*, 2015."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        same = before == after and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions and the shortcut past them."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.short(x))


def resnet18() -> nn.Module:
    """ResNet-18 for small images."""
    widths = (64, 128, 256, 512)
    blocks: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    before = 64
    for stage, width in enumerate(widths):
        blocks += [Residual(before, width, 1 if stage == 0 else 2), Residual(width, width, 1)]
        before = width
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Transformer(nn.Module):
    """Six layers of width 160 over 32 tokens."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(160, 4, 640, batch_first=True)
        self.embedding = nn.Embedding(1000, 160)
        self.encoder = nn.TransformerEncoder(layer, 6)
        self.head = nn.Linear(160, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean token."""
        out: Tensor = self.head(self.encoder(self.embedding(x)).mean(1))
        return out


class Case(NamedTuple):
    """A model and its training data."""

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor


def cases(samples: int) -> Iterator[Case]:
    """The two models with random data of ``samples`` samples."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(10, (samples,), generator=draw)
    images = torch.randn(samples, 3, 16, 16, generator=draw) + y[:, None, None, None] / 5
    yield Case("ResNet-18, 16 x 16 images", resnet18(), images, y)
    tokens = (torch.randint(100, (samples, 32), generator=draw) + 90 * y[:, None]) % 1000
    yield Case("Transformer, 32 tokens", Transformer(), tokens, y)


def window(case: Case, optimiser: torch.optim.Optimizer, probe: LoadProbe | None) -> float:
    """Processor seconds of ``WINDOW`` steps; a probe measures after the first, and slows the others if at all."""
    began = time.process_time()
    for rows in torch.arange(len(case.x)).split(BATCH):
        loss = nn.functional.cross_entropy(case.model(case.x[rows]), case.y[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if probe is not None:
            probe.step(loss=loss)
    return time.process_time() - began


def interval(values: list[float], chance: random.Random) -> tuple[float, float]:
    """95 % confidence interval of the median, by bootstrap."""
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[1949]


def compare(case: Case, samples: int, rounds: int) -> dict[str, Any]:
    """Processor seconds of an epoch, and what one measurement adds to it, without and with layer health."""
    torch.manual_seed(0)
    chance = random.Random(0)
    # rates without momentum have no state, so each arm can have an optimiser of its own: only one is hooked
    optimisers = {arm: torch.optim.SGD(case.model.parameters(), 0.01) for arm in ARMS}
    with tempfile.TemporaryDirectory() as home:
        probes: dict[str, LoadProbe | None] = {"plain": None}
        batch = (case.x[:PROBED], case.y[:PROBED])
        probes["probe"] = plain = LoadProbe(case.model, *batch, every=WINDOW, home=home)
        probes["health"] = full = LoadProbe(
            case.model, *batch, every=WINDOW, home=home, health="all", optimizer=optimisers["health"]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimiser was not seen in the steps that are only counted
            for _ in range(WINDOW - 1):  # so that it measures at the first step of each window that follows
                plain.step()
                full.step()
        for arm in ARMS:  # warms up
            window(case, optimisers[arm], probes[arm])
        times: dict[str, list[float]] = {arm: [] for arm in ARMS}
        for _ in range(rounds):
            for arm in chance.sample(ARMS, len(ARMS)):
                times[arm].append(window(case, optimisers[arm], probes[arm]))
        own = {
            arm: probe.metrics(prefix="")["seconds"] for arm, probe in zip(ARMS[1:], (plain, full), strict=True)
        }
        known = {key.partition("/")[0] for key in full.metrics(prefix="")}
        assert known >= HEALTH.keys() - {SATURATED}, "these models have no bounded activations"
        plain.close()
        full.close()
    epoch = statistics.median(times["plain"]) / WINDOW * -(-samples // BATCH)
    result: dict[str, Any] = {
        "case": case.name,
        "parameters": sum(p.numel() for p in case.model.parameters()),
        "points": len(plain.layers),
        "samples": samples,
        "rounds": rounds,
        "epoch_seconds": epoch,
    }
    for arm in ARMS[1:]:
        added = [(a - b) / epoch for a, b in zip(times[arm], times["plain"], strict=True)]
        result[arm] = {
            "added": statistics.median(added),
            "added_interval_95": interval(added, chance),
            "added_each": added,
            "own_seconds": own[arm],
        }
    return result


def main() -> int:
    """Print the measurements; exit status 1 where a probe adds more than 2 % to an epoch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two rounds")
    parser.add_argument("--samples", type=int, default=10_000, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rounds = 2 if options.quick else options.rounds
    results = [compare(case, options.samples, rounds) for case in cases(WINDOW * BATCH)]
    for r in results:
        print(
            f"{r['case']}, {r['parameters'] / 1e6:.1f} M parameters, {r['points']} points: an epoch of "
            f"{r['samples']} samples takes {r['epoch_seconds']:.1f} s of processor time"
        )
        for arm, words in (("probe", "the probe"), ("health", "the probe with layer health")):
            low, high = r[arm]["added_interval_95"]
            print(
                f"  {words} adds {100 * r[arm]['added']:+.2f} % (median of {r['rounds']} rounds, 95 % of it "
                f"{100 * low:.2f} to {100 * high:.2f} %; it clocks itself at {r[arm]['own_seconds']:.2f} s)"
            )
    print(json.dumps({"benchmark": "probe", "threads": options.threads, "results": results}))
    missed = any(r[arm]["added"] > WANTED for r in results for arm in ARMS[1:])
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
