"""Trials of other settings: the steps, the statistics over seeds, the choice, the file, and the training."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.datasets.load import load_dataset
from engine.ensemble.member import Group, MemberTrainer, member_of
from engine.errors import ConfigError, DivergedError, RunError
from engine.measures.load_curve import statistics
from engine.networks.trainer import Measurement
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Acknowledged, Curve, Ended, Started
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.probe import ProbeConfig
from engine.settings.recipes import RECIPES
from engine.settings.train import TrainConfig
from engine.twin import experiment
from engine.twin.comparison import changes, choice
from engine.twin.experiment import Experiment, Progress
from engine.twin.trial import (
    KNOBS,
    MORE_SEEDS,
    SEEDS,
    Start,
    Trial,
    Tried,
    Turn,
    epochs_of,
    further,
    is_for,
    relevant_settings,
    save_trial,
    start_of,
    trial_of,
    turned,
    turns,
)

LAB = make(TrainConfig, {**RECIPES["digits"].settings, "epochs": 5000, "early_stop": False})
SMALL = make(
    TrainConfig, {"dataset": "digits", "train_size": 200, "depth": 5, "width": 12, "batch_size": 50, "epochs": 4}
)


def curve_of(asymmetry: float) -> list[float | None]:
    """D_0 … D_7 of six hidden layers whose load curve has this asymmetry, and the logits'."""
    loads = [1 + asymmetry] * 3 + [1 - asymmetry] * 3 + [2.0]
    return [3.0 - sum(loads[:i]) for i in range(len(loads) + 1)]


def tried(
    asymmetries: Sequence[float | None], turn: Turn | None = None, accuracies: Sequence[float | None] | None = None
) -> Tried:
    return Tried(
        knob=turn.knob if turn else "",
        before=turn.before if turn else None,
        after=turn.after if turn else None,
        curves=[None if a is None else curve_of(a) for a in asymmetries],
        accuracies=list(accuracies or [None if a is None else 0.9 for a in asymmetries]),
    )


def made_trial(base: Tried, *others: Tried, config: TrainConfig = LAB, epochs: int = 100) -> Trial:
    return Trial(
        settings=relevant_settings(config), epochs=epochs, wanted_epochs=100, seeds=[0, 1, 2], base=base,
        tried=list(others),
    )  # fmt: skip


SLOPE, BATCH, DEPTH = Turn("negative_slope", 0.8, 0.6), Turn("batch_size", 640, 160), Turn("depth", 8, 6)


# the steps


def test_the_labs_settings_are_moved_both_ways_and_one_way_at_a_bound() -> None:
    found = {(turn.knob, turn.after) for turn in turns(LAB, 1280)}
    assert found == {
        ("negative_slope", 0.2), ("batch_size", 32), ("batch_size", 512), ("lr", 3e-4), ("lr", 3e-3),
        ("dropout", 0.1), ("data_noise", 0.2), ("depth", 6), ("depth", 10),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "knob", "values"),
    [
        ({"negative_slope": 0.9}, "negative_slope", [0.7, 1.0]),
        ({"negative_slope": 1.0}, "negative_slope", [0.8]),
        ({"batch_size": 2560}, "batch_size", [320]),  # 1280 samples: a full batch
        ({"batch_size": 640}, "batch_size", [160, 1280]),
        ({"batch_size": 3}, "batch_size", [2, 12]),
        ({"batch_size": 1}, "batch_size", [8]),
        ({"lr": 2e-3}, "lr", [5e-4, 5e-3]),
        ({"lr": 10.0}, "lr", [3.0]),
        ({"dropout": 0.05}, "dropout", [0.0, 0.15]),
        ({"dropout": 0.95}, "dropout", [0.85]),
        ({"data_noise": 1.0}, "data_noise", [0.8]),
        ({"depth": 5}, "depth", [4, 7]),
        ({"depth": 4}, "depth", [6]),
        ({"depth": 2}, "depth", [4]),
        ({"depth": 256}, "depth", [254]),
    ],
)
def test_steps_end_at_bounds(settings: dict[str, Any], knob: str, values: list[float]) -> None:
    config = make(TrainConfig, settings, LAB)
    found = [turn for turn in turns(config, 1280) if turn.knob == knob]
    assert [turn.after for turn in found] == values
    for turn in found:
        assert getattr(turned(config, turn.knob, turn.after), knob) == turn.after


