"""The facts of a run that the list of runs shows."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from engine.errors import RunDirectoryError
from engine.runs.directory import Run
from engine.runs.label import given_names, read_label
from engine.runs.records import finite
from engine.runs.status import Status
from engine.settings.chain import ChainConfig
from engine.settings.run import RunConfig, kind_of
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig
from engine.sweep.grid import cell_count, members

from .sampling import newest_state

_RECORDS = 64


def describe(run: Run) -> dict[str, Any]:
    """One run as plain values, from its config, its lock, its worker's process and the end of its records."""
    label = read_label(run.path)
    shared = {"name": label.name, "note": label.text, "pinned": label.pinned, "size": size_on_disk(run.path)}
    try:
        config = run.config()
    except RunDirectoryError as error:
        return {"run": run.id, "kind": None, "status": Status.DAMAGED, "text": str(error), **shared}
    shared["name"] = next(iter(given_names(label, config.settings)), "")
    found = run.observe()
    state = newest_state(run, _RECORDS)
    return {
        "run": run.id,
        "kind": kind_of(config.settings),
        "status": found.status,
        "since": found.since,
        "text": found.text,
        "live": found.live,
        "host": found.host,
        "pid": found.pid,
        "exit_status": found.exit_status,
        "created": config.created,
        "age": max(0.0, time.time() - config.created),
        "at": state.at,
        "total": _total(config),
        "values": {name: None if v is None else finite(v) for name, v in state.values.items()},
        "heard": state.heard,
        "warnings": [{"seq": note.seq, "time": note.time, "text": note.text} for note in state.warnings],
        **shared,
    }


def size_on_disk(path: Path) -> int:
    """Bytes of a run's files; links are not followed."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _total(config: RunConfig) -> int:
    """Epochs or steps that the run will take; 0 where that is not known, as for a user's own training."""
    settings = config.settings
    if isinstance(settings, SweepConfig):
        return cell_count(settings) * members(settings)
    if isinstance(settings, TrainConfig):
        return min(settings.hold or settings.epochs, settings.epochs)
    return settings.steps if isinstance(settings, ChainConfig) else 0
