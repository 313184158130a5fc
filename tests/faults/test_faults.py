"""Clocks that are set back, directories that cannot be written, and folders that vanish under a live worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.errors import SpringtuiError
from engine.runs.controls import ControlReader
from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import open_home
from engine.runs.records import Curve, Ended, Note, Started
from engine.settings.chain import ChainConfig
from engine.settings.run import Settings
from engine.settings.train import TrainConfig
from springtui.cli import main
from springtui.state.describe import describe
from springtui.state.run_state import RunState

CHAIN = ChainConfig(steps=10**12, replicas=4, blocks=3, pace=2000.0)
TRAIN = TrainConfig(width=8, depth=3, train_size=64, epochs=10**7, early_stop=False, batch_size=16, hessian=False)


def wait_for(true: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class TestClock:
    """Wall clocks are set now and then, by hours: order rests on numbers, durations on another clock."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
        """The wall clock of this process, to be set."""
        known = {"now": time.time()}
        monkeypatch.setattr(time, "time", lambda: known["now"])
        monkeypatch.setattr(time, "time_ns", lambda: int(known["now"] * 1e9))
        return known

    def test_records_of_a_clock_set_back(self, home: Path, clock: dict[str, float]) -> None:
        run = Run.create(open_home(home), CHAIN)
        writer = run.writer()
        writer.write(Started(pid=1, host="h", settings={}, layers=[], total=100))
        for at in range(5):
            clock["now"] -= 3600.0
            writer.write(Curve(at=at, step=at, curves={"distance": [1.0, 0.0]}, scalars={"rate": 10.0}))
        assert run.status() == "running"
        writer.write(Ended(reason="finished", at=4))
        writer.release()
        events = run.events()
        assert [event.seq for event in events] == list(range(7))
        assert events[0].time > events[-1].time
        state = RunState(run.id)
        for event in events:
            state.fold(event)
            assert state.elapsed >= 0.0
            assert state.seconds_left is None or state.seconds_left >= 0.0
        assert (state.status, state.at) == ("finished", 4)
        told = describe(run)
        assert (told["status"], told["age"]) == ("finished", 0.0)

    def test_a_second_worker_whose_clock_is_behind(self, home: Path, clock: dict[str, float]) -> None:
        """The first one's last word is of an hour to come, and does not stand for the second."""
        run = Run.create(open_home(home), CHAIN)
        writer = run.writer()
        writer.write(Ended(reason="stopped"))
        writer.release()
        clock["now"] -= 3600.0
        writer = run.writer()
        assert run.status() == "starting"
        writer.write(Note(text="at work"))
        assert (run.status(), run.last_events(1)[0].seq) == ("running", 1)
        writer.release()

    def test_requests_keep_apart_while_the_clock_stands_still(self, home: Path, clock: dict[str, float]) -> None:
        run = Run.create(open_home(home), CHAIN)
        asked = [run.ask("set", noise=0.1).seq for _ in range(50)]
        clock["now"] -= 3600.0
        asked += [run.ask("set", noise=0.2).seq for _ in range(50)]
        assert len(set(asked)) == 100
        assert [control.seq for control in ControlReader(run).new()] == asked

    def test_a_clock_before_its_epoch(self, home: Path, clock: dict[str, float]) -> None:
        """A machine without a battery wakes up in 1970."""
        clock["now"] = -5.0
        run = Run.create(open_home(home), CHAIN)
        writer = run.writer()
        writer.write(Note(text="x"))
        writer.release()
        assert len(run.events()) == 1
        assert describe(run)["status"] == "crashed"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Makes a home one that can only be read; root, whom no mode binds, needs a file system that is."""
    disk = tmp_path / "home"
    disk.mkdir()
    modes: list[Path] = []
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk)]
    mounted = os.geteuid() == 0
    if mounted:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"root, and no file system can be mounted: {done.stderr.strip()}")

    def lock(home: Path) -> None:
        if mounted:
            subprocess.run([*mount[:3], "-o", "remount,ro", *mount[3:]], check=True)
            return
        modes.extend(path for path in home.rglob("*"))
        for path in modes:
            path.chmod(0o500 if path.is_dir() else 0o400)

    yield lock
    if mounted:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    for path in modes:
        path.chmod(0o700)


class TestReadOnly:
    def test_is_looked_at_and_not_written(
        self, locked: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        home = open_home(tmp_path / "home")
        run = Run.create(home, CHAIN)
        writer = run.writer()
        writer.write(Note(text="one"))
        writer.write(Ended(reason="stopped", text="as it was"))
        writer.release()
        locked(home)
        where = ["--home", str(home)]
        assert run.observe().status == "stopped"
        assert main(["runs", *where]) == 0
        assert "stopped" in capsys.readouterr().out
        for verb in (["resume", run.id], ["rm", "-y", run.id], ["note", run.id, "--name", "x"]):
            assert main([*verb, *where]) in {1, 2}, verb
            said = capsys.readouterr().err
            assert said.startswith("springtui: error: "), verb
            assert run.id in said, verb
            assert "unexpected" not in said, verb
        with pytest.raises(SpringtuiError, match=run.id):
            launch(run)
        assert len(run.events()) == 2


def removed(path: Path) -> bool:
    """Remove a directory; False where its worker wrote a file into it in the middle of that, as it may."""
    try:
        shutil.rmtree(path)
    except OSError:
        return not path.exists()
    return True


class TestVanished:
    @pytest.mark.slow
    @pytest.mark.parametrize("settings", [CHAIN, TRAIN], ids=["chain", "train"])
    @pytest.mark.parametrize("paused", [False, True], ids=["working", "paused"])
    def test_a_directory_removed_under_a_live_worker(self, settings: Settings, paused: bool, home: Path) -> None:
        """It ends by itself, says so in the log that it holds open, and makes nothing anew."""
        run = Run.create(open_home(home), settings)
        process = launch(run)
        try:
            wait_for(lambda: any(isinstance(event, Curve) for event in run.last_events(9)))
            if paused:
                run.ask("pause")
                wait_for(lambda: run.status() == "paused")
            with run.log_path.open() as log:
                wait_for(lambda: removed(run.path))
                wait_for(lambda: process.poll() is not None)
                assert process.returncode == 1
                assert "was removed while its worker ran" in log.read()
        finally:
            process.kill()
            process.wait()
        assert not run.path.exists()
        assert not psutil.pid_exists(process.pid)
