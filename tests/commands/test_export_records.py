"""Numbers at their own steps, layer health, usage and several towers, as export and watch --json carry them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Console, Curve, Ended, Event, Gpu, Health, Scalars, Started, Usage
from engine.settings.probe import ProbeConfig
from springtui.cli import main

Capture = pytest.CaptureFixture[str]
TOWERS = [
    {"path": "image", "layers": ["input", "conv", "logits"], "logits": True},
    {"path": "text/model", "layers": ["input", "embed"], "logits": False},
]
LOGGED = ((3, 0.5, 1.5), (6, 1.0, math.nan), (9, None, math.inf))
"""Steps, epochs and losses that were logged."""


@pytest.fixture
def run(home: Path) -> Run:
    """A probe's run of a model with two towers."""
    run = Run.create(open_home(home), ProbeConfig())
    events: list[Event] = [
        Started(
            pid=1, host="h", settings={}, layers=["input", "conv", "logits"], total=0, facts={"towers": TOWERS}
        )
    ]
    for step in (0, 5):
        gpus = [Gpu(index=1, name="gpu", memory=7, reserved=8)]
        events += [
            Usage(step=step, cpu=1.5, memory=1000 + step, gpus=gpus),
            Curve(
                at=step,
                step=step,
                path="image",
                curves={"trace_ratio": [3.0, 2.0, 1.0 - step]},
                scalars={"cv": 0.1},
            ),
            Curve(at=step, step=step, path="text/model", curves={"trace_ratio": [9.0, 8.0]}, scalars={"cv": 0.7}),
            Health(step=step, path="image", layers=["conv"], measures={"dead": [0.25], "scale": [math.nan]}),
        ]
    events += [Scalars(step=step, epoch=epoch, scalars={"loss": loss}) for step, epoch, loss in LOGGED]
    events += [Console(offset=77), Ended(reason="finished", at=9)]
    writer = run.writer()
    for event in events:
        writer.write(event)
    writer.release()
    return run


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_csv_has_a_row_for_each_curve_and_for_what_was_logged(run: Run, tmp_path: Path) -> None:
    assert main(["export", run.id, "--format", "csv", "--out", str(tmp_path)]) == 0
    found = rows(tmp_path / f"{run.id}.csv")
    assert [(row["step"], row["path"], row["at"]) for row in found] == [
        ("0", "image", "0"), ("0", "text/model", "0"), ("5", "image", "5"), ("5", "text/model", "5"),
        ("3", "", ""), ("6", "", ""), ("9", "", ""),
    ]  # fmt: skip
    assert [(row["epoch"], row["loss"]) for row in found[4:]] == [("0.5", "1.5"), ("1.0", "nan"), ("", "inf")]
    assert [(row["cv"], row["trace_ratio_0"], row["trace_ratio_2"]) for row in found[:2]] == [
        ("0.1", "3.0", "1.0"), ("0.7", "9.0", ""),
    ]  # fmt: skip
    health = rows(tmp_path / f"{run.id}-health.csv")
    assert [{name: value for name, value in row.items() if name != "time"} for row in health] == [
        {"step": step, "path": "image", "layer": "conv", "dead": "0.25", "scale": "nan"} for step in ("0", "5")
    ]
    used = rows(tmp_path / f"{run.id}-usage.csv")
    columns = ("step", "cpu", "memory", "gpu_1_memory", "gpu_1_reserved")
    assert [tuple(row[name] for name in columns) for row in used] == [
        ("0", "1.5", "1000", "7", "8"), ("5", "1.5", "1005", "7", "8"),
    ]  # fmt: skip


def test_each_tower_has_its_own_pictures(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert main(["export", run.id, "--format", "svg,gif", "--out", str(tmp_path), "--figure", "load-curve"]) == 0
    assert main(["export", run.id, "--figure", "replay", "--out", str(tmp_path)]) == 0
    names = {path.name.removeprefix(run.id) for path in tmp_path.iterdir()}
    assert {"-load-curve.svg", "-load-curve-text_model.svg", "-replay.gif", "-replay-text_model.gif"} <= names


def test_json_and_watch_carry_every_record(run: Run, capsys: Capture) -> None:
    assert main(["export", run.id, "--records", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)["records"]
    assert main(["watch", run.id, "--json"]) == 0
    watched = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert exported == watched == lines
    kinds = [record["kind"] for record in watched]
    assert kinds.count("scalars") == 3
    assert {"health", "usage", "console"} < set(kinds)
    assert [record["scalars"]["loss"] for record in watched if record["kind"] == "scalars"] == [1.5, "nan", "inf"]
    assert [record["offset"] for record in watched if record["kind"] == "console"] == [77]


def test_the_list_of_runs_stays_json(run: Run, capsys: Capture) -> None:
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == {"cv": 0.1, "loss": None}


def test_tensorboard_has_them_at_their_own_steps(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main(["export", run.id, "--tensorboard", str(tmp_path)]) == 0
    reader = EventAccumulator(str(tmp_path / run.id))
    reader.Reload()

    def series(tag: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in reader.Scalars(tag)]

    assert series("loss") == [(3, 1.5), (6, pytest.approx(math.nan, nan_ok=True)), (9, math.inf)]
    assert series("image/trace_ratio/01 conv") == [(0, 2.0), (5, 2.0)]
    assert series("text/model/trace_ratio/01 embed") == [(0, 8.0), (5, 8.0)]
    assert series("cv") == [(0, pytest.approx(0.1)), (5, pytest.approx(0.1))]
    assert series("text/model/cv") == [(0, pytest.approx(0.7)), (5, pytest.approx(0.7))]
    assert series("image/health/dead/00 conv") == [(0, 0.25), (5, 0.25)]
    assert "image/health/scale/00 conv" not in reader.Tags()["scalars"]
    assert series("usage/memory") == [(0, 1000.0), (5, 1005.0)]
    assert series("usage/gpu1/reserved") == [(0, 8.0), (5, 8.0)]
