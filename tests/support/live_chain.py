"""A chain that a worker pulls for as long as a test lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import open_home
from engine.runs.records import Curve
from engine.settings.chain import ChainConfig

ENDLESS = ChainConfig(steps=10**12, replicas=4, blocks=3, pace=2000.0, frames=20.0)


@contextmanager
def live_chain(home: Path) -> Iterator[Run]:
    """The run of a chain that has recorded its first curves; its worker is killed at the end."""
    run = Run.create(open_home(home), ENDLESS)
    process = launch(run)
    end = time.monotonic() + 60
    try:
        while not any(isinstance(event, Curve) for event in run.last_events(5)):
            assert time.monotonic() < end, "no record came"
            time.sleep(0.05)
        yield run
    finally:
        process.kill()
        process.wait()
