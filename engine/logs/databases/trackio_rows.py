"""The tables of trackio's SQLite database."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from ..batch import Remark
from .gathered import Gathered
from .hub import Answer, Found, Hub, Row, Stream
from .plain import leaves, number, plain
from .quiet import tables

_RUNS_BY_INDEX = """
    WITH RECURSIVE ids(id) AS (
        SELECT min(run_id) FROM {table}
        UNION ALL SELECT (SELECT min(run_id) FROM {table} WHERE run_id > ids.id) FROM ids WHERE ids.id IS NOT NULL
    )
    SELECT ids.id, first.run_name, first.timestamp FROM ids JOIN {table} AS first ON first.rowid =
        (SELECT rowid FROM {table} WHERE run_id = ids.id ORDER BY timestamp LIMIT 1)
"""
"""Leaps from one run to the next in an index that begins with the run's id: one row a run is read."""
_RUNS_BY_ROWS = "SELECT {id}, run_name, min(timestamp) FROM {table} GROUP BY {id}"


class TrackioHub(Hub):
    """trackio's database of one project. Of older versions, a run's name is its id."""

    is_list_told = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._first: dict[str, int] = {}
        """By run id: row id of its first metrics."""
        self._system_steps: Counter[str] = Counter()

    def streams(self, connection: sqlite3.Connection) -> list[Stream]:
        columns = _columns(connection)
        folds = {
            "metrics": (self._metrics, "run_name, timestamp, step, metrics"),
            "system_metrics": (self._system_metrics, "timestamp, metrics"),
            "configs": (self._configs, "config"),
            "alerts": (self._alerts, "timestamp, step, level, title, text"),
        }
        return [
            Stream(
                table,
                f"SELECT rowid, {_id(columns[table])}, {cells} FROM {table}"
                " WHERE rowid > ? ORDER BY rowid LIMIT ?",
                fold,
            )
            for table, (fold, cells) in folds.items()
            if {"run_name", *cells.split(", ")} <= columns.get(table, set())
        ]

    def list_runs(self, connection: sqlite3.Connection) -> list[Row]:
        columns = _columns(connection)
        runs: dict[Any, Row] = {}
        for table in ("metrics", "system_metrics"):
            if not {"run_name", "timestamp"} <= columns.get(table, set()):
                continue
            for row in connection.execute(self._runs_query(connection, table, columns[table])):
                runs.setdefault(row[0], row)
        return sorted(runs.values(), key=lambda row: (str(row[2]), str(row[0])))

    def _runs_query(self, connection: sqlite3.Connection, table: str, columns: set[str]) -> str:
        indices = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (table,)
        )
        is_indexed = any("(run_id, timestamp" in str(sql) for (sql,) in indices)
        return (_RUNS_BY_INDEX if is_indexed else _RUNS_BY_ROWS).format(table=table, id=_id(columns))

    def found(self, row: Row) -> Found:
        return Found(str(row[0]), str(row[1]), str(row[1]))

    def is_same(self, connection: sqlite3.Connection, answer: Answer) -> bool:
        # Row ids are never given twice here, but a run that was renamed is written again, under new ones.
        for stream, before, rows in zip(answer.streams, self._streams, answer.rows, strict=False):
            if stream.table != "metrics":
                continue
            found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'metrics'").fetchone()
            if before.last and (found is None or found[0] < before.last):
                return False
            renamed = {row[1] for row in rows if row[1] in self.runs and self.runs[row[1]].name != row[2]}
            for run in renamed & self._first.keys():
                query = "SELECT 1 FROM metrics WHERE rowid = ?"
                if connection.execute(query, (self._first[run],)).fetchone() is None:
                    return False
        return True

    def forget(self) -> None:
        self._first = {}
        self._system_steps = Counter()

    def _metrics(self, rows: list[Row]) -> None:
        for row_id, run, _, timestamp, step, raw in rows:
            gathered = self.of(run)
            if gathered is None:
                continue
            self._first.setdefault(run, row_id)
            _add(gathered, "", step, timestamp, raw)

    def _system_metrics(self, rows: list[Row]) -> None:
        for _, run, timestamp, raw in rows:
            gathered = self.of(run)
            if gathered is None:
                continue
            tags = _add(gathered, "system/", self._system_steps[run], timestamp, raw)
            gathered.batch.counts |= dict.fromkeys(tags, "call")
            self._system_steps[run] += 1

    def _configs(self, rows: list[Row]) -> None:
        for _, run, raw in rows:
            gathered = self.of(run)
            if gathered is None:
                continue
            if (config := _decoded(raw)) is None:
                gathered.batch.problems["damaged record"] += 1
                continue
            for name, value in leaves(config):
                if value is None and name.startswith("_"):
                    continue  # of trackio itself: no user, no group
                if value is None or isinstance(value, (bool, int, float)):
                    gathered.batch.settings[name] = value
                else:
                    gathered.batch.settings[name] = plain(value if isinstance(value, str) else json.dumps(value))

    def _alerts(self, rows: list[Row]) -> None:
        for _, run, timestamp, step, level, title, text in rows:
            gathered = self.of(run)
            if gathered is not None:
                said = f"{title}: {text}" if text else str(title)
                kind = "note" if level == "info" else "warning"
                at = step if isinstance(step, int) else None
                gathered.batch.remarks.append(Remark(at, _seconds(timestamp), said, kind))


def _add(gathered: Gathered, before: str, step: int, timestamp: object, raw: object) -> list[str]:
    """Keep the numbers of a row of JSON; the tags it has them for."""
    tags = []
    metrics = _decoded(raw)
    if metrics is None or not isinstance(step, int):
        gathered.batch.problems["damaged record"] += 1
        return []
    when = _seconds(timestamp)
    for name, value in metrics.items():
        if type(value) is float or type(value) is int:
            values = [(name, value)]
        elif isinstance(value, dict):
            values = list(leaves({name: value}))
        else:
            values = [(name, value)]
        for tag, leaf in values:
            if not isinstance(leaf, bool) and (known := number(leaf)) is not None:
                gathered.add(before + tag, step, known, when)
                tags.append(before + tag)
    return tags


def _decoded(raw: object) -> dict[str, Any] | None:
    """An object in JSON, as text or bytes; None where it is none."""
    if not isinstance(raw, (str, bytes)):
        return None
    try:
        try:
            found = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _seconds(timestamp: object) -> float:
    try:
        return datetime.fromisoformat(str(timestamp)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _id(columns: set[str]) -> str:
    return "run_id" if "run_id" in columns else "run_name"


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """The names of the columns of each table that is read."""
    return {
        table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for table in tables(connection) & {"metrics", "system_metrics", "configs", "alerts"}
    }
