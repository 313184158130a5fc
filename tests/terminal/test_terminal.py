"""The real program in a real pseudo-terminal: start, keys, resize, signals, a lost connection, and exit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.real_terminal import SPRINGTUI, Terminal, stop_workers, workers_under

from engine.runs.directory import Run
from engine.runs.listing import list_runs
from engine.runs.records import Acknowledged

END = "\x1b[F"


@pytest.fixture
def lab(home: Path) -> Iterator[Terminal]:
    with Terminal() as terminal:
        yield terminal
    stop_workers(home)


def quit_and_stop(terminal: Terminal) -> None:
    """Quit, and answer that the runs shall stop."""
    terminal.press("q")
    terminal.wait_for("stop them and leave")
    terminal.press("x")
    assert terminal.wait_exit() == 0


def run_of(home: Path, kind: str) -> Run:
    return next(run for run in list_runs(home) if f"-{kind}-" in run.id)


def wait_until(true: object, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.real_start
def test_start_move_a_slider_and_quit(lab: Terminal, home: Path) -> None:
    lab.wait_for(lambda text: "Nonlinearity" in text and "epoch" in text and "two hands" in text, 60)
    lab.press(END)  # the first slider has the focus
    run = run_of(home, "train")

    def moved() -> bool:
        return any(isinstance(e, Acknowledged) and e.settings for e in run.events())

    end = time.monotonic() + 20
    while not moved():
        assert time.monotonic() < end, lab.text()
        lab.read(0.05)
    quit_and_stop(lab)
    assert lab.modes_left_on() == set()
    wait_until(lambda: not workers_under(home))
    assert {run.status() for run in list_runs(home)} == {"stopped"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_at_once_and_restore_the_terminal(lab: Terminal, home: Path, number: int) -> None:
    lab.wait_for("epoch", 60)
    lab.process.send_signal(number)
    assert lab.wait_exit() == 128 + number
    assert lab.modes_left_on() == set()
    assert len(workers_under(home)) == 2  # the runs go on


def test_a_lost_connection_ends_the_app_and_not_the_runs(lab: Terminal, home: Path) -> None:
    lab.wait_for("epoch", 60)
    place = home / "place.json"
    end = time.monotonic() + 30
    while not place.exists() or len(json.loads(place.read_text())["seen"]) < 2:
        assert time.monotonic() < end, "what was seen is not written down"
        lab.read(0.05)
    lab.hang_up()
    lab.process.wait(15)  # a spinning process would not end
    assert len(workers_under(home)) == 2
    noted = json.loads(place.read_text())
    for seen in noted["seen"].values():
        seen["time"] -= 60  # a shorter absence is not worth a word
    place.write_text(json.dumps(noted))
    with Terminal() as again:  # the next lab takes the runs up
        again.wait_for("epoch", 60)
        assert len(list_runs(home)) == 2
        again.wait_for(lambda text: "away" in text and "caught" in text)
        quit_and_stop(again)
    wait_until(lambda: not workers_under(home))


def test_detach_leaves_the_runs(lab: Terminal, home: Path) -> None:
    lab.wait_for("epoch", 60)
    lab.press("d")
    assert lab.wait_exit() == 0
    assert lab.modes_left_on() == set()
    assert len(workers_under(home)) == 2


def test_sizes(lab: Terminal) -> None:
    lab.wait_for("Accuracy", 60)
    lab.resize(80, 24)
    text = lab.wait_for("Training")  # the tabs' names
    assert "Accuracy" not in text
    lab.resize(60, 15)
    lab.wait_for("72")  # the columns that are needed
    lab.resize(120, 40)
    lab.wait_for("Accuracy")
    lab.press("?")
    lab.wait_for("Esc")


def test_a_killed_worker_is_shown_with_what_to_do(lab: Terminal, home: Path) -> None:
    lab.wait_for("epoch", 60)
    for process in workers_under(home):
        process.kill()
    lab.wait_for("press g")
    lab.press("r")
    lab.wait_for(lambda text: "press g" not in text and "epoch" in text, 60)


@pytest.mark.parametrize(("term", "said"), [("dumb", "TERM=dumb"), ("", "TERM is not set")])
def test_a_simple_terminal_is_refused(home: Path, term: str, said: str) -> None:
    with Terminal(env={"TERM": term}) as terminal:
        assert terminal.wait_exit() == 2
        assert said in " ".join(terminal.text().split())
    assert not home.exists()


def test_without_a_terminal_it_says_so(home: Path) -> None:
    done = subprocess.run(SPRINGTUI, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not a terminal" in done.stderr
    assert done.stdout == ""
    assert not home.exists()


@pytest.mark.terminal
def test_idle_costs_nothing(lab: Terminal) -> None:
    """Paused, the app writes nothing and its process rests (DESIGN, section 4: 0 bytes, at most 1 % of a core)."""
    lab.wait_for("epoch", 60)
    lab.press(" ")
    lab.wait_for("paused")
    end, quiet = time.monotonic() + 30, False
    while not quiet and time.monotonic() < end:  # the workers finish what they are at first
        lab.read(0.2)
        before, used = len(lab.raw), sum(psutil.Process(lab.process.pid).cpu_times()[:2])
        time.sleep(2)
        lab.read(0)
        quiet = len(lab.raw) == before
    assert quiet
    # a timed bound would be flaky; a spinning loop would use the two seconds whole
    assert sum(psutil.Process(lab.process.pid).cpu_times()[:2]) - used < 1.0


def test_the_environment_of_no_color_and_ascii(home: Path) -> None:
    with Terminal(env={"NO_COLOR": "1", "LC_ALL": "C"}) as terminal:
        terminal.wait_for("epoch", 60)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            terminal.read(0.1)
        shades = re.findall(rb"38;2;(\d+);(\d+);(\d+)", terminal.raw)
        assert shades  # Textual turns colours into greys
        assert all(len(set(shade)) == 1 for shade in shades)
        quit_and_stop(terminal)
    stop_workers(home)
    assert os.environ.get("NO_COLOR") is None
