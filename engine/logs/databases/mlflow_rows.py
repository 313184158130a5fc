"""The tables of MLflow's SQLite database."""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Sequence

import numpy as np

from ..batch import Remark
from ..series import Floats, Series
from .hub import Answer, Found, Hub, Row, Stream
from .plain import LONGEST_SETTING, plain
from .quiet import tables

ENDS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}
_LARGEST = sys.float_info.max
_DEFAULT = "Default"
"""The experiment of runs that were given none."""
_RUNS = """
    SELECT run_uuid, runs.name, status, runs.lifecycle_stage, experiments.name, experiments.lifecycle_stage
    FROM runs LEFT JOIN experiments ON experiments.experiment_id = runs.experiment_id ORDER BY runs.rowid
"""
_METRICS = """
    SELECT rowid, run_uuid, key, value, timestamp, step, is_nan FROM metrics WHERE rowid > ? ORDER BY rowid LIMIT ?
"""
_PARAMS = "SELECT rowid, run_uuid, key, value FROM params WHERE rowid > ? ORDER BY rowid LIMIT ?"
_TAGS = f"""
    SELECT rowid, run_uuid, key, substr(value, 1, {LONGEST_SETTING}) FROM tags WHERE rowid > ?
    AND (key NOT LIKE 'mlflow.%' OR key IN ('mlflow.parentRunId', 'mlflow.note.content')) ORDER BY rowid LIMIT ?
"""
_ANCHOR = "SELECT run_uuid, key, timestamp, step FROM metrics WHERE rowid = ?"


class MlflowHub(Hub):
    """MLflow's database. Rows count in the order of insertion: several have the same time and step."""

    _anchor: tuple[int, Row] | None = None
    """The metric that was read last: its row id and its cells. Where it is gone, row ids were given anew."""

    def streams(self, connection: sqlite3.Connection) -> list[Stream]:
        present = tables(connection)
        known = (
            Stream("metrics", _METRICS, self._metrics),
            Stream("params", _PARAMS, self._params),
            Stream("tags", _TAGS, self._tags),
        )
        return [stream for stream in known if stream.table in present]

    def list_runs(self, connection: sqlite3.Connection) -> list[Row]:
        return connection.execute(_RUNS).fetchall()

    def found(self, row: Row) -> Found:
        run, name, status, stage, experiment, experiment_stage = row
        has_experiment = experiment not in (None, _DEFAULT)
        return Found(
            str(run),
            f"{experiment}/{name or run}" if has_experiment else str(name or run),
            str(name or ""),
            "deleted" in (stage, experiment_stage),
            ENDS.get(status, ""),
            (("mlflow.experiment", str(experiment)),) if has_experiment else (),
        )

    def is_same(self, connection: sqlite3.Connection, answer: Answer) -> bool:  # noqa: ARG002 (trackio's needs it)
        return self._anchor is None or connection.execute(_ANCHOR, self._anchor[:1]).fetchone() == self._anchor[1]

    def forget(self) -> None:
        self._anchor = None

    def _metrics(self, rows: list[Row]) -> None:
        _, runs, tags, values, times, steps, are_nan = zip(*rows, strict=True)
        self._anchor = rows[-1][0], (runs[-1], tags[-1], times[-1], steps[-1])
        try:
            points = Series(
                np.array(steps, dtype=np.int64),
                _restored(values, are_nan),
                np.array(times, dtype=np.float64) / 1000,
            )
        except (TypeError, ValueError, OverflowError):
            for row in rows:
                self._metric(row)
            return
        numbers: dict[tuple[str, str], int] = {}
        of = np.fromiter((numbers.setdefault(key, len(numbers)) for key in zip(runs, tags, strict=True)), np.int64)
        order = np.argsort(of, kind="stable")
        ends = np.cumsum(np.bincount(of))
        for (run, tag), end, size in zip(numbers, ends, np.diff(ends, prepend=0), strict=True):
            if (gathered := self.of(run)) is not None:
                here = order[end - size : end]
                gathered.extend(str(tag), Series(points.step[here], points.value[here], points.time[here]))

    def _metric(self, row: Row) -> None:
        """One of rows that do not all hold what they should."""
        _, run, tag, value, when, step, is_nan = row
        if (gathered := self.of(run)) is not None:
            try:
                gathered.add(str(tag), step, float(_restored((value,), (is_nan,))[0]), when / 1000)
            except (TypeError, ValueError, OverflowError):
                gathered.batch.problems["damaged record"] += 1

    def _params(self, rows: list[Row]) -> None:
        for _, run, name, value in rows:
            gathered = self.of(run)
            if gathered is not None:
                gathered.batch.settings[str(name)] = plain(str(value))

    def _tags(self, rows: list[Row]) -> None:
        for _, run, name, value in rows:
            gathered = self.of(run)
            if gathered is None:
                continue
            if name == "mlflow.note.content":
                gathered.batch.remarks.append(Remark(None, math.nan, str(value)))
            else:
                gathered.batch.settings[str(name) if name == "mlflow.parentRunId" else f"tags.{name}"] = plain(
                    str(value)
                )


def _restored(values: Sequence[float], are_nan: Sequence[int]) -> Floats:
    """Values as they were logged: MLflow stores NaN as 0 with a mark, and infinities as the largest numbers.

    Raises:
        TypeError: one is no number.
        ValueError: likewise.
    """
    restored = np.array(values, dtype=np.float64)
    restored[np.abs(restored) >= _LARGEST] *= math.inf
    restored[np.array(are_nan, dtype=bool)] = math.nan
    return restored
