"""Advice: measured by a trial, predicted by a map that describes the network, or none, and said which."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.measures.load_curve import LoadStatistics, statistics
from engine.settings.fields import make
from engine.settings.recipes import RECIPES
from engine.settings.train import TrainConfig
from engine.twin import two_hands
from engine.twin.advice import _CURVATURE, Advice, Outlook, advise, in_words, map_asymmetry, outlook
from engine.twin.maps import PRESETS, TwinMap
from engine.twin.trial import Trial, Tried, Turn, relevant_settings, turns

DIGITS = make(TrainConfig, {**RECIPES["digits"].settings, "batch_size": 2560})
SLOPE = Turn("negative_slope", 0.8, 0.6)


def shape_of(asymmetry: float) -> LoadStatistics:
    return statistics(curve_of(asymmetry), logits=True)


def curve_of(asymmetry: float) -> list[float | None]:
    """D_0 … D_7 of six hidden layers, and the logits'."""
    loads = [1 + asymmetry] * 3 + [1 - asymmetry] * 3 + [2.0]
    return [3.0 - sum(loads[:i]) for i in range(len(loads) + 1)]


def tried(asymmetries: list[float | None], turn: Turn | None = None, accuracy: float = 0.9, **more: Any) -> Tried:
    known = turn or Turn("", math.nan, math.nan)
    return Tried(
        knob=known.knob,
        before=known.before,
        after=known.after,
        curves=[None if a is None else curve_of(a) for a in asymmetries],
        accuracies=[None if a is None else accuracy + 0.01 * i for i, a in enumerate(asymmetries)],
        **more,
    )


def trial(base: list[float | None], *others: Tried, epochs: int = 100, **more: Any) -> Trial:
    base_of = tried(base, **more)
    return Trial(
        settings=relevant_settings(DIGITS), epochs=epochs, wanted_epochs=100, seeds=[0, 1, 2], base=base_of,
        tried=list(others),
    )  # fmt: skip


# measured


def test_a_trial_names_the_setting_both_values_the_change_its_error_and_the_accuracy() -> None:
    found = advise(shape_of(0.63), trial=trial([0.61, 0.6, 0.59], tried([0.12, 0.13, 0.14], SLOPE, accuracy=0.92)))
    assert found.sentence == (
        "The deep layers are lazy. More nonlinearity, negative_slope 0.6 instead of 0.8, moves it towards "
        "balance: in networks trained anew from 3 seeds to epoch 100, asymmetry +0.60 became +0.13 "
        "(-0.47 ± 0.01) and test accuracy changed by +2.0 ± 0.0 points."
    )
    assert (found.knob, found.before, found.after, found.source) == ("negative_slope", 0.8, 0.6, "measured")
    assert found.measured_change == pytest.approx(-0.47)
    assert found.error == pytest.approx(0.02 / math.sqrt(3))
    assert found.accuracy_change == pytest.approx(0.02)
    assert found.predicted_change is None


def test_where_the_best_step_costs_accuracy_the_best_that_does_not_is_named_too() -> None:
    costly, other = tried([0.1, 0.11, 0.09], SLOPE, 0.8), tried([0.3, 0.31, 0.29], Turn("dropout", 0.2, 0.1))
    said = advise(shape_of(0.63), trial=trial([0.6, 0.61, 0.59], costly, other))
    assert said.knob == "negative_slope"
    assert said.sentence.endswith(
        "Without such a loss: less dropout, 0.1 instead of 0.2: asymmetry +0.60 became +0.30 (-0.30 ± 0.00), "
        "test accuracy +0.0 ± 0.0 points."
    )
    alone = advise(shape_of(0.63), trial=trial([0.6, 0.61, 0.59], costly)).sentence
    assert alone.endswith("Every step that was tried and helps costs test accuracy.")


