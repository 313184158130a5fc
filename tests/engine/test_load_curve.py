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


CLASSES_MIXED = {
    "untrained": ([0.34, 0.45, 0.57, 0.61, 0.61, 0.56, 0.5, 0.55, 0.47], "not trained yet"),
    "untrained, with chance on its side": (
        [0.34, 0.35, 0.35, 0.42, 0.42, 0.5, 0.42, 0.42, 0.11],
        "not trained yet",
    ),
    "the newcomer's: the logits alone": (
        [0.4, 0.9, 0.5, 0.8, 0.6, 0.38, -6.0],
        "only the logits separate the classes",
    ),
    "docs/data, batch size 5": (
        [1.81, 1.45, 1.11, 1.18, 1.6, 2.28, 3.01, 3.36, 3.39],
        "the hidden layers mix the classes again",
    ),
    "the same, were its logits better": (
        [1.81, 1.45, 1.11, 1.18, 1.6, 2.28, 3.01, 3.36, 0.5],
        "only the logits separate the classes",
    ),
    "a gap at the logits": ([0.0, 0.3, -0.2, 0.25, -0.003, None], "not trained yet"),
    "logits without any spread": (
        [0.0, 0.3, -0.2, 0.25, -0.003, -math.inf],
        "only the logits separate the classes",
    ),
}


@pytest.mark.parametrize("name", CLASSES_MIXED)
def test_the_reason_says_where_the_classes_are_furthest_apart(name: str) -> None:
    curve, reason = CLASSES_MIXED[name]
    shape = statistics(curve, logits=True)
    assert (shape.regime, shape.reason, shape.words) == ("unclear", reason, reason)
    assert math.isnan(shape.cv)
    assert math.isnan(shape.asymmetry)


def test_once_training_is_over_nothing_is_called_untrained() -> None:
    curve = [0.34, 0.45, 0.57, 0.61, 0.61, 0.56, 0.5, 0.55, 0.47]
    assert statistics(curve, logits=True, ended=True).reason == "no layer separates the classes"


def test_an_error_above_its_bound_makes_any_curve_unclear() -> None:
    straight = [3.0, 2.0, 1.0, 0.0]
    for error in (None, math.nan, 0.0, 0.15):
        assert statistics(straight, logits=False, error=error).words == "balanced"
    for error in (0.1501, math.inf):
        shape = statistics(straight, logits=False, error=error)
        assert (shape.regime, shape.reason) == ("unclear", "the error of the curve is too large")
        assert math.isnan(shape.cv)
    mixed = [0.34, 0.45, 0.57, 0.61, 0.47]
    assert statistics(mixed, logits=True, error=9.0).reason == "not trained yet"  # which says more


def test_a_net_drop_of_a_tenth_of_the_ups_and_downs_is_none() -> None:
    """Up 4.5 and down 5.5 is a tenth of all that it goes."""
    assert statistics([1.0, 5.5, 0.0], logits=False).regime == "unclear"
    assert statistics([1.0, 5.4, 0.0], logits=False).regime == "concave"


def test_a_chain_is_spoken_of_as_a_chain() -> None:
    assert (
        statistics([1.0, 9.0, -9.0, 9.0, 0.0], logits=False, chain=True).words
        == "the blocks have lost their order"
    )
    assert statistics([1.0, 1.0, 1.0, 0.0], logits=False, chain=True).words == "shallow layers lazy"


@pytest.mark.parametrize(
    ("curve", "reason"),
    [([], "two hidden"), ([1.0, 0.0, -1.0], "two hidden"), ([1.0, None, 0.5, 0.0], "missing or not finite")],
)
def test_a_curve_without_loads_says_so(curve: list[float | None], reason: str) -> None:
    assert reason in statistics(curve, logits=True).reason


def test_where_a_class_token_joins_the_first_load_alone_makes_no_regime() -> None:
    """A vision transformer at chance: D falls from the mean over tokens at the input to the class token."""
    at_chance = [2.23, 1.48, 1.53, 1.52, 1.55, 1.55, 1.53, 1.57]
    assert statistics(at_chance, logits=True).regime == "convex"
    shape = statistics(at_chance, logits=True, joins=True)
    assert (shape.regime, shape.reason) == ("unclear", "no layer after the first separates the classes")
    assert math.isnan(shape.cv)
    untrained = [2.23, 1.62, 1.68, 1.5, 1.55, 1.48, 1.39, 1.46, 1.44, 1.75]
    assert statistics(untrained, logits=True, joins=True).reason == shape.reason
    trained = [2.2, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.2]
    assert statistics(trained, logits=True, joins=True) == statistics(trained, logits=True)
    flat = statistics([2.2, 2.1, 2.3, 2.25, 2.2], logits=False, joins=True)
    assert flat.reason == "not trained yet"
