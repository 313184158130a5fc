"""Which files of a folder are looked into, and what is told of the others."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from support import framed_writer, tensorboard_writer

from engine.logs import finding
from engine.logs import folder as folders
from engine.logs.folder import Folder
from engine.logs.lines.detect import logs
from engine.logs.read import logs_of, open_source, read_logs

TABLE = "step,loss\n" + "".join(f"{step},{1 / (step + 1)}\n" for step in range(5))
LINES = "".join(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\n" for step in range(5))
STATE = {"global_step": 4, "log_history": [{"step": step, "loss": 0.5} for step in range(5)]}
EVENT = {
    "task": "a",
    "type": "training_stats_scalar",
    "metric": "loss",
    "variant": "loss",
    "iter": 0,
    "value": 0.5,
}


def _problems(path: Path) -> tuple[int, list[str]]:
    """The number of runs under a folder, and what is told of paths."""
    source = open_source([path])
    return len(logs_of(source)), list(source.problems.values())


def test_files_beyond_the_limit_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_FILES", 4)
    for number in range(6):
        (tmp_path / f"{number}.csv").write_text(TABLE.replace("0.5", f"0.{number}"))
    assert _problems(tmp_path) == (4, ["2 of its files were not looked into: there are too many"])


def test_of_too_many_files_the_rare_kinds_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_FILES", 4)
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text("a caption of a picture\n")
    (tmp_path / "zz.csv").write_text(TABLE)
    tensorboard_writer.write(tmp_path, [tensorboard_writer.version(1.0)])
    assert {run.format for run in read_logs(tmp_path)} == {"csv", "tensorboard"}


def test_text_beyond_the_limit_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.logs.console.format._MOST_TEXT", 10)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("a caption of a picture\n")
    (tmp_path / "a.csv").write_text(TABLE)
    assert _problems(tmp_path) == (1, ["2 of its files were not looked into: there are too many"])


def test_folders_beyond_the_limits_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        (tmp_path / f"{number}" / "below").mkdir(parents=True)
        (tmp_path / f"{number}" / "a.csv").write_text(TABLE.replace("0.5", f"0.{number}"))
    monkeypatch.setattr(finding, "_DEEPEST", 1)
    assert _problems(tmp_path) == (4, ["folders that lie 1 deep were not looked into"] * 4)
    monkeypatch.setattr(finding, "_MOST_FOLDERS", 3)
    assert _problems(tmp_path)[1][-1] == "only the first 3 folders were looked into"


@pytest.mark.parametrize("name", ["x.out", "metrics.csv.1", "x.md", "x.yaml", "x.gz", "x.sh", "x.png", "x"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "wandb", "swanlab", "tensorboard", "huggingface", "clearml"])
def test_a_named_file_is_recognised_by_its_content_alone(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    match kind:
        case "csv":
            path.write_text(TABLE)
        case "jsonl":
            path.write_text(LINES)
        case "wandb":
            path.write_bytes(framed_writer.framed([framed_writer.history(0, {"loss": "0.5"})]))
        case "swanlab":
            path.write_bytes(framed_writer.framed([], framed_writer.SWANLAB))
        case "tensorboard":
            parts = [tensorboard_writer.version(1.0), tensorboard_writer.scalar(1.0, 0, "loss", 0.5)]
            tensorboard_writer.write(tmp_path, parts, name)
        case "huggingface":
            path.write_text(json.dumps(STATE))
        case _:
            path.write_text(json.dumps([EVENT]) + "\n")
    assert [run.format for run in read_logs(path)] == [kind]


def test_a_named_database_is_recognised_by_its_content_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with sqlite3.connect(path) as database:
        for table in ("experiments", "runs", "metrics"):
            database.execute(f"CREATE TABLE {table} (x)")
    database.close()
    assert Folder(tmp_path, frozenset({"x.log"})).start("x.log").startswith(b"SQLite")


def test_copies_of_json_lines_are_one_log_and_others_are_not(tmp_path: Path) -> None:
    long = LINES * 300
    for name, content in {
        "a.jsonl": long,
        "b.jsonl": LINES,  # the beginning of the first: a copy
        "c.jsonl": long[:-20] + long[-19:],
        "d.jsonl": LINES.replace("0.25", "0.26"),
        "e.jsonl": LINES.replace('"step": 0', '"step": 1'),
    }.items():
        (tmp_path / name).write_text(content)
    assert logs(Folder(tmp_path)) == {"a.jsonl": ["b.jsonl"], "c.jsonl": [], "d.jsonl": [], "e.jsonl": []}
