"""Numbers, health, usage and several towers, folded into the state of a run, at once and along its timeline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runs.directory import Run
from engine.runs.files import append_line
from engine.runs.listing import open_home
from engine.runs.records import Console, Curve, Event, Health, Note, Scalars, Started, Usage, encode
from engine.settings.probe import ProbeConfig
from springtui.follow.follower import Follower
from springtui.runs.overlay import Overlay
from springtui.state.describe import describe
from springtui.state.layer_history import COLUMNS, LayerHistory
from springtui.state.run_state import RunState
from springtui.state.timeline import Timeline, View

TOWERS = [
    {"path": "image", "layers": ["input", "conv", "logits"], "logits": True},
    {"path": "text", "layers": ["input", "embed"], "logits": False},
]
STEPS = 300


def curve(step: int, path: str, *values: float, **scalars: float) -> Curve:
    return Curve(
        at=step, step=step, time=10.0 + step, path=path, curves={"trace_ratio": [*values]}, scalars=scalars
    )


def events() -> Iterator[Event]:
    """A model of two towers that logs at every second step, and is measured at every tenth."""
    yield Started(
        pid=1, host="h", settings={}, layers=["input", "conv", "logits"], total=0, facts={"towers": TOWERS}
    )
    for step in range(STEPS + 1):
        if step % 2 == 0:
            loss = math.nan if step == 42 else 1 / (1 + step)
            yield Scalars(step=step, time=10.0 + step, epoch=step / 100, scalars={"loss": loss})
        if step % 10 == 0:
            yield curve(step, "image", 3.0, 2.0, 1.0 + step, cv=0.1, loss=0.5)
            yield curve(step, "text", 9.0, 8.0 - step, cv=0.7)
            yield Health(step=step, path="image", layers=["conv"], measures={"dead": [step / STEPS]})
            yield Usage(step=step, cpu=1.0, memory=step)
            yield Console(offset=step)
    yield Scalars(step=STEPS, time=999.0, scalars={"accuracy": 0.5, "gone": math.nan})


@pytest.fixture
def run(home: Path) -> Run:
    run = Run.create(open_home(home), ProbeConfig())
    lines = [encode(event) for event in events()]
    append_line(run.path / "events.jsonl", b"".join(lines))
    return run


@pytest.fixture
def whole(run: Run) -> Timeline:
    timeline = Timeline(run.log(), run.id)
    timeline._stride = 256
    while (piece := run.log().read(timeline.offset, 500)).end != timeline.offset:
        timeline.take(piece)
    return timeline


def folded() -> RunState:
    state = RunState("r")
    for event in events():
        state.fold(event)
    return state


def check(state: RunState) -> None:
    """The state at the end of the run."""
    assert state.main == "image"
    assert state.latest is not None
    assert (state.latest.path, state.at) == ("image", STEPS)
    assert state.latest.curves["trace_ratio"] == [3.0, 2.0, 1.0 + STEPS]
    assert {echo.path for echo in state.echoes} == {"image"}
    assert state.values.keys() == {"cv", "loss", "accuracy", "gone"}
    assert (state.values["loss"], state.values["accuracy"], state.epoch) == (0.5, 0.5, STEPS / 100)
    assert math.isnan(state.values["gone"] or 0.0)
    assert [tower.path for tower in state.towers] == ["image", "text"]
    text = state.of_tower("text")
    assert text.latest is not None
    assert text.initial is not None
    assert text.layers == ["input", "embed"]
    assert (text.latest.path, text.latest.curves["trace_ratio"]) == ("text", [9.0, 8.0 - STEPS])
    assert text.initial.curves["trace_ratio"] == [9.0, 8.0]
    assert {echo.path for echo in text.echoes} == {"text"}
    assert set(text.history["cv"].y) == {0.7}
    assert set(state.history["cv"].y) == {0.1}
    assert state.of_tower("image") is state
    assert state.of_tower("none").latest is None
    steps, rows = state.separations["text"].table("trace_ratio")
    assert steps == list(range(0, STEPS + 1, 10))
    assert rows == [[9.0, 8.0 - step] for step in steps]
    assert state.separations["text"].layers == ["input", "embed"]
    steps, rows = state.health["image"].table("dead")
    assert rows == [[step / STEPS] for step in steps]
    assert state.health["image"].layers == ["conv"]
    assert (state.usage[-1].memory, state.console) == (STEPS, STEPS)


def test_all_kinds_are_folded() -> None:
    check(folded())


def test_a_timeline_has_the_same_state(whole: Timeline) -> None:
    view = whole.view()
    check(view.state)
    assert view.curves == STEPS // 10 + 1, "of the main tower"
    assert whole.damaged == 0


def numbers(view: View, name: str) -> dict[float, float]:
    return dict(zip(*view.histories[name], strict=True))


def test_numbers_stand_at_their_own_steps(whole: Timeline) -> None:
    view = whole.view()
    loss = numbers(view, "loss")
    assert loss[44] == pytest.approx(1 / 45)
    assert 42 not in loss, "a plot shows what is finite"
    assert numbers(view, "accuracy") == {STEPS: 0.5}
    assert numbers(view, "epoch")[150] == 1.5
    assert folded().history["loss"].points() == view.histories["loss"]


@pytest.mark.parametrize("position", range(0, STEPS // 10 + 1, 3))
def test_an_earlier_moment_is_found_again_with_all_towers(whole: Timeline, position: int) -> None:
    step = 10 * position
    view = whole.view_at(position)
    state = view.state
    assert state.latest is not None
    assert (state.latest.path, state.latest.step) == ("image", step)
    text = state.of_tower("text").latest
    assert text is not None
    assert text.step == step
    assert state.health["image"].table("dead")[0][-1] == step
    assert state.separations["image"].table("trace_ratio")[0][-1] == step
    assert step - 10 <= state.console <= step
    assert max(numbers(view, "loss")) == step
    assert state.epoch in {step / 100, (step + 8) / 100}  # what comes before the next curve belongs to it


def test_a_replay_counts_the_curves_of_the_main_tower(whole: Timeline) -> None:
    assert whole.position_after(3, 4.0) == (5, 0.0)  # curves lie 10 s apart, of which a replay waits 2


def test_the_list_of_runs_shows_the_main_tower_and_the_newest_numbers(run: Run) -> None:
    about = describe(run)
    assert about["at"] == STEPS
    assert about["values"] == {"cv": 0.1, "loss": 0.5, "accuracy": 0.5, "gone": None}
    picture = Overlay().read(run, 0)
    assert picture.load_curve == [3.0, 2.0, 1.0 + STEPS]
    assert set(picture.histories["cv"][1]) == {0.1}


def test_a_run_is_followed(run: Run) -> None:
    follower = Follower(run)
    while follower._take_piece() < 0.1:
        pass
    check(follower.view().state)


def test_without_names_the_first_curve_is_of_the_main_tower() -> None:
    state = RunState("r")
    for event in (curve(0, "b", 1.0), curve(0, "a", 2.0), curve(5, "b", 3.0), curve(5, "a", 4.0)):
        state.fold(event)
    assert state.main == "b"
    assert state.latest is not None
    assert state.latest.curves["trace_ratio"] == [3.0]
    assert [tower.path for tower in state.towers] == ["b", "a"]


@pytest.mark.parametrize(
    "towers", [None, "x", [None], [{"path": 3}], [{"layers": []}], [{"path": "a", "layers": "b"}]]
)
def test_odd_names_of_towers_do_no_harm(towers: object) -> None:
    state = RunState("r")
    state.fold(Started(pid=1, host="h", settings={}, layers=["in"], total=0, facts={"towers": towers}))
    state.fold(curve(0, "a", 2.0, 1.0))
    assert state.latest is not None
    assert state.separations["a"].columns


def test_a_newer_curve_goes_before_what_was_logged_earlier() -> None:
    state = RunState("r")
    state.fold(Scalars(step=1, scalars={"loss": 2.0, "accuracy": 0.5}))
    state.fold(curve(2, "", 1.0, loss=1.0))
    assert state.values == {"loss": 1.0, "accuracy": 0.5}
    state.fold(Scalars(step=3, scalars={"loss": 3.0}))
    state.fold(Note(text="so far"))
    assert state.values == {"loss": 3.0, "accuracy": 0.5}


class TestLayersOverTime:
    def test_are_bounded_and_keep_the_first_and_the_newest(self) -> None:
        history = LayerHistory()
        for step in range(10_000):
            history.add(step, ["1", "2"], {"dead": [step, None]})
        steps, rows = history.table("dead")
        assert (steps[0], steps[-1]) == (0, 9999)
        assert len(steps) <= COLUMNS + 1
        assert steps == sorted(set(steps))
        assert max(b - a for a, b in itertools.pairwise(steps)) <= 4 * 10_000 / COLUMNS
        assert [row[0] for row in rows] == steps
        assert all(math.isnan(row[1]) for row in rows)

    def test_may_lack_a_measure_at_some_steps(self) -> None:
        history = LayerHistory()
        history.add(0, ["1"], {"dead": [0.5]})
        history.add(1, ["1"], {"scale": [2.0]})
        assert history.measures == ["dead", "scale"]
        assert history.table("scale") == ([1], [[2.0]])
        assert history.table("other") == ([], [])

    def test_begin_anew_with_other_layers(self) -> None:
        history = LayerHistory()
        history.add(0, ["1"], {"dead": [0.5]})
        history.add(1, ["1", "2"], {"dead": [0.5, 0.25]})
        assert history.table("dead") == ([1], [[0.5, 0.25]])

    def test_up_to_a_step_do_not_grow(self) -> None:
        history = LayerHistory()
        for step in range(10):
            history.add(step, ["1"], {"dead": [step]})
        part = history.until(4)
        history.add(10, ["1"], {"dead": [10]})
        assert part.table("dead")[0] == [0, 1, 2, 3, 4]
        assert history.until(-1).table("dead") == ([], [])
