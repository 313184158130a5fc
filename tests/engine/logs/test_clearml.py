"""ClearML's offline sessions: as its version 2.1.12 writes them, live, rewritten and damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.logs import claims_under, drained, read_all
from support.mutate import mutations

from engine.logs.clearml import ClearML
from engine.logs.columns import Columns
from engine.logs.folder import Folder

LOG = ClearML()


def scalar(step: Any, value: Any, chart: str = "loss", curve: str = "train") -> dict[str, Any]:
    """An event, as the library writes it."""
    event = {
        "timestamp": 1_800_000_000_250 + 1000,
        "type": "training_stats_scalar",
        "task": "offline-1",
        "iter": step,
    }
    return event | {"metric": chart, "variant": curve, "value": value, "method": "get"}


PLOT = {
    "timestamp": 1,
    "type": "plot",
    "task": "offline-1",
    "iter": 0,
    "metric": "h",
    "variant": "v",
    "plot_str": "{}",
}


def session(folder: Path, lines: Sequence[Any]) -> Path:
    """A session's folder; each line an array of events, or text as it stands."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "metrics.jsonl").write_text("".join(text + "\n" for text in texts))
    general = {"lr": {"type": "float", "value": "0.1"}, "opt/name": {"type": "str", "value": "adam"}}
    sections = {"General": general, "Args": {"debug": {"type": "bool", "value": "True"}, "bad": {"value": "x"}}}
    (folder / "task.json").write_text(json.dumps({"name": "my task", "hyperparams": sections}))
    (folder / "log.jsonl").write_text(json.dumps([{"type": "log", "msg": "hello"}]) + "\n")
    return folder


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_a_session(tmp_path: Path, limit: int) -> None:
    lines = [
        [scalar(0, 1.5), scalar(0, 2, curve="val"), PLOT],
        [scalar(1, math.nan), scalar(1, 3.0, "lr", "lr"), scalar(-(1 << 31), 0.5, "Summary", "best")],
    ]
    session(tmp_path / "offline" / "offline-1", lines)
    (found,) = read_all(LOG, tmp_path, limit).items()
    name, columns = found
    assert name == "offline/offline-1"
    assert sorted(columns.tags) == ["loss/train", "loss/val", "lr"]
    series = columns.series("loss/train")
    assert series.step.tolist() == [0, 1]
    assert series.value[0] == 1.5
    assert math.isnan(series.value[1])
    assert series.time.tolist() == [1_800_000_001.25] * 2
    assert columns.settings == {"lr": 0.1, "opt.name": "adam", "Args.debug": True, "Args.bad": "x"}
    assert columns.name == "my task"
    assert [(mark.step, mark.text) for mark in columns.remarks] == [(None, "Summary/best = 0.5")]
    assert not columns.problems
    (claim,) = claims_under(LOG, tmp_path)
    assert [path.name for path in claim.beside] == ["task.json", "log.jsonl"]


def test_what_was_printed_and_what_is_written_anew(tmp_path: Path) -> None:
    session(tmp_path, [[scalar(0, 1.5)]])
    (claim,) = LOG.claims(Folder(tmp_path))
    reader, columns = LOG.reader(claim), Columns()
    batch = reader.poll()
    assert batch.console == b"hello\n"
    columns.take(batch)
    assert not reader.poll()
    text = (tmp_path / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(text + json.dumps([scalar(1, 2.0)]))
    columns.take(reader.poll())
    assert len(columns.series("loss/train")) == 1
    (tmp_path / "metrics.jsonl").write_text(text + json.dumps([scalar(1, 2.0)]) + "\n")
    columns.take(reader.poll())
    assert len(columns.series("loss/train")) == 2
    session(tmp_path, [[scalar(7, 7.0)]])
    columns.take(reader.poll())
    assert columns.series("loss/train").step.tolist() == [7]
    assert columns.settings["lr"] == 0.1


def test_damaged_sessions_are_read_as_far_as_they_are_sound(tmp_path: Path) -> None:
    odd = [
        "[{",
        "[1]",
        "{}",
        [scalar("a", 1)],
        [scalar(1, None)],
        [scalar(1, 1.0, chart=3)],
        [scalar(1 << 70, 1.0)],
    ]
    session(tmp_path, [[scalar(0, 1.5)], *odd, [scalar(1, 10**400)]])
    (claim,) = LOG.claims(Folder(tmp_path))
    columns = drained(LOG.reader(claim))
    assert columns.series("loss/train").value.tolist() == [1.5, math.inf]
    assert columns.problems == {"damaged record": 6, "step out of range": 1}
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    for damaged in mutations(whole, 300):
        (tmp_path / "metrics.jsonl").write_bytes(damaged)
        for again in LOG.claims(Folder(tmp_path)):
            assert len(drained(LOG.reader(again)).series("loss/train")) <= 9
        drained(LOG.reader(claim), 100)


def test_other_arrays_are_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('[{"step": 1, "loss": 2}]\n')
    assert list(LOG.claims(Folder(tmp_path))) == []
