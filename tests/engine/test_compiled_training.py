"""One network by compiled code: a sweep's bits, moves and checkpoints at any step, and who is trained so."""

from __future__ import annotations

import itertools
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training import KNOBS, dataset, train

from engine.datasets.load import Dataset
from engine.ensemble.learner import begin
from engine.ensemble.member import Group, MemberTrainer, member_of
from engine.ensemble.threads import single_threaded
from engine.ensemble.trainer import CompiledTrainer, trainer_for
from engine.errors import ConfigError, DivergedError, RunDirectoryError
from engine.networks.trainer import Trainer
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Curve, Ended, Note, Started
from engine.runs.replay import Replay
from engine.settings.train import TrainConfig
from engine.workers.work import work
from springtui.lab.panels import words
from springtui.state.run_state import RunState

ROOT = Path(__file__).parents[2]
NOISY: dict[str, Any] = {"dropout": 0.2, "data_noise": 0.3, "negative_slope": 0.2}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_threaded():
        yield


def compiled(data: Dataset | None = None, **settings: Any) -> CompiledTrainer:
    small = {"width": 8, "depth": 4, "batch_size": 10, "early_stop": False}
    return CompiledTrainer(TrainConfig(**{**small, **settings}), dataset() if data is None else data)


def same(one: Trainer, other: Trainer) -> bool:
    return one.state() == other.state()


class TestSameBits:
    @pytest.mark.parametrize(
        "settings",
        [{"batch_size": 40}, {"batch_size": 13}, {"batch_size": 1}, {"batch_size": 7, **NOISY}],
        ids=["full", "one-left", "batch-1", "noisy"],
    )
    def test_as_a_member_of_an_ensemble(self, settings: dict[str, Any]) -> None:
        run = compiled(seed=4, **settings)
        member = MemberTrainer(Group(run.config, dataset()), member_of(run.config))
        work = member.group.workspace()
        for _ in range(3):
            train(run, 1)
            member.run_epoch(work)
            mine, theirs = run.measure(), member.measure()
            assert mine.curves == theirs.curves
            assert mine.scalars.items() >= theirs.scalars.items()
        assert run.step_count == member.step_count > 0

    def test_as_a_cell_of_a_sweep(self, home: Path) -> None:
        """``springtui train`` and a sweep, each by its own worker's way."""
        config = TrainConfig(width=16, depth=4, epochs=3, batch_size=50, train_size=200, seed=7, **NOISY)
        run = Run.create(open_home(home), config)
        ended = work(run)
        cell = begin(config)
        while not cell.finished:
            assert cell.run_epoch(lambda: False)
        assert ended.summary["load_curve"] == cell.measure().curves
        assert started(run).facts["trainer"] == "compiled"

    def test_however_many_steps_at_once(self) -> None:
        chance = random.Random(0)
        alone, many, some = (compiled(batch_size=3, **NOISY) for _ in range(3))
        for _ in range(3):
            train(alone, 1)
            assert len(list(many.run_epoch(lambda: 1 << 40))) < 13
            list(some.run_epoch(lambda: chance.randint(1, 5)))
        assert same(alone, many)
        assert same(alone, some)

    def test_measuring_leaves_no_trace(self) -> None:
        run, unseen = compiled(**NOISY), compiled(**NOISY)
        for _ in run.run_epoch():
            run.measure()
            run.curvature(lambda: False)
        train(unseen, 1)
        assert run.network.training
        assert same(run, unseen)

    def test_whatever_threads_measure(self) -> None:
        one, two = compiled(threads=1), compiled(threads=2)
        for run in (one, two):
            with run.limits():
                assert torch.get_num_threads() == run.config.threads
                train(run, 2)
        assert same(one, two)


class TestMoves:
    @pytest.mark.parametrize("name", KNOBS)
    def test_before_the_first_step_is_as_configured(self, name: str) -> None:
        """Also once the epoch has begun."""
        configured = train(compiled(**{name: KNOBS[name]}), 2)
        moved, begun = compiled(), compiled()
        moved.change({name: KNOBS[name]})
        for i, _ in enumerate(begun.run_epoch()):
            if i == 0:
                begun.change({name: KNOBS[name]})
        assert same(train(moved, 2), configured)
        assert same(train(begun, 1), configured)

    @pytest.mark.parametrize("name", KNOBS)
    def test_between_steps_holds_from_the_next(self, name: str) -> None:
        moved, still = compiled(), compiled()
        steps = zip(moved.run_epoch(), still.run_epoch(), strict=False)
        for _ in itertools.islice(steps, 3):
            pass
        assert moved.step_count == still.step_count == 2
        assert moved.measure() == still.measure()
        moved.change({name: KNOBS[name]})
        next(steps)
        assert moved.step_count == 3
        assert moved.measure() != still.measure()

    @pytest.mark.parametrize(
        ("first", "second", "steps"),
        [(10, 5, 6), (10, 7, 5), (10, 19, 3), (10, 1, 12), (10, 100, 3), (10, 10, 4)],
    )
    def test_batch_size_within_an_epoch(self, first: int, second: int, steps: int) -> None:
        """40 samples: two batches of the first size, then of the second; none is left alone."""
        run = compiled(batch_size=first)
        for i, _ in enumerate(run.run_epoch()):
            if i == 2:
                run.change({"batch_size": second})
        assert (run.step_count, run.epoch) == (steps, 1)

    def test_full_batch_then_several(self) -> None:
        """The epoch's order is drawn for the batches that come, not for those that were to come."""
        run = compiled(batch_size=40)
        epoch = run.run_epoch()
        next(epoch)
        run.change({"batch_size": 10})
        assert len(list(epoch)) == 3
        assert run._order_N is None
        assert same(train(run, 1), train(compiled(), 2))

    @pytest.mark.parametrize("settings", [{"width": 9}, {"lr": 0.1, "depth": 3}, {"lr": -1.0}])
    def test_refused_and_nothing_changed(self, settings: dict[str, Any]) -> None:
        run = compiled()
        with pytest.raises(ConfigError):
            run.change(settings)
        assert same(train(run, 1), train(compiled(), 1))

    def test_where_steps_may_not_be_taken_together(self) -> None:
        replay = Replay(
            [Curve(at=0, step=9, curves={})],
        )
        replay.moves += [(3, {"lr": 0.1}), (5, {"lr": 0.2})]
        assert [replay.next_mark(step) for step in (0, 2, 3, 9)] == [3, 3, 9, None]
        replay.due(3)
        assert replay.next_mark(3) == 5


