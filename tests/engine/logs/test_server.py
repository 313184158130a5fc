"""The process that reads logs: what it tells, what the app makes of it, and how both end."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.errors import WorkerError
from engine.logs import wire
from engine.logs.batch import Batch, Remark
from engine.logs.client import LogClient
from engine.logs.foreign import ForeignRun
from engine.logs.series import series_of
from engine.runs.records import Ended, Note, Scalars, Started
from engine.runs.status import Status


def batch() -> Batch:
    """A batch with something in every field."""
    return Batch(
        anew=True,
        cuts={"loss": 3},
        points={"loss": series_of([1, 2], [0.5, math.nan], [10.0, 11.0]), "empty": series_of([], [])},
        settings={"lr": 0.1, "name": "a"},
        remarks=[Remark(None, math.nan, "begun"), Remark(2, 11.0, "resumed here", "resumed")],
        counts={"loss": "epoch"},
        axes={"loss": "epoch"},
        console=b"hello\n\xff",
        problems=Counter({"damaged record": 2}),
        ended="finished",
        name="first",
        read=5,
        size=9,
        more=True,
    )


def sent(*frames: list[bytes | memoryview]) -> io.BytesIO:
    """A stream that holds these frames."""
    return io.BytesIO(b"".join(bytes(piece) for pieces in frames for piece in pieces))


def test_a_batch_arrives_as_it_was_sent() -> None:
    stream = sent(wire.frame(*wire.news(7, batch(), 12.5)), wire.frame(wire.Idle()))
    came = wire.read_frame(stream.readinto)
    assert came is not None
    message, body = came
    assert isinstance(message, wire.News)
    assert (message.number, message.changed) == (7, 12.5)
    found, wanted = wire.batch_of(message, body), batch()
    for name in ("anew", "cuts", "settings", "counts", "axes", "console", "problems", "ended", "name", "more"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert [remark.text for remark in found.remarks] == ["begun", "resumed here"]
    assert found.points.keys() == wanted.points.keys()
    for tag, points in wanted.points.items():
        for column in ("step", "value", "time"):
            np.testing.assert_array_equal(getattr(found.points[tag], column), getattr(points, column))
    assert wire.read_frame(stream.readinto) == (wire.Idle(), bytearray())
    assert wire.read_frame(stream.readinto) is None


@pytest.mark.parametrize("value", ["\ud800 lone", 2**70, {"deep": [-(2**70), "\udfff"]}, float("inf")])
def test_settings_that_messagepack_cannot_hold_arrive_in_some_form(value: object) -> None:
    stream = sent(wire.frame(*wire.news(0, Batch(settings={"odd": value}))))
    came = wire.read_frame(stream.readinto)
    assert came is not None
    assert isinstance(came[0], wire.News)
    assert "odd" in came[0].settings


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(WorkerError, match="frame of"):
        wire.read_frame(io.BytesIO(b"\xff" * 64).readinto)
    whole = b"".join(bytes(piece) for piece in wire.frame(wire.Idle()))
    with pytest.raises(WorkerError, match="no message"):
        wire.read_frame(io.BytesIO(whole[:-2] + b"zz").readinto)
    assert wire.read_frame(io.BytesIO(whole[:-1]).readinto) is None
    with pytest.raises(WorkerError, match="announced"):
        wire.batch_of(wire.News(0, lengths={"loss": 2}), bytearray(24))


# a run


def test_a_runs_records_are_its_steps_with_its_settings_before_and_its_end_behind() -> None:
    run = ForeignRun("r", Path("/logs/r"), "JSON lines")
    run.take(
        Batch(
            points={
                "loss": series_of([1, 2, 2], [3.0, 2.0, math.inf], [10.0, 20.0, 20.2]),
                "acc": series_of([2], [0.5], [20.1]),
                "val": series_of([1], [7.0], [30.0]),
            },
            counts={"val": "epoch"},
            settings={"lr": 0.1},
            remarks=[Remark(2, 20.0, "saved")],
            ended="stopped",
        )
    )
    log = run.log()
    events = list(log.events())
    assert isinstance(events[0], Started)
    assert (events[0].settings, events[0].facts["format"]) == ({"lr": 0.1}, "JSON lines")
    rows = [(event.step, event.scalars) for event in events if isinstance(event, Scalars)]
    assert rows == [(1, {"loss": 3.0}), (2, {"loss": 2.0, "acc": 0.5}), (2, {"loss": math.inf}), (1, {"val": 7.0})]
    assert [event.text for event in events if isinstance(event, Note)] == ["step 2: saved"]
    assert isinstance(events[-1], Ended)
    assert events[-1].reason == "stopped"
    size = log.signature().size
    pieces = [record for start in range(size + 1) for record in log.between(start, start + 1)]
    assert {*pieces} >= {*log.records()}
    assert run.observe().status is Status.STOPPED


def test_numbers_of_one_step_stay_together_where_a_tag_stands_there_twice() -> None:
    run = ForeignRun("r", Path("/logs/r"), "Hugging Face")
    run.take(
        Batch(points={"epoch": series_of([10, 10, 20], [0.5, 0.5, 1.0]), "loss": series_of([10, 20], [3.0, 2.0])})
    )
    rows = [(event.step, event.scalars) for event in run.log().events() if isinstance(event, Scalars)]
    assert rows == [(10, {"epoch": 0.5, "loss": 3.0}), (10, {"epoch": 0.5}), (20, {"epoch": 1.0, "loss": 2.0})]


def test_a_run_tells_the_settings_of_those_in_whose_place_it_is_shown() -> None:
    run, other = (ForeignRun(name, Path("/logs/r"), "TensorBoard") for name in ("r", "r/hp"))
    run.take(Batch(settings={"lr": 0.1}))
    other.take(Batch(settings={"lr": 0.2, "width": 8}))
    seen = run.signature()
    run.set_beside([other])
    assert run.begun().settings == {"lr": 0.1, "width": 8}
    assert run.signature() != seen
    run.set_beside([])
    assert run.begun().settings == {"lr": 0.1}


def test_what_is_piped_in_has_the_time_at_which_it_came() -> None:
    run = ForeignRun("r", Path("-"), "Console output")
    run.is_piped = True
    run.take(Batch(points={"loss": series_of([1, 2], [3.0, 2.0], [10.0, math.nan])}))
    first, second = run.columns.series("loss").time.tolist()
    assert first == 10.0
    assert abs(second - time.time()) < 60.0
    assert run.observe().status is Status.RUNNING


def test_silence_is_told_with_the_writers_habit_and_never_as_death() -> None:
    run = ForeignRun("r", Path("/logs/r"), "wandb", "this writer flushes every 15 s")
    assert run.observe().status is Status.WAITING
    now = time.time()
    run.take(Batch(points={"loss": series_of([1, 2], [1.0, 1.0], [now - 2, now])}))
    assert run.observe().status is Status.RUNNING
    run.take(Batch(anew=True, points={"loss": series_of([1, 2], [1.0, 1.0], [now - 7300, now - 7200])}))
    found = run.observe()
    assert found.status is Status.UNKNOWN
    assert found.text == "last record 2 hours ago; this writer flushes every 15 s"
    run.take(
        Batch(
            anew=True, points={"loss": series_of(range(9), [1.0] * 9, [now - 1800 * i for i in range(9, 0, -1)])}
        )
    )
    assert run.observe().status is Status.RUNNING, "a record every half an hour is usual there"


def test_the_newest_numbers_follow_a_cut() -> None:
    run = ForeignRun("r", Path("/logs/r"), "x")
    run.take(Batch(points={"loss": series_of([1, 2, 3], [3.0, 2.0, 1.0])}))
    run.take(Batch(cuts={"loss": 2}))
    newest = [event for event in run.last_events(8) if isinstance(event, Scalars)]
    assert [event.scalars for event in newest] == [{"loss": 3.0}]


# the process


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two runs that were written as lines."""
    for name in ("a", "b"):
        folder = tmp_path / "logs" / name
        folder.mkdir(parents=True)
        write(folder / "train.jsonl", 0, 20)
    return tmp_path / "logs"


