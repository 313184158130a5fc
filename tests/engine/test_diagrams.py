"""The diagrams in the documentation: what was recorded meets the paper, and MNIST itself where its files are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.paths import SHARED

from engine.measures.load_curve import statistics
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Cell
from engine.settings.sweep import SweepConfig
from engine.sweep.diagrams import make_sweep
from engine.sweep.summary import accuracy_cv_correlation, summarise
from engine.workers.work import work

ROOT = Path(__file__).parents[2]
MNIST = SHARED / "data" / "mnist"
sys.path.insert(0, str(ROOT / "docs"))

import diagrams  # noqa: E402


def test_the_recorded_data_noise_diagram_is_the_papers() -> None:
    found, config, network = diagrams.read("data-noise")
    assert len(network) == 54
    assert all(cell["seeds"] == 3 for cell in found["cells"])
    row = diagrams.agreement("data-noise", found, config, network)
    assert row["spearman"] <= -0.85
    assert row["reference_asymmetry"] >= 0.97
    assert row["chain_asymmetry"] >= 0.9


@pytest.mark.parametrize(("recipe", "cells"), [("learning-rate", 72), ("dropout", 96), ("batch-size", 60)])
def test_the_other_diagrams_are_recorded_whole_and_drawn(recipe: str, cells: int) -> None:
    _, _, network = diagrams.read(recipe)
    assert len(network) == cells
    assert accuracy_cv_correlation(network) < -0.6
    assert f"(diagram-{recipe}.svg)" in (ROOT / "docs" / "diagrams.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / f"diagram-{recipe}.svg").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST's files are not here")
def test_a_part_of_the_data_noise_diagram_is_the_papers(home: Path) -> None:
    """9 of the 54 cells, one seed: some 1.5 s of a core each."""
    open_home(home)
    axes = {"x": ("data_noise", (0.0, 0.3, 0.8)), "y": ("negative_slope", (0.0, 0.4, 1.0))}
    settings = {"dataset": "mnist", "data_dir": str(MNIST)}
    run = Run.create(home, make_sweep("data-noise", settings, axes=axes, seeds=1))
    assert work(run).reason == "finished"
    config = run.config().settings
    assert isinstance(config, SweepConfig)
    found = summarise(config, [event for event in run.events() if isinstance(event, Cell)])
    assert len(found) == 9
    assert accuracy_cv_correlation(found) < -0.7
    table = json.loads(diagrams.REFERENCE.read_text(encoding="utf-8"))["cells"]
    theirs = {(c["noise"], c["negative_slope"]): c["log_trace_ratio_mean"] for c in table}
    asymmetries = [statistics(theirs[s.x, s.y], logits=True).asymmetry for s in found]
    assert np.corrcoef([s.asymmetry for s in found], asymmetries)[0, 1] >= 0.97
