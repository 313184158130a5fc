"""Worker processes as they are really started: what they leave in the run, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from engine.errors import LockedError, WorkerError
from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import open_home
from engine.runs.records import Acknowledged, Curve, Ended, Event, Started
from engine.settings.chain import ChainConfig
from engine.settings.run import Settings
from engine.settings.train import TrainConfig

PATIENCE = 60.0
SMALL: dict[str, Any] = {"width": 8, "depth": 3, "train_size": 64}
ENDLESS_TRAIN = TrainConfig(**SMALL, epochs=10_000_000, early_stop=False, batch_size=16, checkpoint_every=0.1)
ENDLESS_CHAIN = ChainConfig(steps=10**12, replicas=4, blocks=3, pace=2000.0, frames=20.0)
KINDS = pytest.mark.parametrize("settings", [ENDLESS_TRAIN, ENDLESS_CHAIN], ids=["train", "chain"])

E = TypeVar("E", bound=Event)
Start = Callable[[Settings], "Worker"]


class Worker:
    """A run and the process that fills it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.process = launch(run)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.run.events() if isinstance(event, kind)]

    def until(self, what: Callable[[], Any]) -> Any:
        """What it returns as soon as it is true; fails where the worker ended first, or never comes to it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := what()):
            assert self.process.poll() is None, self.run.last_log_lines()
            assert time.monotonic() < deadline, self.run.events()[-3:]
            time.sleep(0.02)
        return found

    def working(self) -> Worker:
        self.until(lambda: len(self.all(Curve)) >= 3)
        return self

    def ask(self, action: str, **settings: object) -> Acknowledged:
        """The answer to a request, awaited."""
        control = self.run.ask(action, **settings)
        self.until(lambda: [a for a in self.all(Acknowledged) if a.control == control.seq])
        (answer,) = [a for a in self.all(Acknowledged) if a.control == control.seq]
        return answer

    def end(self) -> tuple[int, Ended]:
        """Its exit status and its last word."""
        status = self.process.wait(PATIENCE)
        (ended,) = self.all(Ended)
        assert self.run.events()[-1] == ended
        return status, ended


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts workers in a home of the test's own, and leaves none behind."""
    started: list[Worker] = []

    def begin(settings: Settings) -> Worker:
        started.append(Worker(Run.create(open_home(home), settings)))
        return started[-1]

    yield begin
    for worker in started:
        worker.process.kill()
        worker.process.wait()


class TestFinishes:
    @pytest.mark.real_start
    def test_train(self, start: Start) -> None:
        worker = start(TrainConfig(**SMALL, epochs=3, early_stop=False))
        status, ended = worker.end()
        assert (status, ended.reason, ended.at, worker.run.status()) == (0, "finished", 3, "finished")
        (began,), curves = worker.all(Started), worker.all(Curve)
        assert (began.pid, began.total) == (worker.process.pid, 3)
        assert began.settings["epochs"] == 3
        assert [curve.at for curve in curves] == [0, 1, 2, 3]
        assert {len(c) for curve in curves for c in curve.curves.values()} == {len(began.layers)}
        assert ended.summary["load_curve"] == curves[-1].curves
        assert ended.summary["test_accuracy"] == curves[-1].scalars["test_accuracy"]
        assert worker.run.checkpoint_path.is_file()
        assert worker.run.last_log_lines() == []

    @pytest.mark.real_start
    def test_chain(self, start: Start) -> None:
        worker = start(ChainConfig(steps=400, replicas=8, blocks=3))
        status, ended = worker.end()
        assert (status, ended.reason, ended.at, worker.run.status()) == (0, "finished", 400, "finished")
        (began,), curves = worker.all(Started), worker.all(Curve)
        assert began.layers == ["wall", "block 1", "block 2", "block 3", "target"]
        assert (curves[0].at, curves[-1].at) == (0, 400)
        distance = curves[-1].curves["distance"]
        assert (distance[0], distance[-1]) == (1.0, 0.0)
        assert distance[1:-1] == pytest.approx([1.0 - x for x in ended.summary["positions"]])
        assert len(ended.summary["mean_field"]) == len(ended.summary["sd"]) == 3
        assert worker.run.last_log_lines() == []

    def test_records_are_numbered(self, start: Start) -> None:
        worker = start(ChainConfig(steps=400, replicas=8, blocks=3))
        worker.end()
        events = worker.run.events()
        assert [event.seq for event in events] == list(range(len(events)))
        assert [event.time for event in events] == sorted(event.time for event in events)

    def test_same_settings_same_curves(self, start: Start) -> None:
        settings = TrainConfig(**SMALL, epochs=3, batch_size=16, dropout=0.2, data_noise=0.2)
        workers = [start(settings), start(settings)]
        for worker in workers:
            worker.end()
        first, second = ([curve.curves for curve in worker.all(Curve)] for worker in workers)
        assert first == second