def test_each_step_is_allowed_and_goes_away_from_the_start() -> None:
    for settings in ({}, {"lr": 1e-9, "batch_size": 1280}, {"negative_slope": 0.05, "dropout": 0.99}):
        config = make(TrainConfig, settings, LAB)
        found = turns(config, 1280)
        assert {turn.knob for turn in found} == set(KNOBS)
        for turn in found:
            assert turn.after != turn.before
            more = further(turn, 1280)
            if more is not None:
                assert (more.after - turn.after) * (turn.after - turn.before) > 0
                turned(config, more.knob, more.after)


def test_a_further_step_ends_at_the_bound() -> None:
    assert further(Turn("negative_slope", 0.8, 0.6), 1280) == Turn("negative_slope", 0.8, 0.4)
    assert further(Turn("negative_slope", 0.1, 0.0), 1280) is None
    assert further(Turn("batch_size", 640, 1280), 1280) is None
    assert further(Turn("lr", 1e-3, 3e-3), 1280) == Turn("lr", 1e-3, 1e-2)


# statistics and choice


def test_changes_are_paired_by_seed_and_their_errors_are_those_of_the_differences() -> None:
    base = tried([0.6, 0.5, 0.4], accuracies=[0.90, 0.91, 0.92])
    slope = tried([0.2, 0.12, 0.04], SLOPE, accuracies=[0.91, 0.93, 0.95])
    (found,) = changes(made_trial(base, slope))
    assert (found.knob, found.before, found.after, found.seeds) == ("negative_slope", 0.8, 0.6, 3)
    assert found.asymmetry == pytest.approx(0.12)
    assert found.change == pytest.approx(-0.38)
    assert found.error == pytest.approx(0.02 / math.sqrt(3))  # differences -.40, -.38, -.36
    assert found.fall == pytest.approx(0.38)
    assert found.accuracy_change == pytest.approx(0.02)
    assert found.accuracy_error == pytest.approx(0.01 / math.sqrt(3))


MIXED: list[float | None] = [0.0, -1.0, -2.0, -1.0, -0.5, -0.1, 0.2, -2.0]
"""A curve whose hidden layers mix the classes again: it has no asymmetry."""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"curves": [curve_of(0.1), curve_of(0.11), None], "diverged": 1}, "1 of 3 seeds diverged"),
        (
            {"curves": [curve_of(0.1), curve_of(0.11), MIXED]},
            "1 of 3 seeds: the hidden layers mix the classes again",
        ),
        ({"curves": [None] * 3, "accuracies": [None] * 3, "diverged": 3}, "3 of 3 seeds diverged"),
        (
            {"curves": [curve_of(0.1), None, MIXED], "diverged": 1},
            "1 of 3 seeds diverged, 1 of 3 seeds: the hidden layers mix the classes again",
        ),
        ({"errors": [0.01, 0.16, 0.01]}, "1 of 3 seeds: the error of the curve is too large"),
        (
            {"curves": [curve_of(a) for a in (8.0, -8.0, 2.0)]},
            "mean of the seeds: the error of the curve is too large",
        ),
        (
            {"curves": [None] * 3, "accuracies": [None] * 3, "refused": "depth = 4 does not fit"},
            "refused: depth = 4 does not fit",
        ),
    ],
)
def test_a_step_that_fails_with_a_seed_is_said_and_not_advised(change: dict[str, Any], said: str) -> None:
    lost = msgspec.structs.replace(tried([0.1, 0.11, 0.09], SLOPE), **change)
    other = tried([0.5, 0.51, 0.49], BATCH)
    found = changes(made_trial(tried([0.6, 0.61, 0.59]), lost, other))
    assert [one.trouble for one in found] == [said, ""]
    best = choice(found)
    assert best is not None
    assert best.knob == "batch_size"
    assert choice(found[:1]) is None


def test_no_standard_error_comes_from_fewer_than_three_seeds() -> None:
    base = tried([0.6, 0.61, 0.59])
    two = tried([0.1, 0.11, None], SLOPE)
    (found,) = changes(made_trial(base, two))
    assert (found.seeds, found.trained, found.trouble) == (2, 2, "")
    assert math.isnan(found.error)
    assert math.isnan(found.accuracy_error)
    assert choice([found]) is None


