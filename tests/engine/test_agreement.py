"""Our networks give the authors' numbers; benchmarks/agreement.py compares every cell, this two of them."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy as np
import pytest
from support.paths import SHARED

pytestmark = pytest.mark.usefixtures("one_thread")
AGREEMENT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "agreement.py"))
IMAGES = Path(os.environ.get("SPRINGTUI_DATA", SHARED / "data" / "mnist"))
CELLS = {(cell["negative_slope"], cell["noise"]): cell for cell in AGREEMENT["read_reference"]()}


@pytest.mark.slow
@pytest.mark.skipif(not IMAGES.is_dir(), reason="MNIST's images are not here")
@pytest.mark.parametrize(("slope", "noise"), [(0, 0), (0.4, 0.6)], ids=["relu", "leaky-noisy"])
def test_cell(slope: float, noise: float) -> None:
    found = AGREEMENT["compare"](CELLS[slope, noise], IMAGES, seeds=(0, 1))
    assert found.used <= 1.0, found
    assert abs(found.accuracy_gap) <= 1.5, found


def test_table_is_whole() -> None:
    assert len(CELLS) == 54
    assert {len(cell["log_trace_ratio_mean"]) for cell in CELLS.values()} == {9}


def test_judge_knows_a_wrong_curve() -> None:
    """Shifted by .1 and three standard errors a curve is at the limit; by twice that it disagrees."""
    cell = CELLS[0, 0.1]
    theirs = np.array(cell["log_trace_ratio_mean"])
    accuracy = np.full(3, cell["test_accuracy_mean"])
    for factor in (1.0, 2.0):
        shift = factor * (3 * np.array(cell["log_trace_ratio_sd"]) / np.sqrt(3) + 0.1)
        found = AGREEMENT["judge"](cell, np.tile(theirs + shift, (3, 1)), accuracy)
        assert found.used == pytest.approx(factor)
        assert not AGREEMENT["judge"](cell, np.tile(theirs, (3, 1)), accuracy + 0.016).agrees
    assert AGREEMENT["judge"](cell, np.tile(theirs, (3, 1)), accuracy + 0.014).agrees


def test_spread_reaches_the_corners() -> None:
    picked = AGREEMENT["spread"](list(CELLS.values()), 12)
    keys = [(cell["negative_slope"], cell["noise"]) for cell in picked]
    assert len(set(keys)) == 12
    assert (keys[0], keys[-1]) == ((0, 0), (1.0, 0.8))
