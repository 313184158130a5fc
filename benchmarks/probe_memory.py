"""Most memory of a training step of a GPT-2, and of the same training with a load probe.

    python benchmarks/probe_memory.py            GPT-2 small: 12 layers of width 768, 124 million parameters
    python benchmarks/probe_memory.py --quick    4 layers of width 256, 16 million parameters

Each training runs in a process of its own, whose most resident memory the kernel counts; what Python and PyTorch
take before is the same for both. The probe measures by next token: before, between and after two steps of AdamW.
Its chunk is left to itself: of 128 sequences of 128 tokens at once the logits of 50,257 tokens alone would take
3 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from springtui import LoadProbe

VOCABULARY, WANTED = 50_257, 1.25
_SHAPE = ("layers", "width", "tokens", "batch", "sequences")


class Block(nn.Module):
    """A layer of Radford et al., *Language models are unsupervised multitask learners*, 2019."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Attention to earlier tokens, then two maps of each token; both are added to the input."""
        n, t, width = x.shape
        q, k, v = (
            part.view(n, t, self.heads, -1).transpose(1, 2) for part in self.attention(self.norm1(x)).chunk(3, -1)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(n, t, width))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Gpt(nn.Module):
    """A GPT-2 with tied embeddings."""

    def __init__(self, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(1024, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token, [N, T, vocabulary]."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x))
        return out


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Two steps of AdamW; the most resident memory in MiB, and what is measured."""
    torch.manual_seed(0)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    model = Gpt(options.layers, options.width, options.width // 64)
    optimiser = torch.optim.AdamW(model.parameters())
    batch = torch.randint(0, VOCABULARY, (options.batch, options.tokens))
    draw = torch.Generator().manual_seed(1)
    probed = (torch.rand(options.sequences, options.tokens, generator=draw) ** 8 * VOCABULARY).long()
    probe = LoadProbe(model, probed, every=1) if options.train == "probe" else None
    losses = []
    for _ in range(2):
        logits = model(batch)
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())
        del logits
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
        if probe is not None:
            probe.step()
    settings = {} if probe is None else json.loads((probe.path / "config.json").read_text())["settings"]  # type: ignore[operator]
    return {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "imported": base,
        "losses": losses,
        "chunk": settings.get("chunk"),
        "seconds": None if probe is None else probe.metrics()["load_probe/seconds"],
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def main() -> int:
    """Print both peaks and their ratio; 1 where it is above a quarter more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 layers of width 256")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=128, help="tokens of a sequence")
    parser.add_argument("--batch", type=int, default=4, help="sequences of a training step")
    parser.add_argument("--sequences", type=int, default=128, help="sequences of the probe batch")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--train", choices=("alone", "probe"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.layers, options.width = 4, 256
    if options.train:
        print(json.dumps(train(options)))
        return 0
    told = {}
    for way in ("alone", "probe"):
        words = [
            f"--{name}={getattr(options, name)}" for name in ("layers", "width", "tokens", "batch", "sequences")
        ]
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                [sys.executable, __file__, "--train", way, *words],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "SPRINGTUI_HOME": home},
            )
        told[way] = json.loads(done.stdout.splitlines()[-1])
        if not options.json:
            print(f"{way:6s} {told[way]['peak']:7.0f} MiB at most, {time.perf_counter() - began:.0f} s")
    ratio = told["probe"]["peak"] / told["alone"]["peak"]
    same = told["probe"]["losses"] == told["alone"]["losses"]
    if options.json:
        print(json.dumps({"ratio": ratio, "same_losses": same, **told}))
    else:
        print(f"{told['alone']['parameters']:,} parameters; {told['alone']['imported']:.0f} MiB before the model")
        print(f"chunk {told['probe']['chunk']}; losses {'the same' if same else 'DIFFER'}")
        print(f"ratio {ratio:.3f}, wanted at most {WANTED}")
    return int(ratio > WANTED or not same)


if __name__ == "__main__":
    sys.exit(main())