def test_steps_for_which_there_was_no_time_are_left_out() -> None:
    assert changes(made_trial(tried([0.6, 0.61, 0.59]), tried([None, None, None], SLOPE))) == []


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [
        ({SLOPE: [0.89, 0.90, 0.91], BATCH: [0.9, 0.91, 0.92]}, BATCH),  # -1.0 ± 0 points, and no loss
        ({SLOPE: [0.895, 0.912, 0.918], BATCH: [0.9, 0.91, 0.92]}, SLOPE),  # a loss below its error
        ({SLOPE: [0.89, 0.90, 0.91], BATCH: [0.89, 0.90, 0.91]}, SLOPE),  # both cost
        ({SLOPE: [0.89, 0.90, 0.91], DEPTH: [0.9, 0.91, 0.92]}, SLOPE),  # the other helps far less
    ],
)
def test_of_steps_that_help_about_as_much_one_that_does_not_cost_accuracy_is_chosen(
    accuracies: dict[Turn, list[float | None]], chosen: Turn
) -> None:
    """Certain falls of .4, .3 and .2 or so: about as much is two thirds of the best."""
    after = {SLOPE: [0.2, 0.21, 0.19], BATCH: [0.3, 0.31, 0.29], DEPTH: [0.4, 0.41, 0.39]}
    base = tried([0.6, 0.61, 0.59], accuracies=[0.9, 0.91, 0.92])
    steps = [tried(after[turn], turn, found) for turn, found in accuracies.items()]
    best = choice(changes(made_trial(base, *steps)))
    assert best is not None
    assert Turn(best.knob, best.before, best.after) == chosen


def test_three_seeds_that_agree_by_chance_are_not_believed() -> None:
    """The least standard deviation is the median over all steps."""
    base = tried([0.5, 0.5, 0.5])
    same = tried([0.4, 0.4, 0.4], SLOPE)
    noisy = [tried([0.5 - d, 0.5, 0.5 + d], Turn("lr", 1e-3, value)) for d, value in ((0.1, 3e-3), (0.2, 3e-4))]
    errors = [found.error for found in changes(made_trial(base, same, *noisy))]
    assert errors == pytest.approx([0.1 / math.sqrt(3), 0.1 / math.sqrt(3), 0.2 / math.sqrt(3)])


@pytest.mark.parametrize(
    ("after", "chosen"),
    [
        ({SLOPE: [0.12, 0.10, 0.14], BATCH: [0.3, 0.31, 0.29]}, SLOPE),
        ({SLOPE: [-0.5, -0.52, -0.48], BATCH: [0.3, 0.31, 0.29]}, BATCH),  # beyond balance counts by what is left
        ({SLOPE: [0.66, 0.64, 0.65], BATCH: [0.7, 0.71, 0.69]}, None),  # both the wrong way
        ({SLOPE: [0.1, 0.9, 0.7], BATCH: [0.59, 0.6, 0.61]}, None),  # by less than its error; by nothing
        # counted by what is certain: a fall of .10 ± .13, and one of .06 ± .01
        ({SLOPE: [0.3, 0.75, 0.45], BATCH: [0.54, 0.56, 0.52], DEPTH: [0.7, 0.71, 0.7]}, BATCH),
        ({SLOPE: [0.1, None, None], BATCH: [0.5, 0.51, 0.49]}, BATCH),  # one seed has no error
        ({SLOPE: [None, None, None]}, None),
    ],
)
def test_the_choice_is_the_step_that_comes_nearest_to_balance_by_more_than_two_errors(
    after: dict[Turn, list[float | None]], chosen: Turn | None
) -> None:
    trial = made_trial(tried([0.6, 0.61, 0.59]), *(tried(values, turn) for turn, values in after.items()))
    best = choice(changes(trial))
    assert (None if best is None else Turn(best.knob, best.before, best.after)) == chosen


def test_a_concave_network_is_as_well_served_as_a_convex_one() -> None:
    base, better = [0.6, 0.61, 0.59], [0.2, 0.22, 0.21]
    up = choice(changes(made_trial(tried(base), tried(better, SLOPE))))
    down = choice(changes(made_trial(tried([-a for a in base]), tried([-a for a in better], SLOPE))))
    assert up is not None and down is not None  # noqa: PT018
    assert (up.change, up.fall, up.error) == pytest.approx((-down.change, down.fall, down.error))


# the file


def made_run(home: Path, config: Any = LAB, *events: Any) -> Run:
    run = Run.create(open_home(home), config)
    writer = run.writer()
    if isinstance(config, TrainConfig):
        settings = msgspec.structs.asdict(config)
        writer.write(Started(pid=1, host="h", settings=settings, layers=["input", "logits"], total=config.epochs))
    for event in events:
        writer.write(event)
    writer.release()
    return run


