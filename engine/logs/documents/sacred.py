"""Sacred's runs: ``run.json``, ``config.json``, ``metrics.json`` and ``cout.txt`` in a folder with a number."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..batch import Batch, Remark
from ..folder import Folder, open_log
from ..reader import PIECE, Claim, Format, Reader
from ..series import Series, series_of
from .document import Document, flat, number

_RUN, _CONFIG, _METRICS = (f"{name}.json" for name in ("run", "config", "metrics"))
_OUTPUT = "cout.txt"
_ENDED = {
    "COMPLETED": "finished", "FAILED": "failed", "DIED": "failed", "INTERRUPTED": "stopped", "TIMEOUT": "stopped",
}  # fmt: skip
_FARTHEST = 2**62


class SacredFormat(Format):
    """A folder with the ``run.json`` that Sacred's observer of files writes, or with its ``metrics.json``."""

    name = "sacred"
    label = "Sacred"
    habit = "this writer writes every 10 s"

    def claims(self, folder: Folder) -> Iterator[Claim]:
        """The run of a folder; it has one also before anything was measured."""
        if _is_run(folder) or _is_metrics(folder):
            names = [name for name in (_METRICS, _RUN, _CONFIG, _OUTPUT) if name in folder.entries]
            yield Claim(self.name, folder.path, tuple(folder.path / name for name in names))

    def reader(self, claim: Claim) -> Reader:
        """Reads the measures, the configuration, the output and the end of a run."""
        return _RunReader(claim)


def _is_run(folder: Folder) -> bool:
    head = folder.head(_RUN) if _RUN in folder.entries else b""
    return all(f'"{key}"'.encode() in head for key in ("command", "experiment", "heartbeat", "host"))


def _is_metrics(folder: Folder) -> bool:
    head = folder.head(_METRICS) if _METRICS in folder.entries else b""
    return all(f'"{key}": ['.encode() in head for key in ("steps", "timestamps", "values"))


class _RunReader(Reader):
    """Gives what each measure has gained, or all of it where it is another one."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self._metrics, self._run, self._config = (
            Document(claim.folder / name) for name in (_METRICS, _RUN, _CONFIG)
        )
        self._settings: dict[str, Any] = {}
        self._name = ""
        self._given: dict[str, tuple[int, int]] = {}
        """By measure: number of points given, and a checksum of them."""
        self._output = 0
        """Bytes of the output that were given."""
        self._has_ended = False

    def poll(self, limit: int = PIECE) -> Batch:
        """The news of all files; the documents are read whole whatever ``limit`` is."""
        batch = Batch()
        if self._config.is_changed() and (config := self._config.load()) is not None:
            batch.settings = self._settings = flat(config)
        if self._run.is_changed() and (run := self._run.load()) is not None:
            self._tell(run, batch)
        if self._metrics.is_changed() and (metrics := self._metrics.load()) is not None:
            self._give(metrics, batch)
        for document in (self._metrics, self._config, self._run):
            if document.problem:
                batch.problems[document.problem] += 1
                document.problem = ""
        documents = self._metrics.size + self._run.size + self._config.size
        batch.size = documents + self._print(limit, batch)
        batch.read = documents + self._output
        return batch

    def _give(self, metrics: dict[str, Any], batch: Batch) -> None:
        measures = {name: _series(found) for name, found in metrics.items()}
        if any(_checksum(measures.get(name), points) != known for name, (points, known) in self._given.items()):
            batch.anew, batch.settings, batch.name, self._given = True, dict(self._settings), self._name, {}
        for name, series in measures.items():
            start = self._given.get(name, (0, 0))[0]
            if len(series) > start:
                batch.points[name] = Series(series.step[start:], series.value[start:], series.time[start:])
                self._given[name] = len(series), _checksum(series, len(series))

    def _tell(self, run: dict[str, Any], batch: Batch) -> None:
        """What ``run.json`` says of the run's name and end."""
        experiment, status = run.get("experiment"), run.get("status")
        if isinstance(experiment, dict) and isinstance(experiment.get("name"), str):
            batch.name = self._name = experiment["name"]
        batch.ended = _ENDED.get(status, "") if isinstance(status, str) else ""
        trace = run.get("fail_trace")
        if (
            batch.ended
            and not self._has_ended
            and isinstance(trace, list)
            and trace
            and isinstance(trace[-1], str)
        ):
            batch.remarks.append(Remark(None, _seconds(run.get("stop_time")), trace[-1].strip(), "warning"))
        self._has_ended = bool(batch.ended)

    def _print(self, limit: int, batch: Batch) -> int:
        """Give what the run has printed since the last call; the bytes that it has printed in all."""
        path = self.claim.folder / _OUTPUT
        try:
            size = os.stat(path).st_size  # noqa: PTH116 (twice a second for each run)
            if size == self._output:
                return size
            fd = open_log(path)
        except (OSError, ValueError):
            return self._output
        try:
            self._output = 0 if size < self._output else self._output
            batch.console = os.pread(fd, max(limit, 1), self._output)
        except OSError:
            return size
        finally:
            os.close(fd)
        self._output += len(batch.console)
        batch.more = bool(batch.console) and self._output < size
        return size


def _series(found: object) -> Series:
    """The points of a measure; empty where it is not as Sacred writes it."""
    columns = [found.get(key) for key in ("steps", "values", "timestamps")] if isinstance(found, dict) else []
    if not columns or not all(isinstance(column, list) for column in columns):
        return series_of([], [])
    points = [
        (int(step), value, _seconds(moment))
        for said, given, moment in zip(*columns, strict=False)
        if (step := number(said)) is not None and abs(step) < _FARTHEST and (value := number(given)) is not None
    ]
    return series_of(
        [step for step, _, _ in points], [value for _, value, _ in points], [time for *_, time in points]
    )


def _checksum(series: Series | None, points: int) -> int:
    """Of the first points of a series; -1 where it has not as many."""
    if series is None or len(series) < points:
        return -1
    return zlib.crc32(np.concatenate([series.step[:points], series.value[:points].view(np.int64)]).tobytes())


def _seconds(moment: object) -> float:
    """Seconds since the epoch of a time as Sacred writes it: in UTC, without saying so."""
    try:
        return datetime.fromisoformat(str(moment)).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return float("nan")
