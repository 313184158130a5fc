"""Models that are compiled, or spread over processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

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


class Forwarding(nn.Module):
    """Scales the input, and forwards unknown attributes to the module that it holds, as PEFT's wrappers do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def forward(self, x: Tensor) -> Any:
        return self.module(3 * x + 1)


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))


X = torch.randn(60, 16, generator=torch.Generator().manual_seed(1))
Y = X[:, :4].argmax(1)


@pytest.mark.filterwarnings("ignore")  # of torch's compiler about itself
def test_a_wrapper_that_forwards_attributes_is_no_compiled_model(home: Path) -> None:
    wrapped = LoadProbe(Forwarding(plain()), X, Y)
    compiled_inside = LoadProbe(Forwarding(torch.compile(plain(), backend="eager")), X, Y)  # type: ignore[arg-type]
    assert compiled_inside.layers == wrapped.layers == ["input", "module.1", "module.3", "logits"]
    assert compiled_inside.curves == wrapped.curves
    assert wrapped.curves != LoadProbe(plain(), X, Y).curves


@pytest.mark.filterwarnings("ignore")  # of torch's compiler about itself
def test_wrappers_in_wrappers(home: Path, tmp_path: Path) -> None:
    wanted = LoadProbe(plain(), X, Y)
    torch.distributed.init_process_group("gloo", init_method=(tmp_path / "meeting").as_uri(), rank=0, world_size=1)
    try:
        ddp = nn.parallel.DistributedDataParallel
        models: list[Any] = [
            ddp(nn.DataParallel(plain())),
            torch.compile(ddp(plain()), backend="eager"),
            ddp(torch.compile(plain(), backend="eager")),
        ]
        for model in models:
            probe = LoadProbe(model, X, Y)
            assert (probe.layers, probe.curves) == (wanted.layers, wanted.curves)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")  # of Lightning and torch's compiler about themselves
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("compiles", [False, True])
def test_lightning_fabric(precision: Any, compiles: bool, home: Path) -> None:
    fabric = pytest.importorskip("lightning.fabric").Fabric(accelerator="cpu", devices=1, precision=precision)
    model = fabric.setup(torch.compile(plain(), backend="eager") if compiles else plain())
    probe = LoadProbe(model, X, Y, autocast=fabric.autocast)
    wanted = LoadProbe(plain(), X, Y, autocast=None if precision == "32-true" else torch.bfloat16)
    assert (probe.layers, probe.curves) == (wanted.layers, wanted.curves)


@pytest.mark.filterwarnings("ignore")  # of Accelerate about itself
def test_accelerate(home: Path) -> None:
    """Its forward computes in the precision that was asked for."""
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(True)  # an earlier test's trainer may have made one
    try:
        accelerator = accelerate.Accelerator(mixed_precision="bf16", cpu=True)
        probe = LoadProbe(accelerator.prepare(plain()), X, Y)
    finally:
        accelerate.state.AcceleratorState._reset_state(True)
    wanted = LoadProbe(plain(), X, Y, autocast=torch.bfloat16)
    assert probe.layers == wanted.layers
    assert probe.curves["trace_ratio"][:-1] == wanted.curves["trace_ratio"][:-1]


@pytest.mark.parametrize(
    ("variables", "writes"),
    [
        ({}, True),
        ({"RANK": "1"}, True),  # of a scheduler, or left from a script before
        ({"RANK": "1", "WORLD_SIZE": "1"}, True),
        ({"RANK": "0", "WORLD_SIZE": "4"}, True),
        ({"RANK": "1", "WORLD_SIZE": "4"}, False),  # as torchrun sets them before there is a process group
        ({"RANK": "one", "WORLD_SIZE": "4"}, True),
    ],
)
def test_the_rank_before_there_is_a_process_group(
    variables: dict[str, str], writes: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    probe = LoadProbe(plain(), X, Y)
    assert (probe.run_id is not None) == writes
    assert bool(probe.curves) == writes
    got: list[int] = []
    probe.report_to(lambda _metrics, step: got.append(step))
    assert got == ([0] if writes else [])
    if not writes:  # a tracker that is made ready on rank 0 alone
        wandb = types.ModuleType("wandb")
        wandb.run = None  # type: ignore[attr-defined]
        probe.report_to(wandb)
    described = probe.describe()
    assert bool(described.points) == writes
    assert ("This process measures nothing" in str(described)) != writes
