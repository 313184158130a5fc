"""Words when something happens to a layer, on made-up sequences of measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from engine.measures.registry import DEAD, EFFECTIVE_RANK, GRAD_NORM, SATURATED, SCALE, UPDATE_RATIO
from engine.probe.events import (
    Events,
    above,
    collapsed,
    exploding,
    idle,
    joined,
    next_to_none,
    not_finite,
    vanishing,
)
from engine.settings.probe import ProbeConfig

NAN = math.nan
NAMES = ["input", *(f"blocks.{i}" for i in range(1, 13)), "logits"]


def curve(loads: Sequence[float]) -> list[float]:
    """D_0 … D_L, from 5 downwards by the loads."""
    points = [5.0]
    for load in loads:
        points.append(points[-1] - load)
    return points


EVEN = curve([0.5] * 13)


class Tower:
    """Events of twelve blocks between input and logits, with measurements at multiples of 1000."""

    def __init__(self, **limits: Any) -> None:
        self.events = Events(NAMES, ProbeConfig(**{"note_measurements": 1, **limits}), logits=True)
        self.step = -1000
        self.over: list[str] = []
        """The sentences of the last measurement on what is gone."""

    def see(
        self, d: Sequence[float] = EVEN, clear: bool = True, **health: Mapping[int, float] | Sequence[float]
    ) -> list[str]:
        """The warnings of one more measurement; health by name, for all points or for some."""
        self.step += 1000
        full = {
            name: [values.get(i, 1.0) for i in range(14)] if isinstance(values, Mapping) else list(values)
            for name, values in health.items()
        }
        events = self.events.see(self.step, d, clear=clear, health=full)
        self.over = [event.text for event in events if event.level == "info"]
        return [event.text for event in events if event.level == "warning"]


class TestNoLoad:
    LAZY = curve([0.5] * 8 + [0.01, -0.02, 0.0, 0.03] + [1.0])

    def test_layers_in_a_row_are_one_sentence_with_the_step_since_when(self) -> None:
        tower = Tower(idle_measurements=3)
        for _ in range(4):
            assert tower.see() == []
        assert [tower.see(self.LAZY) for _ in range(5)] == [
            [],
            [],
            ["blocks 9 to 12 carry no load since step 4000"],
            [],
            [],
        ]

    def test_is_said_again_only_after_it_was_gone(self) -> None:
        tower = Tower(idle_measurements=1)
        idle_again = curve([0.5] * 8 + [0.07] + [0.5] * 4)  # of a mean of .46: above the limit, not yet gone
        assert tower.see(curve([0.5] * 8 + [0.01] + [0.5] * 4)) == ["blocks.9 carries no load since step 0"]
        assert tower.see(idle_again) == []
        assert tower.see(curve([0.5] * 8 + [0.01] + [0.5] * 4)) == [], "it hovered at the limit"
        assert tower.see() == []
        assert tower.see(curve([0.5] * 8 + [0.01] + [0.5] * 4)) == ["blocks.9 carries no load since step 4000"]

    def test_counts_measurements_in_a_row(self) -> None:
        tower = Tower(idle_measurements=2)
        assert tower.see(self.LAZY) == []
        assert tower.see() == []
        assert tower.see(self.LAZY) == []
        assert tower.see(self.LAZY) == ["blocks 9 to 12 carry no load since step 2000"]

    def test_of_a_curve_that_means_nothing_nothing_is_said(self) -> None:
        tower = Tower(idle_measurements=1)
        assert tower.see(self.LAZY, clear=False) == []
        assert tower.see(curve([-0.5] * 13)) == [], "no net drop"
        assert tower.see([5.0] * 14) == []

    def test_equal_shares_of_many_layers_are_loads(self) -> None:
        looks = idle(curve([0.01] * 200), logits=False, clear=True, limit=0.1)
        assert not any(one.holds for one in looks)
        assert len(looks) == 201

    def test_the_logits_are_left_out(self) -> None:
        looks = idle(curve([0.5, 0.5, 0.0]), logits=True, clear=True, limit=0.1)
        assert [one.holds for one in looks] == [False] * 4
        assert math.isnan(looks[-1].value)

    def test_all_layers_without_load_are_named_together(self) -> None:
        loads = [0.5] * 13
        for layer in (2, 3, 7):
            loads[layer - 1] = 0.0
        tower = Tower(idle_measurements=1)
        assert tower.see(curve(loads)) == ["blocks 2 and 3, and blocks.7 carry no load since step 0"]
        loads[9] = 0.0
        assert tower.see(curve(loads)) == ["blocks 2 and 3, blocks.7, and blocks.10 carry no load since step 1000"]
        assert tower.see(curve(loads)) == []

    def test_one_layer_with_all_the_load_is_named(self) -> None:
        """As in a vision transformer whose first block does the work: the loads of the others vary about 0."""
        ups_and_downs = [0.05, -0.06, 0.05, 0.04, -0.05, 0.06, 0.0, -0.02, 0.01, -0.04, 0.03]
        tower = Tower(idle_measurements=2)
        d = curve([2.8, *ups_and_downs, 0.1])
        assert tower.see(d) == []
        assert tower.see(d) == ["all the load is in blocks.1; blocks 2 to 12 carry next to none since step 0"]
        assert tower.see(curve([2.6, *ups_and_downs[::-1], 0.1])) == []

    def test_several_layers_with_all_the_load_are_named(self) -> None:
        d = curve([1.0, 0.9, *[0.02] * 5, 1.1, *[-0.01] * 4, 0.1])
        assert Tower(idle_measurements=1).see(d) == [
            "all the load is in blocks 1 and 2, and blocks.8; "
            "blocks 3 to 7 and blocks 9 to 12 carry next to none since step 0"
        ]

    def test_many_small_loads_that_add_up_are_loads(self) -> None:
        assert next_to_none([2.0, *[0.1] * 11], 0.1) == set()
        assert next_to_none([2.0, *[0.01] * 11], 0.1) == set(range(2, 13))
        assert next_to_none([2.0, 1.5, 0.01], 0.1) == set(), "one of three is not most"
        assert next_to_none([], 0.1) == set()


class TestCollapse:
    def test_rank_one_where_the_classes_are_mixed(self) -> None:
        tower, d = Tower(), curve([0.01] * 13)
        ranks = dict.fromkeys(range(14), 6.0)
        assert tower.see(d, effective_rank=ranks) == []
        assert tower.see(d, effective_rank=ranks | {5: 1.02, 6: 1.1}) == [
            "blocks 5 and 6 have collapsed: effective rank 1 since step 1000"
        ]
        assert tower.see(d, effective_rank=ranks | {5: 1.6, 6: 1.6}) == [], "not yet gone"
        assert tower.see(d, effective_rank=ranks | {5: 1.4}) == []
        assert tower.see(d, effective_rank=ranks) == []
        assert tower.see(d, effective_rank=ranks | {5: 1.4}) == [
            "blocks.5 has collapsed: effective rank 1.4 since step 5000"
        ]

    def test_a_low_rank_that_tells_the_classes_apart_is_none(self) -> None:
        """Two classes that are well separated differ in one direction: what training aims at."""
        assert [one.holds for one in collapsed([9.0, 1.0, 1.0], [4.0, -2.0, 2.0], 1.5)] == [False, False, True]

    def test_a_layer_that_carries_the_load_has_not_collapsed(self) -> None:
        """As the first block of a vision transformer that begins to learn: few directions, and a large load."""
        curves = [[2.2, d, *[d - 0.02] * 12] for d in (1.32, 1.12, 0.9, 0.59, 0.12, -0.58)]
        tower = Tower(note_measurements=2)
        assert [tower.see(d, clear=False, effective_rank=[2.4] + [1.29] * 13) for d in curves] == [[]] * 6

    @pytest.mark.parametrize(
        ("points", "holds"),
        [
            ([2.2, 2.0], True),  # no load to speak of
            ([2.2, 1.6], False),  # the layer carries a load
            ([2.2, 1.6, 1.6], False),  # what it separated goes through
            ([2.2, 0.6, 1.6], True),  # the layer gives up what the one before had separated
            ([0.2, -0.1], False),  # the classes are apart from the start
            ([2.2, NAN], True),  # its features are all alike
        ],
    )
    def test_agrees_with_the_load(self, points: list[float], holds: bool) -> None:
        assert collapsed([1.0] * len(points), points, 1.5)[-1].holds is holds

    def test_at_the_limit_it_is_neither_there_nor_gone(self) -> None:
        at_limit = collapsed([1.0, 1.0], [2.2, 1.65], 1.5)[-1]
        assert not at_limit.holds
        assert not at_limit.gone
        assert collapsed([1.0, 1.0], [2.2, 1.5], 1.5)[-1].gone

    def test_input_and_logits_do_not_collapse(self) -> None:
        ranks = {i: 1.0 if i in (0, 13) else 5.0 for i in range(14)}
        assert Tower().see(curve([0.01] * 13), effective_rank=ranks) == []

    def test_unknown_is_no_collapse(self) -> None:
        assert not any(one.holds or one.gone for one in collapsed([NAN, NAN], [1.0, -1.0], 1.5))


class TestGradients:
    FALLING = (NAN, *(10.0 ** (i - 12) for i in range(1, 13)), 1.0)

    def test_vanish_below_a_layer(self) -> None:
        tower = Tower(vanishing_gradient=1e-7)
        assert tower.see(grad_norm=[NAN] + [1.0] * 13) == []
        assert tower.see(grad_norm=self.FALLING) == ["gradients vanish below blocks.5 since step 1000"]
        assert tower.see(grad_norm=self.FALLING) == []

    def test_vanish_below_a_deeper_layer_as_more_follow(self) -> None:
        tower = Tower(vanishing_gradient=1e-7)
        tower.see(grad_norm=self.FALLING)
        worse = [x * (0.01 if i < 7 else 1) for i, x in enumerate(self.FALLING)]
        assert tower.see(grad_norm=worse) == ["gradients vanish below blocks.7 since step 1000"]

    def test_vanish_in_a_layer_between(self) -> None:
        norms = [NAN] + [1.0] * 13
        norms[4] = 1e-9
        assert Tower().see(grad_norm=norms) == ["gradients vanish in blocks.4 since step 0"]

    def test_layers_without_parameters_do_not_split_a_sentence(self) -> None:
        norms = list(self.FALLING)
        norms[3] = NAN
        assert Tower(vanishing_gradient=1e-7).see(grad_norm=norms) == [
            "gradients vanish below blocks.5 since step 0"
        ]

    def test_all_short_is_converged_and_not_vanished(self) -> None:
        assert not any(one.holds for one in vanishing([1e-12, 1e-12, 1e-12], 1e-4))
        assert not any(one.holds for one in vanishing([0.0, 0.0, 0.0], 1e-4))

    def test_a_gradient_of_zero_has_vanished(self) -> None:
        assert [one.holds for one in vanishing([0.0, 1.0], 1e-4)] == [True, False]

    def test_explode_above_their_usual_norm(self) -> None:
        tower = Tower()
        for k in range(6):
            assert tower.see(grad_norm=[1.0 + 0.1 * k] * 14) == []
        assert tower.see(grad_norm={7: 5000.0}) == [
            "gradients explode in blocks.7: 4000 times the usual norm since step 6000"
        ]
        assert tower.see(grad_norm={7: 5000.0}) == []
        assert tower.see(grad_norm=[1.0] * 14) == []
        assert len(tower.see(grad_norm={7: 5000.0})) == 1, "the explosion is not part of what is usual"

    def test_what_is_usual_is_unknown_at_first(self) -> None:
        tower = Tower()
        assert tower.see(grad_norm=[1.0] * 14) == []
        assert tower.see(grad_norm=[1e6] * 14) == []
        assert not exploding([1e6], [NAN], 100.0)[0].holds


class TestFractions:
    def test_dead_and_saturated(self) -> None:
        tower = Tower()
        assert tower.see(dead=[NAN] + [0.1] * 12 + [NAN], saturated=[0.2] * 14) == []
        dead = [NAN] + [0.1] * 12 + [NAN]
        dead[4] = 0.95
        assert tower.see(dead=dead, saturated=[0.2] * 13 + [NAN]) == [
            "blocks.4 is dead: 95 % of its units do not respond since step 1000"
        ]
        assert tower.see(dead=dead, saturated=[NAN] + [0.99] * 2 + [0.1] * 11) == [
            "blocks 1 and 2 are saturated: up to 99 % of their activations since step 2000"
        ]

    def test_a_limit_of_1_is_never_exceeded(self) -> None:
        assert not above([1.0], 1.0)[0].holds


def test_most_must_hold_at_several_measurements_in_a_row() -> None:
    tower = Tower(note_measurements=3)
    dead = [0.0] * 4 + [1.0] + [0.0] * 9
    said = [tower.see(dead=fractions) for fractions in (dead, dead, [0.0] * 14, dead, dead, dead, dead)]
    assert said == [[]] * 5 + [["blocks.4 is dead: 100 % of its units do not respond since step 3000"], []]
    assert len(tower.see(scale={4: math.inf})) == 1, "what is not finite is said at once"


def test_an_unknown_value_changes_nothing() -> None:
    """Neither what was said, nor the count of measurements in a row."""
    tower = Tower(note_measurements=2)
    dead, unknown = [0.0] * 4 + [1.0] + [0.0] * 9, [NAN] * 14
    said = [tower.see(dead=fractions) for fractions in (dead, unknown, unknown, dead, unknown, dead)]
    assert said == [[]] * 3 + [["blocks.4 is dead: 100 % of its units do not respond since step 0"], [], []]


class TestRecovery:
    def test_is_said_once_and_only_of_what_was_said(self) -> None:
        tower, dead = Tower(note_measurements=2), [0.0] * 4 + [1.0] * 2 + [0.0] * 8
        for fractions, over in (
            (dead, []),
            ([0.0] * 14, []),  # it was never said
            (dead, []),
            (dead, []),
            ([NAN] * 14, []),
            ([0.0] * 4 + [0.85] * 2 + [0.0] * 8, []),  # not yet gone
            ([0.0] * 14, ["blocks 4 and 5 are no longer dead since step 6000"]),
            ([0.0] * 14, []),
        ):
            tower.see(dead=fractions)
            assert tower.over == over

    def test_of_a_collapse_ends_where_the_layer_separates_the_classes(self) -> None:
        tower, ranks = Tower(), [5.0, 1.1, *[5.0] * 12]
        assert tower.see(curve([0.0] * 13), effective_rank=ranks) == [
            "blocks.1 has collapsed: effective rank 1.1 since step 0"
        ]
        assert tower.see(curve([1.0] + [0.0] * 12), clear=False, effective_rank=ranks) == []
        assert tower.over == ["blocks.1 is no longer collapsed since step 1000"]

    def test_each_condition_has_words(self) -> None:
        tower = Tower(idle_measurements=1)
        for _ in range(5):
            tower.see(grad_norm=[1.0] * 14)
        loads = [0.5] * 13
        loads[3] = loads[8] = 0.0
        said = tower.see(
            curve(loads),
            grad_norm=[1.0] * 3 + [1e-9] + [1.0] * 3 + [5000.0] + [9000.0] * 6,
            dead=[0.0] * 3 + [1.0] + [0.0] * 10,
            saturated=[0.0] * 3 + [1.0] + [0.0] * 10,
            scale=[1.0] * 5 + [math.inf] + [1.0] * 8,
        )
        assert len(said) == 6
        tower.see(grad_norm=[1.0] * 14, dead=[0.0] * 14, saturated=[0.0] * 14, scale=[1.0] * 14)
        assert [text.removesuffix(" since step 6000") for text in tower.over] == [
            "the values of blocks.5 are finite again",
            "blocks.4 and blocks.9 carry load again",
            "gradients no longer vanish in blocks.3",
            "gradients no longer explode in blocks.7 to logits",
            "blocks.3 is no longer dead",
            "blocks.3 is no longer saturated",
        ]
        tower.see([5.0, 4.0, NAN, NAN] + [1.0] * 10, clear=False)
        tower.see()
        assert tower.over == ["the features of blocks 2 and 3 differ again since step 8000"]


class TestNotFinite:
    def test_any_infinite_measure(self) -> None:
        looks = not_finite([1.0, math.inf, NAN], [1.0, NAN, NAN])
        assert [one.holds for one in looks] == [False, True, False]
        assert [one.gone for one in looks] == [True, False, False]

    def test_all_layers_are_one_sentence(self) -> None:
        tower = Tower()
        d = [5.0] + [NAN] * 13
        said = tower.see(d, clear=False, scale=[1.0] + [math.inf] * 13, effective_rank=[5.0] + [NAN] * 13)
        assert said == ["blocks.1 to logits have values that are not finite since step 0"]
        assert tower.see(d, clear=False, scale=[1.0] + [math.inf] * 13) == []

    def test_without_health_a_curve_that_is_unknown(self) -> None:
        assert Tower().see([5.0, 4.0, NAN, NAN] + [1.0] * 10, clear=False) == [
            "blocks 2 and 3 have features that are all alike, or not finite since step 0"
        ]


def test_a_tower_is_named() -> None:
    limits = ProbeConfig(dead_units=0.5, note_measurements=1)
    events = Events(["input", "a", "b", "c"], limits, logits=False, path="text")
    said = events.see(7, [3.0, 2.0, 1.0, 0.0], clear=True, health={DEAD: [NAN, 0.6, 0.1, 0.1]})
    assert said == [("text: a is dead: 60 % of its units do not respond since step 7", "warning")]
    said = events.see(8, [3.0, 2.0, 1.0, 0.0], clear=True, health={DEAD: [NAN, 0.1, 0.1, 0.1]})
    assert said == [("text: a is no longer dead since step 8", "info")]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["fc2"], "fc2"),
        (["conv1", "conv2"], "conv1 and conv2"),
        (["conv1", "conv2", "fc1"], "conv1 to fc1"),
        (["encoder.layers.3", "encoder.layers.4"], "encoder.layers 3 and 4"),
        (["encoder.layers.3", "encoder.layers.4", "encoder.layers.5"], "encoder.layers 3 to 5"),
        (["a.3", "b.4", "b.5"], "a.3 to b.5"),
        (["5"], "layer 5"),
        (["5", "7"], "layers 5 and 7"),
        (["1", "4", "7"], "layers 1 to 7"),
        (["a.3", "b.4"], "a.3 and b.4"),
    ],
)
def test_layers_that_follow_each_other(names: list[str], words: str) -> None:
    assert joined(names) == words


def test_the_words_know_the_registered_measures() -> None:
    """Each is read by some condition."""
    tower = Tower()
    bad = {
        GRAD_NORM: math.inf,
        UPDATE_RATIO: math.inf,
        DEAD: 1.0,
        SATURATED: 1.0,
        SCALE: math.inf,
        EFFECTIVE_RANK: 0.0,
    }
    for name, value in bad.items():
        health = {name: [1.0] * 3 + [value] + [1.0 if name not in (DEAD, SATURATED) else 0.0] * 10}
        if name == EFFECTIVE_RANK:
            health[name] = [5.0] * 3 + [value] + [5.0] * 10
        assert Tower().see(curve([0.01] * 13), **health), name
    assert tower.see() == []
