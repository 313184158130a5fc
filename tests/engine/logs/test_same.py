"""Which logs are taken for the same training."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.logs.batch import Batch
from engine.logs.same import Candidate, Sketch, same_trainings, short_name
from engine.logs.series import Series, series_of

HERE = Path("/logs/a")


def losses(count: int, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [math.exp(-n / count) + chance.random() / 10 for n in range(count)]


def candidate(
    kind: str, tags: dict[str, Series], folder: Path = HERE, pieces: int = 1, cuts: dict[str, int] | None = None
) -> Candidate:
    """A run that was read in so many batches, and cut at last."""
    sketch = Sketch()
    for n in range(pieces):
        parts = {}
        for tag, points in tags.items():
            part = slice(n * len(points) // pieces, (n + 1) * len(points) // pieces)
            parts[tag] = Series(points.step[part], points.value[part], points.time[part])
        sketch.take(Batch(points=parts))
    sketch.take(Batch(cuts=cuts or {}))
    return Candidate(kind, folder, sketch)


def same(*candidates: Candidate) -> dict[int, int]:
    return same_trainings(dict(enumerate(candidates)))


def series(values: Sequence[float], start: int = 0, time: float | None = None) -> Series:
    steps = range(start, start + len(values))
    return series_of(
        list(steps), list(values), math.nan if time is None else [time + n for n in range(len(values))]
    )


def single(values: Sequence[float]) -> list[float]:
    return np.array(values, dtype=np.float32).tolist()


def test_names_that_loggers_write_differently_are_one() -> None:
    assert {short_name(tag) for tag in ("train/loss", "train_loss", "Loss", "loss", "training.loss")} == {"loss"}
    assert {short_name(tag) for tag in ("val/Loss", "valid_loss", "eval-loss", "validation loss")} == {"eval_loss"}
    assert short_name("train") == "train"


def test_single_precision_and_printed_digits_are_the_same_training() -> None:
    values = losses(500)
    whole = candidate("csv", {"train_loss": series(values)})
    in_single = candidate("tensorboard", {"train/loss": series(single(values), time=1e9)}, pieces=7)
    printed = candidate("console", {"loss": series([float(f"{v:.4f}") for v in values])})
    assert same(whole, in_single) == {0: 1}
    assert same(whole, printed) == {1: 0}
    assert same(whole, in_single, printed).keys() == {0, 2}


def test_other_seeds_and_other_formats_of_the_same_kind_are_not() -> None:
    mine, other = (series(losses(200, seed)) for seed in (0, 1))
    assert not same(candidate("csv", {"loss": mine}), candidate("tensorboard", {"loss": other}))
    assert not same(candidate("csv", {"loss": mine}), candidate("csv", {"loss": mine}, HERE / "b"))


def test_schedules_and_counters_are_no_evidence() -> None:
    rates = series([1e-3 * (1 - n / 97) for n in range(97)])
    epochs = series([n / 97 for n in range(97)])
    tags = {"learning_rate": rates, "epoch": epochs, "train/lr-AdamW": rates}
    assert not same(candidate("csv", tags), candidate("tensorboard", tags))


def test_whole_numbers_and_constants_are_no_evidence() -> None:
    for values in (list(range(50)), [0.25] * 50, [0.5, 0.25] * 25):
        points = {"reward": series([float(v) for v in values])}
        assert not same(candidate("csv", points), candidate("tensorboard", points))


def test_far_folders_and_other_times_are_other_trainings() -> None:
    values = losses(100)
    mine = candidate("csv", {"loss": series(values, time=1e9)})
    assert same(mine, candidate("lines", {"loss": series(values, time=1e9 + 0.5)}))
    assert not same(mine, candidate("lines", {"loss": series(values, time=1e9 + 500)}))
    assert not same(mine, candidate("lines", {"loss": series(values)}, Path("/elsewhere/b/c/d/e")))


def test_undated_logs_lie_in_each_other_or_have_the_same_name() -> None:
    values = losses(100)
    dated = series(values, time=1e9)
    for mine, theirs, is_one in (
        ("logs", "logs", True),
        ("out", "out/runs/a", True),
        ("csv/version_0", "tb/version_0", True),
        ("csv/version_0", "tb/version_1", False),
        ("first", "second", False),
    ):
        one = candidate("csv", {"loss": series(values)}, HERE / mine)
        other = candidate("tensorboard", {"loss": dated}, HERE / theirs)
        assert bool(same(one, other)) == is_one
    apart = [candidate(kind, {"loss": dated}, HERE / kind) for kind in ("csv", "tensorboard")]
    assert same(*apart)


def test_a_log_of_the_whole_goes_before_those_of_its_parts() -> None:
    values = losses(3000)
    whole = candidate("huggingface", {"loss": series(values[::10])})
    extra = {"extra": series([1.0] * 9000)}
    first = candidate("tensorboard", {"train/loss": series(single(values[:2000:10]))} | extra, HERE / "runs" / "a")
    steps = series_of(list(range(150, 300)), single(values[1500::10]))
    second = candidate("tensorboard", {"train/loss": steps} | extra, HERE / "runs" / "b")
    assert same(whole, first, second) == {1: 0, 2: 0}


def test_a_training_that_went_another_way_after_its_resume_is_still_one() -> None:
    values, other = losses(40), losses(40, 1)
    whole = candidate("huggingface", {"loss": series(values[:15] + other[15:])})
    first = candidate("tensorboard", {"loss": series(values[:22])})
    assert same(whole, first) == {1: 0}


def test_other_steps_in_the_same_order_are_the_same_training() -> None:
    values = losses(60)
    calls = series(values)
    steps = series_of([10 * (n + 1) for n in range(60)], values)
    assert same(candidate("wandb", {"train/loss": calls}), candidate("huggingface", {"loss": steps}))


def test_what_was_cut_and_logged_again_counts_as_it_stands() -> None:
    values, other = losses(100), losses(100, 1)
    cut = candidate("tensorboard", {"loss": series(values[:60] + other[60:])}, cuts={"loss": 60})
    cut.sketch.take(Batch(points={"loss": series(values[60:], 60)}))
    assert same(candidate("csv", {"loss": series(values)}), cut)
    cut.sketch.take(Batch(anew=True, points={"loss": series(other)}))
    assert not same(candidate("csv", {"loss": series(values)}), cut)


def test_what_was_printed_is_kept_last() -> None:
    values = losses(40)
    printed = candidate("console", {"loss": series(values, time=1e9), "more": series(losses(40, 1))})
    assert same(printed, candidate("csv", {"loss": series(values[:30], time=1e9)})) == {0: 1}


def test_a_thousand_runs_in_two_formats_are_told_apart() -> None:
    runs = []
    for n in range(300):
        values = losses(30, n)
        folder = HERE / f"run-{n}"
        runs += [
            candidate("csv", {"loss": series(values)}, folder),
            candidate("tensorboard", {"loss": series(single(values), time=1e9)}, folder),
        ]
    assert same(*runs) == {n: n + 1 for n in range(0, 600, 2)}


def test_many_tags_keep_a_bounded_sketch() -> None:
    values = losses(50)
    tags = {f"layer/{n}/norm": series(losses(50, n)) for n in range(500)} | {"loss": series(values)}
    mine, other = candidate("csv", tags), candidate("tensorboard", dict(reversed(tags.items())))
    assert len(mine.sketch.samples) == 32
    assert mine.sketch.samples.keys() == other.sketch.samples.keys()
    assert same(mine, other)
