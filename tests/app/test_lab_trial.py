"""Trying other settings in the lab: real processes behind the key, cancelled, killed, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.lab import open_lab, until
from support.real_terminal import workers_under

from engine.errors import WorkerError
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Curve, Started
from engine.settings.fields import make
from engine.settings.train import TrainConfig
from engine.twin.trial import Trial, Tried, relevant_settings, save_trial, trial_of
from springtui.follow.trial import TrialProcess
from springtui.lab.screen import LabScreen
from springtui.lab.slider import Slider
from springtui.lab.trial import LabTrial

SETTINGS: dict[str, Any] = {
    "dataset": "digits", "train_size": 300, "depth": 6, "width": 16, "batch_size": 2560, "negative_slope": 1.0,
    "epochs": 40, "early_stop": False,
}  # fmt: skip
SLOW = {**SETTINGS, "train_size": 1280, "depth": 12, "width": 100, "batch_size": 8}


def trials(home: Path) -> list[Any]:
    return [process for process in workers_under(home) if "engine.workers.trial" in process.cmdline()]


def has_trained(lab: LabScreen, epochs: int = 5) -> bool:
    state = lab.states.get("train")
    return state is not None and state.latest is not None and state.latest.at >= epochs


@pytest.mark.real_start
async def test_the_key_tries_settings_in_the_background_and_shows_what_was_measured(home: Path) -> None:
    async with open_lab(home, settings=SETTINGS) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 40))
        await pilot.press("T")
        await until(pilot, lambda: "Trying settings" in lab._words["#advice"])
        assert "T or Esc cancels" in lab._words["#advice"]
        assert len(trials(home)) <= 1
        await until(pilot, lambda: "networks" in lab._words["#advice"])
        await until(pilot, lambda: not lab.trial.trial.is_running, 120)
        assert not lab.trial.trial.trouble
        await until(pilot, lambda: "Trying settings" not in lab._words["#advice"])
        run = lab.session.runs["train"]
        trial = trial_of(run)
        assert trial is not None
        assert trial.epochs == 40
        assert "to epoch 40" in lab._words["#advice"]
        assert not trials(home)
        # moved away, and back: the network trains anew, and the trial holds again
        slider = lab.query_one("#nonlinearity", Slider)
        slider.focus()
        await pilot.press("right")
        await until(pilot, lambda: lab.states["train"].settings["negative_slope"] < 1.0)
        await until(pilot, lambda: "to epoch 40" not in lab._words["#advice"])
        await pilot.press("home")
        await until(pilot, lambda: lab.states["train"].settings["negative_slope"] == 1.0)
        await until(pilot, lambda: "to epoch 40" in lab._words["#advice"])
        await pilot.press("r")  # another run
        await until(pilot, lambda: lab.session.runs.get("train", run).id != run.id)
        assert "to epoch 40" not in lab._words["#advice"]


async def test_the_same_key_and_escape_cancel_it_and_nothing_is_kept(home: Path) -> None:
    async with open_lab(home, settings=SLOW) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 1), 120)
        run = lab.session.runs["train"]
        for key in ("T", "escape"):
            await pilot.press("T")
            await until(pilot, lambda: bool(trials(home)))
            await until(pilot, lambda: "Trying settings" in lab._words["#advice"])
            await pilot.press(key)
            await until(pilot, lambda: not lab.trial.trial.is_running)
            await until(pilot, lambda: not trials(home))
            await until(pilot, lambda: "Trying settings" not in lab._words["#advice"])
            assert not lab.trial.trial.trouble
        assert not [path for path in run.path.iterdir() if "trial" in path.name]
        await pilot.press("T", "T", "T", "T")
        await pilot.pause(0.5)
        assert len(trials(home)) <= 1
        await pilot.press("escape")
        await until(pilot, lambda: not trials(home))


async def test_a_trial_that_is_killed_is_said_and_can_be_begun_again(home: Path) -> None:
    async with open_lab(home, settings=SLOW) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 1), 120)
        await pilot.press("T")
        await until(pilot, lambda: bool(trials(home)))
        os.kill(trials(home)[0].pid, signal.SIGKILL)
        await until(pilot, lambda: "The trial failed" in lab._words["#advice"])
        assert "killed by signal SIGKILL" in lab._words["#advice"]
        await pilot.press("T")
        await until(pilot, lambda: bool(trials(home)))
        await until(pilot, lambda: "The trial failed" not in lab._words["#advice"])
        await pilot.press("r")  # the run is dropped, and its trial with it
        await until(pilot, lambda: not trials(home))
        assert not lab.trial.trial.is_running


async def test_a_lab_that_is_left_leaves_no_trial(home: Path) -> None:
    async with open_lab(home, settings=SLOW) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 1), 120)
        await pilot.press("T")
        await until(pilot, lambda: bool(trials(home)))
    for _ in range(200):
        if not trials(home):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a trial outlived its lab")


async def test_before_the_first_epoch_there_is_nothing_to_try(home: Path) -> None:
    async with open_lab(home, settings=SLOW) as (lab, pilot):
        await until(pilot, lambda: "train" in lab.session.runs)
        run = lab.session.runs["train"]
        if any(isinstance(event, Started) for event in run.events()) and has_trained(lab, 1):
            return  # it was faster
        await pilot.press("T")
        await until(pilot, lambda: pilot.app._notifications or lab.trial.trial.is_running)
        if not lab.trial.trial.is_running:
            assert any("nothing to compare" in note.message for note in pilot.app._notifications)


def notices(pilot: Any) -> list[str]:
    return [note.message for note in pilot.app._notifications]


async def test_its_start_and_its_result_are_notices_and_the_key_shows_the_result_again(home: Path) -> None:
    """In a small terminal the words of the trial stand below the fold."""
    async with open_lab(home, (80, 24), settings=SETTINGS) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 40))
        await pilot.press("T")
        await until(
            pilot, lambda: any("in the background, about 30 s; T cancels" in one for one in notices(pilot))
        )
        await until(pilot, lambda: not lab.trial.trial.is_running, 120)
        await until(pilot, lambda: any("to epoch 40" in one for one in notices(pilot)))
        pilot.app.clear_notifications()
        await pilot.press("T")
        await until(pilot, lambda: any("to epoch 40" in one for one in notices(pilot)))
        assert any("Tried already, with these settings" in one for one in notices(pilot))
        assert not lab.trial.trial.is_running


@pytest.mark.parametrize("epoch", [5, 40])
async def test_a_trial_answers_for_the_epoch_that_it_was_made_for_alone(home: Path, epoch: int) -> None:
    async with open_lab(home, settings={**SETTINGS, "epochs": 40}) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 40) and lab.states["train"].is_held)
        run, config = lab.session.runs["train"], make(TrainConfig, lab.states["train"].settings)
        save_trial(run, made_trial(config, epoch))
        lab.trial.take_up()
        if epoch == 40:
            await until(pilot, lambda: "to epoch 40" in lab._words["#advice"])
        else:
            said = "The trial that is kept is of epoch 5, not 40: T makes it anew."
            await until(pilot, lambda: said in lab._words["#advice"] or "to epoch" in lab._words["#advice"])
            assert "to epoch 5" not in lab._words["#advice"]
            assert lab.trial.result() is None


def made_trial(config: TrainConfig, epochs: int) -> Trial:
    """With three seeds of a network whose deep layers are lazy, and less nonlinearity that helps."""
    lazy: list[list[float | None] | None] = [[5.0, 3.4, 1.8, 1.4, 1.0, 0.6 + 0.01 * i, 0.0] for i in range(3)]
    even: list[list[float | None] | None] = [[5.0, 4.1, 3.2, 2.4, 1.5, 0.6 + 0.01 * i, 0.0] for i in range(3)]
    step = Tried(knob="negative_slope", before=1.0, after=0.8, curves=even, accuracies=[0.9] * 3)
    return Trial(
        settings=relevant_settings(config), epochs=epochs, wanted_epochs=epochs, seeds=[0, 1, 2],
        base=Tried(curves=lazy, accuracies=[0.9] * 3), tried=[step],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [
        ("tempfile.TemporaryFile", OSError(28, "No space left on device"), "No space left on device"),
        ("tempfile.TemporaryFile", OSError(24, "Too many open files"), "Too many open files"),
        ("tempfile.TemporaryFile", FileNotFoundError(2, "No usable temporary directory"), "set TMPDIR"),
        ("threading.Thread.start", RuntimeError("can't start new thread"), "can't start new thread"),
    ],
)
def test_a_trial_that_cannot_be_started_says_why(
    home: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception, said: str
) -> None:
    run = made_run(home)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"springtui.follow.trial.{broken}", fail)
    with pytest.raises(WorkerError, match=f"a trial of {run.id}.*{said}"):
        TrialProcess(run)
    monkeypatch.undo()
    for _ in range(200):
        if not trials(home):
            return
        time.sleep(0.05)
    raise AssertionError("a process goes on that nobody follows")


def test_a_process_that_does_not_end_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(home)
    trial = TrialProcess(run)
    process = trial.process

    def never(_: float | None = None) -> int:
        raise subprocess.TimeoutExpired("trial", 5.0)

    with monkeypatch.context() as patch:
        patch.setattr(process, "wait", never)
        with pytest.raises(WorkerError, match=f"process {process.pid}"):
            trial.cancel()
    assert trial.wait(20)


async def test_no_disk_for_a_trial_is_a_notice(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    async with open_lab(home, settings=SETTINGS) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 5))
        monkeypatch.setattr("springtui.follow.trial.tempfile.TemporaryFile", full)
        await pilot.press("T")
        await until(pilot, lambda: any("No space left on device" in one for one in notices(pilot)))
        monkeypatch.setattr("springtui.lab.trial.TrialProcess", full)  # what no layer expected
        pilot.app.clear_notifications()
        await pilot.press("T")
        await until(pilot, lambda: any("No space left on device" in one for one in notices(pilot)))
        assert pilot.app.is_running


@pytest.mark.parametrize("how", ["drop", "let_go", "cancel"])
async def test_a_trial_that_is_called_off_while_it_begins_leaves_no_process(
    home: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The run is dropped, the screen left, or the key pressed again, before there is a process."""
    begins, goes_on = threading.Event(), threading.Event()

    class Slow(TrialProcess):
        def __init__(self, run: Run) -> None:
            begins.set()
            assert goes_on.wait(20)
            super().__init__(run)

    monkeypatch.setattr("springtui.lab.trial.TrialProcess", Slow)
    async with open_lab(home, settings=SLOW) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 1), 120)
        await pilot.press("T")
        await until(pilot, begins.is_set)
        assert lab.trial.trial.is_running
        getattr(lab.trial, how)()
        goes_on.set()
        await until(pilot, lambda: not lab.trial.trial.is_running)
        await until(pilot, lambda: not trials(home))
        await pilot.pause(0.2)
        assert not trials(home)


def made_run(home: Path) -> Run:
    """A run that has trained for an epoch."""
    config = make(TrainConfig, SETTINGS)
    run = Run.create(open_home(home), config)
    writer = run.writer()
    settings = msgspec.structs.asdict(config)
    writer.write(Started(pid=1, host="h", settings=settings, layers=["input", "logits"], total=40))
    writer.write(Curve(at=1, step=1, curves={}))
    writer.release()
    return run


async def test_an_earlier_trial_of_the_run_is_shown_again(home: Path) -> None:
    """By a lab that takes over the run of another."""
    trial = LabTrial()
    async with open_lab(home, settings=SETTINGS, stop=False) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 40))
        run = lab.session.runs["train"]
        await asyncio.to_thread(trial.begin, run, threading.Event())
        while not await asyncio.to_thread(trial.collect):
            await pilot.pause(0.1)
        assert not trial.trouble
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: lab.session.runs.get("train") is not None)
        assert lab.session.runs["train"].id == run.id
        await until(pilot, lambda: "to epoch 40" in lab._words.get("#advice", ""))
