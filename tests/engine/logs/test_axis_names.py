"""The same log as a table and as lines of JSON has the same steps and times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.logs.read import read_logs


@pytest.mark.parametrize("step", ["step", "Step", "episode", "round", "num_timesteps", "iteration", "train/step"])
@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_a_table_and_lines_are_read_alike(tmp_path: Path, step: str, unit: int) -> None:
    rows = [{step: 10 * n, "loss": 0.5 / (n + 1), "timestamp": (1_790_000_000 + n) * unit} for n in range(6)]
    table = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    (tmp_path / "a.csv").write_text("".join(f"{line}\n" for line in table))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (table_run,), (lines_run,) = read_logs(tmp_path / "a.csv"), read_logs(tmp_path / "a.jsonl")
    assert (table_run.format, lines_run.format) == ("csv", "jsonl")
    assert table_run.counts == lines_run.counts
    for run in (table_run, lines_run):
        assert list(run.scalars) == ["loss"]
        assert run.scalars["loss"].step.tolist() == [10 * n for n in range(6)]
        assert run.scalars["loss"].time.tolist() == [1_790_000_000 + n for n in range(6)]
