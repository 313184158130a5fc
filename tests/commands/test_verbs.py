"""The verbs that do something to a run: stop, rm, resume, note; with real workers where one is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.runs.directory import Run
from engine.runs.label import NO_LABEL, Label, read_label, write_label
from engine.runs.launch import launch
from engine.runs.listing import list_runs, open_home
from engine.runs.records import Curve, Ended, Started
from engine.settings.chain import ChainConfig
from engine.settings.probe import ProbeConfig
from springtui.cli import main

ENDLESS = ChainConfig(steps=10**12, replicas=4, blocks=3, pace=2000.0, frames=20.0)
PATIENCE = 60.0
Capture = pytest.CaptureFixture[str]
Working = Callable[[], tuple[Run, subprocess.Popen[bytes]]]


def wait_for(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def working(home: Path) -> Iterator[Working]:
    """Begins a chain that never ends by itself; no worker is left behind."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin() -> tuple[Run, subprocess.Popen[bytes]]:
        run = Run.create(open_home(home), ENDLESS)
        begun.append(launch(run))
        wait_for(lambda: any(isinstance(event, Curve) for event in run.last_events(5)))
        return run, begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def a_run(home: Path, *, ended: str | None = "finished") -> Run:
    run = Run.create(open_home(home), ENDLESS)
    writer = run.writer()
    writer.write(Started(pid=os.getpid(), host="here", settings={}, layers=[], total=5))
    if ended:
        writer.write(Ended(reason=ended, text="so it ended"))
    writer.release()
    return run


def said(capsys: Capture, arguments: list[str]) -> tuple[int, list[dict[str, Any]], str]:
    status = main([*arguments, "--json"])
    captured = capsys.readouterr()
    return status, [json.loads(line) for line in captured.out.splitlines()], captured.err


class TestStop:
    def test_acknowledged_and_ended(self, working: Working, capsys: Capture) -> None:
        run, process = working()
        other = a_run(run.path.parents[1])
        status, results, _ = said(capsys, ["stop", run.id, other.id])
        assert status == 0
        assert [(r["was"], r["state"], r["acknowledged"], r["killed"]) for r in results] == [
            ("running", "stopped", True, False),
            ("finished", "finished", False, False),
        ]
        assert process.wait(PATIENCE) == 0
        assert main(["stop", run.id]) == 0
        assert "over already (stopped)" in capsys.readouterr().out

    def test_one_that_does_not_answer(self, working: Working, capsys: Capture) -> None:
        """Held by SIGSTOP it can hear nothing: that is said, and only --kill ends it."""
        run, process = working()
        process.send_signal(signal.SIGSTOP)
        status, (result,), _ = said(capsys, ["stop", "--all", "--patience", "0.5"])
        assert (status, result["state"], result["acknowledged"], result["killed"]) == (1, "running", False, False)
        assert "not acknowledged" in result["text"]
        status, (result,), _ = said(capsys, ["stop", run.id, "--patience", "0.5", "--kill"])
        assert (result["acknowledged"], result["killed"]) == (False, True)
        wait_for(lambda: run.observe().exit_status == -signal.SIGKILL)
        assert run.status() == "crashed"
        assert "signal SIGKILL" in run.observe().text

    @pytest.mark.parametrize("arguments", [[], ["last", "--all"], ["nothing"]])
    def test_usage(self, arguments: list[str], home: Path, capsys: Capture) -> None:
        assert main(["stop", *arguments]) == 2
        assert "springtui runs" in capsys.readouterr().err

    def test_nothing_goes_on(self, home: Path, capsys: Capture) -> None:
        run = Run.create(open_home(home), ENDLESS)
        assert said(capsys, ["stop", "--all"]) == (0, [], "No run goes on.\n")
        assert main(["stop", run.id]) == 0
        assert "nothing to stop" in capsys.readouterr().out


class TestRemove:
    def test_removes_what_is_over_and_nothing_else(self, home: Path, tmp_path: Path, capsys: Capture) -> None:
        keep, run = a_run(home), a_run(home)
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "mine").write_text("mine")
        (run.path / "link").symlink_to(outside)
        (run.path / "events.jsonl").unlink()
        (run.path / "events.jsonl").symlink_to(outside / "mine")
        assert main(["rm", run.id]) == 2
        assert "--yes" in capsys.readouterr().err
        assert run.path.exists()
        assert said(capsys, ["rm", "-y", run.id])[:2] == (0, [{"run": run.id, "removed": True}])
        assert [run.id for run in list_runs(home)] == [keep.id]
        assert os.listdir(home / "runs") == [keep.id]  # noqa: PTH208 (hidden names too)
        assert (outside / "mine").read_text() == "mine"

    def test_one_that_goes_on(self, working: Working, capsys: Capture) -> None:
        run, process = working()
        assert main(["rm", "-y", run.id]) == 1
        assert "springtui stop" in capsys.readouterr().err
        assert run.is_live()
        assert main(["rm", "-y", "--force", run.id]) == 0
        assert process.wait(PATIENCE) == 0
        assert not run.path.exists()

    def test_damaged_runs_can_be_removed(self, home: Path, capsys: Capture) -> None:
        run = a_run(home)
        for name in ("config.json", "events.jsonl", "lock"):
            (run.path / name).unlink()
            os.mkfifo(run.path / name)
        assert main(["rm", "-y", run.id]) == 0
        assert not run.path.exists()

    def test_what_is_no_run_stays(self, home: Path, tmp_path: Path, capsys: Capture) -> None:
        project = tmp_path / "project"
        project.mkdir()
        (project / "config.json").write_text("{}")
        (tmp_path / "link").symlink_to(a_run(home).path)
        for name, words in ((project, "damaged"), (tmp_path / "link", "symbolic link"), (tmp_path, "no run")):
            assert main(["rm", "-y", f"{name}{os.sep}"]) == 2
            assert words in capsys.readouterr().err
        assert project.is_dir()
        assert len(list_runs(home)) == 1

    def test_all_names_are_known_before_anything_is_removed(self, home: Path, capsys: Capture) -> None:
        run = a_run(home)
        assert main(["rm", "-y", run.id, "nothing"]) == 2
        assert run.path.exists()


