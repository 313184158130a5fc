"""Long logs in bounded memory: extremes kept, any moment found again, first seen within a few hundred lines."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from pathlib import Path

import pytest
from support.made_runs import SPIKE, make_run, training_records

from engine.runs import files
from engine.runs.directory import Run
from engine.runs.log import RunLog
from engine.runs.records import Acknowledged, Curve, Event, encode
from springtui.follow.follower import Follower
from springtui.state import timeline as module
from springtui.state.history import HISTORY_POINTS
from springtui.state.run_state import RunState
from springtui.state.sampling import LONG, sampled_state
from springtui.state.timeline import Timeline

COUNT = 6000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run(tmp_path, training_records(COUNT))


def filled(path: Path, piece: int = 10_007) -> Timeline:
    log = RunLog(path)
    timeline = Timeline(log, "r")
    while (found := log.read(timeline.offset, piece)).end != timeline.offset:
        timeline.take(found)
    return timeline


def folded(events: list[Event], curves: int) -> RunState:
    """What RunState makes of all records up to and with so many curves."""
    state, seen = RunState("r"), 0
    for event in events:
        if isinstance(event, Curve):
            if seen == curves:
                break
            seen += 1
        state.fold(event)
    return state


def test_the_end_is_what_folding_all_records_gives(folder: Path) -> None:
    view = filled(folder / "events.jsonl").view()
    state = folded(Run(folder).events(), COUNT)
    assert view.state.latest == state.latest
    assert view.state.initial == state.initial
    assert view.state.settings == state.settings
    assert view.state.records == state.records == COUNT + 11
    assert view.curves == COUNT
    assert {name: len(points[0]) <= HISTORY_POINTS for name, points in view.histories.items()} == dict.fromkeys(
        ("train_loss", "train_accuracy", "test_accuracy", "rate"), True
    )
    assert max(view.histories["train_loss"][1]) == SPIKE


@pytest.mark.parametrize("marks", [module.MARKS, 8])
def test_every_moment_is_the_fold_of_the_records_up_to_it(
    folder: Path, marks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where marks are few and far between."""
    monkeypatch.setattr(module, "MARKS", marks)
    events = Run(folder).events()
    timeline = filled(folder / "events.jsonl")
    assert len(timeline._marks) <= marks
    for position in (0, 1, 544, 545, 546, 2999, 3000, COUNT - 2, COUNT - 1, COUNT + 50):
        view, state = timeline.view_at(position), folded(events, min(position, COUNT - 1) + 1)
        assert view.state.latest == state.latest
        assert view.state.settings == state.settings
        assert view.state.initial == state.initial
        assert view.state.layers == state.layers
        at = state.latest.at  # type: ignore[union-attr]
        assert all(x <= at for xs, _ in view.histories.values() for x in xs)
    assert [move.curves for move in timeline.view().moves] == [545 * i for i in range(1, 11)]


def test_a_replay_keeps_the_run_s_own_time(folder: Path) -> None:
    timeline = filled(folder / "events.jsonl")
    assert timeline.position_after(100, 1.001)[0] == 120  # twenty records a second
    position, left = timeline.position_after(100, 0.03)
    assert (position, round(left, 6)) == (100, 0.03)  # not yet a record: it is credited to the next call
    assert timeline.position_after(COUNT - 3, 10.0)[0] == COUNT - 1
    start, seconds = 0, 0.0
    while start < 1000:
        start, left = timeline.position_after(start, 2.0)
        seconds += 2.0 - left
    assert seconds == pytest.approx(start / 20, rel=1e-6)


def test_a_night_s_pause_is_not_waited_for(tmp_path: Path) -> None:
    def late(i: int) -> float:
        return 1e9 + i + (0.0 if i < 5 else 30_000.0)

    events = [Curve(seq=i, time=late(i), at=i, step=i, curves={}) for i in range(10)]
    timeline = filled(make_run(tmp_path, list(events)) / "events.jsonl")
    assert timeline.position_after(4, module.LONGEST_GAP)[0] == 5


