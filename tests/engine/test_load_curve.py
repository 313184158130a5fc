"""Statistics of load curves against curves whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.measures.load_curve import loads, statistics


def test_a_straight_line_is_balanced() -> None:
    shape = statistics([3.0, 2.0, 1.0, 0.0, -9.0], logits=True)
    assert shape.cv == 0.0
    assert shape.asymmetry == 0.0
    assert shape.regime == "balanced"


@pytest.mark.parametrize(
    ("curve", "regime", "sign"), [([4, 4, 4, 2, 0], "concave", -1), ([4, 2, 0, 0, 0], "convex", 1)]
)
def test_the_two_lazy_regimes(curve: list[float], regime: str, sign: int) -> None:
    shape = statistics(curve, logits=False)
    assert shape.regime == regime
    assert shape.asymmetry == sign
    assert shape.cv == pytest.approx(1.0)


def test_the_middle_layer_counts_for_neither_half() -> None:
    assert statistics([3.0, 2.0, 1.0, 0.0], logits=False).asymmetry == 0.0
    assert statistics([5.0, 4.0, 2.0, 0.0], logits=False).asymmetry == pytest.approx(-1 / 5)


@pytest.mark.parametrize("curve", [[1.0, None, 0.0], [1.0, 1.0, 1.0], [], [1.0]])
def test_what_cannot_be_told_is_unclear(curve: list[float | None]) -> None:
    shape = statistics(curve, logits=False)
    assert shape.regime == "unclear"
    assert math.isnan(shape.cv)


@pytest.mark.parametrize(
    ("curve", "regime"),
    [
        ([0.0, 0.3, -0.2, 0.25, -0.003], "unclear"),  # untrained: ups and downs that all but cancel
        ([0.0, -0.3, 0.2, -0.1, 0.4], "unclear"),  # it rises
        ([0.003, 0.002, 0.001, 0.0], "balanced"),  # little, and yet all of it is a drop
        ([1.0, 1.05, 0.9, 0.2, 0.0], "concave"),  # a layer that mixes the classes a little
    ],
)
def test_a_drop_that_its_own_ups_and_downs_drown_is_not_told(curve: list[float | None], regime: str) -> None:
    assert statistics(curve, logits=False).regime == regime


def test_loads_sum_to_the_drop() -> None:
    curve = np.random.default_rng(0).normal(size=9)
    assert loads(curve.tolist()).sum() == pytest.approx(curve[0] - curve[-1])
