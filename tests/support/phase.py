"""A fixture with a small finished sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.sweep.diagrams import make_sweep
from engine.workers.work import work

SMALL = {"epochs": 3, "width": 16, "depth": 5, "train_size": 200, "batch_size": 50}


AXES = {"x": ("data_noise", (0.0, 0.4)), "y": ("negative_slope", (0.0, 0.5, 1.0))}


@pytest.fixture
def finished(home: Path) -> Run:
    """A finished sweep of 2 x 3 cells, 2 seeds each."""
    open_home(home)
    run = Run.create(home, make_sweep("data-noise", SMALL, axes=AXES, seeds=2))
    assert work(run).reason == "finished"
    return run