def test_where_depth_is_advised_the_best_of_another_setting_is_named_too() -> None:
    depth, noise = tried([0.1, 0.11, 0.09], Turn("depth", 8, 4)), Turn("data_noise", 0.8, 0.4)
    said = advise(shape_of(0.63), trial=trial([0.6, 0.61, 0.59], depth, tried([0.34, 0.35, 0.33], noise, 0.926)))
    assert said.knob == "depth"
    assert said.sentence.endswith(
        "With the same depth: less data noise, 0.4 instead of 0.8: asymmetry +0.60 became +0.34 (-0.26 ± 0.00), "
        "test accuracy +2.6 ± 0.0 points."
    )
    alone = advise(shape_of(0.63), trial=trial([0.6, 0.61, 0.59], depth)).sentence
    assert alone.endswith("No other setting helps.")
    costly = tried([0.1, 0.11, 0.09], Turn("depth", 8, 4), 0.87)
    once = advise(
        shape_of(0.63), trial=trial([0.6, 0.61, 0.59], costly, tried([0.34, 0.35, 0.33], noise))
    ).sentence
    assert once.count("less data noise") == 1


def test_the_numbers_of_a_sentence_add_up() -> None:
    """Also where a further seed of the network itself has no partner among the step's."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        base, better = rng.uniform(0.5, 0.7, 3), rng.uniform(0.1, 0.2, 3)
        made = trial([*base, 0.99], tried([*better, None], SLOPE))
        made = msgspec.structs.replace(made, seeds=[0, 1, 2, 3])
        said = advise(shape_of(0.83), trial=made).sentence
        then, now, change = map(float, re.findall(r"asymmetry (\S+) became (\S+) \((\S+) ±", said)[0])
        assert round(now - then, 2) == change
        assert then == pytest.approx(base.mean(), abs=0.0051)
        assert now == pytest.approx(better.mean(), abs=0.0051)
        assert "+0.83" not in said  # which is the number of another network, trained further or from one seed


def test_a_full_batch_has_the_number_of_the_setting_in_force() -> None:
    found = next(turn for turn in turns(DIGITS, 1280) if turn.knob == "batch_size")
    assert in_words(found) == "a smaller batch size, 320 instead of 2560"


def test_changes_that_failed_are_counted_where_none_helps() -> None:
    lost = tried([0.1, 0.11, None], SLOPE, diverged=1)
    said = advise(shape_of(0.63), trial=trial([0.6, 0.61, 0.59], lost))
    assert said.knob is None
    assert "None of the 1 changes" in said.sentence
    assert "1 of them failed with some seed, and are not advised." in said.sentence


def test_it_says_for_what_there_was_no_time() -> None:
    others = [tried([0.13, 0.12, 0.14], SLOPE), tried([0.5, None, None], Turn("lr", 1e-3, 3e-3))]
    said = advise(shape_of(0.6), trial=trial([0.6, 0.61, 0.59], *others, epochs=40)).sentence
    assert said.endswith(
        "For lack of time these networks trained for 40 epochs instead of 100, and 1 of the 2 changes were tried "
        "with fewer than 3 seeds."
    )


@pytest.mark.parametrize(
    ("base", "others", "said", "source"),
    [
        ([0.6, 0.61, 0.59], [[0.6, 0.61, 0.6]], "None of the 1 changes that were tried", "measured"),
        (
            [0.02, 0.01, 0.0],
            [[0.0, 0.0, 0.0]],
            "But networks trained anew from 3 seeds to epoch 100 with its settings come to +0.01",
            "measured",
        ),
        (
            [9.0, -9.0, 9.0],
            [[0.1, 0.1, 0.1]],
            "do not tell what helps: mean of the seeds: the error of the curve is too large",
            "none",
        ),
    ],
)
def test_where_no_step_helps_no_knob_is_named(
    base: list[float | None], others: list[list[float | None]], said: str, source: str
) -> None:
    found = advise(shape_of(0.63), trial=trial(base, *(tried(values, SLOPE) for values in others)))
    assert said in found.sentence
    assert (found.knob, found.before, found.after, found.measured_change) == (None, None, None, None)
    assert found.source == source


def test_a_base_that_diverged_is_said() -> None:
    found = advise(shape_of(0.63), trial=trial([None, None, None], diverged=3))
    assert "do not tell what helps: 3 of 3 seeds diverged" in found.sentence


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([0.0, 0.0, 0.0, 0.0], "Not trained yet"),
        ([4.0, 3.0, 2.0, 1.0, 0.0, 0.0], "share the load"),
        ([6.0, 4.0, 3.9, 3.0, 1.0, 0.9, 0.0, -2.0], "single layers do not"),
    ],
)
@pytest.mark.parametrize("made", [None, trial([0.6, 0.61, 0.59], tried([0.1, 0.11, 0.12], SLOPE))])
def test_a_network_that_is_not_lazy_is_left_alone(curve: list[float], said: str, made: Trial | None) -> None:
    found = advise(statistics(curve, logits=True), trial=made, seen=outlook_of(DIGITS), experiment="try it")
    assert said in found.sentence
    assert found.knob is None
    assert found.source == ("none" if made is None or "Not trained" in said else "measured")
    assert "try it" not in found.sentence


# by a map


def outlook_of(config: TrainConfig, axis: str = "data_noise") -> Outlook:
    found = outlook(msgspec.structs.asdict(config), axis, config.depth - 1, 1280)
    assert found is not None
    return found


@pytest.mark.parametrize("axis", list(two_hands.TWO_HANDS))
def test_a_map_names_a_knob_only_where_it_describes_the_network(axis: str) -> None:
    """It describes a network whose asymmetry it misses by no more than its own r.m.s. error."""
    for slope in (0.0, 0.5, 1.0):
        seen = outlook_of(
            make(TrainConfig, {"negative_slope": slope, axis: two_hands.TWO_HANDS[axis].calm}, DIGITS), axis
        )
        for asymmetry in np.arange(-0.9, 0.91, 0.1):
            found = advise(shape_of(float(asymmetry)), seen=seen, experiment="try it")
            if shape_of(float(asymmetry)).regime not in {"convex", "concave"}:
                continue
            described = abs(seen.now - asymmetry) <= seen.error
            assert ("does not describe" in found.sentence) == (not described)
            assert (found.source == "map") == described
            assert "try it." in found.sentence
            if found.knob is not None:
                assert found.predicted_change is not None
                assert abs(seen.now + found.predicted_change) < abs(seen.now)
                assert found.measured_change is None
                assert f"{found.predicted_change:+.2f}" in found.sentence
                assert "not tried" in found.sentence


def test_what_the_map_misses_by_and_its_own_error_are_said() -> None:
    seen = outlook_of(DIGITS)
    said = advise(shape_of(seen.now - 0.5), seen=seen).sentence
    assert f"predicted {seen.now:+.2f}, off by 0.50; on its own networks off by {seen.error:.2f} r.m.s." in said


def test_a_second_noise_or_one_beyond_the_map_is_said() -> None:
    both = outlook_of(make(TrainConfig, {"data_noise": 0.2, "dropout": 0.1}, DIGITS))
    said = advise(shape_of(0.5), seen=both)
    assert "does not know dropout, so it names no setting" in said.sentence
    assert (said.knob, said.source) == (None, "none")
    far = outlook_of(make(TrainConfig, {"lr": 0.5}, DIGITS), "lr")
    assert "ends at 0.2: beyond it networks mix the classes again" in advise(shape_of(0.5), seen=far).sentence


def test_without_a_map_there_is_no_knob() -> None:
    found = advise(shape_of(0.63), experiment="To find out, run this")
    assert found.sentence == (
        "The deep layers are lazy (asymmetry +0.63). No map knows which setting helps. To find out, run this."
    )
    assert (found.knob, found.source) == (None, "none")
    assert outlook({}, "data_noise", 7) is None
    assert outlook(msgspec.structs.asdict(DIGITS), "temperature", 7) is None


def test_ones_own_map_is_used_for_its_own_noise_alone() -> None:
    own = TwinMap(friction=0.2, friction_per_nonlinearity=0.1, mu_left=0.3, noise=0.05, noise_per_noise=0.0,
                  noise_axis="dropout", rms=0.1)  # fmt: skip
    assert map_asymmetry("dropout", 0.5, 0.1, 7, own) != map_asymmetry("dropout", 0.5, 0.1, 7)
    assert map_asymmetry("data_noise", 0.5, 0.1, 7, own) == map_asymmetry("data_noise", 0.5, 0.1, 7)
    seen = outlook(msgspec.structs.asdict(DIGITS), "dropout", 7, 1280, own)
    assert seen is not None
    assert seen.error == pytest.approx(_CURVATURE * 0.1)
    assert map_asymmetry("dropout", 1.0, 0.1, 7) == two_hands.predicted_asymmetry(1.0, "dropout", 0.1, 7)


def test_the_asymmetry_of_a_bend_is_known_from_its_rms() -> None:
    at = np.arange(2001) / 2000
    bend = 0.1 * at * (1 - at)
    loads = -np.diff(1 - at + bend)
    asymmetry = loads[:1000].sum() - loads[1000:].sum()
    assert abs(asymmetry) / np.sqrt(np.mean(bend**2)) == pytest.approx(_CURVATURE, abs=0.01)


# words


WORDS = {
    ("negative_slope", True): "less nonlinearity", ("negative_slope", False): "more nonlinearity",
    ("batch_size", True): "a larger batch size", ("batch_size", False): "a smaller batch size",
    ("lr", True): "a larger learning rate", ("lr", False): "a smaller learning rate",
    ("dropout", True): "more dropout", ("dropout", False): "less dropout",
    ("data_noise", True): "more data noise", ("data_noise", False): "less data noise",
    ("depth", True): "more layers", ("depth", False): "fewer layers",
}  # fmt: skip


def test_a_direction_in_words_is_that_of_the_setting() -> None:
    """Never that of an axis, which runs from large to small batches."""
    config = make(
        TrainConfig, {"batch_size": 640, "dropout": 0.2, "data_noise": 0.4, "negative_slope": 0.5}, DIGITS
    )
    found = turns(config, 1280)
    assert len(found) == 12
    for turn in found:
        said = in_words(turn)
        assert said.startswith(WORDS[turn.knob, turn.after > turn.before])
        assert f"{turn.after:g} instead of {turn.before:g}" in said
    assert in_words(Turn("batch_size", 640, 128)) == "a smaller batch size, 128 instead of 640"


@pytest.mark.parametrize("batch", [640, 320, 100, 50])
def test_a_map_sends_a_batch_where_its_own_prediction_falls(batch: int) -> None:
    """B1: the word and the number say the same, and the map predicts less |asymmetry| there."""
    for slope in (0.0, 0.3, 0.6, 1.0):
        config = make(TrainConfig, {"batch_size": batch, "negative_slope": slope}, DIGITS)
        seen = outlook_of(config, "batch_size")
        found = advise(shape_of(seen.now), seen=seen)
        if found.knob != "batch_size":
            continue
        assert found.after is not None
        word = "smaller" if found.after < batch else "larger"
        assert f"a {word} batch size, {found.after:g} instead of {batch}" in found.sentence.lower()
        there = map_asymmetry("batch_size", 1 - slope, found.after, 7)
        assert abs(there) < abs(seen.now)


def test_json_has_the_keys_that_are_promised() -> None:
    assert list(msgspec.to_builtins(Advice(sentence="x"))) == [
        "sentence", "knob", "from", "to", "predicted_change", "measured_change", "error", "accuracy_change",
        "source",
    ]  # fmt: skip
    assert re.search(r"[+-]\d", advise(shape_of(0.4), seen=outlook_of(DIGITS)).sentence)
    assert set(PRESETS) == set(two_hands.TWO_HANDS)
