"""What is said on leaving of the runs that go on, also of those begun elsewhere; and where the app opens again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.live_chain import live_chain
from support.made_runs import make_many, make_run, training_records
from support.real_terminal import SPRINGTUI, Terminal, stop_workers, workers_under

from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.listing import list_runs, open_home
from engine.runs.records import Started
from engine.runs.writer import RunWriter
from engine.settings.chain import ChainConfig
from springtui.leaving import LOOK_SECONDS, GoingOn, farewell, find_going_on
from springtui.recording.cast import read_cast

SAID = "Still running, without this terminal:"


@pytest.fixture
def elsewhere(home: Path) -> Iterator[Run]:
    """A chain with a worker that nobody here began."""
    with live_chain(home) as run:
        yield run
    stop_workers(home)


def held(stack: ExitStack, home: Path) -> Run:
    """A run whose lock this process holds, as a worker does."""
    run = Run.create(open_home(home), ChainConfig())
    writer: RunWriter = run.writer()
    stack.callback(writer.release)
    writer.write(Started(pid=os.getpid(), host="here", settings={}, layers=[], total=1))
    return run


class TestLines:
    def test_nothing_is_said_where_nothing_goes_on(self, home: Path) -> None:
        assert farewell(find_going_on(home)) == []
        make_many(home, 3)
        assert farewell(find_going_on(home)) == []

    def test_one_and_many(self, home: Path) -> None:
        with ExitStack() as stack:
            first = held(stack, home)
            write_label(first.path, name="baseline")
            assert farewell(find_going_on(home)) == [
                SAID,
                f"  {first.id}  chain  0s  baseline",
                f"springtui stop {first.id} stops it",
            ]
            for _ in range(6):
                held(stack, home)
            make_many(home, 3)
            lines = farewell(find_going_on(home), " --home 'a b'")
            assert len(lines) == 1 + 5 + 2
            assert lines[-2:] == [
                "  and 2 more",
                "springtui --home 'a b' stop ID stops one, springtui --home 'a b' stop --all all of them",
            ]
        assert farewell(find_going_on(home)) == []

    def test_a_run_that_was_asked_to_stop_is_not_said_to_go_on(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ExitStack() as stack:
            run = held(stack, home)
            run.ask("pause")
            assert find_going_on(home).runs[0].id == run.id
            run.ask("stop")
            assert find_going_on(home) == GoingOn([], complete=True)
            now = time.time()
            monkeypatch.setattr(time, "time", lambda: now + 60.0)  # it has not stopped
            assert [found.id for found in find_going_on(home).runs] == [run.id]

    def test_a_large_home_does_not_delay(self, home: Path) -> None:
        """The oldest of thousands is found; where the time is up, that is said."""
        with ExitStack() as stack:
            run = held(stack, home)
            old = Run(run.path.rename(run.path.with_name("20000101-000000-chain-aaaaaa")))
            for number in range(3000):
                folder = home / "runs" / f"20250101-000000-train-{number:06x}"
                folder.mkdir()
                (folder / "lock").write_bytes(b"{}")
            began = time.monotonic()
            found = find_going_on(home)
            assert time.monotonic() - began < LOOK_SECONDS + 0.2
            assert [going.id for going in found.runs] == ([old.id] if found.complete else [])
            held(stack, home)
            assert "  and perhaps older ones: springtui runs lists all" in farewell(find_going_on(home, 0.0))


@pytest.mark.parametrize("key", ["d", "q", "\x11", signal.SIGTERM, signal.SIGHUP])
def test_what_was_begun_here_and_elsewhere_is_said(home: Path, elsewhere: Run, key: str | signal.Signals) -> None:
    with Terminal((*SPRINGTUI, "--home", str(home))) as lab:
        lab.wait_for("epoch", 60)
        if isinstance(key, signal.Signals):
            lab.process.send_signal(key)
        else:
            lab.press(key)
        if key in {"q", "\x11"}:
            text = lab.wait_for("stop them and leave")
            assert "2 runs begun here" in text
            lab.press("d")
        assert lab.wait_exit() == (128 + key if isinstance(key, signal.Signals) else 0)
        assert lab.modes_left_on() == set()
        text = lab.text()
    assert SAID in text
    runs = list_runs(home)
    assert len(runs) == 3
    assert all(run.id in text for run in runs)
    assert f"springtui --home {home} stop --all all of them" in text.replace("\n", "")
    assert len(workers_under(home)) == 3


def test_runs_that_are_stopped_on_leaving_are_not_said_to_go_on(home: Path) -> None:
    with Terminal() as lab:
        lab.wait_for("epoch", 60)
        lab.press("q")
        lab.wait_for("stop them and leave")
        lab.press("x")
        assert lab.wait_exit() == 0
        assert lab.text().strip() == ""
    stop_workers(home)


def test_a_lost_terminal_is_told_nothing(home: Path, elsewhere: Run) -> None:
    with Terminal((*SPRINGTUI, "watch", elsewhere.id)) as terminal:
        terminal.wait_for("chain · running", 60)
        terminal.hang_up()
        terminal.process.wait(15)
    assert elsewhere.status() == "running"


def test_plain_springtui_opens_the_lab_whatever_another_pane_shows(home: Path, elsewhere: Run) -> None:
    """A second app is not steered by the first; --last goes where that was."""
    ended = Run(make_run(home, training_records(20)))
    with Terminal((*SPRINGTUI, "watch", ended.id)) as pane:
        pane.wait_for(ended.id, 60)
        end = time.monotonic() + 30
        while ended.id not in (place.read_text() if (place := home / "place.json").exists() else ""):
            assert time.monotonic() < end, "where it was is not written down"
            pane.read(0.05)
        with Terminal(rows=24, columns=80) as lab:
            lab.wait_for("in force", 60)  # said by both workers
            lab.press("q")
            lab.wait_for("stop them and leave", 60)
            lab.press("x")
            assert lab.wait_exit() == 0
            assert elsewhere.id in lab.text()
        pane.press("d")
        assert pane.wait_exit() == 0
        assert f"springtui stop {elsewhere.id} stops it" in pane.text()
    with Terminal((*SPRINGTUI, "--last")) as again:
        again.wait_for(ended.id, 60)
        again.press("q")
        assert again.wait_exit() == 0
    file = home / "talk.cast"
    with Terminal((*SPRINGTUI, "record", str(file))) as recorded:
        recorded.wait_for("Nonlinearity", 60)
        recorded.press("d")
        assert recorded.wait_exit() == 0
    assert any("Nonlinearity" in text for _, kind, text in read_cast(file).events if kind == "o")
