"""Run directories: whole lines, one writer, honest states."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import HomeError, LockedError, RunDirectoryError
from engine.runs.controls import ControlReader
from engine.runs.directory import Run, parse_id
from engine.runs.files import append_line
from engine.runs.listing import find_run, list_runs, open_home
from engine.runs.records import Curve, Ended, Note, encode
from engine.settings.chain import ChainConfig
from engine.settings.train import TrainConfig


@pytest.fixture
def run(home: Path) -> Run:
    return Run.create(open_home(home), TrainConfig())


def test_a_new_run_is_complete_and_private(run: Run) -> None:
    assert run.config().settings == TrainConfig()
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert {p.name: p.stat().st_mode & 0o777 for p in run.path.iterdir()} == {
        "config.json": 0o600,
        "events.jsonl": 0o600,
        "control.jsonl": 0o600,
    }


def test_records_are_numbered_and_survive(run: Run) -> None:
    writer = run.writer()
    writer.write(Note(text="one"))
    writer.write(Curve(at=1, step=2, curves={"trace_ratio": [float("nan"), 1.0]}))
    writer.release()
    events = run.events()
    assert [e.seq for e in events] == [0, 1]
    assert isinstance(events[1], Curve)
    assert events[1].curves == {"trace_ratio": [None, 1.0]}


def test_a_torn_line_costs_itself_alone(run: Run) -> None:
    append_line(run.path / "events.jsonl", encode(Note(text="whole")))
    append_line(run.path / "events.jsonl", b'{"kind":"note","te')
    writer = run.writer()
    writer.write(Note(text="after"))
    writer.release()
    assert [e.text for e in run.events() if isinstance(e, Note)] == ["whole", "after"]


def test_one_writer_only(run: Run) -> None:
    writer = run.writer()
    imports = "import sys; from pathlib import Path; from engine.runs.directory import Run"
    script = f"{imports}; Run(Path(sys.argv[1])).writer()"
    done = subprocess.run(
        [sys.executable, "-c", script, str(run.path)], capture_output=True, text=True, check=False
    )
    assert "LockedError" in done.stderr
    writer.release()
    run.writer().release()


def test_a_killed_worker_is_seen_as_crashed(run: Run) -> None:
    script = (
        "import sys, time; from pathlib import Path; from engine.runs.directory import Run\n"
        "writer = Run(Path(sys.argv[1])).writer(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(run.path)], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        assert run.is_live()
        assert run.status() == "starting"  # it has not said a word
        with pytest.raises(LockedError):
            run.writer()
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert not run.is_live()
    assert run.status() == "crashed"


def test_the_end_is_read_from_the_end(run: Run) -> None:
    writer = run.writer()
    for i in range(2000):
        writer.write(Note(text=f"{i:050d}"))
    writer.write(Ended(reason="finished"))
    writer.release()
    start = time.perf_counter()
    assert run.status() == "finished"
    assert len(run.last_events(3)) == 3
    assert time.perf_counter() - start < 1.0


def test_controls_arrive_once(run: Run) -> None:
    controls = ControlReader(run)
    run.ask("set", lr=0.1)
    append_line(run.path / "control.jsonl", b"nonsense\n")
    run.ask("pause")
    assert [(c.action, c.settings) for c in controls.new()] == [("set", {"lr": 0.1}), ("pause", {})]
    assert controls.new() == []


def test_a_symbolic_link_is_not_followed(run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"kind":"note","text":"leak"}\n')
    events = run.path / "events.jsonl"
    events.unlink()
    events.symlink_to(secret)
    assert list(run.log().records()) == []


def test_find(home: Path) -> None:
    open_home(home)
    with pytest.raises(RunDirectoryError, match="springtui runs"):
        find_run(home, "last")
    first = Run.create(home, ChainConfig())
    assert find_run(home, "last").id == find_run(home, first.id).id == first.id
    assert find_run(home, str(first.path)).path == first.path
    with pytest.raises(RunDirectoryError):
        find_run(home, "../x")
    assert [r.id for r in list_runs(home)] == [first.id]
    damaged = home / "runs" / "99990101-000000-chain-abcdef"
    damaged.mkdir()
    (damaged / "config.json").write_text('{"kind"')
    assert list_runs(home)[0].path == damaged
    assert find_run(home, "last").id == first.id
    assert find_run(home, damaged.name).path == damaged


def test_the_kind_is_that_of_the_id_else_of_the_configuration(home: Path) -> None:
    for settings, kind in ((TrainConfig(), "train"), (ChainConfig(), "chain")):
        run = Run.create(open_home(home), settings)
        assert (run.kind, parse_id(run.id)) == (kind, (pytest.approx(run.config().created, abs=1.0), kind))
        renamed = Run(run.path.rename(run.path.with_name(f"a-sweep-of-{kind}")))
        assert (renamed.kind, parse_id(renamed.id)) == (kind, None)
    assert Run(home / "runs" / "none").kind == ""
    assert parse_id("99999999-999999-sweep-1a2b3c") == (0.0, "sweep")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', "\x00" * 64])
def test_damaged_config_names_the_file(run: Run, text: str) -> None:
    (run.path / "config.json").write_text(text)
    with pytest.raises(RunDirectoryError, match=r"config\.json"):
        run.config()


def test_a_newer_schema_is_named_though_its_settings_are_unknown(run: Run) -> None:
    path = run.path / "config.json"
    config = json.loads(path.read_text())
    config["settings"]["a_setting_of_tomorrow"] = 1
    path.write_text(json.dumps(config))
    with pytest.raises(RunDirectoryError, match=r"config\.json is damaged.*a_setting_of_tomorrow"):
        run.config()
    config["schema"] += 1
    path.write_text(json.dumps(config))
    with pytest.raises(RunDirectoryError, match=rf"has schema {config['schema']}; .*: upgrade it"):
        run.config()


def test_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="SPRINGTUI_HOME"):
        open_home(tmp_path / "file")


def test_the_last_run_of_a_lab_is_its_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab begins a chain beside its network, and another one at each press of C; alone, a chain is the last."""
    open_home(home)
    seconds = itertools.count(int(time.time()))
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    chain = Run.create(home, ChainConfig(), origin="lab")
    assert find_run(home, "last").id == chain.id
    network = Run.create(home, TrainConfig(), origin="lab")
    Run.create(home, ChainConfig(), origin="lab")
    assert find_run(home, "last").id == network.id
    own = Run.create(home, ChainConfig())
    assert find_run(home, "last").id == own.id
