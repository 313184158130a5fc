"""MLflow's file store: a folder a run, and in it a file a metric, ``metrics/train/loss``, of ``ms value step``."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..batch import Batch, Remark
from ..folder import Folder, open_log, read_head
from ..reader import PIECE, Claim, Format, Reader
from .gathered import Gathered
from .plain import LONGEST_SETTING, plain

PIECE_OF_FILE = 1 << 20
"""Bytes of a metric's file that are read at once; no line is so long."""
_LINES = 4096
"""Bytes that are read at least."""
_HEAD = 64
"""Bytes by which a file that was written anew is told from one that grew."""
LOOKS = 1000
"""Metrics whose files are looked at in one call, where nothing is new."""
MOST_FILES = 100_000
"""Files in a folder of metrics, parameters or tags that are taken notice of."""
_BESIDE = ("meta.yaml", "params", "tags", "artifacts", "inputs", "outputs")
_TICK = 20_000_000
"""Nanoseconds within which two changes may leave a file or folder with the same time."""
_FIRST = -(1 << 63)
"""A step before all others."""
_ENDS = {"3": "finished", "4": "failed", "5": "stopped"}
"""The statuses in meta.yaml, by their numbers."""


class MlflowFiles(Format):
    """A run in MLflow's file store, ``mlruns/EXPERIMENT/RUN``."""

    name = "mlflow-files"
    label = "MLflow files"

    def claims(self, folder: Folder) -> Iterable[Claim]:
        if "meta.yaml" not in folder.entries or "metrics" not in folder.folders:
            return
        meta = flat_yaml(folder.head("meta.yaml"))
        if not {"run_id", "run_uuid"} & meta.keys() or meta.get("lifecycle_stage") != "active":
            return
        beside = (folder.path / name for name in _BESIDE if name in folder.entries)
        yield Claim(self.name, folder.path, (folder.path / "metrics",), beside=tuple(beside))

    def reader(self, claim: Claim) -> Reader:
        return MlflowFilesReader(claim)


class _Listing:
    """The files in a folder and all below it, listed anew where a folder has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folders: dict[Path, int] = {path: -1}
        """When each was last changed, in nanoseconds, or -1 where it must be listed again anyhow."""
        self._known: set[Path] = set()

    def news(self) -> Iterator[tuple[str, Path]]:
        """The name, as of the tag with its slashes, and path of each file that came since the last call."""
        waiting = list(self._folders)
        while waiting:
            folder = waiting.pop()
            try:
                changed = folder.stat().st_mtime_ns
                if changed == self._folders[folder]:
                    continue
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                continue
            self._folders[folder] = -1 if is_fresh(changed) else changed
            for entry in entries:
                path = folder / entry.name
                if len(self._known) >= MOST_FILES:
                    return
                if entry.is_dir(follow_symlinks=False):
                    if path not in self._folders:
                        self._folders[path] = -1
                        waiting.append(path)
                elif path not in self._known:
                    self._known.add(path)
                    yield path.relative_to(self._path).as_posix(), path


class _Metric:
    """One metric's file, as far as it has been read."""

    def __init__(self, tag: str, path: Path) -> None:
        self.tag = tag
        self.offset = 0
        """Where the first line begins that was not read."""
        self.size = 0
        self._path = path
        self.was_read = False
        """Whether it has been tried once."""
        self._looked: tuple[int, int, int] | None = None
        """Inode number, size and time of the file when it was read last, ..."""
        self._head = b""
        """... and its first bytes."""
        self._is_within = False
        """Whether the offset lies within a line that is too long to be one."""

    def read(self, gathered: Gathered, limit: int) -> int:
        """Read on, about ``limit`` bytes at most; how many were read."""
        self.was_read = True
        try:
            found = self._path.stat()
            looked = found.st_ino, found.st_size, found.st_mtime_ns
            if looked == self._looked and not self.has_more:
                return 0
            fd = open_log(self._path)
        except (OSError, ValueError):
            return 0
        try:
            if self._is_other(looked, os.pread(fd, _HEAD, 0)):
                gathered.batch.cuts[self.tag] = _FIRST
                self.offset, self._is_within = 0, False
            self._looked, self.size = looked, found.st_size
            self._head = os.pread(fd, min(_HEAD, self.size), 0)
            raw = os.pread(fd, max(min(limit, PIECE_OF_FILE), _LINES), self.offset)
            if b"\n" not in raw:
                raw = os.pread(fd, PIECE_OF_FILE, self.offset)
        except OSError:
            return 0
        finally:
            os.close(fd)
        self._take(gathered, raw)
        return len(raw)

    @property
    def has_more(self) -> bool:
        """Whether there may be another whole line."""
        return self._has_more and self.offset < self.size

    _has_more = False

    def _is_other(self, looked: tuple[int, int, int], head: bytes) -> bool:
        """Whether the file is not the one that was read, or was written anew."""
        if self._looked is None:
            return False
        return looked[0] != self._looked[0] or looked[1] < self.offset or not head.startswith(self._head)

    def _take(self, gathered: Gathered, raw: bytes) -> None:
        end = raw.rfind(b"\n") + 1
        self._has_more = bool(end)
        if end:
            for line in raw[:end].split(b"\n")[self._is_within : -1]:
                _add(gathered, self.tag, line)
            self._is_within = False
        elif len(raw) >= PIECE_OF_FILE:
            gathered.batch.problems["damaged record"] += not self._is_within
            end, self._is_within, self._has_more = len(raw), True, True
        self.offset += end


