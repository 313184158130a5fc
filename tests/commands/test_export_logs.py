"""``springtui export`` of other tools' logs: CSV, JSON, event files; what cannot be written is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.logs.read import read_logs
from springtui.cli import main


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder with two runs: a Lightning CSV with gaps and infinity, and JSON lines."""
    for name, text in {
        "a/metrics.csv": "epoch,step,train_loss,val_loss\n0,9,0.5,\n0,19,inf,\n,19,,0.75\n",
        "b/log.jsonl": '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": 1.0}\n',
    }.items():
        (tmp_path / "logs" / name).parent.mkdir(parents=True)
        (tmp_path / "logs" / name).write_text(text)
    return tmp_path / "logs"


def test_each_run_is_written_as_csv_and_json(
    logs: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(logs), "--out", str(tmp_path / "out"), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["run"], one["format"]) for one in told] == [("a", "CSV"), ("b", "JSON lines")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "a.json", "b.csv", "b.json"]
    assert (tmp_path / "out" / "a.csv").read_text().splitlines() == [
        "at,step,time,epoch,train_loss,val_loss", ",9,0.0,0.0,0.5,", ",19,0.0,0.0,inf,0.75",
    ]  # fmt: skip
    written = json.loads((tmp_path / "out" / "b.json").read_text())
    assert [record["scalars"]["loss"] for record in written["records"][1:]] == [2.0, "nan", 1.0]


def test_event_files_of_a_log_hold_its_numbers(logs: Path, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("tensorboard")
    assert main(["export", str(logs), "--tensorboard", str(tmp_path / "events")]) == 0
    (a, b) = read_logs(tmp_path / "events")
    assert (a.run, a.format, b.run) == ("a", "tensorboard", "b")
    assert a.scalars["train_loss"].step.tolist() == [9, 19]
    assert a.scalars["train_loss"].value.tolist() == [0.5, float("inf")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "svg"], "--format svg cannot be written of a log; allowed: csv, json"),
        (["--figure", "loss"], "--figure cannot be drawn"),
        (["--records"], "--records prints JSON"),
    ],
)
def test_what_a_log_has_not_is_refused(
    logs: Path, home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["export", str(logs), *arguments]) == 2
    assert words in capsys.readouterr().err
