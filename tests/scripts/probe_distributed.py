"""Trains a small model on two processes, wrapped by DDP or sharded by either FSDP, with and without a probe.

Run by tests/engine/test_probe_wrapped.py. Each rank writes into the file that is named, one JSON object a way.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from springtui import LoadProbe

WAYS = ("ddp", "fsdp1", "fsdp2")


class Block(nn.Module):
    """A residual block with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.dropout(torch.relu(self.norm(self.linear(x))))
        return y


def wrapped(way: str) -> nn.Module:
    """The same model each time, ready to train on two processes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), Block(), Block(), nn.Linear(16, 4))
    if way == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    if way == "fsdp1":
        return FullyShardedDataParallel(
            model,
            auto_wrap_policy=ModuleWrapPolicy({Block}),
            device_id=torch.device("cpu"),
            use_orig_params=True,
        )
    mesh = init_device_mesh("cpu", (2,))
    for block in (model[1], model[2]):
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def train(way: str, rank: int, *, probed: bool) -> tuple[list[float], LoadProbe | None]:
    """A few steps on this rank's half of the samples."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(80, 16, generator=draw)
    y = x[:, :4].argmax(1)
    model = wrapped(way)
    probe = LoadProbe(model, x, y, every=2) if probed else None
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(rank)
    losses = []
    for _ in range(4):
        loss = nn.functional.cross_entropy(model(x[rank::2]), y[rank::2])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
        if probe is not None:
            probe.step(loss=loss)
    return losses, probe


def work(rank: int, meeting: str, told_to: str) -> None:
    """One of the two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    for way in WAYS:
        plain, _ = train(way, rank, probed=False)
        losses, probe = train(way, rank, probed=True)
        assert probe is not None
        probe.close()
        told = {"way": way, "rank": rank, "same": losses == plain, "layers": probe.layers}
        with Path(f"{told_to}.{rank}").open("a") as file:
            file.write(
                json.dumps(told | {"run": probe.run_id, "curves": probe.curves, "losses": [plain, losses]}) + "\n"
            )
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(work, (sys.argv[1], sys.argv[2]), nprocs=2)  # type: ignore[no-untyped-call]