def test_a_trial_is_read_as_it_was_saved(home: Path) -> None:
    run, trial = made_run(home), made_trial(tried([0.6, None, 0.4]), tried([0.1, 0.2, None], SLOPE))
    assert trial_of(run) is None
    save_trial(run, trial)
    assert trial_of(run) == trial
    assert [path.name for path in run.path.iterdir() if "trial" in path.name] == ["trial.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: b"{", "truncated"),
        (lambda _: b"[" * 100_000, "damaged"),
        (lambda _: b"\xff\xfe", "damaged"),
        (lambda found: {**found, "epochs": 0}, "epochs"),
        (lambda found: {**found, "seeds": [0, 1]}, "one entry for each seed"),
        (lambda found: {**found, "tried": [{**found["tried"][0], "knob": "width"}]}, "'width' is none of"),
        (lambda found: {**found, "tried": [{**found["tried"][0], "after": 7.0}]}, "negative_slope = 7.0"),
        (lambda found: {**found, "tried": [{**found["tried"][0], "before": None}]}, "negative_slope = None"),
    ],
)
def test_a_damaged_trial_is_refused_by_name_with_the_remedy(home: Path, change: Any, said: str) -> None:
    run = made_run(home)
    save_trial(run, made_trial(tried([0.6, 0.5, 0.4]), tried([0.1, 0.2, 0.3], SLOPE)))
    content = change(json.loads(run.trial_path.read_bytes()))
    run.trial_path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(ConfigError, match=rf"trial\.json is damaged.*springtui twin {run.id} --try") as caught:
        trial_of(run)
    assert said in str(caught.value)


def test_a_trial_is_of_the_epochs_for_which_it_would_train_now() -> None:
    settings = msgspec.structs.asdict(LAB)
    assert epochs_of(settings, 5, has_finished=False) == 5
    assert epochs_of(settings, 2000, has_finished=False) == 100
    assert epochs_of({**settings, "epochs": 60}, 25, has_finished=True) == 60
    assert epochs_of({**settings, "epochs": 60}, 25, has_finished=False) == 25


def test_a_trial_of_an_older_version_has_no_errors(home: Path) -> None:
    run, trial = made_run(home), made_trial(tried([0.6, 0.5, 0.4]), tried([0.1, 0.2, 0.3], SLOPE))
    save_trial(run, trial)
    content = json.loads(run.trial_path.read_bytes())
    for one in (content["base"], *content["tried"]):
        del one["errors"], one["refused"]
    run.trial_path.write_text(json.dumps(content))
    assert trial_of(run) == trial


def test_a_trial_is_for_settings_that_matter() -> None:
    trial, settings = made_trial(tried([0.6, 0.5, 0.4])), msgspec.structs.asdict(LAB)
    assert is_for(trial, settings)
    assert is_for(trial, {**settings, "linear_probes": True, "epochs": 7, "threads": 2, "hold": 9})
    assert is_for(trial, json.loads(json.dumps(settings)))
    for name, value in {"negative_slope": 0.1, "lr": 2e-3, "seed": 5, "width": 50, "dataset": "mnist"}.items():
        assert not is_for(trial, {**settings, name: value}), name
    assert not is_for(trial, {})


# where it begins


def curve_at(epoch: int) -> Curve:
    return Curve(at=epoch, step=epoch, curves={})


def test_it_begins_from_the_settings_in_force_and_ends_at_the_runs_epoch(home: Path) -> None:
    moved = Acknowledged(control=1, action="set", step=9, settings={"negative_slope": 0.4})
    refused = Acknowledged(control=2, action="set", step=9, settings={"lr": 5.0}, error="no")
    run = made_run(home, LAB, curve_at(30), moved, refused, curve_at(40))
    start = start_of(run)
    assert (start.config.negative_slope, start.config.lr, start.epochs) == (0.4, 1e-3, 40)
    assert start_of(made_run(home, LAB, curve_at(2000))).epochs == 100
    anew = Curve(at=530, step=530, curves={}, scalars={"epochs": 30})  # of a network that began anew at 500
    assert start_of(made_run(home, LAB, curve_at(500), anew)).epochs == 30
    with pytest.raises(RunError, match="has not trained for an epoch yet"):
        start_of(made_run(home, LAB, curve_at(500), msgspec.structs.replace(anew, at=500, scalars={"epochs": 0})))


