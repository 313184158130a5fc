"""Writes the numbers of another tool's run: as CSV, JSON, or TensorBoard event files."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.logs.foreign import ForeignRun
from engine.runs.records import plain

from .export import DATA, write_file
from .tables import csv_of, curve_rows

_NO_NAME = re.compile(r"[^\w.-]+")


def file_name(run: ForeignRun) -> str:
    """What the run's files are called: its name, without what has a meaning in paths."""
    return _NO_NAME.sub("_", run.id).strip("._") or _NO_NAME.sub("_", run.path.name) or "log"


def log_document(run: ForeignRun) -> dict[str, Any]:
    """The object that ``--records --json`` prints, and the JSON file: the run's name, format and records."""
    return {"run": run.id, "format": run.format, "records": [plain(event) for event in run.log().events()]}


def export_log(run: ForeignRun, formats: tuple[str, ...], folder: Path) -> list[Path]:
    """Write ``name.csv``, with a row for each step, and ``name.json``; their paths.

    Raises:
        ConfigError: a format is one of pictures, which are drawn of springtui's own runs alone.
        HomeError: the folder cannot be written.
    """
    for name in formats:
        if name not in DATA:
            raise ConfigError(f"--format {name} cannot be written of a log; allowed: {', '.join(DATA)}")
    files = []
    for name in formats or DATA:
        encode = {"csv": _csv, "json": _json}[name]
        files.append(write_file(folder / f"{file_name(run)}.{name}", partial(encode, run)))
    return files


def _csv(run: ForeignRun) -> bytes:
    return csv_of(curve_rows(run.log().events())).encode()


def _json(run: ForeignRun) -> bytes:
    return json.dumps(log_document(run), indent=1).encode() + b"\n"