def test_what_is_no_record_is_counted_and_passed_over(tmp_path: Path) -> None:
    good = [encode(event) for event in training_records(40)]
    deep = b'{"kind":"curve","at":1,"scalars":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}\n"
    bad = [
        b"\xff\xfe\x00\n", b"{\n", b"[1,2]\n", b'{"kind":"curve","at":"x"}\n', deep,
        b'{"kind":"curve","at":1e999}\n', b'{"kind":"curve","at":3,"scalars":{"train_loss":NaN}}\n',
        b'{"kind":"curve","at":' + b"9" * 400 + b"}\n", b"\n",
    ]  # fmt: skip
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(good[:20] + bad + good[20:]) + b'{"kind":"curve","at":7')
    timeline = filled(path, 333)
    view = timeline.view()
    assert view.damaged == len(bad) - 1  # an empty line is nothing
    assert view.curves == 40
    assert view.state.latest is not None
    assert view.state.latest.at == 39
    assert timeline.view_at(30).state.latest is not None


def test_a_line_without_end_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LINE_LIMIT", 10_000)
    path = tmp_path / "events.jsonl"
    good = b"".join(encode(event) for event in training_records(5))
    path.write_bytes(good + b"x" * 200_000 + b"\n" + good)
    tracemalloc.start()
    timeline = filled(path, 4096)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150_000
    assert timeline.view().curves == 10


def test_memory_is_bounded_however_long_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARKS", 64)
    peaks = []
    for count in (4000, 16_000):
        path = make_run(tmp_path, training_records(count, moves=3), count) / "events.jsonl"
        tracemalloc.start()
        timeline = filled(path, 1 << 16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert timeline.view().curves == count
    assert peaks[1] < 1.5 * peaks[0]


def test_a_glance_reads_little_and_tells_beginning_and_end(tmp_path: Path) -> None:
    path = make_run(tmp_path, training_records(9000)) / "events.jsonl"
    assert path.stat().st_size > LONG / 2
    state = sampled_state(RunLog(path), "r")
    assert state.records < 1200  # of 9011
    assert state.initial is not None
    assert state.latest is not None
    assert (state.initial.at, state.latest.at) == (0, 8999)
    assert state.layers[0] == "input"
    xs = state.history["train_loss"].x
    assert max(b - a for a, b in itertools.pairwise(xs)) < 9000 / 100  # all along
    assert sampled_state(RunLog(tmp_path / "none"), "r").records == 0


def test_a_follower_shows_a_long_log_before_it_has_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("springtui.follow.follower.LONG", 1 << 18)
    monkeypatch.setattr("springtui.follow.follower.BREATH", 0.02)  # as if the log were far longer
    folder = make_run(tmp_path, training_records(5000))
    follower = Follower(Run(folder))
    follower.start()
    try:
        end = time.monotonic() + 30
        while (early := follower.view()).state.latest is None:
            assert time.monotonic() < end
        assert early.read == 0.0  # the reading begins once the screen has drawn, or has had its time
        follower.drawn()
        assert early.state.latest.at == 4999
        assert early.histories["train_loss"][0][-1] == 4999
        while not follower.complete:
            assert time.monotonic() < end
            time.sleep(0.01)
        view = follower.view()
        assert view.read == 1.0
        assert max(view.histories["train_loss"][1]) == SPIKE
        assert view.state.status in {"unknown", "crashed"}  # its records tell of a worker that nobody sees
        with (folder / "events.jsonl").open("ab") as file:
            file.write(encode(Acknowledged(control=7, action="pause", step=1)))
        while not any(answer.control == 7 for answer in follower.timeline.answers):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        follower.close()
        follower.join()


def test_a_log_that_was_replaced_is_read_from_the_front(tmp_path: Path) -> None:
    folder = make_run(tmp_path, training_records(300))
    follower = Follower(Run(folder))
    follower.start()
    try:
        end = time.monotonic() + 30
        while follower.view().curves < 300:
            assert time.monotonic() < end
            time.sleep(0.01)
        (folder / "events.jsonl").write_bytes(b"".join(encode(event) for event in training_records(20)))
        while follower.view().curves != 20:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        follower.close()
        follower.join()
