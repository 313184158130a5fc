"""springtui: a terminal laboratory for the spring–block theory of feature learning.

Importing this package is cheap and pulls in neither the app nor torch. What a user's own script needs, to measure
a training or to read the logs of any, is loaded when it is first asked for:

    from springtui import LoadProbe
    from springtui import read_logs
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.errors import LogError, ProbeWarning
    from engine.logs.read import LogRun, read_logs
    from engine.logs.series import Series
    from engine.probe.batch.groupings import bins, next_token
    from engine.probe.load_probe import LoadProbe

__all__ = ["LoadProbe", "LogError", "LogRun", "ProbeWarning", "Series", "bins", "next_token", "read_logs"]

_HOMES = {
    "LoadProbe": "probe.load_probe",
    "LogError": "errors",
    "LogRun": "logs.read",
    "ProbeWarning": "errors",
    "Series": "logs.series",
    "bins": "probe.batch.groupings",
    "next_token": "probe.batch.groupings",
    "read_logs": "logs.read",
}


def __getattr__(name: str) -> Any:
    """PEP 562: the public names, from the engine under its private name."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}._engine.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