def test_a_run_whose_loss_no_longer_changed_is_repeated_to_its_last_epoch(home: Path) -> None:
    config = make(TrainConfig, {"epochs": 60}, LAB)
    ended = Ended(reason="finished", text="converged after 25 epochs", at=25)
    assert start_of(made_run(home, config, curve_at(25), ended)).epochs == 60
    stopped = Ended(reason="stopped", at=25)
    assert start_of(made_run(home, config, curve_at(25), stopped)).epochs == 25


def test_what_cannot_be_tried_is_said(home: Path) -> None:
    with pytest.raises(RunError, match="has not trained for an epoch yet"):
        start_of(made_run(home, LAB, curve_at(0)))
    for config, kind in ((ChainConfig(), "chain"), (ProbeConfig(), "probe")):
        with pytest.raises(ConfigError, match=f"is a {kind} run"):
            start_of(made_run(home, config))


# the training


@pytest.fixture(scope="module")
def trained() -> Trial:
    trial = Experiment(Start(SMALL, 4), seconds=0.0).run()
    assert trial is not None
    return trial


def test_every_step_is_trained_from_every_seed(trained: Trial) -> None:
    wanted = {(turn.knob, turn.before, turn.after) for turn in turns(SMALL, 200)}
    assert wanted <= {(one.knob, one.before, one.after) for one in trained.tried}
    assert trained.seeds[:SEEDS] == [0, 1, 2]
    for one in (trained.base, *trained.tried):
        assert all(curve is not None and len(curve) > 3 for curve in one.curves[:SEEDS])
        assert all(accuracy is not None and 0 <= accuracy <= 1 for accuracy in one.accuracies[:SEEDS])
    assert {len(curve or []) for curve in trained.base.curves} == {6}
    assert trained.seeds == list(range(len(trained.base.curves)))
    assert trained.epochs == trained.wanted_epochs == 4
    assert is_for(trained, msgspec.structs.asdict(SMALL))


@pytest.mark.parametrize(
    ("knob", "seed"), [("", 0), ("", 2), ("negative_slope", 1), ("batch_size", 0), ("depth", 2)]
)
def test_its_networks_are_those_that_training_gives(trained: Trial, knob: str, seed: int) -> None:
    """Bit for bit: the same settings and seed, whatever else is trained at the same time."""
    one = trained.base if not knob else next(found for found in trained.tried if found.knob == knob)
    config = SMALL if one.after is None else turned(SMALL, knob, one.after)
    config = make(TrainConfig, {"seed": seed}, config)
    group = Group(config, load_dataset(config))
    trainer, work = MemberTrainer(group, member_of(config)), group.workspace()
    for _ in range(4):
        trainer.run_epoch(work)
    measured = trainer.measure()
    assert one.curves[seed] == measured.curves["trace_ratio"]
    assert one.accuracies[seed] == measured.scalars["test_accuracy"]


def test_it_is_cancelled_between_steps() -> None:
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > 20

    assert Experiment(Start(SMALL, 100), seconds=0.0, stop=stop).run() is None


def test_networks_that_compiled_code_does_not_train_are_trained_too() -> None:
    config = make(TrainConfig, {"activation": "tanh", "optimizer": "sgd", "lr": 0.1}, SMALL)
    trial = Experiment(Start(config, 1), seconds=0.0).run()
    assert trial is not None
    assert {one.knob for one in trial.tried} == set(KNOBS)
    assert all(None not in one.curves[:SEEDS] for one in trial.tried)


def test_a_step_that_diverges_is_counted_and_not_chosen() -> None:
    config = make(TrainConfig, {"lr": 10.0, "init_scale": 1000.0, "early_stop": False}, SMALL)
    trial = Experiment(Start(config, 2), seconds=0.0).run()
    assert trial is not None
    for one in (trial.base, *trial.tried):
        assert one.diverged == sum(curve is None for curve in one.curves) or one.diverged > 0


# time, with a clock that only training moves


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def time(self) -> float:
        return time.time()


class FakeNetwork:
    """Trains at a pace set by its settings; each setting has an asymmetry of its own."""

    def __init__(self, config: TrainConfig, clock: Clock, seconds: float) -> None:
        self.config, self.clock, self.seconds = config, clock, seconds
        self.epoch, self.finished = 0, False

    def run_epoch(self, _stop: Callable[[], bool]) -> bool:
        if self.config.lr > 0.004:
            raise DivergedError("too fast")
        self.epoch += 1
        self.clock.now += self.seconds * self.config.depth / 8
        return True

    def measure(self) -> Measurement:
        asymmetry = self.config.negative_slope - 0.001 * self.config.seed + 0.3 * self.config.dropout
        return Measurement({"trace_ratio": [v or 0.0 for v in curve_of(asymmetry)]}, {"test_accuracy": 0.9})


