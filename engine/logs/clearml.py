"""ClearML's offline sessions: ``metrics.jsonl``, each line an array of events; ``task.json``; ``log.jsonl``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

from .batch import Batch, Remark
from .folder import Folder, read_head
from .lines.plain import as_float, decoded
from .reader import PIECE, Claim, Format, Reader
from .series import series_of
from .whole_lines import LineFile

METRICS, TASK, LOG = "metrics.jsonl", "task.json", "log.jsonl"
_SCALAR = "training_stats_scalar"
_NO_STEP = -(1 << 31)
"""The step of a value that belongs to none (``report_single_value``)."""
_MOST_STEP = 1 << 53
_TASK_SIZE = 1 << 22
_KINDS = {"float": float, "int": int}


class ClearML(Format):
    """The folder of a session that ClearML keeps without a server."""

    name = "clearml"
    label = "ClearML"
    habit = "this writer flushes every 5 s"

    def claims(self, folder: Folder) -> Iterable[Claim]:
        """One run: the folder, by the events in its metrics; or a file of events that a person named."""
        beside = tuple(folder.path / name for name in (TASK, LOG) if name in folder.entries)
        for name in folder.files if folder.is_named else [METRICS]:
            if name in folder.entries and _is_clearml(folder.head(name)):
                yield Claim(self.name, folder.path, (folder.path / name,), "", beside)

    def reader(self, claim: Claim) -> Reader:
        """A reader of the session's files."""
        return ClearMLReader(claim)


def _is_clearml(head: bytes) -> bool:
    """Whether a file begins as the events of a session do; a first line may be longer than what is looked at."""
    return head.startswith(b'[{"') and all(
        key in head for key in (b'"task"', b'"type"', b'"metric"', b'"variant"')
    )


class ClearMLReader(Reader):
    """Reads a session: scalars and single values, settings and name, and what was printed."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        folder = claim.folder
        self._metrics = LineFile(claim.files[0])
        self._log = LineFile(folder / LOG)
        self._task = folder / TASK
        self._task_text = b""
        self._is_void = False

    def poll(self, limit: int = PIECE) -> Batch:
        """The news of about ``limit`` bytes of the metrics, and as much of the printed text."""
        batch = Batch()
        piece = self._metrics.read(limit)
        self._is_void |= piece.anew
        if self._is_void and piece.lines:
            batch.anew, self._is_void = True, False
            self._task_text = b""
        if piece.too_long:
            batch.problems["too long line"] += piece.too_long
        self._scalars(piece.lines, batch)
        printed = self._log.read(limit)
        batch.console = "".join(
            text if text.endswith("\n") else f"{text}\n"
            for event in _events(printed.lines, Batch())
            if isinstance(text := event.get("msg"), str)
        ).encode("utf-8", "replace")
        if piece.lines or printed.lines:
            self._settings(batch)
        batch.read, batch.size, batch.more = piece.read, piece.size, piece.more or printed.more
        return batch

    def _scalars(self, lines: bytes, batch: Batch) -> None:
        """Give the points of whole lines."""
        columns: dict[str, tuple[list[int], list[float], list[float]]] = {}
        for event in _events(lines, batch):
            if event.get("type") != _SCALAR:
                continue
            step, value, time, tag = event.get("iter"), event.get("value"), event.get("timestamp"), _tag(event)
            if not (_is_number(step) and isinstance(step, int) and _is_number(value) and tag):
                batch.problems["damaged record"] += 1
                continue
            if abs(step) >= _MOST_STEP:
                batch.problems["step out of range"] += 1
                continue
            seconds = as_float(time) / 1000 if _is_number(time) else math.nan
            if step == _NO_STEP:
                batch.remarks.append(Remark(None, seconds, f"{tag} = {value}"))
                continue
            steps, values, times = columns.setdefault(tag, ([], [], []))
            steps.append(step)
            values.append(as_float(value))
            times.append(seconds)
        batch.points = {tag: series_of(*column) for tag, column in columns.items()}

    def _settings(self, batch: Batch) -> None:
        """Give the session's name and settings, where they have changed."""
        text = read_head(self._task, _TASK_SIZE)
        if text == self._task_text:
            return
        self._task_text = text
        task = decoded(text)
        if not isinstance(task, dict):  # it is being written
            return
        if isinstance(name := task.get("name"), str):
            batch.name = name
        sections = task.get("hyperparams")
        for section, settings in sections.items() if isinstance(sections, dict) else ():
            for key, entry in settings.items() if isinstance(settings, dict) else ():
                if isinstance(entry, dict) and isinstance(value := entry.get("value"), str):
                    where = key if section == "General" else f"{section}/{key}"
                    batch.settings[where.replace("/", ".")] = _setting(value, entry.get("type"))


def _events(lines: bytes, batch: Batch) -> Iterator[dict[str, Any]]:
    """The events of whole lines; what is none is counted as a problem."""
    for line in lines.split(b"\n"):
        if not line.strip():
            continue
        events = decoded(line)
        if not isinstance(events, list):
            batch.problems["damaged record"] += 1
            continue
        for event in events:
            if isinstance(event, dict):
                yield event
            else:
                batch.problems["damaged record"] += 1


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float)


def _tag(event: dict[str, Any]) -> str:
    """The chart and the curve in it; one name where they are the same."""
    chart, curve = event.get("metric"), event.get("variant")
    if not isinstance(chart, str) or not isinstance(curve, str):
        return ""
    return chart if chart == curve else f"{chart}/{curve}"


def _setting(value: str, kind: Any) -> Any:
    """A setting's value, which is written as text, by its kind."""
    if kind == "bool":
        return value == "True"
    try:
        return _KINDS.get(kind, str)(value)
    except ValueError:
        return value
