"""What the screen knows, folded from records alone."""

from __future__ import annotations

import itertools
import math

from engine.runs.records import Acknowledged, Curve, Ended, Started
from springtui.state.run_state import HISTORY_POINTS, History, RunState, signed_curve


def started() -> Started:
    return Started(pid=1, host="h", settings={"lr": 0.1}, layers=["in", "1"], total=100, time=10.0)


def curve(at: int, time: float) -> Curve:
    return Curve(
        at=at,
        step=at,
        time=time,
        curves={"trace_ratio": [1.0, 0.0]},
        scalars={"rate": 10.0, "train_loss": None},
    )


def test_a_run_from_start_to_end() -> None:
    state = RunState("r")
    assert state.status == "starting"
    for event in (started(), curve(0, 10.0), curve(20, 12.0)):
        state.fold(event)
    assert state.status == "running"
    assert state.initial is not None
    assert state.initial.at == 0
    assert state.seconds_left == 8.0
    assert state.elapsed == 2.0
    assert "train_loss" not in state.history
    state.fold(Acknowledged(control=1, action="set", step=5, settings={"lr": 0.2}))
    assert state.settings["lr"] == 0.2
    state.fold(Acknowledged(control=2, action="pause", step=5))
    assert state.status == "paused"
    state.fold(Acknowledged(control=3, action="set", step=5, error="lr too large", settings={"lr": 9.0}))
    assert state.settings["lr"] == 0.2
    assert state.refused == "lr too large"
    state.fold(Ended(reason="finished", text="done"))
    state.worker_is_gone()
    assert state.status == "finished"
    assert state.seconds_left is None


def test_a_worker_gone_without_a_word_has_crashed() -> None:
    state = RunState("r")
    state.fold(started())
    state.worker_is_gone()
    assert state.status == "crashed"


def test_echoes_are_spaced_in_time_and_few() -> None:
    state = RunState("r")
    for i in range(1000):
        state.fold(curve(i, 10.0 + i * 0.05))
    assert len(state.echoes) == 3
    times = [echo.time for echo in state.echoes]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 1.5


def test_a_long_history_is_bounded_current_and_keeps_its_extremes() -> None:
    history = History()
    for i in range(100_000):
        history.add(i, {31_337: 50.0, 77_777: -50.0}.get(i, math.sin(i / 500)))
    assert len(history.x) <= HISTORY_POINTS
    assert (history.x[0], history.x[-1]) == (0, 99_999)
    assert dict(zip(history.x, history.y, strict=True))[31_337] == max(history.y) == 50.0
    assert dict(zip(history.x, history.y, strict=True))[77_777] == min(history.y) == -50.0
    assert history.x == sorted(history.x)
    gaps = [b - a for a, b in itertools.pairwise(history.x)]
    assert max(gaps) <= 4 * 100_000 / HISTORY_POINTS  # nowhere is a part left out
    until = history.until(50_000)[0]
    assert until == [x for x in history.x if x <= 50_000]


def test_a_short_history_is_kept_whole() -> None:
    history = History()
    for i in range(500):
        history.add(i, i % 7)
    assert history.x == list(range(500))
    assert history.y == [i % 7 for i in range(500)]


def test_inverse_fuzziness_is_turned_round() -> None:
    record = Curve(at=0, step=0, curves={"inverse_fuzziness": [1.0, None], "fuzziness": [2.0, 1.0]})
    assert signed_curve(record, "inverse_fuzziness") == [-1.0, None]
    assert signed_curve(record, "fuzziness") == [2.0, 1.0]
