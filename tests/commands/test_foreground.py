"""A worker in the foreground, followed through its directory like any other; the worker here is a stand-in."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import DataError
from engine.runs.controls import ControlReader
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Curve, Ended, Note, Started
from engine.runs.writer import RunWriter
from engine.settings.train import TrainConfig
from springtui.commands.foreground import run_here
from springtui.commands.train import describe, report


@pytest.fixture
def run(home: Path) -> Run:
    return Run.create(open_home(home), TrainConfig(epochs=3))


@contextlib.contextmanager
def begun(run: Run) -> Iterator[RunWriter]:
    """The writer of a run that has said that it began."""
    writer = run.writer()
    try:
        writer.write(Started(pid=os.getpid(), host="here", settings={}, layers=["input", "1"], total=3))
        yield writer
    finally:
        writer.release()


def curve(at: int, loss: float) -> Curve:
    scalars = {"train_loss": loss, "test_accuracy": 0.5}
    return Curve(at=at, step=at, curves={"trace_ratio": [2.0, 1.0]}, scalars=scalars)


def test_result_comes_from_the_records(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def work(run: Run) -> Ended:
        with begun(run) as writer:
            writer.write(curve(3, 0.25))
            return writer.write(Ended(reason="finished", at=3))  # type: ignore[return-value]

    state = run_here(run, work, "epoch")
    result = describe(state)
    assert report(state, as_json=False) == 0
    assert (result["epochs"], result["train_loss"], result["test_accuracy"]) == (3, 0.25, 0.5)
    assert result["load_curve"]["trace_ratio"] == [2.0, 1.0]
    said = capsys.readouterr()
    assert "train_loss             0.25" in said.out
    assert "epoch 3/3  loss 0.25" in said.err


def test_a_warning_is_said_at_once_and_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def work(run: Run) -> Ended:
        with begun(run) as writer:
            writer.write(Note(text="here: \x1b[2Ja worker was lost", level="warning", lost=1))
            writer.write(Note(text="2 workers"))
            writer.write(curve(3, 0.25))
            return writer.write(Ended(reason="finished", at=3))  # type: ignore[return-value]

    state = run_here(run, work, "networks")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "springtui: here: \N{REPLACEMENT CHARACTER}[2Ja worker was lost"
    assert said[1] == "networks 3/3  loss 0.25  test accuracy 0.5  1 worker lost"
    assert len(said) == 2
    assert state.lost == 1


def test_diverged_run_says_when(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def work(run: Run) -> Ended:
        with begun(run) as writer:
            writer.write(curve(1, 3.5))
            return writer.write(Ended(reason="diverged", text="diverged at epoch 2", at=2))  # type: ignore[return-value]

    state = run_here(run, work, "epoch")
    assert report(state, as_json=False) == 1
    result = describe(state)
    assert (result["epochs"], result["train_loss"], result["load_curve"]["trace_ratio"]) == (2, None, None)
    assert "diverged at epoch 2" in capsys.readouterr().err


def test_wrong_input_leaves_no_run(run: Run) -> None:
    def work(run: Run) -> Ended:
        raise DataError("no such data")

    with pytest.raises(DataError, match="no such data"):
        run_here(run, work, "epoch")
    assert not run.path.exists()


def test_failed_work_has_a_last_word(run: Run) -> None:
    def work(run: Run) -> Ended:
        with begun(run):
            raise MemoryError("of 8 GiB")

    with pytest.raises(MemoryError):
        run_here(run, work, "epoch")
    (last,) = run.last_events(1)
    assert isinstance(last, Ended)
    assert (last.reason, last.text) == ("failed", "MemoryError: of 8 GiB")
    assert run.status() == "failed"


def test_interrupt_asks_the_worker_to_stop(run: Run) -> None:
    before = signal.getsignal(signal.SIGINT)

    def work(run: Run) -> Ended:
        with begun(run) as writer:
            controls = ControlReader(run)
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 10
            while not (asked := controls.new()) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert [control.action for control in asked] == ["stop"]
            return writer.write(Ended(reason="stopped"))  # type: ignore[return-value]

    state = run_here(run, work, "epoch")
    assert (state.status, report(state, as_json=False)) == ("stopped", 1)
    assert signal.getsignal(signal.SIGINT) is before
