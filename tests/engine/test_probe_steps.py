"""Numbers that a training gives its steps: whatever they are, the training goes on and a step has one curve."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import ProbeWarning
from engine.probe.load_probe import LoadProbe
from engine.probe.steps import StepNumbers
from engine.runs.directory import Run
from engine.runs.records import Curve

Y = torch.arange(64) % 4
X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + 3 * nn.functional.one_hot(Y, 16)


def made(every: int) -> LoadProbe:
    return LoadProbe(nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4)), X, Y, every=every)


def measured(probe: LoadProbe) -> list[int]:
    assert probe.path is not None
    return [event.step for event in Run(probe.path).events() if isinstance(event, Curve)]


def test_each_epoch_counted_from_one(home: Path) -> None:
    probe = made(5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            for step in range(1, 11):
                probe.step(step=step)
    probe.close()
    (said,) = caught
    assert "step = 1 goes back: the step before was 10. The load probe counts it as step 11" in str(said.message)
    assert said.filename == __file__
    assert measured(probe) == [0, 5, 10, 15, 20, 25, 30]


def test_a_fall_alone_measures_nothing(home: Path) -> None:
    probe = made(5)
    probe.step(step=7)
    with pytest.warns(ProbeWarning, match="goes back"):
        probe.step(step=2)
    assert measured(probe) == [0, 7]


def test_the_same_number_twice_is_no_fall() -> None:
    numbers = StepNumbers()
    assert [*numbers.take(3), *numbers.take(3), *numbers.take(4)] == []
    assert numbers.now == 4


@pytest.mark.parametrize("given", ["a", math.nan, math.inf, torch.tensor([1, 2]), [1], object()])
def test_what_is_no_number_counts_as_the_next_step(given: Any, home: Path) -> None:
    probe = made(2)
    with pytest.warns(ProbeWarning, match=r"is no number of a step .*allowed: a whole number >= 0.*as step 1"):
        probe.step(step=given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe.step(step=given)
    assert measured(probe) == [0, 2]


def test_a_tensor_of_one_number() -> None:
    numbers = StepNumbers()
    assert numbers.take(torch.tensor(5)) == []
    assert numbers.now == 5