class TestControls:
    CHANGES = {"train": {"lr": 0.01, "batch_size": 32}, "chain": {"mu_right": 0.5, "noise": 0.1}}  # noqa: RUF012

    @KINDS
    def test_pause_change_resume_stop(self, settings: Settings, start: Start) -> None:
        worker = start(settings).working()
        paused = worker.ask("pause")
        assert (paused.action, paused.error) == ("pause", "")
        count = len(worker.run.events())
        time.sleep(0.2)
        assert len(worker.run.events()) == count
        assert worker.run.status() == "paused"

        change = self.CHANGES["train" if isinstance(settings, TrainConfig) else "chain"]
        changed = worker.ask("set", **change)
        assert (changed.settings, changed.error, changed.step) == (change, "", paused.step)

        resumed = worker.ask("resume")
        worker.until(lambda: worker.all(Curve)[-1].step > resumed.step)

        stopped = worker.run.ask("stop")
        status, ended = worker.end()
        assert (status, ended.reason, worker.run.status()) == (0, "stopped", "stopped")
        answers = worker.all(Acknowledged)
        assert [a.action for a in answers] == ["pause", "set", "resume", "stop"]
        assert answers[-1].control == stopped.seq
        assert [a.step for a in answers] == sorted(a.step for a in answers)

    @KINDS
    def test_stopped_while_paused(self, settings: Settings, start: Start) -> None:
        worker = start(settings).working()
        worker.ask("pause")
        worker.run.ask("stop")
        assert worker.end()[1].reason == "stopped"

    @KINDS
    def test_refused_and_carried_on(self, settings: Settings, start: Start) -> None:
        worker = start(settings).working()
        for action, change, words in (
            ("set", {"seed": 3}, ["'seed' cannot change", "these can"]),
            ("set", {"lr" if isinstance(settings, TrainConfig) else "noise": -1.0}, ["-1.0 is not allowed"]),
            ("set", {"nonsense": 1}, ["'nonsense'"]),
            ("explode", {}, ["'explode'", "pause"]),
        ):
            answer = worker.ask(action, **change)
            assert all(word in answer.error for word in words)
            assert answer.settings == {}
        seen = len(worker.all(Curve))
        worker.until(lambda: len(worker.all(Curve)) > seen)

    def test_asked_before_it_began(self, start: Start, home: Path) -> None:
        """A request never waits for the worker, and holds from the first step."""
        run = Run.create(open_home(home), ENDLESS_CHAIN)
        run.ask("set", noise=0.25)
        run.ask("stop")
        worker = Worker(run)
        assert worker.end()[1].reason == "stopped"
        assert [(a.action, a.step) for a in worker.all(Acknowledged)] == [("set", 0), ("stop", 0)]


