"""How a sweep's networks are trained: compiled or stacked code, on how many threads, in how much memory."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from support.ensemble_rig import small, some_data

from engine.cores import core_count
from engine.ensemble.member import Member
from engine.ensemble.stack import train_stacked
from engine.ensemble.threads import single_threaded, train_ensemble
from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Cell
from engine.settings.train import TrainConfig
from engine.sweep import throughput
from engine.sweep.diagrams import make_sweep
from engine.sweep.producers import Output, StopSignal
from engine.sweep.stacked import StackedProducers
from engine.sweep.task import Job
from engine.sweep.throughput import choose, stacked_rate
from engine.workers.work import work

ROOT = Path(__file__).parents[2]
TINY = TrainConfig(epochs=4, width=16, depth=4, train_size=200)


def jobs(count: int, **settings: object) -> list[Job]:
    config = msgspec.structs.replace(TINY, **settings)
    return [Job(cell=i, member=0, settings=msgspec.structs.replace(config, seed=i)) for i in range(count)]


def test_stacked_code_comes_to_what_compiled_code_comes_to() -> None:
    """Full batch, no noise: nothing is random but the initial weights, which are the same. On a CPU here."""
    data, config = some_data(300, 30), small(epochs=10, batch_size=300)
    members = [Member(seed=1), Member(seed=2, lr=5e-3), Member(seed=3, negative_slope=0.6)]
    compiled = train_ensemble(config, members, data, threads=2)
    with single_threaded():
        stacked = train_stacked(config, members, data, "cpu")
    for one, other in zip(compiled, stacked, strict=True):
        for name in ("trace_ratio", "fuzziness"):
            np.testing.assert_allclose(one.curves[name], other.curves[name], rtol=0.01, atol=0.01)
        assert one.scalar("train_loss") == pytest.approx(other.scalar("train_loss"), rel=1e-3)


def test_threads_are_measured_for_many_networks_and_not_for_few() -> None:
    (few,) = choose(jobs(2), 0)
    assert (few.at_once, few.device, few.rates) == (core_count(), "", {})
    (told,) = choose(jobs(40), 3)
    assert told.at_once == 3
    (many,) = choose(jobs(40), 0)
    assert 1 <= many.at_once <= core_count()
    if core_count() > 1:
        assert set(many.rates) >= {"1 threads", f"{core_count()} threads"}
        assert all(rate > 0 for rate in many.rates.values())


def test_batch_sizes_are_groups_of_their_own_and_other_networks_apart() -> None:
    mixed = jobs(2, batch_size=20) + jobs(3, batch_size=200) + jobs(1, optimizer="sgd")
    assert [len(choice.jobs) for choice in choose(mixed, 1)] == [2, 3, 1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ConfigError, match="no CUDA device"):
        choose(jobs(2, device="cuda"), 0)


def test_the_faster_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its speed is made up, since there may be none here; the compiled code's is measured."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for rate, device in ((1e12, "cuda"), (1e-6, "")):
        monkeypatch.setattr(throughput, "stacked_rate", lambda _jobs, _device, rate=rate: rate)
        (choice,) = choose(jobs(2, device="auto"), 1)
        assert choice.device == device
        assert choice.rates["cuda"] == rate


def test_stacked_producers_make_every_cell_and_report_diverged_ones() -> None:
    outputs: queue.SimpleQueue[Output] = queue.SimpleQueue()
    other = msgspec.structs.replace(TINY, batch_size=20, hessian=True)
    wanted = [*jobs(3, batch_size=50), Job(cell=9, member=1, settings=other)]
    assert stacked_rate(wanted[:3], "cpu") > 0
    producers = StackedProducers(wanted, outputs, StopSignal(lambda: False), "cpu")
    producers.start()
    producers.join()
    cells = [outputs.get_nowait() for _ in range(outputs.qsize())]
    finals = {cell.cell: cell for cell in cells if isinstance(cell, Cell) and cell.final}
    assert sorted(finals) == [0, 1, 2, 9]
    assert all(cell.at == 4 and cell.curves for cell in finals.values())
    assert finals[9].scalars["hessian_trace"]


MEMORY = """
import json, resource, sys
from engine.runs.directory import Run
from engine.workers.work import work
from pathlib import Path
assert work(Run(Path(sys.argv[1]))).reason == "finished"
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["data-noise", "cnn"])
def test_a_paper_recipe_fits_into_two_gibibytes(recipe: str, home: Path, tmp_path: Path) -> None:
    """Networks of full size on made-up images, as many at once as threads; the peak does not grow with epochs."""
    rng = np.random.default_rng(0)
    shape = (2700, 3, 10, 10) if recipe == "cnn" else (2700, 100)
    y = rng.integers(0, 10, shape[0])
    x = rng.normal(size=(10, *shape[1:]))[y] + rng.normal(size=shape)
    np.savez(tmp_path / "made.npz", X=x.astype(np.float32), y=y)
    open_home(home)
    axes: dict[str, tuple[str, tuple[float, ...]]] = {"y": ("negative_slope", (0.0,))}
    axes["x"] = ("dropout", (0.0, 0.1))
    settings = {"dataset": str(tmp_path / "made.npz"), "train_size": 2560, "epochs": 1}
    run = Run.create(home, make_sweep(recipe, settings, axes=axes, seeds=1, threads=2))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(run.path)], capture_output=True, text=True, timeout=170, cwd=ROOT,
        env=os.environ, check=True,
    )  # fmt: skip
    kibibytes = json.loads(done.stdout.splitlines()[-1]) / (1024 if sys.platform == "darwin" else 1)
    assert kibibytes < 2 << 20


def test_the_same_cell_alone_gives_the_same_curve(home: Path) -> None:
    """A sweep of one cell against the same cell among others, with other seeds beside it."""
    open_home(home)
    shared = {"epochs": 5, "width": 16, "depth": 4, "train_size": 200, "batch_size": 50}
    many = make_sweep(
        "data-noise", shared, axes={"x": ("data_noise", (0.0, 0.3)), "y": ("lr", (1e-3, 0.1))}, seeds=3
    )
    one = make_sweep("data-noise", shared, axes={"x": ("data_noise", (0.3,)), "y": ("lr", (0.1,))}, seeds=1)
    company, alone = Run.create(home, many), Run.create(home, one)
    work(company)
    work(alone)
    cells = {(c.cell, c.member): c for c in company.events() if isinstance(c, Cell) and c.final}
    (only,) = (c for c in alone.events() if isinstance(c, Cell) and c.final)
    assert cells[3, 0].curves == only.curves
    assert cells[3, 0].scalars == only.scalars
