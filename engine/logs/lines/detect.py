"""Which files of a folder are logs of JSON lines, by their first lines."""

from __future__ import annotations

import re
from typing import Any

from ...runs.names import CONFIG, CONTROL, EVENTS
from ..folder import HEAD, Folder
from .keys import EPOCH, STEPS, TIMES
from .plain import record, seconds_of

_OTHERS = re.compile(
    r"\.(png|jpe?g|gif|bmp|webp|tiff?|svg|pdf|mp[34]|wav|flac|avi|npy|npz|pt|pth|ckpt|bin|safetensors|onnx|h5|hdf5|pkl"
    r"|pickle|arrow|parquet|feather|py|pyc|ipynb|so|c|h|cpp|cu|md|rst|html|css|js|yaml|yml|toml|ini|cfg|sh|csv|tsv|db"
    r"|sqlite3?|wandb|swanlab|gz|bz2|xz|zst|zip|tar|7z|lock|pid)$",
    re.IGNORECASE,
)
"""Names of files that are not even opened."""
_MOST_OPENED = 1000
"""Files of a folder that are looked into, those of usual names first."""
_USUAL = (".jsonl", ".ndjson", ".json", ".log")
_LINES = 100
"""Lines of a file that are looked at."""
_FIRST = 5
"""Lines one of which is an object in each log."""
_MOST_TEXT = 0.5
"""Part of a log's letters that may stand in texts; a data set for language models has more."""
_MOST_TEXT_WITHOUT_STEP = 0.25


def logs(folder: Folder) -> dict[str, list[str]]:
    """By name of a log, the names of files with the same content."""
    names = [name for name in folder.files if _OTHERS.search(name) is None and not name.startswith(".")]
    if CONFIG in folder.entries and EVENTS in folder.entries:  # a run of springtui
        names = [name for name in names if name not in (EVENTS, CONTROL)]
    if len(names) > _MOST_OPENED:
        names = sorted(names, key=lambda name: not name.lower().endswith(_USUAL))[:_MOST_OPENED]
    found = [name for name in names if folder.entries[name].size and is_log(name, folder.head(name))]
    result: dict[str, list[str]] = {}
    # MMEngine writes each line to two files, one after the other: which is longer changes.
    for name in sorted(found, key=lambda name: (name != "scalars.json", -folder.entries[name].size, name)):
        head = folder.head(name)
        for first in result:
            other = folder.head(first)
            if (length := min(len(head), len(other))) and head[:length] == other[:length]:
                result[first].append(name)
                break
        else:
            result[name] = []
    return dict(sorted(result.items()))


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
            whole += len(key) + 8
            if isinstance(value, str):
                text, whole = text + len(value), whole + len(value)
            leaves += bool(key)
            if not key or isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            if key in STEPS or key == EPOCH or (key in TIMES and seconds_of(float(value)) > 0):
                continue
            numbers += 1
            has_fraction = has_fraction or isinstance(value, float)
    if not numbers:
        return False
    share = text / whole
    if 2 * stepped >= len(records):
        return share <= _MOST_TEXT
    return has_fraction and 2 * numbers >= leaves and share <= _MOST_TEXT_WITHOUT_STEP


def _is_step(key: str, value: Any) -> bool:
    if key in STEPS or key == EPOCH:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return "step" in key and isinstance(value, str) and "/" in value