class TestEnds:
    @KINDS
    def test_terminated(self, settings: Settings, start: Start) -> None:
        worker = start(settings).working()
        worker.process.terminate()
        status, ended = worker.end()
        assert (status, ended.reason, worker.run.status()) == (0, "stopped", "stopped")

    @KINDS
    @pytest.mark.real_start
    def test_terminated_before_it_can_hear(self, settings: Settings, start: Start) -> None:
        """Called off at once, it ends as one that was stopped, and says so."""
        worker = start(settings)
        worker.process.terminate()
        status, ended = worker.end()
        assert (status, ended.reason, worker.run.status()) == (0, "stopped", "stopped")

    def test_terminated_while_paused(self, start: Start) -> None:
        worker = start(ENDLESS_CHAIN).working()
        worker.ask("pause")
        worker.process.terminate()
        assert worker.end()[1].reason == "stopped"

    @KINDS
    def test_killed(self, settings: Settings, start: Start) -> None:
        worker = start(settings).working()
        assert worker.run.status() == "running"
        worker.process.kill()
        worker.process.wait()
        assert not worker.run.is_live()
        assert worker.run.status() == "crashed"
        assert not worker.all(Ended)

    def test_killed_is_taken_up_from_its_checkpoint(self, start: Start) -> None:
        worker = start(ENDLESS_TRAIN).working()
        worker.until(worker.run.checkpoint_path.is_file)
        worker.process.kill()
        worker.process.wait()
        before = len(worker.run.events())
        again = Worker(worker.run)
        try:
            again.until(lambda: len(again.all(Started)) == 2 and isinstance(again.run.events()[-1], Curve))
        finally:
            again.process.terminate()
            again.process.wait(PATIENCE)
        resumed = [event for event in again.run.events()[before:] if isinstance(event, Curve)]
        assert resumed[0].at > 0
        assert again.run.status() == "stopped"
        assert [event.seq for event in again.run.events()] == list(range(len(again.run.events())))

    def test_stopped_is_taken_up_and_not_stopped_again(self, start: Start) -> None:
        """What the first worker answered is history to the second; its knobs come from the checkpoint."""
        first = start(ENDLESS_TRAIN).working()
        first.ask("set", lr=0.01)
        first.run.ask("stop")
        _, ended = first.end()
        again = Worker(first.run)
        try:
            again.until(lambda: len(again.all(Started)) == 2 and again.all(Curve)[-1].at > ended.at + 1)
        finally:
            again.process.terminate()
            again.process.wait(PATIENCE)
        assert again.all(Started)[-1].settings["lr"] == 0.01
        assert [a.action for a in again.all(Acknowledged)] == ["set", "stop"]

    def test_two_never_write_one_run(self, start: Start) -> None:
        worker = start(ENDLESS_CHAIN).working()
        with pytest.raises(LockedError, match=f"process {worker.process.pid} on"):
            launch(worker.run)
        second = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.workers", str(worker.run.path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        said = second.communicate(timeout=PATIENCE)[1]
        assert second.returncode == 1
        assert f"another worker, process {worker.process.pid} on" in said
        assert worker.run.status() == "running"
        worker.process.terminate()
        assert worker.end()[1].reason == "stopped"
        assert len(worker.all(Started)) == 1

    def test_diverged(self, start: Start) -> None:
        wild = {"optimizer": "sgd", "lr": 10.0, "batch_norm": False, "loss": "mse", "init_scale": 100.0}
        worker = start(TrainConfig(**SMALL, **wild, epochs=50, batch_size=16))
        status, ended = worker.end()
        assert (status, ended.reason, worker.run.status()) == (1, "diverged", "diverged")
        assert 0 < ended.at < 50
        assert f"diverged at epoch {ended.at}" in ended.text
        assert ended.summary["epochs"] == ended.at

    def test_wrong_data(self, start: Start, tmp_path: Path) -> None:
        worker = start(TrainConfig(dataset=str(tmp_path / "none.npz")))
        status, ended = worker.end()
        assert (status, ended.reason) == (1, "failed")
        assert "none.npz" in ended.text
        assert "none.npz" in worker.run.last_log_lines()[-1]

    def test_no_directory(self, home: Path) -> None:
        with pytest.raises(WorkerError, match="cannot start a worker for gone"):
            launch(Run(open_home(home) / "runs" / "gone"))


@pytest.mark.real_start
class TestDetached:
    def test_session_of_its_own(self, start: Start) -> None:
        """Neither a lost terminal nor Ctrl-C reaches it."""
        worker = start(ENDLESS_CHAIN).working()
        assert os.getsid(worker.process.pid) == worker.process.pid != os.getsid(0)

    def test_file_named_engine_beside_it(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "engine.py").write_text("raise SystemExit('not this one')\n")
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # a relative one would not survive chdir
        monkeypatch.chdir(tmp_path)
        assert start(ChainConfig(steps=10, replicas=2)).end()[0] == 0


def test_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.workers"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage" in done.stderr