def write(path: Path, start: int, end: int) -> None:
    """Append lines of a training."""
    with path.open("a") as file:
        file.writelines(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\n" for step in range(start, end))


@pytest.fixture
def client(logs: Path) -> Iterator[LogClient]:
    found = LogClient([logs])
    yield found
    found.close()


def losses(client: LogClient) -> list[int]:
    """Number of losses of every run."""
    return [run.columns.count("loss") for run in client.runs() if isinstance(run, ForeignRun)]


def test_the_process_finds_reads_follows_and_ends_with_its_parent(logs: Path, client: LogClient) -> None:
    assert client.wait(lambda client: client.is_idle and client.is_listed, 30.0), client.error
    assert losses(client) == [20, 20]
    names = [run.id for run in client.runs()]
    assert len(set(names)) == 2
    assert all(name.startswith(("a", "b")) for name in names), names
    write(logs / "b" / "train.jsonl", 20, 25)
    assert client.wait(lambda client: sum(losses(client)) == 45, 30.0)
    process = client._process
    client.close()
    assert process.returncode == 0


def test_a_process_that_dies_is_started_once_more_and_then_its_end_is_told(
    logs: Path, client: LogClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.wait(lambda client: losses(client) == [20, 20], 30.0), client.error
    first = client._process
    os.kill(first.pid, signal.SIGKILL)
    assert client.wait(lambda client: client._process is not first and client.is_idle, 30.0)
    assert losses(client) == [20, 20], "what was read is not taken twice"
    monkeypatch.setattr("engine.logs.client._REST", 0.5)  # it goes on after a while
    second = client._process
    psutil.Process(second.pid).kill()
    assert not client.wait(lambda client: False, 30.0)
    assert "failed" in client.error
    end = time.monotonic() + 30.0
    while (client._process is second or not client.is_idle) and time.monotonic() < end:
        time.sleep(0.01)
    assert not client.error
    assert losses(client) == [20, 20]


def test_runs_are_named_as_a_person_named_their_paths(tmp_path: Path) -> None:
    files = [tmp_path / "x" / "one.jsonl", tmp_path / "y" / "two.jsonl"]
    for file in files:
        file.parent.mkdir()
        write(file, 0, 20)
    client = LogClient(files)
    try:
        assert client.wait(lambda client: client.is_idle and client.is_listed, 30.0), client.error
        assert [run.id for run in client.runs()] == ["x/one.jsonl", "y/two.jsonl"]
    finally:
        client.close()
    client = LogClient(files[:1])
    try:
        assert client.wait(lambda client: len(client.runs()) == 1, 30.0), client.error
        assert client.runs()[0].id == "one.jsonl"
    finally:
        client.close()
