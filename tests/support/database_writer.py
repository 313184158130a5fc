"""Databases as MLflow 3.17 and trackio 0.43 lay them out, and MLflow's file store, written without them."""

from __future__ import annotations

import json
import math
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

MLFLOW = """
CREATE TABLE experiments (
    experiment_id INTEGER NOT NULL, name VARCHAR(256) NOT NULL, lifecycle_stage VARCHAR(32),
    CONSTRAINT experiment_pk PRIMARY KEY (experiment_id)
);
CREATE TABLE runs (
    run_uuid VARCHAR(32) NOT NULL, name VARCHAR(250), status VARCHAR(9), start_time BIGINT, end_time BIGINT,
    lifecycle_stage VARCHAR(20), experiment_id INTEGER, CONSTRAINT run_pk PRIMARY KEY (run_uuid)
);
CREATE TABLE metrics (
    "key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,
    CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan)
);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE TABLE params (
    "key" VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid)
);
CREATE TABLE tags (
    "key" VARCHAR(250) NOT NULL, value VARCHAR(8000), run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid)
);
INSERT INTO experiments VALUES (0, 'Default', 'active'), (1, 'digits', 'active');
"""
TRACKIO = """
CREATE TABLE metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL, run_name TEXT NOT NULL,
    step INTEGER NOT NULL, metrics TEXT NOT NULL
);
CREATE INDEX idx_metrics_run_timestamp ON metrics(run_id, timestamp);
CREATE TABLE system_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL, run_name TEXT NOT NULL,
    metrics TEXT NOT NULL
);
CREATE INDEX idx_system_metrics_run_timestamp ON system_metrics(run_id, timestamp);
CREATE TABLE configs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, run_name TEXT NOT NULL, config TEXT NOT NULL,
    created_at TEXT NOT NULL, UNIQUE(run_id)
);
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL, run_name TEXT NOT NULL,
    title TEXT NOT NULL, text TEXT, level TEXT NOT NULL DEFAULT 'warn', step INTEGER, alert_id TEXT
);
"""
NOON = "2026-11-27T12:00:00+00:00"
NOON_SECONDS = 1795780800.0


class DatabaseWriter:
    """A writer as the libraries are: each call is a transaction of its own."""

    def __init__(self, path: Path, schema: str = "", journal: str = "DELETE", timeout: float = 5.0) -> None:
        self.connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
        self.connection.execute(f"PRAGMA journal_mode = {journal}")
        self.connection.execute("PRAGMA synchronous = OFF")
        if schema:
            self.connection.executescript(schema)

    def write(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute a statement for each row, in one transaction."""
        self.connection.execute("BEGIN")
        self.connection.executemany(sql, rows)
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


class MlflowWriter(DatabaseWriter):
    """MLflow's database."""

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, "" if path.exists() and path.stat().st_size else MLFLOW, **options)

    def run(self, run: str, name: str, experiment: int = 0) -> None:
        """Begin a run."""
        self.write("INSERT INTO runs VALUES (?, ?, 'RUNNING', 0, NULL, 'active', ?)", [(run, name, experiment)])

    def log(self, run: str, tag: str, points: Sequence[tuple[int, float]]) -> None:
        """Log (step, value) at noon."""
        rows = []
        for step, value in points:
            stored = 0.0 if math.isnan(value) else max(-sys.float_info.max, min(sys.float_info.max, value))
            rows.append((tag, stored, int(NOON_SECONDS * 1000), run, step, math.isnan(value)))
        self.write("INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)

    def update(self, run: str, column: str, value: str) -> None:
        """Change a run's status, name or lifecycle_stage."""
        self.write(f"UPDATE runs SET {column} = ? WHERE run_uuid = ?", [(value, run)])


class TrackioWriter(DatabaseWriter):
    """trackio's database of a project."""

    def __init__(self, path: Path, **options: Any) -> None:
        is_new = not path.exists() or not path.stat().st_size
        super().__init__(path, TRACKIO if is_new else "", **{"journal": "WAL", **options})

    def log(self, run: str, name: str, rows: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """Log rows of (step, metrics) at noon."""
        self.write(
            "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?, ?)",
            [(run, NOON, name, step, json.dumps(metrics).encode()) for step, metrics in rows],
        )


def grow(path: Path, commits: int) -> None:
    """Commit to a database again and again, never waiting for a lock; how often that failed on stdout."""
    errors = 0
    with closing(MlflowWriter(path, timeout=0.0)) as writer:
        for step in range(commits):
            try:
                writer.log("a" * 32, "loss", [(step, float(step))])
            except sqlite3.OperationalError:
                errors += 1
                writer.connection.execute("ROLLBACK") if writer.connection.in_transaction else None
    print(errors)


def write_run_files(run: Path, metrics: dict[str, str], status: int = 1, name: str = "run0") -> None:
    """A run of MLflow's file store; ``metrics``: by tag, the text of its file."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "params").mkdir(exist_ok=True)
    (run / "metrics").mkdir(exist_ok=True)
    (run / "meta.yaml").write_text(
        f"artifact_uri: file:///a\nexperiment_id: '1'\nlifecycle_stage: active\nrun_id: {run.name}\n"
        f"run_name: {name}\nstatus: {status}\ntags: []\n"
    )
    for tag, text in metrics.items():
        path = run / "metrics" / tag
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    grow(Path(sys.argv[1]), int(sys.argv[2]))
