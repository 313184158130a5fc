"""Two thousand damaged run directories: all that reads one says what is wrong; never a traceback, never a hang.

Each is made from a seed (``tests/support/mutations.py``), read as the verbs, the app and a worker do, and taken
away. Costs some 15 core-seconds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.full_numbers import repeats
from support.mutations import mutated, sound_runs

from engine.chain.build import new_chain
from engine.chain.checkpoint import read_state
from engine.errors import SpringtuiError
from engine.formats.tensorboard import scalars_of
from engine.runs.controls import ControlReader
from engine.runs.directory import Run
from engine.runs.files import read_file
from engine.runs.listing import find_run, list_runs
from engine.runs.lock import read_owner
from engine.runs.records import Cell
from engine.runs.replay import Replay
from engine.runs.status import Status, observe
from engine.settings.chain import ChainConfig
from engine.settings.sweep import SweepConfig
from engine.sweep.summary import summarise
from springtui.commands.output import print_json
from springtui.export.export import document, read_material
from springtui.export.tables import csv_of, curve_rows, health_rows, usage_rows
from springtui.state.describe import describe
from springtui.state.run_state import RunState
from springtui.state.timeline import Timeline

COUNT = repeats(2000, 0.25)
OBSERVED = set(Status) - {Status.DAMAGED, Status.GONE, Status.UNOBSERVED}
SECRET = "a secret outside of the run"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sound_runs(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f'{{"kind": "note", "text": "{SECRET}", "name": "{SECRET}"}}\n')
    return file


def read_as_a_screen(run: Run) -> RunState:
    """What a watcher and a screen take from the directory."""
    state = RunState(run.id)
    for event in run.log().events():
        state.fold(event)
    assert state.at >= 0
    assert state.elapsed >= 0.0
    assert state.seconds_left is None or state.seconds_left >= 0.0
    run.last_log_lines()
    for tower in state.towers:
        assert state.of_tower(tower.path).at >= 0
    look_through(run)
    return state


def look_through(run: Run) -> None:
    """What the Watch screen takes from the log, at its end and at earlier moments."""
    timeline = Timeline(run.log(), run.id)
    while (piece := timeline.log.read(timeline.offset, 2000)).end != timeline.offset:
        timeline.take(piece)
    moments = range(0, timeline.curves, 2)
    for view in (timeline.view(), *map(timeline.view_at, moments)):
        for layers in (*view.state.separations.values(), *view.state.health.values()):
            for measure in layers.measures:
                steps, rows = layers.table(measure)
                assert len(steps) == len(rows)


def write_tables(run: Run) -> None:
    """What is exported of the records, but for pictures."""
    material = read_material(run)
    print_json(document(material))
    for rows in (curve_rows, health_rows, usage_rows):
        csv_of(rows(material.events))
    assert all(scalar.step >= 0 for scalar in scalars_of(material.events, material.config.settings))


def open_as_a_worker(run: Run) -> None:
    """What a worker that takes the run up reads, before it works."""
    settings = run.config().settings
    writer = run.writer(force=True)
    try:
        ControlReader(run).new()
        events = run.events()
        Replay(events).due(10**6)
        if isinstance(settings, ChainConfig) and settings.blocks * settings.replicas < 10_000:
            read_state(read_file(run.checkpoint_path, 1 << 20), new_chain(settings), None)
        if isinstance(settings, SweepConfig):
            summarise(settings, [event for event in events if isinstance(event, Cell)])
    finally:
        writer.close()


@pytest.mark.slow
def test_each_is_read_without_a_fault(
    sound: list[Path], tmp_path: Path, secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes: dict[str, int] = {}
    for number in range(COUNT):
        path = mutated(sound[number % len(sound)], tmp_path, number, secret)
        run, where = Run(path), f"mutation {number}"
        try:
            told = describe(run)
            print_json(told)
            assert observe(path).status in OBSERVED, where
            read_as_a_screen(run)
            read_owner(path / "lock")
            outcome = str(told["status"])
            for read in (write_tables, open_as_a_worker):
                with contextlib.suppress(SpringtuiError):  # a message, and for a person
                    read(run)
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
        said = capsys.readouterr().out
        assert SECRET not in said, where
        assert not {"\x1b", "\x9b", "\u202e"} & set(said), where
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        shutil.rmtree(path)
    assert sum(outcomes.values()) == COUNT
    assert {"finished", "damaged", "crashed", "unknown"} <= outcomes.keys(), outcomes
    assert secret.read_text().count(SECRET) == 2


def springtui(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "springtui", *arguments],
        env={**os.environ, "SPRINGTUI_HOME": str(home)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_real_program_over_many(sound: list[Path], tmp_path: Path, secret: Path) -> None:
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    for number in range(150):
        mutated(sound[number % len(sound)], home / "runs", number, secret)
    for arguments in (["runs"], ["runs", "--json"]):
        done = springtui(home, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 150 + (arguments == ["runs"])
        assert SECRET not in done.stdout
    names = [run.id for run in list_runs(home)]
    done = springtui(home, "rm", "--yes", "--force", *names[:100])
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list_runs(home)) == 50
    for name in names[100:104]:
        for verb in (["export", "--records", "--json"], ["stop", "--patience", "1"], ["note", "--pin"]):
            done = springtui(home, verb[0], name, *verb[1:])
            assert done.returncode in {0, 1, 2}
            assert "Traceback" not in done.stderr
            assert "unexpected" not in done.stderr


def test_the_real_worker_over_some(sound: list[Path], tmp_path: Path, secret: Path) -> None:
    """A chain whose settings are whole, and all else is not: it is pulled, or says why not."""
    ended: list[str] = []
    number = 50_000
    while len(ended) < 6:
        number += 1
        path = mutated(sound[1], tmp_path, number, secret)
        if not (path / "config.json").is_file() or _bytes(path) != _bytes(sound[1]):
            continue
        words = [sys.executable, "-P", "-m", "engine.workers", "--force", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr, number
        assert done.returncode == 0 or done.stderr.startswith("springtui: error: "), number
        ended.append(find_run(tmp_path, str(path)).status())
    assert set(ended) <= OBSERVED
    assert secret.read_text().count(SECRET) == 2


def _bytes(run: Path) -> bytes:
    return read_file(run / "config.json", 1 << 20)
