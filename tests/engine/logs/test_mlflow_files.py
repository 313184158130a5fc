"""MLflow's file store, read while it is written."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import pytest
from support.database_writer import write_run_files
from support.logs import CASES, claims_under, drained, is_same, read_all, truth
from support.mutate import mutated_copy

from engine.logs.columns import Columns
from engine.logs.databases import mlflow_files
from engine.logs.databases.mlflow_files import MlflowFiles, flat_yaml
from engine.logs.reader import Reader

RUN = "eb72211a7ff9452eb5e7c976acffd7d6"


def points(columns: Columns, tag: str) -> list[tuple[int, float, float]]:
    series = columns.series(tag)
    return list(zip(series.step.tolist(), series.value.tolist(), series.time.tolist(), strict=True))


def reader_of(path: Path) -> Reader:
    (claim,) = claims_under(MlflowFiles(), path)
    return MlflowFiles().reader(claim)


def take(reader: Reader, columns: Columns) -> Columns:
    while True:
        batch = reader.poll()
        columns.take(batch)
        if not batch.more:
            return columns


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases of real logs are not here")
def test_the_file_store_equals_its_truth() -> None:
    found = read_all(MlflowFiles(), CASES / "mlflow_file")
    runs = truth("mlflow_file")
    assert sorted(run.rpartition("/")[2] for run in found) == sorted(runs)
    for run, columns in found.items():
        tags = runs[run.rpartition("/")[2]]
        assert sorted(columns.tags) == sorted(tags)
        for tag, known in tags.items():
            read = points(columns, tag)
            assert len(read) == len(known)
            for (step, value, time), (true_step, true, true_time) in zip(read, known, strict=True):
                assert step == true_step
                assert is_same(value, true)
                assert abs(time - true_time) < 0.1
        assert columns.ended == "finished"
        rate = {"run0": 0.1, "run1": 0.2}[columns.name]
        assert columns.settings == {"mlflow.experiment": "exp", "depth": 3, "lr": rate}
        assert not columns.problems


def test_only_what_says_that_it_is_a_run_is_claimed(tmp_path: Path) -> None:
    write_run_files(tmp_path / RUN, {"loss": "1 1.0 0\n"})
    assert len(list(claims_under(MlflowFiles(), tmp_path))) == 1
    (tmp_path / RUN / "meta.yaml").write_text("lifecycle_stage: deleted\nrun_id: a\nstatus: 3\n")
    assert not list(claims_under(MlflowFiles(), tmp_path))
    (tmp_path / RUN / "meta.yaml").write_text("model: resnet\nlifecycle_stage: active\n")
    assert not list(claims_under(MlflowFiles(), tmp_path))


def test_every_cut_of_a_metric_gives_a_prefix(tmp_path: Path) -> None:
    text = "1500 0.5 0\n2500 nan 1\n3500 -inf 1\n4500 7\n5500 1e-3 12 data 0a1b\n"
    known = [(0, 0.5, 1.5), (1, math.nan, 2.5), (1, -math.inf, 3.5), (0, 7.0, 4.5), (12, 0.001, 5.5)]
    run = tmp_path / RUN
    write_run_files(run, {"train/loss": ""})
    reader, columns = reader_of(tmp_path), Columns()
    for end in range(1, len(text) + 1):
        with (run / "metrics" / "train" / "loss").open("a") as file:
            file.write(text[end - 1])
        take(reader, columns)
        read = points(columns, "train/loss")
        assert len(read) == text[:end].count("\n")
        assert all(
            a[0] == b[0] and is_same(a[1], b[1]) and a[2] == b[2] for a, b in zip(read, known, strict=False)
        )
    assert not columns.problems
    assert not reader.poll()


def test_news_of_a_run_that_goes_on(tmp_path: Path) -> None:
    run = tmp_path / RUN
    write_run_files(run, {"loss": "1000 1.0 0\n"})
    reader, columns = reader_of(tmp_path), Columns()
    assert take(reader, columns).ended == ""
    (run / "params" / "lr").write_text("")
    (run / "metrics" / "late").mkdir()
    take(reader, columns)
    (run / "params" / "lr").write_text("0.5")
    (run / "metrics" / "late" / "acc").write_text("2000 0.25 7\n")
    (run / "tags").mkdir()
    (run / "tags" / "mlflow.note.content").write_text("a note")
    (run / "tags" / "team").write_text("blue")
    write_run_files(run, {}, status=4)
    for _ in range(3):
        take(reader, columns)
    assert points(columns, "late/acc") == [(7, 0.25, 2.0)]
    assert columns.settings == {"lr": 0.5, "tags.team": "blue"}
    assert [remark.text for remark in columns.remarks] == ["a note"]
    assert columns.ended == "failed"
    write_run_files(run, {}, status=1)
    os.utime(run / "meta.yaml", ns=(0, 1))
    assert [remark.kind for remark in take(reader, columns).remarks] == ["note", "resumed"]


def test_a_metric_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    run = tmp_path / RUN
    write_run_files(run, {"loss": "1 1.0 0\n2 2.0 1\n", "acc": "1 5.0 0\n"})
    reader, columns = reader_of(tmp_path), Columns()
    assert len(take(reader, columns)) == 3
    path = run / "metrics" / "loss"
    path.write_text("9 9.0 9\n")
    assert points(take(reader, columns), "loss") == [(9, 9.0, 0.009)]
    path.write_text("8 8.0 8\n9 9.0 9\n")
    assert points(take(reader, columns), "loss") == [(8, 8.0, 0.008), (9, 9.0, 0.009)]
    path.unlink()
    path.write_text("7 7.0 7\n")
    assert points(take(reader, columns), "loss") == [(7, 7.0, 0.007)]
    assert len(columns.series("acc")) == 1
    shutil.rmtree(run)
    assert not reader.poll()


def test_damaged_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    long = "9" * (mlflow_files.PIECE_OF_FILE + 10)
    text = f"1 1.0 0\n\nx 1.0 1\n3 y 2\n4 4.0 3 4\n5 5.0 {10**30}\n{long} 1 1\n6 6.0 5\n\x1b[2J\n"
    write_run_files(tmp_path / RUN, {"loss": text})
    columns = drained(reader_of(tmp_path), limit=1)
    assert [step for step, _, _ in points(columns, "loss")] == [0, 5]
    assert columns.problems == {"damaged record": 7}


def test_thousands_of_metrics_are_looked_at_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_files, "LOOKS", 100)
    run = tmp_path / RUN
    write_run_files(run, {f"layer/{n}/norm": f"1000 {n} 0\n" for n in range(350)})
    reader = reader_of(tmp_path)
    columns = drained(reader)
    assert len(columns) == 350
    with (run / "metrics" / "layer" / "349" / "norm").open("a") as file:
        file.write("2000 7 1\n")
    for _ in range(4):
        take(reader, columns)
    assert points(columns, "layer/349/norm") == [(0, 349.0, 1.0), (1, 7.0, 2.0)]


def test_a_fifo_and_a_circle_of_links_are_passed_by(tmp_path: Path) -> None:
    run = tmp_path / RUN
    write_run_files(run, {"loss": "1 1.0 0\n"})
    os.mkfifo(run / "metrics" / "fifo")
    (run / "metrics" / "circle").symlink_to(run / "metrics")
    os.mkfifo(run / "params" / "fifo")
    assert drained(reader_of(tmp_path)).tags == ["loss"]


def test_flat_yaml_takes_what_mlflow_writes() -> None:
    text = "a: 'it''s'\nb: \"x\\n\"\nc: plain\nd:\n  nested: 1\n- list\ne: ''\nf: null\ncut: 1"
    assert flat_yaml(text.encode()) == {"a": "it's", "b": "x\n", "c": "plain", "e": "", "f": "null"}


def test_mutated_stores_are_read_in_peace(tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    lines = "".join(f"{1000 + step} {1 / (step + 1)} {step}\n" for step in range(100))
    write_run_files(sound / RUN, {"loss": lines, "train/acc": lines, "bad": "1 nan 1\n"})
    (sound / RUN / "params" / "lr").write_text("0.1")
    read = 0
    for seed in range(300):
        mutated_copy(sound, tmp_path / str(seed), seed)
        for columns in read_all(MlflowFiles(), tmp_path / str(seed)).values():
            read += len(columns)
    assert read > 30_000
