"""Logs that are whole JSON documents: Hugging Face's trainer states, and Sacred's runs."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.logs import CASES, drained, is_same, truth
from support.mutate import mutations

from engine.logs.columns import Columns
from engine.logs.documents.document import LARGEST, Document
from engine.logs.documents.huggingface import HuggingFaceFormat
from engine.logs.documents.sacred import SacredFormat
from engine.logs.folder import Folder
from engine.logs.reader import Format, Reader

HUGGING_FACE, SACRED = HuggingFaceFormat(), SacredFormat()
NEEDS_CASES = pytest.mark.skipif(not CASES.is_dir(), reason="the logs of real tools are not there")
LONG_AGO = 1e9


def reader_of(a_format: Format, folder: Path) -> Reader:
    [claim] = a_format.claims(Folder(folder))
    assert claim.folder == folder
    return a_format.reader(claim)


def points(columns: Columns) -> dict[str, list[tuple[int, float]]]:
    return {
        tag: list(zip(columns.series(tag).step.tolist(), columns.series(tag).value.tolist(), strict=True))
        for tag in columns.tags
    }


def entries(losses: list[float], start: int = 1) -> list[dict[str, Any]]:
    return [{"epoch": 0.5 * step, "loss": loss, "step": step} for step, loss in enumerate(losses, start)]


def write_state(folder: Path, history: list[dict[str, Any]], changed: float = LONG_AGO, most: int = 100) -> Path:
    """``trainer_state.json`` as ``TrainerState.save_to_json`` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    last = history[-1]["step"] if history else 0
    state = {"epoch": 1.0, "global_step": last, "log_history": history, "max_steps": most, "train_batch_size": 8}
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    os.utime(path, (changed, changed))
    return path


@NEEDS_CASES
def test_the_newest_checkpoint_holds_the_whole_history() -> None:
    columns = drained(reader_of(HUGGING_FACE, CASES / "hf_trainer" / "out"))
    want = truth("hf_trainer")["."]
    for tag in ("loss", "eval_loss", "grad_norm", "learning_rate", "eval_runtime"):
        last = {step: value for step, value, _ in want[tag]}
        assert points(columns)[tag] == [(step, last[step]) for step in sorted(last)]
    assert columns.ended == "finished"
    assert columns.settings["train_batch_size"] == 8


