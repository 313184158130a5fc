"""MLflow's and trackio's databases, read while they are written."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.database_writer import NOON, NOON_SECONDS, MlflowWriter, TrackioWriter
from support.logs import CASES, claims_under, drained, is_same, read_all, truth
from support.mutate import mutated
from support.paths import ROOT

from engine.logs.batch import Batch
from engine.logs.columns import Columns
from engine.logs.databases import hub as hubs
from engine.logs.databases import quiet
from engine.logs.databases.formats import Mlflow, Trackio
from engine.logs.databases.reader import DatabaseReader
from engine.logs.reader import PIECE, Format, Reader
from engine.logs.source import Source

A, B = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "SETTLED", 0.02)
    monkeypatch.setattr(hubs, "SAME_LOOK", 0.0)


def points(columns: Columns, tag: str) -> list[tuple[int, float]]:
    series = columns.series(tag)
    return list(zip(series.step.tolist(), series.value.tolist(), strict=True))


def reader_of(a_format: Format, path: Path, run: str = "") -> Reader:
    claims = {claim.run: claim for claim in claims_under(a_format, path)}
    return a_format.reader(claims[run] if run else next(iter(claims.values())))


def take(reader: Reader, columns: Columns) -> Columns:
    """Fold what a reader has to give up to the present end."""
    while True:
        batch = reader.poll()
        columns.take(batch)
        if not batch.more:
            return columns


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())}


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases of real logs are not here")
@pytest.mark.parametrize(("case", "of"), [("trackio", {"run0": ".#run0", "run1": ".#run1"}), ("accelerate", {})])
def test_trackio_equals_its_truth(case: str, of: dict[str, str]) -> None:
    found = read_all(Trackio(), CASES / case)
    runs = truth(case)
    assert len(found) == len(runs)
    for run, tags in runs.items():
        columns = found[of[run]] if run in of else next(iter(found.values()))
        assert sorted(columns.tags) == sorted(tags)
        for tag, known in tags.items():
            read = points(columns, tag)
            assert [step for step, _ in read] == [step for step, _, _ in known]
            assert all(is_same(value, true) for (_, value), (_, true, _) in zip(read, known, strict=True))
            if case == "trackio":
                times = columns.series(tag).time
                assert all(
                    true is None or abs(time - true) < 1 for time, (_, _, true) in zip(times, known, strict=True)
                )
        assert not columns.problems


def test_values_of_mlflow_come_back_as_they_were_logged(tmp_path: Path) -> None:
    writer = MlflowWriter(tmp_path / "mlflow.db")
    writer.run(A, "plain")
    writer.run(B, "named", experiment=1)
    known = [(0, 1.0), (1, math.nan), (2, math.inf), (3, -math.inf), (2, 0.5), (2**40, -0.25)]
    writer.log(A, "train/loss", known)
    writer.log(B, "x", [(7, 1.0)])
    writer.write("INSERT INTO params VALUES (?, ?, ?)", [("lr", "0.1", A), ("opt", "adam", A), ("amp", "True", A)])
    writer.write("INSERT INTO tags VALUES (?, ?, ?)", [
        ("mlflow.note.content", "a note", A), ("mlflow.user", "me", A), ("team", "7", A),
        ("mlflow.parentRunId", A, B),
    ])  # fmt: skip
    writer.update(A, "status", "KILLED")
    found = read_all(Mlflow(), tmp_path)
    assert list(found) == [".#plain", ".#digits/named"]
    plain = found[".#plain"]
    assert [step for step, _ in points(plain, "train/loss")] == [step for step, _ in known]
    assert all(
        is_same(value, true) for (_, value), (_, true) in zip(points(plain, "train/loss"), known, strict=True)
    )
    assert (plain.series("train/loss").time == NOON_SECONDS).all()
    assert plain.settings == {"lr": 0.1, "opt": "adam", "amp": True, "tags.team": 7}
    assert [remark.text for remark in plain.remarks] == ["a note"]
    assert (plain.ended, plain.name) == ("stopped", "plain")
    assert found[".#digits/named"].settings == {"mlflow.experiment": "digits", "mlflow.parentRunId": A}
    writer.close()


def test_values_of_trackio_come_back_as_they_were_logged(tmp_path: Path) -> None:
    writer = TrackioWriter(tmp_path / "proj.db")
    rows = {
        "loss": "NaN", "up": "Infinity", "down": "-Infinity", "n": 3, "flag": True, "text": "hi", "none": None,
        "list": [1, 2], "nested": {"a": 1.5, "deep": {"b": 2}}, "table": {"_type": "trackio.table", "_value": [1]},
        "huge": 10**400,
    }  # fmt: skip
    writer.log(A, "first", [(5, rows), (5, {"loss": 1.0}), (4, {"loss": 2.0})])
    gpu = [(A, NOON, "first", json.dumps({"gpu/0": 50.0})), (A, NOON, "first", json.dumps({"gpu/0": 60.0}))]
    writer.write("INSERT INTO system_metrics (run_id, timestamp, run_name, metrics) VALUES (?, ?, ?, ?)", gpu)
    config = json.dumps({"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.99]}, "_Group": None})
    writer.write("INSERT INTO configs VALUES (1, ?, 'first', ?, '')", [(A, config.encode())])
    writer.write("INSERT INTO alerts VALUES (1, ?, ?, 'first', 'spike', 'at last', 'warn', 7, 'x')", [(A, NOON)])
    writer.close()
    columns = read_all(Trackio(), tmp_path)[".#first"]
    assert [step for step, _ in points(columns, "loss")] == [5, 5, 4]
    assert math.isnan(points(columns, "loss")[0][1])
    assert [points(columns, tag) for tag in ("up", "down")] == [[(5, math.inf)], [(5, -math.inf)]]
    assert [points(columns, f"nested.{tag}") for tag in ("a", "deep.b")] == [[(5, 1.5)], [(5, 2.0)]]
    assert points(columns, "system/gpu/0") == [(0, 50.0), (1, 60.0)]
    assert columns.counts == {"system/gpu/0": "call"}
    assert {"flag", "text", "none", "list", "table._value"}.isdisjoint(columns.tags)
    assert columns.settings == {"lr": 0.1, "opt.name": "adam", "opt.betas": "[0.9, 0.99]"}
    (alert,) = columns.remarks
    assert (alert.step, alert.time, alert.text, alert.kind) == (7, NOON_SECONDS, "spike: at last", "warning")
    assert (columns.series("loss").time == NOON_SECONDS).all()


@pytest.mark.parametrize("journal", ["DELETE", "WAL", "PERSIST", "TRUNCATE"])
def test_a_growing_database_gives_each_point_once(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "mlflow.db"
    writer = MlflowWriter(path, journal=journal)
    writer.run(A, "one")
    a_format = Mlflow()
    reader, columns = reader_of(a_format, tmp_path), Columns()
    for step in range(12):
        writer.log(A, "loss", [(step, float(step)), (step, 0.5)])
        take(reader, columns)
        assert points(columns, "loss")[-2:] == [(step, float(step)), (step, 0.5)]
        assert not reader.poll()
    assert len(columns) == 24
    writer.run(B, "two")
    writer.log(B, "loss", [(0, 1.0)])
    writer.update(A, "status", "FINISHED")
    assert take(reader, columns).ended == "finished"
    assert points(take(reader_of(a_format, tmp_path, "two"), Columns()), "loss") == [(0, 1.0)]
    assert points(take(reader_of(a_format, tmp_path, "one"), Columns()), "loss") == points(columns, "loss")
    writer.update(A, "status", "RUNNING")
    assert [remark.kind for remark in take(reader, columns).remarks] == ["resumed"]
    writer.close()
    assert not take(reader, columns).problems


def test_a_large_database_is_read_in_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "WINDOW", 64)
    writer = MlflowWriter(tmp_path / "mlflow.db")
    for run in (A, B):
        writer.run(run, run[:1])
    for step in range(0, 1000, 10):
        for run in (A, B):
            writer.log(run, "loss", [(at, at / 7) for at in range(step, step + 10)])
    writer.close()
    found = read_all(Mlflow(), tmp_path, limit=1)
    for run in (".#a", ".#b"):
        assert points(found[run], "loss") == [(step, step / 7) for step in range(1000)]


def test_many_runs_of_one_database_are_polled_by_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MlflowWriter(tmp_path / "mlflow.db")
    ids = [f"{number:032x}" for number in range(600)]
    writer.write(
        "INSERT INTO runs VALUES (?, ?, 'RUNNING', 0, NULL, 'active', 0)", [(run, run[-4:]) for run in ids]
    )
    writer.write(
        "INSERT INTO metrics VALUES ('loss', ?, 0, ?, 0, 0)", [(float(n), run) for n, run in enumerate(ids)]
    )
    a_format = Mlflow()
    readers = [a_format.reader(claim) for claim in claims_under(a_format, tmp_path)]
    assert [points(drained(reader), "loss") for reader in readers] == [[(0, float(n))] for n in range(600)]
    looks: list[int] = []
    state = quiet.QuietDatabase.state
    monkeypatch.setattr(quiet.QuietDatabase, "state", lambda self: looks.append(1) or state(self))  # type: ignore[func-returns-value]
    monkeypatch.setattr(hubs, "SAME_LOOK", 60.0)
    assert not any(reader.poll() for reader in readers)
    assert len(looks) < 10
    writer.log(ids[300], "loss", [(1, 2.0)])
    for _ in range(2):
        readers[0].poll()  # the first time, it is given what another one has seen just now
    assert points(drained(readers[300]), "loss") == [(1, 2.0)]
    writer.close()


def test_a_writer_that_never_waits_is_never_locked_out(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    writer = MlflowWriter(path)
    writer.run(A, "busy")
    writer.close()
    script = Path(__file__).parents[2] / "support" / "database_writer.py"
    commits = 1500
    with subprocess.Popen(
        [sys.executable, script, path, str(commits)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as busy:  # fmt: skip
        reader, columns = reader_of(Mlflow(), tmp_path), Columns()
        polls = 0
        while busy.poll() is None:
            columns.take(reader.poll())
            polls += 1
        errors = busy.communicate()[0]
    take(reader, columns)
    assert errors == "0\n"
    assert polls > 10
    assert points(columns, "loss") == [(step, float(step)) for step in range(commits)]
    assert not columns.problems


def test_a_database_of_someone_who_holds_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    writer = MlflowWriter(path)
    writer.run(A, "held")
    writer.log(A, "loss", [(0, 1.0)])
    writer.connection.execute("BEGIN EXCLUSIVE")
    assert points(read_all(Mlflow(), tmp_path)[".#held"], "loss") == [(0, 1.0)]
    writer.connection.execute("ROLLBACK")
    writer.close()


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_nothing_is_written_beside_a_database(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "proj.db"
    writer = TrackioWriter(path, journal=journal)
    writer.log(A, "one", [(0, {"loss": 1.0})])
    writer.close()
    before = files_of(tmp_path)
    tmp_path.chmod(0o500)
    try:
        assert points(read_all(Trackio(), tmp_path)[".#one"], "loss") == [(0, 1.0)]
    finally:
        tmp_path.chmod(0o700)
    assert files_of(tmp_path) == before


def test_what_is_only_in_a_write_ahead_log_is_read(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    writer = TrackioWriter(live / "proj.db")
    for step in range(50):
        writer.log(A, "one", [(step, {"loss": float(step)})])
    assert (live / "proj.db-wal").stat().st_size
    known = [(step, float(step)) for step in range(50)]
    assert points(read_all(Trackio(), live)[".#one"], "loss") == known
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("proj.db", "proj.db-wal", "proj.db-shm"):
        shutil.copy(live / name, copied / name)
        if name == "proj.db":
            continue
        before = files_of(copied)
        assert points(read_all(Trackio(), copied)[".#one"], "loss") == known
        assert files_of(copied) == before
    writer.close()


def test_the_journal_of_a_killed_writer_is_rolled_back_in_a_copy(tmp_path: Path) -> None:
    path, killed = tmp_path / "mlflow.db", tmp_path / "killed"
    writer = MlflowWriter(path)
    writer.run(A, "one")
    writer.log(A, "loss", [(step, float(step)) for step in range(3000)])
    writer.connection.execute("PRAGMA synchronous = FULL")
    writer.connection.execute("PRAGMA cache_size = 5")
    writer.connection.execute("BEGIN")
    rows = [("other", float(step), 0, A, step, 0) for step in range(3000)]
    writer.connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
    killed.mkdir()
    for name in ("mlflow.db", "mlflow.db-journal"):
        shutil.copy(tmp_path / name, killed / name)
    writer.connection.execute("ROLLBACK")
    writer.close()
    before = files_of(killed)
    columns = read_all(Mlflow(), killed)[".#one"]
    assert {tag: len(columns.series(tag)) for tag in columns.tags} == {"loss": 3000}
    assert not columns.problems
    assert files_of(killed) == before


def test_names_are_unique_and_stay(tmp_path: Path) -> None:
    writer = MlflowWriter(tmp_path / "mlflow.db")
    a_format = Mlflow()
    for run in (A, B):
        writer.run(run, "same")
    reader = reader_of(a_format, tmp_path, "same")
    assert [claim.run for claim in claims_under(a_format, tmp_path)] == ["same", f"same-{B[:8]}"]
    writer.update(B, "name", "other")
    assert [claim.run for claim in claims_under(a_format, tmp_path)] == ["same", f"same-{B[:8]}"]
    writer.update(A, "lifecycle_stage", "deleted")
    assert [claim.run for claim in claims_under(a_format, tmp_path)] == [f"same-{B[:8]}"]
    reader.close()
    writer.close()


def test_a_renamed_run_of_trackio_is_given_anew(tmp_path: Path) -> None:
    path = tmp_path / "proj.db"
    writer = TrackioWriter(path, journal="DELETE")
    writer.log(A, "old", [(0, {"loss": 1.0}), (1, {"loss": 2.0})])
    writer.log(B, "other", [(0, {"loss": 9.0})])
    a_format = Trackio()
    reader = reader_of(a_format, tmp_path, "old")
    columns = take(reader, Columns())
    writer.write("DELETE FROM metrics WHERE run_id = ?", [(A,)])
    writer.log(A, "new", [(0, {"loss": 1.0}), (1, {"loss": 2.0})])
    take(reader, columns)
    assert points(columns, "loss") == [(0, 1.0), (1, 2.0)]
    assert columns.name == "new"
    writer.write("DELETE FROM metrics WHERE run_id = ?", [(B,)])
    assert not take(reader, columns).problems
    assert points(columns, "loss") == [(0, 1.0), (1, 2.0)]
    assert [claim.run for claim in claims_under(a_format, tmp_path)] == ["old"]
    writer.close()


def test_a_database_that_is_made_deleted_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    a_format = Mlflow()
    path.touch()
    assert not list(claims_under(a_format, tmp_path))
    sqlite3.connect(path).executescript("CREATE TABLE alembic_version (version_num)").connection.close()
    assert not list(claims_under(a_format, tmp_path))
    path.unlink()
    writer = MlflowWriter(path)
    assert not list(claims_under(a_format, tmp_path))
    writer.run(A, "one")
    writer.log(A, "loss", [(step, 1.0) for step in range(5)])
    reader, columns = reader_of(a_format, tmp_path), Columns()
    assert len(take(reader, columns)) == 5
    writer.close()
    path.unlink()
    assert not take(reader, columns).problems
    writer = MlflowWriter(path)
    writer.run(A, "one")
    writer.log(A, "loss", [(3, 2.0)])
    assert points(take(reader, columns), "loss") == [(3, 2.0)]
    writer.write("DELETE FROM metrics", [()])
    writer.log(A, "loss", [(4, 3.0)])
    assert points(take(reader, columns), "loss") == [(4, 3.0)]
    writer.close()


def test_a_damaged_part_is_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    writer = MlflowWriter(path)
    writer.run(A, "one")
    writer.log(A, "loss", [(step, float(step)) for step in range(2000)])
    (size,) = writer.connection.execute("PRAGMA page_size").fetchone()
    writer.close()
    data = bytearray(path.read_bytes())
    leaves = [
        at for at in range(0, len(data), size) if data[at] == 0x0D and data[at : at + size].count(b"loss") > 20
    ]
    middle = leaves[len(leaves) // 2]
    data[middle : middle + size] = bytes(size)
    path.write_bytes(data)
    columns = read_all(Mlflow(), tmp_path)[".#one"]
    assert columns.problems == {"damaged part of a table": 1}
    steps = columns.series("loss").step
    assert 1500 < len(steps) < 2000
    assert steps[-1] == 1999
    assert (np.diff(steps) > 0).all()


def test_a_hostile_schema_runs_nothing(tmp_path: Path) -> None:
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.executescript(f"""
            CREATE TABLE experiments (experiment_id, name, lifecycle_stage); CREATE TABLE runs (run_uuid);
            CREATE VIEW metrics AS {forever} i AS run_uuid FROM n;
        """)
    connection.close()
    assert not list(claims_under(Mlflow(), tmp_path))


def _small(a_format: Format, path: Path) -> None:
    writer: Any
    if isinstance(a_format, Mlflow):
        writer = MlflowWriter(path)
        writer.run(A, "one")
        writer.log(A, "loss", [(step, float(step)) for step in range(200)])
        writer.write("INSERT INTO params VALUES (?, ?, ?)", [("lr", "0.1", A)])
    else:
        writer = TrackioWriter(path, journal="DELETE")
        writer.log(A, "one", [(step, {"loss": 1 / (step + 1), "x": "NaN"}) for step in range(200)])
    writer.close()


@pytest.mark.parametrize("a_format", [Mlflow(), Trackio()], ids=["mlflow", "trackio"])
def test_mutated_databases_are_read_in_peace(tmp_path: Path, a_format: Format) -> None:
    path = tmp_path / "log.db"
    _small(a_format, path)
    sound = path.read_bytes()
    read = 0
    for seed in range(300):
        path.write_bytes(mutated(sound, seed))
        for columns in read_all(a_format, tmp_path).values():
            read += len(columns)
            assert sum(columns.problems.values()) < 1000
    assert read > 10_000


@pytest.mark.parametrize("a_format", [Mlflow(), Trackio()], ids=["mlflow", "trackio"])
def test_a_database_that_is_damaged_while_it_is_watched(tmp_path: Path, a_format: Format) -> None:
    path = tmp_path / "log.db"
    _small(a_format, path)
    sound = path.read_bytes()
    reader, columns = reader_of(a_format, tmp_path), Columns()
    for seed in range(20):
        path.write_bytes(mutated(sound, seed))
        take(reader, columns)
    (tmp_path / "restored").write_bytes(sound)
    (tmp_path / "restored").replace(path)
    assert len(take(reader, columns).series("loss")) == 200


def test_a_source_finds_new_runs_of_a_database(tmp_path: Path) -> None:
    writer = MlflowWriter(tmp_path / "mlflow.db", journal="PERSIST")
    writer.run(A, "one")
    writer.log(A, "loss", [(0, 1.0)])
    source = Source([tmp_path], [Mlflow()])
    while source.scan():
        pass
    assert [run.name for run in source.runs.values()] == [".#one"]
    writer.run(B, "two")
    writer.log(B, "loss", [(0, 2.0)])
    for _ in range(50):
        source.scan_again()
        while source.scan():
            pass
        if len(source.runs) == 2:
            break
    assert [run.name for run in source.runs.values()] == [".#one", ".#two"]
    found = {number: Columns() for number in range(2)}
    while not source.is_read:
        for number, batch in source.poll():
            found[number].take(batch)
    assert [points(columns, "loss") for columns in found.values()] == [[(0, 1.0)], [(0, 2.0)]]
    source.close()
    writer.close()


def test_one_run_is_looked_at_for_all_of_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MlflowWriter(tmp_path / "mlflow.db")
    ids = [f"{number:032x}" for number in range(40)]
    for run in ids:
        writer.run(run, run[-2:])
    source = Source([tmp_path], [Mlflow()])
    while source.scan() or not source.is_read:
        source.poll()
    looks: list[str] = []
    poll = DatabaseReader.poll

    def counted(self: DatabaseReader, limit: int = PIECE) -> Batch:
        looks.append(self.claim.run)
        return poll(self, limit)

    monkeypatch.setattr(DatabaseReader, "poll", counted)
    writer.log(ids[30], "loss", [(0, 1.0)])
    news: list[tuple[int, Batch]] = []
    while not news and len(looks) < 40:
        time.sleep(source.wait)
        news = source.poll()
    ((number, batch),) = news
    assert source.run(number).name == ".#1e"
    assert list(batch.points) == ["loss"]
    source.close()
    writer.close()


def test_a_restored_run_has_what_was_logged_before(tmp_path: Path) -> None:
    writer = MlflowWriter(tmp_path / "mlflow.db")
    writer.run(A, "one")
    writer.run(B, "two")
    writer.log(B, "loss", [(0, 1.0)])
    writer.update(B, "lifecycle_stage", "deleted")
    a_format = Mlflow()
    reader = reader_of(a_format, tmp_path, "one")
    assert len(take(reader, Columns())) == 0
    writer.update(B, "lifecycle_stage", "active")
    assert points(take(reader_of(a_format, tmp_path, "two"), Columns()), "loss") == [(0, 1.0)]
    writer.close()