class TestResume:
    def test_a_chain(self, home: Path, capsys: Capture) -> None:
        whole = [sys.executable, "-m", "springtui", "chain", "--json"]
        whole += [f"--set={word}" for word in ("steps=4000", "replicas=4", "blocks=3", "noise=0.05", "pace=1e6")]
        first = json.loads(subprocess.run(whole, capture_output=True, text=True, check=True, timeout=120).stdout)
        status, (again,), _ = said(capsys, ["resume", first["run"]])
        assert (status, again) == (0, first)

    def test_detached(self, home: Path, capsys: Capture) -> None:
        run = Run.create(open_home(home), ChainConfig(steps=200, replicas=2, blocks=3, pace=1e6))
        status, (result,), _ = said(capsys, ["resume", run.id, "--detach"])
        assert (status, result["run"]) == (0, run.id)
        wait_for(lambda: run.status() == "finished")
        (started,) = (event for event in run.events() if isinstance(event, Started))
        assert started.pid == result["pid"]

    def test_one_that_goes_on(self, home: Path, capsys: Capture) -> None:
        run = Run.create(open_home(home), ENDLESS)
        writer = run.writer()
        assert main(["resume", run.id]) == 1
        assert f"process {os.getpid()} on" in capsys.readouterr().err
        writer.release()

    def test_a_probe_goes_on_where_its_script_does(self, home: Path, capsys: Capture) -> None:
        run = Run.create(open_home(home), ProbeConfig())
        assert main(["resume", run.id]) == 2
        assert "your own training script" in capsys.readouterr().err
        assert run.path.is_dir()

    def test_damaged(self, home: Path, capsys: Capture) -> None:
        run = Run.create(open_home(home), ENDLESS)
        (run.path / "checkpoint.safetensors").write_bytes(b"\xff" * 40)
        assert main(["resume", run.id]) == 2
        assert "checkpoint" in capsys.readouterr().err
        assert run.path.is_dir()


class TestNote:
    def test_name_note_and_pin(self, home: Path, capsys: Capture) -> None:
        run, other = a_run(home), a_run(home)
        status, (result,), _ = said(capsys, ["note", run.id, "--name", " baseline ", "--text", "a\nb", "--pin"])
        assert status == 0
        assert result == {"run": run.id, "name": "baseline", "text": "a\nb", "pinned": True}
        assert said(capsys, ["note", run.id])[1] == [result]
        assert (run.path / "label.json").stat().st_mode & 0o777 == 0o600
        assert main(["runs"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].startswith(run.id)
        assert "baseline" in lines[1]
        assert lines[2].startswith(other.id)
        listed = {found["run"]: found for found in said(capsys, ["runs"])[1]}[run.id]
        assert (listed["name"], listed["note"], listed["pinned"]) == ("baseline", "a\nb", True)
        assert said(capsys, ["note", run.id, "--unpin", "--name", ""])[1][0]["name"] == ""
        assert read_label(run.path) == Label(text="a\nb")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--name", "x" * 81], ["81", "at most 80"]),
            (["--text", "x" * 4001], ["4001", "at most 4000"]),
            (["--name", "a\x1b[2J"], ["name", "\\x1b", "character 2"]),
            (["--name", "two\nlines"], ["\\n"]),
            (["--text", "\u202eturned"], ["\\u202e", "character 1"]),
        ],
    )
    def test_refused(self, arguments: list[str], words: list[str], home: Path, capsys: Capture) -> None:
        run = a_run(home)
        assert main(["note", run.id, *arguments]) == 2
        told = capsys.readouterr().err
        assert all(word in told for word in words)
        assert read_label(run.path) == NO_LABEL

    @pytest.mark.parametrize("damage", ["{", '{"name": 3}', '{"name": "' + "x" * 90 + '"}', "[" * 10_000, "\x00"])
    def test_a_damaged_label_is_none(self, damage: str, home: Path, capsys: Capture) -> None:
        run = a_run(home)
        (run.path / "label.json").write_text(damage)
        assert read_label(run.path) == NO_LABEL
        assert main(["runs"]) == 0

    def test_texts_of_a_hostile_label_are_inert(self, home: Path, capsys: Capture) -> None:
        run = a_run(home)
        hostile = Label(name="\x1b]0;owned\x07[red]", text="\u202e\x9b2J")
        (run.path / "label.json").write_text(json.dumps({"name": hostile.name, "text": hostile.text}))
        assert read_label(run.path) == hostile
        for arguments in (["runs"], ["note", run.id], ["runs", "--json"], ["note", run.id, "--json"]):
            assert main(arguments) == 0
            told = capsys.readouterr().out
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told)

    def test_a_link_in_its_place_is_replaced_not_followed(self, home: Path, tmp_path: Path) -> None:
        run, secret = a_run(home), tmp_path / "secret"
        secret.write_text('{"name": "leak"}')
        (run.path / "label.json").symlink_to(secret)
        assert read_label(run.path) == NO_LABEL
        write_label(run.path, name="mine")
        assert secret.read_text() == '{"name": "leak"}'
        assert read_label(run.path).name == "mine"
