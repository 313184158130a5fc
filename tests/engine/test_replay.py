"""A run that is broken off and taken up again equals one that never was, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from support.replays import Broken, assert_never_broken

from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Acknowledged, Curve, Ended, Event, Started
from engine.runs.replay import Replay
from engine.settings.train import TrainConfig

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {
    "width": 16, "depth": 4, "batch_size": 32, "epochs": 80, "dropout": 0.1, "data_noise": 0.2,
    "early_stop": False, "hessian": False, "seed": 5,
}  # fmt: skip
PATHS: dict[str, dict[str, Any]] = {
    "compiled": {"batch_size": 2, "epochs": 100},
    "torch": {"activation": "tanh", "batch_size": 32, "epochs": 50, "train_size": 320},
}
"""Who takes the steps. Compiled steps are so quick that there must be many, else a run ends before its kill."""
BOTH = pytest.mark.parametrize("path", PATHS)
E = TypeVar("E", bound=Event)


Begin = Callable[..., Broken]


@pytest.fixture
def begin(home: Path) -> Iterator[Begin]:
    """Starts a run, and leaves no worker behind."""
    begun: list[Broken] = []

    def make(**settings: Any) -> Broken:
        run = Run.create(open_home(home), TrainConfig(**{**SMALL, **settings}))
        begun.append(Broken(run))
        begun[-1].start()
        return begun[-1]

    yield make
    for broken in begun:
        if broken.process is not None:
            broken.process.kill()
            broken.process.wait()


class TestKilled:
    @pytest.mark.slow
    @BOTH
    def test_with_moved_sliders(self, path: str, begin: Begin) -> None:
        """Killed thrice, at moments of chance: after checkpoints, and moves acknowledged since."""
        broken = begin(checkpoint_every=0.3, **PATHS[path])
        size = PATHS[path]["batch_size"] + 1
        for at, settings in (
            (8, {"lr": 0.003, "dropout": 0.3}),
            (20, {"data_noise": 0.5, "negative_slope": 0.4}),
            (32, {"batch_size": size}),
        ):
            broken.curves_beyond(at)
            broken.run.ask("set", **settings)
            asked = len(broken.all(Acknowledged))
            broken.until(lambda n=asked: len(broken.all(Acknowledged)) > n)
            broken.curves_beyond(at + 5)
            broken.kill()
            assert broken.run.status() == "crashed"
            broken.start()
        ended = broken.finish()
        assert (ended.reason, ended.at) == ("finished", PATHS[path]["epochs"])
        assert len(broken.all(Started)) == 4
        assert len(broken.all(Acknowledged)) == 3
        last = broken.all(Started)[-1].settings
        assert (last["lr"], last["data_noise"], last["batch_size"]) == (0.003, 0.5, size)
        assert {began.facts["trainer"] for began in broken.all(Started)} == {path}
        assert_never_broken(broken)

    @BOTH
    def test_before_the_first_checkpoint(self, path: str, begin: Begin) -> None:
        """All is repeated; a move that was asked of the dead holds from the first new step, and a stop is void."""
        broken = begin(**PATHS[path] | {"checkpoint_every": 0, "epochs": 60})
        broken.curves_beyond(6)
        broken.run.ask("set", lr=0.005)
        broken.curves_beyond(12)
        broken.kill()
        assert not broken.run.checkpoint_path.exists()
        horizon = broken.all(Curve)[-1].step
        broken.run.ask("set", dropout=0.4)
        broken.run.ask("stop")
        broken.start()
        assert broken.finish().reason == "finished"
        acks = broken.all(Acknowledged)
        assert [(a.action, a.settings) for a in acks] == [("set", {"lr": 0.005}), ("set", {"dropout": 0.4})]
        assert acks[1].step >= horizon
        facts = broken.all(Started)[-1].facts
        assert (facts["from_step"], facts["known_to_step"]) == (0, horizon)
        assert_never_broken(broken)

    @BOTH
    def test_curves_every_few_steps(self, path: str, begin: Begin) -> None:
        broken = begin(
            **PATHS[path] | {"checkpoint_every": 0.1, "measure_steps": 7, "batch_size": 32, "epochs": 20}
        )
        broken.curves_beyond(25)
        broken.kill()
        broken.start()
        broken.finish()
        assert {curve.step % 7 for curve in broken.all(Curve)[:-1]} == {0}
        assert_never_broken(broken)

    def test_once_it_had_finished(self, begin: Begin) -> None:
        """There is nothing left to do, and nothing is recorded again."""
        broken = begin(epochs=3)
        first = broken.finish()
        count = len(broken.all(Curve))
        broken.start()
        again = broken.finish()
        assert len(broken.all(Curve)) == count
        assert (again.reason, again.at) == (first.reason, first.at)
        assert again.summary["load_curve"] == first.summary["load_curve"]
        assert again.summary["seconds"] > first.summary["seconds"] * 0.99

    def test_other_data_are_refused(self, begin: Begin, tmp_path: Path) -> None:
        x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
        np.savez(tmp_path / "mine.npz", X=x, y=y)
        mine = str(tmp_path / "mine.npz")
        broken = begin(dataset=mine, epochs=100_000, checkpoint_every=0.05, measure_every=50)
        broken.until(broken.run.checkpoint_path.is_file)
        broken.kill()
        np.savez(tmp_path / "mine.npz", X=x, y=y[::-1])
        broken.start()
        assert broken.process is not None
        assert broken.process.wait(60) == 1
        assert "mine.npz, has changed" in broken.all(Ended)[-1].text


class TestStopped:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("path", "size"),
        [
            ("compiled", {"width": 100, "depth": 8, "epochs": 30, "train_size": 1280}),
            ("torch", {"epochs": 4, "train_size": 640}),
        ],
        ids=["compiled", "torch"],
    )
    def test_within_an_epoch(self, path: str, size: dict[str, int], begin: Begin) -> None:
        """A large epoch of small batches is broken off in its middle, and by compiled code between two slices.

        Of a small network the compiled code takes a whole epoch in one slice.
        """
        broken = begin(**PATHS[path] | {"batch_size": 2, "checkpoint_every": 0} | size)
        broken.curves_beyond(2)
        stops = 0
        while stops < 2 or not any(curve.step % (size["train_size"] // 2) for curve in broken.all(Curve)):
            stops += 1
            broken.run.ask("set", lr=0.002)
            broken.run.ask("stop")
            assert broken.finish().reason == "stopped"
            broken.start()
            broken.until(lambda: broken.run.is_live() and broken.run.status() == "running")
            broken.until(lambda: isinstance(broken.run.events()[-1], Curve | Started))
        assert broken.finish().reason == "finished"
        assert_never_broken(broken)


class TestReplay:
    EVENTS: tuple[Event, ...] = (
        Curve(at=0, step=0, curves={}),
        Acknowledged(control=1, action="set", step=3, settings={"lr": 0.1}),
        Acknowledged(control=2, action="set", step=3, settings={"lr": 0.2}),
        Acknowledged(control=3, action="set", step=4, error="refused"),
        Curve(at=1, step=5, curves={}),
        Acknowledged(control=4, action="pause", step=6),
        Acknowledged(control=5, action="set", step=9, settings={"dropout": 0.5}),
    )

    def test_moves_come_due_once(self) -> None:
        replay = Replay(self.EVENTS)
        assert (replay.recorded, replay.horizon) == (5, 9)
        assert replay.ahead() == {"lr": 0.2, "dropout": 0.5}
        assert replay.due(2) == []
        assert replay.due(3) == [{"lr": 0.1}, {"lr": 0.2}]
        assert replay.due(3) == []
        assert replay.ahead() == {"dropout": 0.5}
        assert [replay.behind(step) for step in (8, 9)] == [True, False]
        assert replay.due(9) == [{"dropout": 0.5}]
        replay.took(12, {"lr": 1.0})
        assert (replay.taken, replay.due(20)) == (4, [])

    def test_first_worker_repeats_nothing(self) -> None:
        replay = Replay([])
        assert (replay.recorded, replay.horizon, replay.ahead(), replay.due(0)) == (-1, -1, {}, [])
        assert not replay.behind(0)
