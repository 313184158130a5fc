"""A run's records as CSV: curves and numbers at their steps, layer health, and the use of the machine."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from engine.measures.registry import PROBES
from engine.runs.records import Curve, Event, Health, Scalars, Usage


def csv_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a line for each row and a column for each name; lists take a column a value, None is empty."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def curve_rows(events: Iterable[Event]) -> list[dict[str, Any]]:
    """A row for each curve and for each record of numbers between curves, in their order.

    The columns ``path`` and ``epoch`` are there where a curve has a path and where an epoch was logged.
    """
    rows: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, Curve):
            lists = {"positions": event.positions, "spread": event.spread, PROBES: event.linear_probes}
            given = {name: values for name, values in lists.items() if values}
            path = {"path": event.path} if event.path else {}
            first = {"at": event.at, "step": event.step, "time": event.time, **path}
            rows.append({**first, **event.scalars, **event.curves, **given})
        elif isinstance(event, Scalars):
            epoch = {} if event.epoch is None else {"epoch": event.epoch}
            rows.append({"at": None, "step": event.step, "time": event.time, **epoch, **event.scalars})
    return rows


def health_rows(events: Iterable[Event]) -> list[dict[str, Any]]:
    """A row for each layer at each step at which layer health was measured, with a column for each measure."""
    return [
        {
            "step": event.step,
            "time": event.time,
            "path": event.path,
            "layer": layer,
            **{measure: values[index] for measure, values in event.measures.items()},
        }
        for event in events
        if isinstance(event, Health)
        for index, layer in enumerate(event.layers)
    ]


def usage_rows(events: Iterable[Event]) -> list[dict[str, Any]]:
    """A row for each measurement of what the process used; of GPU i ``gpu_i_memory`` and ``gpu_i_reserved``."""
    rows = []
    for event in events:
        if isinstance(event, Usage):
            row: dict[str, Any] = {
                "step": event.step,
                "time": event.time,
                "cpu": event.cpu,
                "memory": event.memory,
            }
            for gpu in event.gpus:
                row |= {f"gpu_{gpu.index}_memory": gpu.memory, f"gpu_{gpu.index}_reserved": gpu.reserved}
            rows.append(row)
    return rows


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record with lists as single values: ``load_curve`` as D_0, D_1 …, others as name_0, name_1 …"""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, list):
            stem = "D" if name == "load_curve" else name
            flat |= {f"{stem}_{i}": point for i, point in enumerate(value)}
        else:
            flat[name] = value
    return flat
