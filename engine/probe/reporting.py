"""Sends the numbers of each measurement to an experiment tracker that the training already uses."""

from __future__ import annotations

import re
import time
import types
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError

__all__ = ["Reporter"]

Send = Callable[[dict[str, float], int], object]
"""Takes numbers by name, and the number of the training's step."""
_ALLOWED = (
    "a wandb run, MLflow or its client, a TensorBoard SummaryWriter, trackio, a logger with log_metrics or log, "
    "or a function of a dict and a step"
)
_REFUSED = re.compile(r"[^\w\-. /]")
"""Characters that MLflow refuses in the names of metrics on some systems."""


class Reporter:
    """Sends numbers to one tracker.

    Args:
        tracker: see ``LoadProbe.report_to``.
        prefix: of the names.
        run_id: MLflow's run, for its client; by default the active one.

    Raises:
        ConfigError: nothing can be sent to the tracker.
    """

    def __init__(self, tracker: Any, prefix: str, run_id: str | None = None) -> None:
        self.prefix = prefix
        self.name = _name(tracker)
        self.has_failed = False
        """Whether a user was warned that numbers could not be sent."""
        self._send = _sender(tracker, prefix, run_id)

    def send(self, metrics: dict[str, float], step: int) -> None:
        """Send the numbers of a step; raises whatever the tracker raises."""
        if metrics:
            self._send(metrics, step)


def _name(tracker: Any) -> str:
    """A tracker's name for messages: its module, its class or its function."""
    if isinstance(tracker, types.ModuleType):
        return tracker.__name__
    return str(getattr(tracker, "__qualname__", type(tracker).__name__))


def _sender(tracker: Any, prefix: str, run_id: str | None) -> Send:
    """How numbers are sent to a tracker, by the methods that it has."""
    library = tracker.__name__ if isinstance(tracker, types.ModuleType) else type(tracker).__module__
    library = library.partition(".")[0]
    if library == "wandb":
        return _to_wandb(tracker, prefix)
    if callable(getattr(tracker, "add_scalar", None)):
        return _to_writer(tracker)
    if library == "mlflow":
        return _to_mlflow(tracker, run_id)
    for method in ("log_metrics", "log"):
        if callable(log := getattr(tracker, method, None)):
            return lambda metrics, step, log=log: log(metrics, step=step)  # type: ignore[misc]
    if callable(tracker) and not isinstance(tracker, type):
        return lambda metrics, step: tracker(metrics, step)
    raise ConfigError(f"tracker is a {_name(tracker)}, to which nothing can be sent; allowed: {_ALLOWED}")


def _to_wandb(tracker: Any, prefix: str) -> Send:
    """By a run of wandb, with a step axis of its own.

    The numbers join the next row that the training logs, so that wandb's own count of steps stays the training's.
    """
    run = getattr(tracker, "run", None) if isinstance(tracker, types.ModuleType) else tracker
    if run is None or not callable(getattr(run, "log", None)):
        raise ConfigError("wandb has no run yet: call wandb.init() first, or give the run that it returns")
    axis = f"{prefix}step"
    run.define_metric(axis, hidden=True)
    run.define_metric(f"{prefix}*", step_metric=axis)
    return lambda metrics, step: run.log({**metrics, axis: step}, commit=False)


def _to_writer(writer: Any) -> Send:
    """By a SummaryWriter of TensorBoard."""

    def send(metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return send


def _to_mlflow(tracker: Any, run_id: str | None) -> Send:
    """By MLflow's module or client, to the run that is active now, also where another one is later."""
    import mlflow

    if run_id is None:
        active = mlflow.active_run()
        if active is None:
            raise ConfigError("MLflow has no active run: call mlflow.start_run() first, or give run_id=")
        run_id = str(active.info.run_id)
    client = tracker if callable(getattr(tracker, "log_batch", None)) else mlflow.MlflowClient()

    def send(metrics: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        rows = [mlflow.entities.Metric(name, value, now, step) for name, value in _renamed(metrics).items()]
        client.log_batch(run_id, metrics=rows)

    return send


def _renamed(metrics: dict[str, float]) -> dict[str, float]:
    """The numbers by names that MLflow takes on every system: ``fc#2`` is ``fc-2``, ``(input)`` is ``-input-``."""
    return {_REFUSED.sub("-", name): value for name, value in metrics.items()}
