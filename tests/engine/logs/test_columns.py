"""What a run's batches amount to, batch by batch."""

from __future__ import annotations

import random

import numpy as np

from engine.logs.batch import Batch
from engine.logs.columns import Columns
from engine.logs.series import Series, series_of


def random_batches(seed: int, count: int = 120) -> list[Batch]:
    """Batches of few or many points, with cuts and new beginnings among them."""
    chance = random.Random(seed)
    batches = []
    for _ in range(count):
        batch = Batch(anew=chance.random() < 0.01)
        if chance.random() < 0.1:
            batch.cuts[chance.choice("ab")] = chance.randrange(2000)
        for tag in chance.sample("abc", chance.randrange(4)):
            size = chance.choice((0, 1, 1, 1, 7, 90))
            steps = [chance.randrange(2000) for _ in range(size)]
            batch.points[tag] = series_of(steps, [chance.random() for _ in steps], chance.random())
        batches.append(batch)
    return batches


def test_columns_are_what_the_batches_say() -> None:
    for seed in range(3):
        columns, plain = Columns(), dict[str, list[tuple[int, float, float]]]()
        chance = random.Random(seed)
        for batch in random_batches(seed):
            columns.take(batch)
            if batch.anew:
                plain.clear()
            for tag, step in batch.cuts.items():
                if tag in plain:
                    plain[tag] = [point for point in plain[tag] if point[0] < step]
            for tag, points in batch.points.items():
                plain.setdefault(tag, []).extend(rows(points))
            if chance.random() < 0.1:
                assert {tag: rows(columns.series(tag)) for tag in columns.tags} == plain
            for tag, known in plain.items():
                start = chance.randrange(len(known) + 2)
                assert rows(columns.points(tag, start)) == known[start:]
                assert columns.count(tag) == len(known)
        assert len(columns) == sum(map(len, plain.values()))


def rows(points: Series) -> list[tuple[int, float, float]]:
    return list(zip(points.step.tolist(), points.value.tolist(), points.time.tolist(), strict=True))


def test_what_was_given_stays_as_it_was() -> None:
    columns = Columns()
    columns.take(Batch(points={"a": series_of([1, 2], [1.0, 2.0])}))
    given = columns.series("a")
    for n in range(3, 100):
        columns.take(Batch(points={"a": series_of([n], [float(n)])}))
    columns.take(Batch(cuts={"a": 1}, points={"a": series_of([7], [7.0])}))
    assert given.value.tolist() == [1.0, 2.0]
    assert columns.series("a").value.tolist() == [7.0]


def test_a_batch_of_one_point_does_not_cost_an_array() -> None:
    columns = Columns()
    whole = np.arange(10_000)
    for n in whole.tolist():
        columns.take(Batch(points={"a": Series(whole[n : n + 1], whole[n : n + 1] / 2.0, whole[n : n + 1] + 0.5)}))
    points = columns.points("a")
    assert points.step.tolist() == whole.tolist()
    assert points.step.base is not None
    assert points.step.base.size <= 2 * len(whole)
