"""What a load probe costs a training: an epoch with it against one without, in alternating pairs.

    python benchmarks/probe.py            a ResNet-18 (11 million parameters) and a Transformer (2 million)
    python benchmarks/probe.py --quick    a few steps, for a look

The probe measures once an epoch, all three measures, on 256 samples; an epoch has 10,000 samples, a fifth of
CIFAR-10: a longer one pays less in proportion. Each pair trains the same model on, in an order that alternates.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from springtui import LoadProbe

PROBED, WANTED = 256, 0.02


class Residual(nn.Module):
    """The basic block of He et al., *Deep residual learning*, 2015."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        same = before == after and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions and what goes past them."""
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
    """A model and its data."""

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor


def cases(samples: int) -> Iterator[Case]:
    """The two models."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(10, (samples,), generator=draw)
    images = torch.randn(samples, 3, 16, 16, generator=draw) + y[:, None, None, None] / 5
    yield Case("ResNet-18, 16 x 16 images", resnet18(), images, y)
    tokens = (torch.randint(100, (samples, 32), generator=draw) + 90 * y[:, None]) % 1000
    yield Case("Transformer, 32 tokens", Transformer(), tokens, y)


def epoch(case: Case, optimiser: torch.optim.Optimizer, probe: LoadProbe | None) -> float:
    """Seconds of one epoch; the probe measures at its end."""
    began = time.perf_counter()
    for rows in torch.arange(len(case.x)).split(128):
        loss = nn.functional.cross_entropy(case.model(case.x[rows]), case.y[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if probe is not None:
            probe.step(loss=loss)
    return time.perf_counter() - began


def compare(case: Case, pairs: int) -> dict[str, Any]:
    """Seconds with and without, and what the probe added: the median over pairs, and as it clocked itself."""
    torch.manual_seed(0)
    optimiser = torch.optim.SGD(case.model.parameters(), 0.01)
    steps = -(-len(case.x) // 128)
    with tempfile.TemporaryDirectory() as home:
        probe = LoadProbe(case.model, case.x[:PROBED], case.y[:PROBED], every=steps, home=home)
        epoch(Case(case.name, case.model, case.x[:256], case.y[:256]), optimiser, None)  # warms up
        times: dict[bool, list[float]] = {True: [], False: []}
        own = []
        for pair in range(pairs):
            for probed in (True, False) if pair % 2 else (False, True):
                times[probed].append(epoch(case, optimiser, probe if probed else None))
            own.append(probe.metrics(prefix="")["seconds"])
        layers = probe.layers
        probe.close()
    added = [a / b - 1.0 for a, b in zip(times[True], times[False], strict=True)]
    return {
        "case": case.name,
        "parameters": sum(p.numel() for p in case.model.parameters()),
        "points": len(layers),
        "samples": len(case.x),
        "pairs": pairs,
        "seconds": statistics.median(times[False]),
        "added": statistics.median(added),
        "added_each": added,
        "probe_seconds": statistics.median(own),
        "probe_share": statistics.median(a / b for a, b in zip(own, times[False], strict=True)),
    }


def main() -> int:
    """Exit status 1 where the probe adds more than 2 %, by the clock of the pairs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="512 samples, one pair")
    parser.add_argument("--samples", type=int, default=10_000, help="of an epoch")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    samples, pairs = (512, 1) if options.quick else (options.samples, options.pairs)
    results = [compare(case, pairs) for case in itertools.islice(cases(samples), 2)]
    for r in results:
        print(
            f"{r['case']}, {r['parameters'] / 1e6:.1f} M parameters, {r['points']} points: an epoch of "
            f"{r['samples']} samples {r['seconds']:.1f} s; the probe adds {100 * r['added']:+.2f} % (median of "
            f"{r['pairs']} pairs; it clocks itself at {r['probe_seconds']:.2f} s, {100 * r['probe_share']:.2f} %)"
        )
    print(json.dumps({"benchmark": "probe", "threads": options.threads, "results": results}))
    missed = any(r["added"] > WANTED for r in results)
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