class MlflowFilesReader(Reader):
    """Reads a run's metrics, parameters, tags and status; a metric's file that was written anew is read anew."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        run = claim.folder
        self._listing = _Listing(run / "metrics")
        self._notes = {"params": _Listing(run / "params"), "tags": _Listing(run / "tags")}
        self._unread: list[tuple[str, str, Path]] = []
        """Files of parameters and tags that are still empty."""
        self._metrics: list[_Metric] = []
        self._next = 0
        """The metric that is looked at first in the next call."""
        self._meta_changed = -1
        self._meta: dict[str, str] = {}

    def poll(self, limit: int = PIECE) -> Batch:
        gathered = Gathered()
        self._metrics += [_Metric(tag, path) for tag, path in self._listing.news()]
        self._read_meta(gathered.batch)
        self._read_notes(gathered.batch)
        spent = looked = 0
        while looked < min(len(self._metrics), LOOKS) and spent < limit:
            metric = self._metrics[self._next % len(self._metrics)]
            spent += metric.read(gathered, limit - spent)
            if not metric.has_more:
                self._next = (self._next + 1) % len(self._metrics)
                looked += 1
        batch = gathered.taken()
        batch.counts |= {tag: "call" for tag in batch.points if tag.startswith("system/")}
        batch.read = sum(metric.offset for metric in self._metrics)
        batch.size = sum(metric.size for metric in self._metrics)
        batch.more = spent >= limit or any(metric.has_more or not metric.was_read for metric in self._metrics)
        return batch

    def _read_meta(self, batch: Batch) -> None:
        path = self.claim.folder / "meta.yaml"
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return
        if changed == self._meta_changed:
            return
        self._meta_changed = -1 if is_fresh(changed) else changed
        meta = flat_yaml(read_head(path))
        if "status" not in meta or meta == self._meta:
            return  # half written, or as before
        batch.name = meta.get("run_name", "")
        batch.ended = _ENDS.get(meta["status"], "")
        if not self._meta and (experiment := flat_yaml(read_head(path.parent.parent / "meta.yaml")).get("name")):
            batch.settings["mlflow.experiment"] = experiment
        if self._meta.get("status") in _ENDS and not batch.ended:
            batch.remarks.append(Remark(None, time.time(), "resumed", "resumed"))
        self._meta = meta

    def _read_notes(self, batch: Batch) -> None:
        waiting = self._unread + [
            (kind, *news) for kind, listing in self._notes.items() for news in listing.news()
        ]
        self._unread = []
        for kind, name, path in waiting:
            text = read_head(path, LONGEST_SETTING).decode("utf-8", "replace")
            if not text:
                self._unread.append((kind, name, path))
            elif kind == "params":
                batch.settings[name] = plain(text)
            elif name == "mlflow.note.content":
                batch.remarks.append(Remark(None, math.nan, text))
            elif name == "mlflow.parentRunId" or not name.startswith("mlflow."):
                batch.settings[name if name == "mlflow.parentRunId" else f"tags.{name}"] = plain(text)


def _add(gathered: Gathered, tag: str, line: bytes) -> None:
    """Keep a line's point: ``ms value``, ``ms value step``, or this with the name and digest of a data set."""
    parts = line.split(b" ")
    try:
        if len(parts) not in (2, 3, 5):
            raise ValueError(f"a metric has 2, 3 or 5 parts, not {len(parts)}")
        gathered.add(tag, int(parts[2]) if len(parts) > 2 else 0, float(parts[1]), int(parts[0]) / 1000)
    except (ValueError, OverflowError):
        gathered.batch.problems["damaged record"] += 1


def flat_yaml(raw: bytes) -> dict[str, str]:
    """The names and values of a file of ``name: value`` lines, as MLflow writes its own; only whole lines."""
    found = {}
    for line in raw.decode("utf-8", "replace").split("\n")[:-1]:
        name, colon, value = line.partition(": ")
        if not colon or not name or name[0] in " -#":
            continue
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1].replace("''", "'")
        elif len(value) > 1 and value[0] == value[-1] == '"':
            try:
                value = str(json.loads(value))
            except ValueError:
                value = value[1:-1]
        found[name] = value
    return found


def is_fresh(changed: int) -> bool:
    """Whether something was changed so recently that its time may not tell of another change."""
    return 0 <= time.time_ns() - changed < _TICK
