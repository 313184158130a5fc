"""Which files of a folder are logs of JSON lines, by their first lines."""

from __future__ import annotations

from typing import Any

from ...runs.names import CONFIG, CONTROL, EVENTS
from ..axis_names import STEPS, TIMES, WEAK, plain
from ..endings import may_be_lines
from ..folder import HEAD, Folder
from ..metrics import has_metric
from .keys import EPOCH
from .plain import record, seconds_of, time_of

_LINES = 100
"""Lines of a file that are looked at."""
_FIRST = 5
"""Lines one of which is an object in each log."""
_MOST_TEXT = 0.5
"""Part of a log's letters that may stand in texts; a data set for language models has more."""
_MOST_TEXT_WITHOUT_STEP = 0.25


def logs(folder: Folder) -> dict[str, list[str]]:
    """By name of a log, the names of files with the same content."""
    names = folder.files if folder.is_named else [name for name in folder.files if may_be_lines(name)]
    if CONFIG in folder.entries and EVENTS in folder.entries:  # a run of springtui
        names = [name for name in names if name not in (EVENTS, CONTROL)]
    found = [name for name in names if folder.entries[name].size and is_log(name, folder.head(name))]
    result: dict[str, list[str]] = {}
    alike: dict[bytes, list[str]] = {}
    """By first line, the logs that begin with it: of a thousand runs in one folder few are compared."""
    # MMEngine writes each line to two files, one after the other: which is longer changes.
    for name in sorted(found, key=lambda name: (name != "scalars.json", -folder.entries[name].size, name)):
        others = alike.setdefault(folder.start(name).partition(b"\n")[0], [])
        first = next((other for other in others if _is_copy(folder, name, other)), None)
        if first is None:
            others.append(name)
            result[name] = []
        else:
            result[first].append(name)
    return dict(sorted(result.items()))


def _is_copy(folder: Folder, name: str, other: str) -> bool:
    """Whether two logs hold the same as far as both go; their heads are compared where their starts agree."""
    return _agree(folder.start(name), folder.start(other)) and _agree(folder.head(name), folder.head(other))


def _agree(left: bytes, right: bytes) -> bool:
    """Whether one of two texts begins with the other, and neither is empty."""
    return bool(left and right) and (left.startswith(right) or right.startswith(left))


def is_log(name: str, head: bytes) -> bool:
    """Whether a file that begins so is a log: objects, line by line, with numbers that come again.

    The name counts only where there is a single line: a document may be one line too.
    """
    if head.lstrip()[:1] != b"{":
        return False
    *lines, rest = head.split(b"\n")
    if len(head) < HEAD and rest.rstrip().endswith(b"}"):
        lines.append(rest)
    texts = [line for line in lines[:_LINES] if line.strip()]
    if not any(record(line) is not None for line in texts[:_FIRST]):  # a document of several lines, mostly
        return False
    records = [found for line in texts if (found := record(line)) is not None]
    if 2 * len(records) < len(texts):
        return False
    if len(records) == 1 and not name.lower().endswith((".jsonl", ".ndjson")):
        return False
    if records[0].get("kind") == "started" and "seq" in records[0]:  # springtui's own records
        return False
    return _is_series(records)


def _is_series(records: list[dict[str, Any]]) -> bool:
    """Whether objects hold numbers along a training rather than samples of a data set."""
    text, whole, numbers, leaves, stepped, has_fraction = 0, 0, 0, 0, 0, False
    timed, names = False, set()
    for found in records:
        stepped += any(_is_step(key, value) for key, value in found.items())
        stack: list[tuple[str, Any]] = [(k, v) for k, v in found.items() if k != "config"]
        while stack:
            key, value = stack.pop()
            if isinstance(value, dict):
                stack += list(value.items())
                continue
            if isinstance(value, list):
                stack += [("", inner) for inner in value[:100]]
                leaves += 1
                continue
            if isinstance(value, str) and plain(key) in TIMES and time_of(value) > 0:
                timed = True
                continue
            whole += len(key) + 8
            if isinstance(value, str):
                text, whole = text + len(value), whole + len(value)
            leaves += bool(key)
            if not key or isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            is_time = plain(key) in TIMES and seconds_of(float(value)) > 0
            timed = timed or is_time
            if _is_step_name(key) or is_time:
                continue
            names.add(key)
            numbers += 1
            has_fraction = has_fraction or isinstance(value, float)
    if not numbers:
        return False
    share = text / whole
    if 2 * stepped >= len(records):
        return share <= _MOST_TEXT
    if not timed and not has_metric(names):
        return False
    return has_fraction and 2 * numbers >= leaves and share <= _MOST_TEXT_WITHOUT_STEP


def _is_step(key: str, value: Any) -> bool:
    if _is_step_name(key):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return "step" in key and isinstance(value, str) and "/" in value


def _is_step_name(key: str) -> bool:
    name = plain(key)
    return key == EPOCH or (name in STEPS and name not in WEAK and name != "epochs")
