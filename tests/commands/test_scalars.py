"""``springtui scalars`` and ``springtui.read_logs``: what logs of other tools hold."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import springtui
from engine.errors import LogError
from engine.logs.read import read_logs
from engine.logs.registry import FORMATS
from springtui.cli import main


def write(path: Path, values: list[Any], name: str = "loss", **more: Any) -> Path:
    """A log in JSON lines, one value a step; NaN and infinities as Python writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": 10 * n, name: value, **more}) for n, value in enumerate(values)]
    path.write_text("\n".join(lines) + "\n")
    return path


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    assert main(["scalars", *map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_run_is_one_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a" / "train.jsonl", [0.5, 0.25, 0.125])
    write(tmp_path / "b" / "train.jsonl", [1.5, float("nan"), float("-inf"), 2.5], time=1.7e9)
    first, second = lines_of(capsys, tmp_path)
    assert first["run"] == "a"
    assert first["format"] == "jsonl"
    assert first["scalars"] == {
        "loss": {"step": [0, 10, 20], "value": [0.5, 0.25, 0.125], "time": ["nan", "nan", "nan"]}
    }
    assert "same_as" not in first
    assert second["scalars"]["loss"]["value"] == [1.5, "nan", "-inf", 2.5]
    assert second["scalars"]["loss"]["time"] == [1.7e9] * 4
    assert second["problems"] == {}
    (alone,) = lines_of(capsys, tmp_path / "a")
    assert alone["run"] == "."


def test_many_points_are_written_whole_and_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [n / 7 for n in range(17_000)]
    write(tmp_path / "train.jsonl", values)
    (line,) = lines_of(capsys, tmp_path)
    assert line["scalars"]["loss"]["value"] == values
    assert line["scalars"]["loss"]["step"] == [10 * n for n in range(17_000)]


def test_csv_has_a_row_a_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train.jsonl", [0.5, float("nan")])
    write(tmp_path / "later" / "train.jsonl", [2.0], 'a,"b', time=1.7e9)
    with (tmp_path / "later" / "train.jsonl").open("a") as file:
        file.write('{"step": 10, "a,\\"b": 3, "time": 1700000001}\n')
    assert main(["scalars", str(tmp_path), "--csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [
        ["run", "format", "tag", "step", "value", "time"],
        [".", "jsonl", "loss", "0", "0.5", ""],
        [".", "jsonl", "loss", "10", "nan", ""],
        ["later", "jsonl", 'a,"b', "0", "2.0", "1700000000.0"],
        ["later", "jsonl", 'a,"b', "10", "3.0", "1700000001.0"],
    ]


def test_the_table_tells_runs_scalars_and_what_was_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "a" / "train.jsonl", [0.5, 0.25])
    with log.open("a") as file:
        file.write('{"step": 20, "loss": \n{"step": 30, "loss": 1}\n')
    assert main(["scalars", str(tmp_path)]) == 0
    told = capsys.readouterr()
    header, row = told.out.splitlines()
    assert header.split() == ["RUN", "FORMAT", "TAG", "POINTS", "STEPS", "LAST"]
    assert row.split() == ["a", "jsonl", "loss", "3", "0", "to", "30", "1"]
    assert told.err.startswith("a: ")
    assert told.err.rstrip().endswith(": 1")


def test_one_training_in_two_formats_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [1 / (n + 3) for n in range(40)]
    write(tmp_path / "logs" / "train.jsonl", values)
    table = "\n".join(f"{10 * n},{value:.6f}" for n, value in enumerate(values[:30]))
    (tmp_path / "logs" / "version_0").mkdir(parents=True)
    (tmp_path / "logs" / "version_0" / "metrics.csv").write_text(f"step,train_loss\n{table}\n")
    told = {line["run"]: (line.get("same_as"), line.get("same_as_format")) for line in lines_of(capsys, tmp_path)}
    assert told == {"logs/version_0": ("logs", "jsonl"), "logs": (None, None)}


def test_control_characters_never_come_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x9b31m\u202eloss\x7f\x07"
    write(tmp_path / "\x1b]0;x\x07" / "train.jsonl", [0.5, 0.25, 0.125], evil)
    for form in ("--json", "--csv", None):
        assert main(["scalars", str(tmp_path), *([form] if form else [])]) == 0
        told = capsys.readouterr()
        assert not set("\x1b\x9b\u202e\x7f\x07") & set(told.out + told.err)
    assert list(lines_of(capsys, tmp_path)[0]["scalars"]) == [evil]


def test_both_forms_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scalars", str(tmp_path), "--json", "--csv"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_what_is_no_log_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scalars", str(tmp_path / "missing")]) == 2
    assert "there is no file or folder" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("nothing here trains\n")
    assert main(["scalars", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "(1 file looked at)" in told
    assert all(kind.label in told for kind in FORMATS)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LogError, match="neither a plain file nor a folder"):
        read_logs(tmp_path / "pipe")


def test_the_library_gives_columns(tmp_path: Path) -> None:
    write(tmp_path / "a" / "train.jsonl", [0.5, float("inf")])
    write(tmp_path / "b" / "train.jsonl", [0.75])
    (run,) = springtui.read_logs(str(tmp_path / "a"))
    assert isinstance(run, springtui.LogRun)
    points = run.scalars["loss"]
    assert isinstance(points, springtui.Series)
    assert (points.step.dtype, points.value.dtype, points.time.dtype) == ("int64", "float64", "float64")
    assert points.value.tolist() == [0.5, float("inf")]
    several = springtui.read_logs(tmp_path / "a", tmp_path / "b" / "train.jsonl")
    assert [found.run for found in several] == [str(tmp_path / "a"), str(tmp_path / "b" / "train.jsonl")]
    with pytest.raises(springtui.LogError):
        springtui.read_logs(tmp_path / "c")


def test_standard_input_is_a_log_too() -> None:
    text = "".join(f'{{"step": {n}, "loss": {n}.5}}\n' for n in range(5))
    done = subprocess.run(
        [sys.executable, "-m", "springtui", "scalars", "-", "--json"],
        input=text.encode(), capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    line = json.loads(done.stdout)
    assert line["run"] == "."
    assert line["scalars"]["loss"]["value"] == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [n / 3 for n in range(20_000)])
    command = f'"{sys.executable}" -m springtui scalars "{tmp_path}" --json | head -c 20; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert not done.stderr


def test_what_is_recognised_and_not_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aim = tmp_path / ".aim"
    for name in ("meta", "seqs"):
        (aim / name).mkdir(parents=True)
    (aim / "run_metadata.sqlite").write_bytes(b"SQLite format 3\0")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("experiment.json", "{}")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("other.json", "{}")
    assert main(["scalars", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"{aim}: it is a repository of Aim" in told
    assert f"{tmp_path / 'a.zip'}: it is the archive of an offline Comet experiment" in told
    assert "b.zip" not in told
    write(tmp_path / "train.jsonl", [0.5, 0.25, 0.125])
    assert main(["scalars", str(tmp_path), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["format"] == "jsonl"
    assert f"{aim}: it is a repository of Aim" in told.err
