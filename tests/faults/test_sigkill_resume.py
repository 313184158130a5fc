"""SIGKILLs at random moments: no record is lost or changed, and the end is that of an unbroken run.

Workers come from a forge, which imports once; they are real processes, killed between their first instruction and
some tenths of a second later, so also while they start, replay, write a record or a checkpoint. A campaign
has a hundred of them and costs some 45 core-seconds.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.full_numbers import repeats
from support.replays import Broken, assert_never_broken
from support.worker_forge import Forge

from engine.chain.build import new_chain
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Acknowledged, Cell, Curve, Ended, decode_event
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.run import Settings
from engine.settings.train import TrainConfig
from engine.sweep.diagrams import make_sweep
from engine.workers.work import work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("one_thread")]
LIFE = 0.35
"""Seconds that a worker lives at most."""
NETWORK: dict[str, Any] = {
    "width": 12, "depth": 3, "batch_size": 3, "dropout": 0.1, "data_noise": 0.2, "early_stop": False,
    "hessian": False, "epochs": 300, "measure_every": 5, "checkpoint_every": 0.08, "train_size": 600,
}  # fmt: skip
KILLS = {"train": 25, "train-moved": 15, "train-torch": 10, "chain": 20, "chain-moved": 15, "sweep": 15}
"""In a campaign; in the tests of every day a third of them."""


def test_they_are_a_hundred() -> None:
    assert sum(KILLS.values()) == 100


def killed_often(forge: Forge, home: Path, settings: Settings, name: str, *moves: dict[str, Any]) -> list[Run]:
    """Kill workers as often as ``KILLS`` says, moving sliders on the way, and let one finish.

    A machine so quick that it finishes a run before begins another.
    """
    runs: list[Run] = []
    chance, left = random.Random(name), repeats(KILLS[name], 1 / 3)
    while left:
        runs.append(Run.create(open_home(home), settings))
        left -= kill_one(forge, runs[-1], chance, left, moves)
    return runs


def kill_one(forge: Forge, run: Run, chance: random.Random, most: int, moves: Sequence[dict[str, Any]]) -> int:
    """Kill a run's workers until it has finished all the same, or ``most`` times; how often."""
    kills, before = 0, b""
    while kills < most:
        worker = forge.start(run.path)
        time.sleep(chance.uniform(0.0, LIFE))
        if moves:
            run.ask("set", **moves[kills % len(moves)])
            time.sleep(chance.choice([0.0, 0.1]))
        worker.kill()
        if worker.wait(20) != -signal.SIGKILL or run.status() == "finished":
            break
        kills += 1
        assert not run.is_live()
        assert run.status() in {"crashed", "waiting"}
        after = (run.path / "events.jsonl").read_bytes()
        assert after.startswith(before), "an earlier record changed"
        before = after
    assert forge.start(run.path).wait(500.0) == 0, run.last_log_lines()
    assert run.status() == "finished"
    assert_records_are_whole(run)
    return kills


def assert_records_are_whole(run: Run) -> None:
    """Every line is a record, but for those that a kill tore; numbered without a gap; and nothing is left over."""
    found = []
    for line in (run.path / "events.jsonl").read_bytes().splitlines():
        try:
            found.append(decode_event(line))
        except Exception:
            assert not line.endswith(b"}"), "a damaged line that no kill explains"
    assert [event.seq for event in found] == list(range(len(found)))
    assert isinstance(found[-1], Ended)
    assert not list(run.path.glob(".*.tmp"))


@pytest.mark.parametrize("name", ["train", "train-moved", "train-torch"])
def test_a_network(name: str, forge: Forge, home: Path) -> None:
    moves: tuple[dict[str, Any], ...] = (
        {"lr": 0.003},
        {"dropout": 0.3, "data_noise": 0.4},
        {"negative_slope": 0.3},
        {"batch_size": 4},
    )
    moves = moves if name == "train-moved" else ()
    torchs = {"activation": "tanh", "batch_size": 64, "epochs": 120} if name == "train-torch" else {}
    runs = killed_often(forge, home, TrainConfig(**{**NETWORK, **torchs}), name, *moves)
    assert were_moved(runs) == bool(moves)
    for run in runs:
        assert_never_broken(Broken(run))


def were_moved(runs: Sequence[Run]) -> bool:
    return any(isinstance(event, Acknowledged) for run in runs for event in run.events())


@pytest.mark.parametrize("name", ["chain", "chain-moved"])
def test_a_chain(name: str, forge: Forge, home: Path) -> None:
    """One compiled and at full speed, one in NumPy, as the lab's is, with moved sliders."""
    config = ChainConfig(steps=15_000_000, replicas=64, blocks=7, noise=0.05, frames=20.0)
    moves: tuple[dict[str, Any], ...] = ()
    if name == "chain-moved":
        config = ChainConfig(steps=60_000, replicas=8, blocks=5, noise=0.05, frames=20.0, pace=30_000.0)
        moves = ({"mu_right": 0.1}, {"noise": 0.02, "mu_left": 0.05}, {"target": 1.5})
    runs = killed_often(forge, home, config, name, *moves)
    assert were_moved(runs) == bool(moves)
    for run in runs:
        assert_pulled_in_one_go(run, config)


def assert_pulled_in_one_go(run: Run, config: ChainConfig) -> None:
    """Each record equals what a chain gives here, with the moves at the steps that were acknowledged."""
    chain = new_chain(config)
    curves = 0
    for event in run.events():
        if isinstance(event, Curve | Acknowledged):
            assert event.step >= chain.steps, "a step twice"
            chain.advance(event.step - chain.steps)
        if isinstance(event, Acknowledged):
            assert not event.error
            config = make(ChainConfig, event.settings, config)
            chain.change(config)
        elif isinstance(event, Curve):
            curves += 1
            assert event.positions == chain.x_RL[0].tolist()
            assert event.spread == chain.sd().tolist()
    assert chain.steps == config.steps
    assert curves > 3


def test_a_sweep(forge: Forge, home: Path) -> None:
    config = make_sweep(
        "data-noise",
        {"epochs": 60, "width": 24, "depth": 4, "train_size": 400, "batch_size": 50},
        axes={"x": ("data_noise", (0.0, 0.2, 0.4, 0.6)), "y": ("negative_slope", (0.0, 0.5, 1.0))},
        seeds=4,
    )
    runs = killed_often(forge, home, config, "sweep")
    unbroken = Run.create(open_home(home), config)
    assert work(unbroken).reason == "finished"
    for run in runs:
        assert finals(run) == finals(unbroken)


def finals(run: Run) -> dict[tuple[int, int], dict[str, Any]]:
    """Its finished members, without what tells of when; fails where one was made twice."""
    made = [event for event in run.events() if isinstance(event, Cell) and event.final]
    assert len({(cell.cell, cell.member) for cell in made}) == len(made) == 48
    plain = [msgspec.structs.replace(cell, seq=0, time=0.0, done=0) for cell in made]
    return {(cell.cell, cell.member): msgspec.structs.asdict(cell) for cell in plain}
