"""``springtui watch`` on paths: other tools' logs as records, what is refused, the screens in a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.made_runs import make_run, training_records
from support.real_terminal import SPRINGTUI, Terminal

from engine.logs.batch import Batch
from engine.logs.foreign import ForeignRun
from engine.logs.series import series_of
from engine.runs.directory import Run
from engine.runs.label import write_label
from springtui.cli import main
from springtui.commands.log_news import LogNews
from springtui.commands.logs import is_beginning
from springtui.commands.watch import named

Capture = pytest.CaptureFixture[str]


def write(path: Path, start: int = 0, end: int = 20) -> Path:
    """Append lines of a training."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for step in range(start, end):
            file.write(json.dumps({"step": step, "loss": 1 / (step + 1), "lr": 0.1}) + "\n")
    return path


def printed(capsys: Capture) -> list[dict[str, Any]]:
    """The records on standard output."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_records_of_all_runs_to_the_present_end(tmp_path: Path, home: Path, capsys: Capture) -> None:
    write(tmp_path / "logs" / "a" / "train.jsonl")
    with write(tmp_path / "logs" / "b" / "train.jsonl").open("a") as file:
        file.write('{"step": 20, "loss": NaN}\n')
    assert main(["watch", str(tmp_path / "logs"), "--json", "--once"]) == 0
    records = printed(capsys)
    runs = {record["run"] for record in records}
    assert len(runs) == 2
    for run in runs:
        own = [record for record in records if record["run"] == run]
        assert [record["kind"] for record in own[:2]] == ["started", "scalars"]
        assert own[0]["facts"]["format"]
        rows = [record for record in own if record["kind"] == "scalars"]
        assert [row["step"] for row in rows] == list(range(20 + run.startswith("b")))
        assert rows[0]["scalars"] == {"loss": 1.0, "lr": 0.1}
    assert records[-1]["scalars"] == {"loss": "nan"} or records[-1]["run"].startswith("a")
    assert not (home / "runs").exists() or not any((home / "runs").iterdir())


class Shown:
    """A client of two runs that are one training."""

    def __init__(self, *runs: ForeignRun) -> None:
        self.all, self.hidden = runs, {runs[-1]}

    def runs(self) -> list[ForeignRun]:
        return [run for run in self.all if run not in self.hidden]

    def is_shown(self, run: ForeignRun) -> bool:
        return run not in self.hidden


def test_a_training_in_two_formats_is_printed_once_and_what_is_void_is_told() -> None:
    one, two = (ForeignRun(name, Path("/logs"), name) for name in ("csv", "jsonl"))
    news, client = LogNews(), Shown(one, two)

    def hear(run: ForeignRun, batch: Batch) -> None:
        run.take(batch)
        news.hear(client, run, batch)  # type: ignore[arg-type]

    for run in (one, two):
        hear(run, Batch(points={"loss": series_of([0, 1, 2], [3.0, 2.0, 1.0])}, settings={"lr": 0.1}))
    assert news.next(0.0) is None, "whether they are one training is not known yet"
    news.hear(client, None, Batch())  # type: ignore[arg-type]
    hear(two, Batch(points={"loss": series_of([3], [0.5])}))
    hear(one, Batch(cuts={"loss": 2}, points={"loss": series_of([2], [0.25])}))
    hear(one, Batch(anew=True, points={"loss": series_of([0], [0.125])}))
    found = []
    while (records := news.next(0.0)) is not None:
        found += list(records)
    assert news.has_ended
    assert {record["run"] for record in found} == {"csv"}
    assert [record["seq"] for record in found] == list(range(len(found)))
    told = [record.get("void") or record.get("scalars", {}).get("loss") for record in found]
    assert told == [None, 3.0, 2.0, 1.0, {"loss": 2}, 0.25, None, {"loss": None}, 0.125]


def test_standard_input_is_read_to_its_end(tmp_path: Path, home: Path) -> None:
    lines = write(tmp_path / "lines").read_bytes().rstrip()  # the last line is not ended
    done = subprocess.run(
        [sys.executable, "-m", "springtui", "watch", "-", "--json"], input=lines, capture_output=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "scalars"] == list(range(20))


def test_what_is_no_log_is_refused_in_words(tmp_path: Path, home: Path, capsys: Capture) -> None:
    (tmp_path / "notes.md").write_text("# Notes\n\nA page of prose.\n")
    (tmp_path / "empty").mkdir()
    assert main(["watch", str(tmp_path / "empty"), "--json", "--once"]) == 2
    assert main(["watch", str(tmp_path), "--json", "--once"]) == 2
    said = capsys.readouterr().err
    assert "no log of a training was found" in said
    assert "1 file looked at" in said
    os.mkfifo(tmp_path / "fifo")
    for wrong, why in {
        "fifo": "neither a plain file nor a folder",
        "none/such": "there is no file or fol",
    }.items():
        assert main(["watch", str(tmp_path / wrong), "--json"]) == 2
        assert why in capsys.readouterr().err, wrong
    assert main(["watch", "nonesuch"]) == 2
    assert "no file or folder of that name" in capsys.readouterr().err


def test_a_training_that_has_just_begun_is_waited_for() -> None:
    for files, newest, error, waits in ((0, 0.0, "", True), (2, time.time(), "", True), (2, 1e9, "", False)):
        client = SimpleNamespace(files=files, newest=newest, error=error, problems={})
        assert is_beginning(client) is waits  # type: ignore[arg-type]


def test_a_name_in_the_home_goes_before_a_path_and_that_is_said(
    tmp_path: Path, home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(make_run(home, training_records(3), 1))
    write_label(run.path, name="exp")
    monkeypatch.chdir(tmp_path)
    assert named(home, "-") == "-"
    found = named(home, "exp")
    assert isinstance(found, Run)
    assert found.id == run.id
    assert capsys.readouterr().err == ""
    write(tmp_path / "exp" / "train.jsonl")
    assert isinstance(named(home, "exp"), Run)
    assert "./exp" in capsys.readouterr().err
    assert named(home, "./exp") == "./exp"
    assert named(home, ".") == "."
    write(tmp_path / "other.jsonl")
    assert named(home, "other.jsonl") == "other.jsonl"
    assert isinstance(named(home, str(run.path)), Run)


def test_wrong_uses_are_told(home: Path, tmp_path: Path, capsys: Capture) -> None:
    run = make_run(home, training_records(3), 1)
    log = str(write(tmp_path / "train.jsonl"))
    assert main(["watch", run.name, "--json", "--once"]) == 2
    assert main(["watch", run.name, log, "--json"]) == 2
    assert main(["watch", log]) == 2
    assert "--json" in capsys.readouterr().err


@pytest.mark.parametrize("piped", [False, True], ids=["folder", "standard input"])
def test_the_screens_in_a_real_terminal(home: Path, tmp_path: Path, piped: bool) -> None:
    log = write(tmp_path / "logs" / "a" / "train.jsonl")
    write(tmp_path / "logs" / "b" / "train.jsonl")
    shell = ("/bin/sh", "-c", f"{sys.executable} -m springtui watch - < {log}")
    command = shell if piped else (*SPRINGTUI, "watch", str(tmp_path / "logs"))
    with Terminal(command, columns=80, rows=24, env={"SPRINGTUI_HOME": str(home)}) as terminal:
        if not piped:
            terminal.wait_for("2 runs")
            terminal.wait_for(lambda text: text.count(" 19 ") == 2)
            terminal.press("\r")
        terminal.wait_for("step 19")
        terminal.press("q")
        assert terminal.wait_exit() == 0
        assert not terminal.modes_left_on()
