"""Records of schema 2: what their lines hold, what of damaged ones is skipped, what is found between many."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunDirectoryError
from engine.runs.directory import Run
from engine.runs.files import append_line
from engine.runs.listing import open_home
from engine.runs.records import (
    Acknowledged,
    Console,
    Curve,
    Ended,
    Event,
    Gpu,
    Health,
    Scalars,
    Started,
    Usage,
    decode_scalars,
    encode,
    plain,
    read_event,
)
from engine.runs.replay import Replay
from engine.runs.writer import RunWriter
from engine.settings.probe import ProbeConfig

NAN, INF = math.nan, math.inf
MANY = 3000
"""Records of numbers between two others; more than the newest 64 KiB hold."""


@pytest.fixture
def run(home: Path) -> Run:
    return Run.create(open_home(home), ProbeConfig())


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


class TestLines:
    def test_hold_numbers_that_are_not_finite_as_words(self) -> None:
        scalars = Scalars(seq=1, step=3, epoch=0.5, scalars={"a": NAN, "b": INF, "c": -INF, "d": 1})
        shown = json.loads(encode(scalars))
        assert shown == {
            "kind": "scalars", "seq": 1, "time": 0.0, "step": 3, "epoch": 0.5,
            "scalars": {"a": "nan", "b": "inf", "c": "-inf", "d": 1},
        }  # fmt: skip
        assert plain(scalars) == shown
        health = Health(step=3, path="text", layers=["1", "2"], measures={"dead": [NAN, 0.25]})
        shown = json.loads(encode(health))
        assert (shown["path"], shown["measures"]) == ("text", {"dead": ["nan", 0.25]})

    def test_give_back_what_was_written(self) -> None:
        scalars = read_event(encode(Scalars(step=3, scalars={"a": NAN, "b": INF, "c": -INF, "d": 1.5})))
        assert isinstance(scalars, Scalars)
        assert math.isnan(scalars.scalars.pop("a"))
        assert scalars == Scalars(step=3, scalars={"b": INF, "c": -INF, "d": 1.5})
        same: list[Event] = [
            Health(step=3, layers=["1", "2"], measures={"dead": [0.5, INF]}),
            Usage(step=4, cpu=2.5, memory=1 << 30, gpus=[Gpu(index=1, name="x", memory=5, reserved=8)]),
            Usage(),
            Console(offset=77),
            Curve(at=2, step=2, path="image", curves={"trace_ratio": [1.0, None]}),
        ]
        assert [read_event(encode(event)) for event in same] == same
        assert [decode_scalars(encode(event)) for event in same[:-1]] == same[:-1]
        lean = decode_scalars(encode(same[-1]))
        assert lean is not None
        assert lean.path == "image"  # type: ignore[union-attr]

    def test_of_a_curve_hold_null_as_before(self) -> None:
        shown = json.loads(encode(Curve(at=2, step=2, curves={"trace_ratio": [NAN, 1.0]}, scalars={"loss": INF})))
        assert (shown["curves"], shown["scalars"], shown["path"]) == (
            {"trace_ratio": [None, 1.0]},
            {"loss": None},
            "",
        )

    @pytest.mark.parametrize("value", ["abc", "Infinity", "NaN", "", None, True, [1.0], {}])
    def test_with_another_word_or_type_are_skipped(self, value: Any) -> None:
        for damaged in (
            line(kind="scalars", step=1, scalars={"loss": value, "fine": 1.0}),
            line(kind="health", step=1, layers=["1"], measures={"dead": [value]}),
            line(kind="usage", step=1, memory=value if value is not None else -1),
            line(kind="usage", step=1, gpus=[{"index": value}]),
            line(kind="console", offset=value),
        ):
            assert read_event(damaged) is None
            assert decode_scalars(damaged) is None

    def test_of_health_need_a_value_for_each_layer(self) -> None:
        assert read_event(line(kind="health", step=1, layers=["1", "2"], measures={"dead": [0.5]})) is None
        with pytest.raises(ValueError, match="dead: 1 values for 2 layers"):
            Health(step=1, layers=["1", "2"], measures={"dead": [0.5]})

    def test_without_new_fields_are_read_as_those_of_schema_1(self) -> None:
        old = line(
            kind="curve", seq=3, time=1.0, at=2, step=9, curves={"trace_ratio": [1.0]}, scalars={"loss": None}
        )
        assert read_event(old) == Curve(
            seq=3, time=1.0, at=2, step=9, curves={"trace_ratio": [1.0]}, scalars={"loss": None}
        )


class TestSchema:
    def test_of_a_new_run_is_2(self, run: Run) -> None:
        assert json.loads((run.path / "config.json").read_text())["schema"] == 2

    def test_that_is_newer_is_refused(self, run: Run) -> None:
        config = run.path / "config.json"
        config.write_text(config.read_text().replace('"schema": 2', '"schema": 3'))
        with pytest.raises(RunDirectoryError, match="has schema 3; this springtui reads up to 2"):
            run.config()


class TestBetweenManyNumbers:
    """A training may log at every step: what else was recorded is found all the same."""

    def fill(self, run: Run, *last: Event) -> RunWriter:
        """Write a run with many numbers at its end; its writer."""
        writer = run.writer()
        writer.write(Started(pid=1, host="h", settings={}, layers=["input", "1"], total=0))
        writer.write(Curve(at=100, step=100, curves={"trace_ratio": [1.0, 0.5]}, scalars={"cv": 0.25}))
        for event in last:
            writer.write(event)
        lines = [
            encode(Scalars(seq=2 + len(last) + i, time=1.0, step=100 + i, scalars={"loss": 1 / (1 + i)}))
            for i in range(MANY)
        ]
        append_line(run.path / "events.jsonl", b"".join(lines))
        assert (run.path / "events.jsonl").stat().st_size > 3 << 16
        return writer

    def test_a_pause_is_seen(self, run: Run) -> None:
        self.fill(run, Acknowledged(control=1, action="pause", step=100))
        assert run.status() == "paused"

    def test_the_newest_curve_and_number_are_found(self, run: Run) -> None:
        self.fill(run)
        events = run.last_events(64)
        assert [type(event).__name__ for event in events[:3]] == ["Started", "Curve", "Scalars"]
        assert len(events) == 66
        assert [event.seq for event in events] == [0, 1, *range(MANY - 62, MANY + 2)]
        assert len(run.last_events(1)) == 2
        assert run.last_events(1)[-1].seq == MANY + 1

    def test_the_next_record_has_the_next_number(self, home: Path) -> None:
        run = Run.create(open_home(home), ProbeConfig())
        self.fill(run).release()
        writer = run.writer()
        assert writer.write(Ended(reason="finished", at=MANY)).seq == MANY + 2
        writer.release()
        assert run.status() == "finished"


def test_a_replay_reaches_to_the_last_curve_of_any_path() -> None:
    curves = [Curve(at=at, step=at, path=path, curves={}) for at in (0, 5) for path in ("image", "text")]
    replay = Replay([*curves, Scalars(step=9, scalars={"loss": 1.0}), Console(offset=3)])
    assert (replay.recorded, replay.horizon) == (5, 5)
