"""Advice that is followed: |asymmetry| falls by more than its error. Two starts here, twelve in benchmarks."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import pytest

ADVICE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "advice.py"))
SMALL: dict[str, dict[str, Any]] = {
    "noisy": {"negative_slope": 0.3, "data_noise": 0.5, "lr": 5e-3, "batch_size": 64, "depth": 5, "width": 40},
    "linear": {"negative_slope": 0.9, "data_noise": 0.3, "batch_size": 32, "depth": 6, "width": 40, "epochs": 30},
}


@pytest.mark.slow
@pytest.mark.parametrize("start", SMALL)
def test_following_the_advice_moves_towards_balance(start: str) -> None:
    found = ADVICE["follow"]({"epochs": 40, **SMALL[start]}, seed=7)
    assert found.knob
    assert abs(found.end) < abs(found.start)
    assert found.holds, found
    assert found.said * found.start < 0  # it said so with the right sign


def test_what_does_not_hold_is_seen() -> None:
    made = ADVICE["Followed"]
    good = made("lr", 1e-3, 3e-3, -0.3, 0.02, start=0.6, end=0.3, error=0.02, accuracy_change=0.0, seconds=1.0)
    assert good.holds
    assert good.fall == pytest.approx(0.3)
    assert not good._replace(end=-0.7).holds
    assert not good._replace(error=0.4).holds
    assert not good._replace(end=math.nan).holds


def test_the_twelve_starts_are_twelve_and_have_those_of_the_report() -> None:
    starts = ADVICE["STARTS"]
    assert len(starts) == 12
    assert len({repr(sorted(start.items())) for start in starts}) == 12
    for reported in (
        {"negative_slope": 0.8, "data_noise": 0.2, "epochs": 100},
        {"negative_slope": 0.0, "data_noise": 0.6, "dropout": 0.3, "epochs": 100},
        {"negative_slope": 0.8, "data_noise": 0.6, "epochs": 100},
        {"batch_size": 640, "epochs": 60},
    ):
        assert reported in starts
