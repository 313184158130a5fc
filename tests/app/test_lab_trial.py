"""Trying other settings in the lab: real processes behind the key, cancelled, killed, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from support.lab import open_lab, until
from support.real_terminal import workers_under

from engine.runs.records import Started
from engine.twin.trial import trial_of
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
        assert "seeds, 40 epochs" in lab._words["#advice"]
        assert not trials(home)
        # moved away, and back: the network trains anew, and the trial holds again
        slider = lab.query_one("#nonlinearity", Slider)
        slider.focus()
        await pilot.press("right")
        await until(pilot, lambda: lab.states["train"].settings["negative_slope"] < 1.0)
        await until(pilot, lambda: "seeds, 40 epochs" not in lab._words["#advice"])
        await pilot.press("home")
        await until(pilot, lambda: lab.states["train"].settings["negative_slope"] == 1.0)
        await until(pilot, lambda: "seeds, 40 epochs" in lab._words["#advice"])
        await pilot.press("r")  # another run
        await until(pilot, lambda: lab.session.runs.get("train", run).id != run.id)
        assert "seeds, 40 epochs" not in lab._words["#advice"]


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


async def test_an_earlier_trial_of_the_run_is_shown_again(home: Path) -> None:
    """By a lab that takes over the run of another."""
    trial = LabTrial()
    async with open_lab(home, settings=SETTINGS, stop=False) as (lab, pilot):
        await until(pilot, lambda: has_trained(lab, 40))
        run = lab.session.runs["train"]
        await asyncio.to_thread(trial.begin, run)
        while not await asyncio.to_thread(trial.collect):
            await pilot.pause(0.1)
        assert not trial.trouble
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: lab.session.runs.get("train") is not None)
        assert lab.session.runs["train"].id == run.id
        await until(pilot, lambda: "seeds, 40 epochs" in lab._words.get("#advice", ""))
