"""Models that are compiled, or spread over processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.probe.load_probe import LoadProbe
from engine.runs.listing import find_run, list_runs
from engine.runs.records import Curve

SCRIPT = Path(__file__).parents[1] / "scripts" / "probe_distributed.py"


class Block(nn.Module):
    """A residual block with dropout and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.dropout(torch.relu(self.norm(self.linear(x))))
        return y


def compiled(how: str) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), Block(), Block(), nn.Linear(16, 4))
    if how == "whole":
        return torch.compile(model, backend="eager")  # type: ignore[return-value]
    if how == "in place":
        model.compile(backend="eager")
    else:
        for index in (1, 2):
            model[index] = torch.compile(model[index], backend="eager")  # type: ignore[assignment]
    return model


@pytest.mark.filterwarnings("ignore")  # of torch's compiler about itself
@pytest.mark.parametrize("how", ["whole", "in place", "block by block"])
def test_a_compiled_model_is_measured_as_written_and_not_compiled_anew(how: str, home: Path) -> None:
    from torch._dynamo.utils import counters

    x = torch.randn(60, 16, generator=torch.Generator().manual_seed(1))
    y = x[:, :4].argmax(1)

    def train(*, probed: bool) -> tuple[list[float], int]:
        torch._dynamo.reset()
        counters.clear()
        model = compiled(how)
        probe = LoadProbe(model, x, y, every=2) if probed else None
        if probe is not None:
            assert probe.layers == ["input", "1", "2", "logits"]
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        losses = []
        for _ in range(5):
            loss = nn.functional.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
            if probe is not None:
                probe.step()
        return losses, counters["stats"]["unique_graphs"]

    assert train(probed=True) == train(probed=False)


@pytest.mark.slow
def test_ddp_and_fsdp_on_two_processes(home: Path, tmp_path: Path) -> None:
    """Training is the same bit for bit, rank 0 alone writes, and a sharded model gives what a whole one gives."""
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path / "meeting"), str(tmp_path / "told")],
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "SPRINGTUI_HOME": str(home)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for r in (0, 1) for line in (tmp_path / f"told.{r}").read_text().splitlines()]
    assert {(entry["way"], entry["rank"]) for entry in told} == {
        (way, rank) for way in ("ddp", "fsdp1", "fsdp2") for rank in (0, 1)
    }
    assert all(entry["same"] for entry in told)
    writers = [entry for entry in told if entry["run"]]
    assert [entry["rank"] for entry in writers] == [0, 0, 0]
    assert len(list_runs(home)) == 3
    whole = writers[0]["curves"]["trace_ratio"]
    for entry in writers:
        assert entry["layers"] == ["input", "1", "2", "logits"]
        assert entry["curves"]["trace_ratio"] == pytest.approx(whole, abs=1e-3)
        run = find_run(home, entry["run"])
        assert run.status() == "finished"
        assert [event.step for event in run.events() if isinstance(event, Curve)] == [0, 2, 4]
