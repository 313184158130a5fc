"""The facts of a run that the list of runs shows."""

from __future__ import annotations

import time
from typing import Any

from engine.errors import RunDirectoryError
from engine.runs.any_run import AnyRun
from engine.runs.records import finite
from engine.runs.status import Status
from engine.settings.chain import ChainConfig
from engine.settings.run import RunConfig, kind_of
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig
from engine.sweep.grid import cell_count, members

from .sampling import newest_state
from .wording import value_in_words

_RECORDS = 64


def describe(run: AnyRun) -> dict[str, Any]:
    """One run as plain values, from its config, its lock, its worker's process and the end of its records."""
    label = run.label()
    shared = {"name": label.name, "note": label.text, "pinned": label.pinned, "size": run.size()}
    try:
        config = run.config()
    except RunDirectoryError as error:
        return {"run": run.id, "kind": None, "status": Status.DAMAGED, "text": str(error), **shared}
    found = run.observe()
    state = newest_state(run, _RECORDS)
    created = run.created() if config is None else config.created
    return {
        "run": run.id,
        "kind": run.kind if config is None else kind_of(config.settings),
        "status": found.status,
        "since": found.since,
        "text": found.text,
        "live": found.live,
        "host": found.host,
        "pid": found.pid,
        "exit_status": found.exit_status,
        "created": created,
        "age": max(0.0, time.time() - created),
        "at": state.at,
        "total": 0 if config is None else _total(config),
        "values": {name: None if v is None else finite(v) for name, v in state.values.items()},
        "not_finite": {
            name: value_in_words(v) for name, v in state.values.items() if v is not None and finite(v) is None
        },
        "heard": state.heard,
        "warnings": [{"seq": note.seq, "time": note.time, "text": note.text} for note in state.warnings],
        **shared,
    }


def _total(config: RunConfig) -> int:
    """Epochs or steps that the run will take; 0 where that is not known, as for a user's own training."""
    settings = config.settings
    if isinstance(settings, SweepConfig):
        return cell_count(settings) * members(settings)
    if isinstance(settings, TrainConfig):
        return min(settings.hold or settings.epochs, settings.epochs)
    return settings.steps if isinstance(settings, ChainConfig) else 0
