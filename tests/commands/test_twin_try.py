"""``springtui twin RUN --try``: real processes that train, answer, are cancelled and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT
from support.real_terminal import workers_under

from engine.runs.directory import Run
from engine.runs.launch import CANCELLED, launch_trial
from engine.runs.listing import list_runs
from engine.runs.records import Acknowledged
from engine.twin.comparison import changes, choice
from engine.twin.trial import Trial, trial_of
from springtui.cli import main

SMALL = (
    "dataset=digits",
    "train_size=300",
    "depth=6",
    "width=16",
    "batch_size=30",
    "negative_slope=1",
    "epochs=12",
)
LONG = ("dataset=digits", "depth=8", "width=100", "batch_size=16", "negative_slope=1", "epochs=4")


def train(home: Path, settings: tuple[str, ...]) -> Run:
    words = [word for setting in (*settings, "hessian=off") for word in ("--set", setting)]
    assert main(["train", "--recipe", "digits", *words]) == 0
    return list_runs(home)[0]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_trial_is_made_once_and_answers_as_long_as_its_settings_are_in_force(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(home, SMALL)
    before = told(capsys, "twin", run.id)["advice"]
    assert before["source"] != "measured"
    assert f"springtui twin {run.id} --try" in before["sentence"]
    files = {path.name for path in run.path.iterdir()}
    found = told(capsys, "twin", run.id, "--try", "--seconds", "0")
    assert {path.name for path in run.path.iterdir()} == files | {"trial.json"}
    trial = trial_of(run)
    assert trial is not None
    best = choice(changes(trial))
    assert best is not None
    advice = found["advice"]
    assert (advice["source"], advice["knob"], advice["to"]) == ("measured", best.knob, best.after)
    assert advice["measured_change"] == pytest.approx(best.change)
    assert advice["error"] == pytest.approx(best.error)
    assert advice["accuracy_change"] == pytest.approx(best.accuracy_change)
    assert advice["predicted_change"] is None
    assert found["experiment"] is None
    assert {step["knob"] for step in found["trial"]["changes"]} >= {"negative_slope", "lr", "batch_size", "depth"}
    assert told(capsys, "twin", run.id)["advice"] == advice  # at once, from the file
    assert main(["twin", run.id]) == 0
    text = capsys.readouterr().out
    assert advice["sentence"] in text
    assert "accuracy, points" in text  # the table of all steps
    assert "nan" not in text
    writer = run.writer()
    writer.write(Acknowledged(control=1, action="set", step=1, settings={"data_noise": 0.1}))
    writer.release()
    changed = told(capsys, "twin", run.id)
    assert changed["advice"]["source"] != "measured"
    assert changed["trial"] is None


def test_the_first_network_of_a_trial_is_the_run_itself(home: Path) -> None:
    run = train(home, SMALL)
    process = launch_trial(run, seconds=0.0)
    assert process.stdout is not None
    out = process.stdout.read()  # its input stays open: it ends where that is closed
    assert process.wait(10) == 0
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines
    assert all(line["done"] <= line["total"] for line in lines if "done" in line)
    trial = trial_of(run)
    assert isinstance(trial, Trial)
    last = [event for event in run.events() if hasattr(event, "curves")][-1]
    assert trial.base.curves[0] == pytest.approx(last.curves["trace_ratio"])  # type: ignore[union-attr]


def springtui(home: Path, *words: str, **more: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SPRINGTUI_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "springtui", *words], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, preexec_fn=_heed_interrupts, **more,
    )  # fmt: skip


def _heed_interrupts() -> None:
    """In the child process: a test runner in the background ignores SIGINT, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_training(home: Path, process: subprocess.Popen[bytes]) -> list[Any]:
    """The processes of a trial, once it has one that uses the processor; AssertionError where it ends before."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        found = workers_under(home)
        if found and sum(found[0].cpu_times()[:2]) > 3.0:
            return found
        time.sleep(0.05)
    raise AssertionError("no trial began")


def none_left(home: Path, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while workers_under(home):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 1), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_verb_that_is_cancelled_or_killed_leaves_neither_process_nor_file(
    home: Path, number: signal.Signals, status: int
) -> None:
    run = train(home, LONG)
    files = {path.name for path in run.path.iterdir()}
    process = springtui(home, "twin", run.id, "--try", "--seconds", "0")
    wait_for_training(home, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert none_left(home)
    assert {path.name for path in run.path.iterdir()} == files
    if number is signal.SIGINT:
        assert b"springtui: stopped" in said


@pytest.mark.real_start
def test_a_trial_process_ends_on_sigterm_at_any_moment(home: Path) -> None:
    run = train(home, LONG)
    for pause in (0.0, 0.3, 1.0):
        process = launch_trial(run)
        time.sleep(pause)
        process.terminate()
        began = time.monotonic()
        process.communicate(timeout=30)
        assert time.monotonic() - began < 10
        assert process.returncode in {CANCELLED, -signal.SIGTERM}
    assert trial_of(run) is None


def test_a_trial_whose_process_is_killed_says_so(home: Path) -> None:
    run = train(home, LONG)
    process = springtui(home, "twin", run.id, "--try", "--seconds", "0")
    (worker,) = wait_for_training(home, process)
    worker.kill()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"the trial's process was killed by signal SIGKILL" in said
    assert trial_of(run) is None


def test_progress_is_said_in_lines_where_there_is_no_terminal(home: Path) -> None:
    run = train(home, SMALL)
    process = springtui(home, "twin", run.id, "--try", "--json", "--seconds", "0")
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert json.loads(out)["advice"]["source"] == "measured"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--try"], "--try needs a run"),
        (["--maps", "--try"], "--try needs a run"),
        (["last", "--seconds", "5"], "allowed with --try"),
        (["last", "--try", "--seconds", "-1"], "-1"),
        (["last", "--try", "--seconds", "nan"], "0 or more"),
    ],
)
def test_wrong_words_are_refused(
    home: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["twin", *words]) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_tried_is_refused_before_a_process_begins(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chain", "--set", "steps=200"]) == 0
    chain = list_runs(home)[0]
    assert main(["twin", chain.id, "--try"]) == 2
    assert "is a chain run" in capsys.readouterr().err
    assert not workers_under(home)


def test_a_damaged_trial_is_said_and_passed_over(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(home, SMALL)
    run.trial_path.write_text("{")
    capsys.readouterr()
    assert main(["twin", run.id, "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["trial"] is None
    assert "trial.json is damaged" in found.err
