"""Run directories that springtui 0.1.0 wrote: listed, exported, and gone on with where they were left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.paths import DATA

from engine.runs.listing import find_run, open_home
from engine.runs.records import Cell, Curve, Started
from springtui.cli import main

Capture = pytest.CaptureFixture[str]
PROGRESS = {"train": "64/400", "chain": "61392/4000000", "sweep": "3/108", "probe": "20"}
"""How far each run was when it was left."""


@pytest.fixture
def old(home: Path) -> Path:
    """A home with the four runs, as they were left."""
    open_home(home)
    shutil.copytree(DATA / "runs-0.1.0", home / "runs", dirs_exist_ok=True)
    return home


def id_of(kind: str) -> str:
    """The run of a kind, by the name of its directory."""
    (path,) = (DATA / "runs-0.1.0").glob(f"*-{kind}-*")
    return path.name


def answer(capsys: Capture, *words: str) -> list[dict[str, Any]]:
    """The JSON objects that a verb prints."""
    assert main([*words, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_they_are_listed(old: Path, capsys: Capture) -> None:
    told = {row["kind"]: row for row in answer(capsys, "runs")}
    assert told.keys() == PROGRESS.keys()
    assert {kind: row["status"] for kind, row in told.items()} == {
        "train": "stopped", "chain": "stopped", "sweep": "stopped", "probe": "finished",
    }  # fmt: skip
    assert main(["runs"]) == 0
    table = capsys.readouterr().out
    assert all(progress in table for progress in PROGRESS.values())


@pytest.mark.parametrize("kind", PROGRESS)
def test_they_are_exported(kind: str, old: Path, capsys: Capture) -> None:
    (told,) = answer(capsys, "export", id_of(kind), "--out", str(old / "out"))
    assert told["config"]["version"] == "0.1.0"
    assert {Path(file).suffix for file in told["files"]} == {".png", ".svg", ".csv", ".json"}
    (told,) = answer(capsys, "export", id_of(kind), "--records")
    assert told["config"]["version"] == "0.1.0"
    assert told["records"]


@pytest.mark.parametrize("kind", ["train", "chain"])
def test_one_is_gone_on_with_from_its_checkpoint(kind: str, old: Path, capsys: Capture) -> None:
    run = find_run(old, id_of(kind))
    config = (run.path / "config.json").read_bytes()
    before = [event.at for event in run.events() if isinstance(event, Curve)]
    (told,) = answer(capsys, "resume", id_of(kind))
    assert told["run"] == run.id
    events = run.events()
    assert sum(isinstance(event, Started) for event in events) == 2
    after = [event.at for event in events if isinstance(event, Curve)]
    assert after[: len(before)] == before
    assert after[len(before)] >= before[-1]
    assert after[-1] == {"train": 400, "chain": 4_000_000}[kind]
    assert [event.seq for event in events] == list(range(len(events)))
    assert (run.path / "config.json").read_bytes() == config, "the run keeps the schema with which it was made"
    assert run.config().schema == 1


def test_a_sweep_makes_the_cells_that_it_lacks(old: Path, capsys: Capture) -> None:
    run = find_run(old, id_of("sweep"))

    def made() -> list[tuple[int, int]]:
        return [(cell.cell, cell.member) for cell in run.events() if isinstance(cell, Cell) and cell.final]

    before = made()
    assert len(before) == 3
    (told,) = answer(capsys, "resume", id_of("sweep"))
    assert len(told["cells"]) == 54
    assert made()[:3] == before
    assert len(made()) == len(set(made())) == 108


def test_a_probes_run_is_its_scripts_to_go_on_with(old: Path, capsys: Capture) -> None:
    assert main(["resume", id_of("probe")]) == 2
    assert "your own training script" in capsys.readouterr().err
