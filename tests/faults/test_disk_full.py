"""A full disk, on each kind of write: it is said, with what to do, and all that was recorded before is intact.

A file-size limit stands in for the full disk where that is enough; real workers fill a real one, a tmpfs of some
hundred kilobytes, where this may be mounted. Costs some 12 core-seconds.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DiskFullError, HomeError
from engine.runs.directory import Run
from engine.runs.files import append_line, replace_file
from engine.runs.label import read_label, write_label
from engine.runs.launch import launch
from engine.runs.listing import list_runs, open_home
from engine.runs.records import Curve, Note, decode_event
from engine.runs.stopping import remove
from engine.settings.chain import ChainConfig
from engine.settings.run import Settings
from engine.settings.train import TrainConfig
from springtui.cli import main

CHAIN = ChainConfig(steps=10**12, replicas=4, blocks=20, pace=3000.0, frames=60.0)
REMEDY = "make room"


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """This process can make no file longer than this; what fits of a write is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def run(home: Path) -> Run:
    return Run.create(open_home(home), CHAIN)


def wait_for(true: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def whole(run: Run) -> int:
    """How many records there are; fails where a line is no record, or a number is missing."""
    lines = (run.path / "events.jsonl").read_bytes()
    assert not lines or lines.endswith(b"\n")
    events = [decode_event(line) for line in lines.splitlines()]
    assert [event.seq for event in events] == list(range(len(events)))
    return len(events)


class TestOfOneProcess:
    def test_a_line_that_fits_in_part_is_taken_back(self, tmp_path: Path) -> None:
        path = tmp_path / "lines"
        append_line(path, b"x" * 89 + b"\n")
        with no_file_beyond(100), pytest.raises(DiskFullError, match=REMEDY):
            append_line(path, b"y" * 49 + b"\n")
        assert path.read_bytes() == b"x" * 89 + b"\n"
        append_line(path, b"z\n")
        assert path.read_bytes().splitlines() == [b"x" * 89, b"z"]

    def test_events(self, run: Run) -> None:
        writer = run.writer()
        writer.write(Note(text="one"))
        with no_file_beyond((run.path / "events.jsonl").stat().st_size + 20):
            for _ in range(2):
                with pytest.raises(DiskFullError, match=r"events\.jsonl.*make room"):
                    writer.write(Note(text="two"))
        assert whole(run) == 1
        writer.write(Note(text="three"))
        assert whole(run) == 2
        writer.release()

    def test_control(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        run.ask("pause")
        before = (run.path / "control.jsonl").read_bytes()
        writer = run.writer()
        writer.write(Note(text="at work"))
        with no_file_beyond(len(before) + 5):
            assert main(["stop", run.id]) == 1
        said = capsys.readouterr().err
        assert "control.jsonl" in said
        assert REMEDY in said
        assert (run.path / "control.jsonl").read_bytes() == before
        writer.release()

    def test_a_whole_file(self, tmp_path: Path) -> None:
        path = tmp_path / "checkpoint.safetensors"
        replace_file(path, b"old")
        with no_file_beyond(100), pytest.raises(DiskFullError, match=REMEDY):
            replace_file(path, b"new" * 100)
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_config(self, home: Path) -> None:
        open_home(home)
        with no_file_beyond(100), pytest.raises(HomeError, match=REMEDY):
            Run.create(home, CHAIN)
        assert list((home / "runs").iterdir()) == []

    def test_label(self, run: Run) -> None:
        write_label(run.path, name="old")
        with no_file_beyond(50), pytest.raises(DiskFullError, match=REMEDY):
            write_label(run.path, text="x" * 100)
        assert read_label(run.path).name == "old"

    def test_lock(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        with no_file_beyond(100):
            assert main(["resume", run.id]) == 1
        assert REMEDY in capsys.readouterr().err
        assert run.path.is_dir()
        run.writer().release()

    def test_what_is_there_can_be_removed(self, run: Run) -> None:
        with no_file_beyond(0):
            remove(run)
        assert not run.path.exists()


class Disk:
    """A small one of its own."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def size(self, kilobytes: int, *, again: bool = True) -> None:
        options = f"{'remount,' if again else ''}size={kilobytes}k"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.at)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    at = tmp_path / "disk"
    at.mkdir()
    try:
        made = Disk(at)
        made.size(160, again=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    yield made
    subprocess.run(["umount", "-l", str(at)], check=True)


def ended_full(run: Run, process: subprocess.Popen[bytes], file: str) -> None:
    assert process.wait(60) == 1
    wait_for(lambda: run.observe().exit_status is not None)
    found = run.observe()
    assert (found.status, found.live, found.exit_status) == ("failed", False, 1)
    assert file in found.text
    assert REMEDY in found.text


class TestOfWorkers:
    @pytest.fixture(autouse=True)
    def _none_left(self) -> Iterator[None]:
        self.begun: list[subprocess.Popen[bytes]] = []
        yield
        for process in self.begun:
            process.kill()
            process.wait()

    def start(self, run: Run) -> subprocess.Popen[bytes]:
        self.begun.append(launch(run))
        return self.begun[-1]

    def until_curves(self, run: Run, count: int) -> None:
        wait_for(lambda: sum(isinstance(event, Curve) for event in run.events()) >= count)

    def test_events_beyond_a_limit(self, run: Run) -> None:
        """Works without rights. Not even a last word fits into the records: the lock has it."""
        process = self.start(run)
        self.until_curves(run, 3)
        limit = (run.path / "events.jsonl").stat().st_size + 3000
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        ended_full(run, process, "events.jsonl")
        before = whole(run)
        self.start(run)
        wait_for(lambda: whole(run) > before + 2)

    def test_events_on_a_full_disk(self, disk: Disk) -> None:
        run = Run.create(open_home(disk.at), CHAIN)
        ended_full(run, self.start(run), "events.jsonl")
        before = whole(run)
        assert before > 20
        assert main(["runs", "--home", str(disk.at)]) == 0
        disk.size(4000)
        process = self.start(run)
        wait_for(lambda: whole(run) > before + 2)
        process.terminate()
        assert process.wait(60) == 0
        assert run.status() == "stopped"

    @pytest.mark.slow
    def test_checkpoint_on_a_full_disk(self, disk: Disk) -> None:
        settings: Settings = TrainConfig(
            width=64,
            depth=4,
            train_size=64,
            epochs=10**7,
            early_stop=False,
            checkpoint_every=0.05,
            measure_every=5,
        )
        run = Run.create(open_home(disk.at), settings)
        process = self.start(run)
        ended_full(run, process, "checkpoint.safetensors")
        assert not run.checkpoint_path.exists()
        assert not list(run.path.glob(".*.tmp"))
        before = whole(run)
        disk.size(4000)
        again = self.start(run)
        wait_for(lambda: whole(run) > before + 2 and run.checkpoint_path.exists())
        again.terminate()
        assert again.wait(60) == 0

    def test_nothing_fits_at_all(self, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
        """Neither lock nor log: who started it is told, and the run is as it was."""
        run = Run.create(open_home(disk.at), CHAIN)
        with contextlib.suppress(OSError), (disk.at / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        assert main(["resume", run.id, "--home", str(disk.at)]) == 1
        assert REMEDY in capsys.readouterr().err
        assert [run.id for run in list_runs(disk.at)] == [run.id]
        assert self.start(run).wait(60) == 1
        assert run.status() in {"waiting", "failed", "crashed"}
        (disk.at / "filler").unlink()
        self.start(run)
        self.until_curves(run, 2)