def tried_in(seconds: float, epoch_seconds: float, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Trial:
    clock = Clock()
    monkeypatch.setattr(experiment, "time", clock)
    monkeypatch.setattr(experiment, "core_count", lambda: 1)
    monkeypatch.setattr(experiment, "begin", lambda config: FakeNetwork(config, clock, epoch_seconds))
    config = make(TrainConfig, {"negative_slope": 0.8, "depth": 8, **settings}, SMALL)
    trial = Experiment(Start(config, 100), seconds).run()
    assert trial is not None
    assert trial.seconds == pytest.approx(clock.now)
    return trial


def test_with_time_for_all_of_it_everything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = tried_in(0.0, 1.0, monkeypatch)
    assert trial.epochs == 100
    assert all(None not in one.curves[:SEEDS] for one in trial.tried)
    more = {one.knob for one in trial.tried if None not in one.curves}  # what helped, from further seeds too
    assert more == {"negative_slope"}
    assert len(trial.seeds) == SEEDS + MORE_SEEDS
    assert None not in trial.base.curves
    slopes = [one.after for one in trial.tried if one.knob == "negative_slope"]
    assert slopes == [0.4, 0.6, 1.0]  # the step that helps is taken once more
    best = choice(changes(trial))
    assert best is not None
    assert (best.knob, best.after) == ("negative_slope", 0.4)


def test_where_time_is_short_seeds_are_left_out_first(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = tried_in(30.0, 0.012, monkeypatch)
    assert trial.epochs == 100
    assert trial.seconds <= 31
    assert None not in trial.base.curves
    assert all(one.curves[0] is not None for one in trial.tried)
    assert any(None in one.curves for one in trial.tried)
    best = choice(changes(trial))
    assert best is not None
    assert best.knob == "negative_slope"


def test_and_then_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = tried_in(30.0, 0.03, monkeypatch)
    assert 25 <= trial.epochs < 100
    assert trial.wanted_epochs == 100
    assert trial.seconds <= 31
    best = choice(changes(trial))
    assert best is not None
    assert best.knob == "negative_slope"


def test_what_would_take_far_longer_is_refused_with_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"one network .* takes about 3 minutes .* --seconds \d+"):
        tried_in(30.0, 2.0, monkeypatch)


def test_a_step_that_diverges_costs_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = tried_in(0.0, 0.01, monkeypatch, lr=2e-3)
    (fast,) = (one for one in trial.tried if one.knob == "lr" and one.after == 5e-3)
    assert fast.diverged == 1
    assert set(fast.curves) == {None}


def test_a_further_step_whose_settings_do_not_fit_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(config: TrainConfig) -> FakeNetwork:
        if config.negative_slope == 0.4:
            raise ConfigError("negative_slope = 0.4 does not fit")
        return FakeNetwork(config, clock, 0.01)

    clock = Clock()
    monkeypatch.setattr(experiment, "time", clock)
    monkeypatch.setattr(experiment, "core_count", lambda: 1)
    monkeypatch.setattr(experiment, "begin", begin)
    for start, after in ((0.8, 0.6), (0.6, 0.8)):  # as the second step, and as the first
        config = make(TrainConfig, {"negative_slope": start, "depth": 8}, SMALL)
        trial = Experiment(Start(config, 20), 0.0).run()
        assert trial is not None
        found = {one.after: one for one in trial.tried if one.knob == "negative_slope"}
        assert set(found[0.4].curves) == {None}
        assert found[0.4].refused == "negative_slope = 0.4 does not fit"
        assert None not in found[after].curves[:SEEDS]
        said = {change.after: change.trouble for change in changes(trial) if change.knob == "negative_slope"}
        assert said[0.4] == "refused: negative_slope = 0.4 does not fit"
        assert not said[after]


def test_progress_grows_to_the_end_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    trial = Experiment(Start(SMALL, 30), seconds=0.0, note=seen.append).run()
    assert trial is not None
    assert [at.done for at in seen] == sorted(at.done for at in seen)
    assert all(0 <= at.done <= at.total and at.left >= 0 for at in seen)
    assert seen[-1].total >= SEEDS


def test_statistics_of_made_curves_are_as_meant() -> None:
    assert statistics(curve_of(0.3), logits=True).asymmetry == pytest.approx(0.3)