class TestCheckpoints:
    @pytest.mark.parametrize("moved", [False, True], ids=["still", "moved"])
    @pytest.mark.parametrize("at", [0, 2, 4])
    def test_within_an_epoch(self, moved: bool, at: int) -> None:
        """The order, how much is done, the loss so far and both random streams go on."""
        whole = train(compiled(early_stop=True, **NOISY), 1)
        epoch = whole.run_epoch()
        for _ in range(at):
            next(epoch)
        if moved:
            whole.change({**KNOBS, "batch_size": 4})
        resumed = compiled(early_stop=True, **NOISY)
        assert resumed.load_state(whole.state({"moves": 3})) == {"moves": 3}
        assert resumed.state({"moves": 3}) == whole.state({"moves": 3})
        list(epoch)
        train(resumed, 1)
        for _ in range(2):
            assert train(resumed, 1).measure() == train(whole, 1).measure()
        assert same(resumed, whole)
        assert resumed.config == whole.config

    def test_of_another_network_or_trainer(self) -> None:
        mine = train(compiled(), 1).state()
        torchs = Trainer(compiled().config, dataset())
        for run, data in (
            (compiled(width=9), mine),
            (compiled(), train(torchs, 1).state()),
            (compiled(), mine[:-1]),
            (compiled(), b"nonsense"),
            (torchs, mine),
        ):
            with pytest.raises(RunDirectoryError, match="checkpoint"):
                run.load_state(data)

    def test_a_run_keeps_to_its_trainer(self, home: Path) -> None:
        """One that began before there was a choice goes on in PyTorch; so does its checkpoint."""
        run = Run.create(open_home(home), TrainConfig(width=8, depth=3, epochs=2, train_size=64, hessian=False))
        writer = run.writer()
        writer.write(Started(pid=1, host="h", settings={}, layers=[], total=2))
        writer.release()
        assert work(run).reason == "finished"
        assert started(run).facts["trainer"] == "torch"


def started(run: Run) -> Started:
    """By the last worker."""
    return [event for event in run.events() if isinstance(event, Started)][-1]


class TestWho:
    @pytest.mark.parametrize(
        ("settings", "kind"),
        [
            ({}, "compiled"),
            ({"device": "auto"}, "compiled"),
            ({"optimizer": "sgd"}, "torch"),
            ({"activation": "tanh"}, "torch"),
            ({"batch_norm": False}, "torch"),
            ({"model": "cnn", "width": 4}, "torch"),
        ],
        ids=str,
    )
    def test_kind(self, settings: dict[str, Any], kind: str) -> None:
        if settings.get("device") == "auto" and torch.cuda.is_available():
            kind = "torch"
        config = TrainConfig(**settings)
        data = dataset(images=config.model == "cnn")
        assert trainer_for(config, data).kind == kind
        assert trainer_for(config, data, "torch").kind == "torch"

    def test_divergence(self) -> None:
        data = dataset()
        data.x_train[0, 1] = math.inf
        with pytest.raises(DivergedError, match="diverged at epoch 1"):
            train(compiled(data), 3)

    def test_measures_what_the_plain_trainer_does(self) -> None:
        """Both begin with the same network."""
        config = compiled(measure_test=True, linear_probes=True, width=16).config
        mine, theirs = CompiledTrainer(config, dataset()), Trainer(config, dataset())
        assert mine.measure() == theirs.measure()
        assert mine.measure().probes is not None
        assert mine.curvature() == theirs.curvature()
        assert train(mine, 5).measure().scalars.keys() >= {"train_loss", "test_accuracy"}


class TestCompiling:
    def test_is_said_before_it_is_done(self, tmp_path: Path) -> None:
        script = (
            "from engine.ensemble.trainer import load_compiled\n"
            "def note(text): print(text); raise SystemExit(3)\n"
            "load_compiled(note)"
        )
        done = self.run("-c", script, NUMBA_CACHE_DIR=str(tmp_path))
        assert done.returncode == 3
        assert "compiling the training code" in done.stdout

    def test_nothing_is_said_where_it_was_done(self) -> None:
        done = self.run("-m", "engine.workers.warm")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_is_kept_tells_of_the_disk(self, tmp_path: Path) -> None:
        script = (
            "from engine.jit import is_kept; from engine.ensemble.state import line\nprint(is_kept(line), line(3))"
        )
        told = [self.run("-c", script, NUMBA_CACHE_DIR=str(tmp_path)).stdout.split() for _ in range(2)]
        assert told == [["False", "16"], ["True", "16"]]

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", *words], env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def test_the_lab_shows_it(self) -> None:
        state = RunState("run")
        state.fold(Note(text="compiling the training code"))
        assert "compiling the training code" in words({"train": state}, {}, "trace_ratio")[1]
        state.fold(Ended(reason="failed", text="no"))
        assert "compiling" not in words({"train": state}, {}, "trace_ratio")[1]