@NEEDS_CASES
def test_a_copy_whose_files_have_changed_in_any_order_reads_the_same(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(CASES / "hf_trainer" / "out", out)
    whole = points(drained(reader_of(HUGGING_FACE, out)))
    for number, name in enumerate(("checkpoint-100", "checkpoint-80", "checkpoint-40")):
        os.utime(out / name / "trainer_state.json", (LONG_AGO + number, LONG_AGO + number))
    assert points(drained(reader_of(HUGGING_FACE, out))) == whole


def test_new_checkpoints_give_only_what_they_add(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-9", entries([5.0, math.nan]))
    reader, columns = reader_of(HUGGING_FACE, tmp_path), Columns()
    columns.take(reader.poll())
    assert not reader.poll()
    write_state(tmp_path / "checkpoint-10", entries([5.0, math.nan, 3.0]), LONG_AGO + 1)
    [claim] = HUGGING_FACE.claims(Folder(tmp_path))
    assert [path.parent.name for path in claim.files] == ["checkpoint-9", "checkpoint-10"]
    reader.refresh(claim)
    batch = reader.poll()
    assert not batch.anew
    assert batch.points["loss"].value.tolist() == [3.0]
    columns.take(batch)
    assert repr(points(columns)["loss"]) == repr([(1, 5.0), (2, math.nan), (3, 3.0)])
    write_state(tmp_path, entries([5.0, math.nan, 3.0, 2.0]), LONG_AGO + 2, most=4)
    reader.refresh(next(iter(HUGGING_FACE.claims(Folder(tmp_path)))))
    columns.take(reader.poll())
    assert points(columns)["epoch"][-1] == (4, 2.0)
    assert columns.ended == "finished"


def test_a_training_resumed_from_an_earlier_checkpoint_replaces_what_came_after(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-4", entries([5.0, 4.0, 3.0, 2.0]), most=4)
    reader, columns = reader_of(HUGGING_FACE, tmp_path), Columns()
    columns.take(reader.poll())
    write_state(tmp_path / "checkpoint-3", entries([5.0, 4.0, 9.0]), LONG_AGO + 1)
    reader.refresh(next(iter(HUGGING_FACE.claims(Folder(tmp_path)))))
    columns.take(reader.poll())
    assert points(columns)["loss"] == [(1, 5.0), (2, 4.0), (3, 9.0)]
    assert [(remark.step, remark.kind) for remark in columns.remarks] == [(3, "resumed")]
    assert columns.ended == ""
    assert columns.settings["train_batch_size"] == 8


def test_the_old_history_stays_while_the_state_is_written(tmp_path: Path) -> None:
    """Half a document waits; one that stays half is damaged."""
    path = write_state(tmp_path, entries([5.0, 4.0]))
    reader, columns = reader_of(HUGGING_FACE, tmp_path), Columns()
    columns.take(reader.poll())
    whole = path.read_text()
    for cut in (0, 1, len(whole) // 2, len(whole) - 3):
        path.write_text(whole[:cut])
        columns.take(reader.poll())
    assert points(columns)["loss"] == [(1, 5.0), (2, 4.0)]
    assert not columns.problems
    os.utime(path, (LONG_AGO, LONG_AGO))
    columns.take(reader.poll())
    assert columns.problems == {"damaged document": 1}
    assert not reader.poll()
    write_state(tmp_path, entries([5.0, 4.0, 3.0]), LONG_AGO + 1)
    columns.take(reader.poll())
    assert points(columns)["loss"][-1] == (3, 3.0)


def write_sacred(folder: Path, metrics: dict[str, list[tuple[int, float]]], status: str = "RUNNING") -> None:
    found = {
        name: {
            "steps": [step for step, _ in logged],
            "timestamps": ["2026-11-27T14:25:12.191904" for _ in logged],
            "values": [value for _, value in logged],
        }
        for name, logged in metrics.items()
    }
    (folder / "metrics.json").write_text(json.dumps(found, indent=2, sort_keys=True))
    run = {"command": "main", "experiment": {"name": "mnist"}, "heartbeat": "", "host": {}, "status": status}
    if status == "FAILED":
        run |= {"fail_trace": ["Traceback\n", "ValueError: too hot\n"], "stop_time": "2026-11-27T14:25:13"}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "config.json").write_text('{"net": {"depth": 3, "sizes": [1, 2]}, "lr": 0.1}')


@NEEDS_CASES
def test_sacred() -> None:
    columns = drained(reader_of(SACRED, CASES / "sacred" / "runs" / "1"), limit=100)
    want = truth("sacred")["."]
    assert set(columns.tags) == set(want)
    for tag, logged in want.items():
        series = columns.series(tag)
        assert series.step.tolist() == [step for step, *_ in logged]
        assert all(is_same(a, b) for a, (_, b, _) in zip(series.value, logged, strict=True))
        assert series.time.tolist() == pytest.approx([time for *_, time in logged], abs=0.1)
    assert (columns.ended, columns.name, columns.settings["lr"]) == ("finished", "e", 0.1)


def test_sacred_gives_only_what_is_new(tmp_path: Path) -> None:
    write_sacred(tmp_path, {})
    reader, columns = reader_of(SACRED, tmp_path), Columns()
    columns.take(reader.poll())
    assert columns.settings == {"net.depth": 3, "net.sizes": "[1, 2]", "lr": 0.1}
    write_sacred(tmp_path, {"loss": [(0, 3.0), (1, math.nan)]})
    (tmp_path / "cout.txt").write_bytes(b"epoch 0\n")
    batch = reader.poll()
    assert batch.console == b"epoch 0\n"
    columns.take(batch)
    write_sacred(tmp_path, {"loss": [(0, 3.0), (1, math.nan), (2, 1.0)], "acc": [(0, 0.5)]}, "FAILED")
    batch = reader.poll()
    assert batch.points["loss"].value.tolist() == [1.0]
    columns.take(batch)
    assert repr(points(columns)) == repr({"loss": [(0, 3.0), (1, math.nan), (2, 1.0)], "acc": [(0, 0.5)]})
    assert columns.ended == "failed"
    assert [(remark.text, remark.kind) for remark in columns.remarks] == [("ValueError: too hot", "warning")]
    write_sacred(tmp_path, {"loss": [(0, 7.0)]})
    columns.take(reader.poll())
    assert points(columns) == {"loss": [(0, 7.0)]}
    assert columns.name == "mnist"
    assert not reader.poll()


@pytest.mark.parametrize(
    "text", ['{"train": {"loss": 1}, "step": 3}', "[1, 2]", "", '{"log_history": 1}', '{"steps": 1}']
)
def test_other_documents_are_left_alone(tmp_path: Path, text: str) -> None:
    for name in ("trainer_state.json", "metrics.json", "run.json"):
        (tmp_path / name).write_text(text)
    assert list(HUGGING_FACE.claims(Folder(tmp_path))) == []
    assert list(SACRED.claims(Folder(tmp_path))) == []


def test_a_document_too_large_is_told_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    document = Document(path)
    assert document.load() is None
    assert document.problem == "document that is too large"


def test_damaged_states_give_what_parses(tmp_path: Path) -> None:
    path = write_state(tmp_path, entries([5.0, math.nan, 3.0]))
    reader = reader_of(HUGGING_FACE, tmp_path)
    whole = path.read_bytes()
    read = 0
    for data in mutations(whole, 300):
        path.write_bytes(data)
        columns = Columns()
        os.utime(path, (LONG_AGO, LONG_AGO))
        columns.take(HUGGING_FACE.reader(reader.claim).poll())
        assert len(columns) or columns.problems or not data.strip() or b"log_history" not in data
        read += len(columns) > 0
    assert read > 10


def test_damaged_sacred_runs_give_what_parses(tmp_path: Path) -> None:
    write_sacred(tmp_path, {"loss": [(0, 3.0), (1, math.nan)], "acc": [(0, 0.5)]})
    claim = reader_of(SACRED, tmp_path).claim
    files = [path for path in sorted(tmp_path.iterdir()) if path.suffix == ".json"]
    whole = [path.read_bytes() for path in files]
    for number in range(300):
        last, now = (number - 1) % len(files), number % len(files)
        files[last].write_bytes(whole[last])
        files[now].write_bytes(next(mutations(whole[now], 1, seed=number)))
        columns = drained(SACRED.reader(claim))
        assert all(len(columns.series(tag)) <= 9 for tag in columns.tags)
