"""``springtui watch`` in real terminals: several at once, killed and opened again, and as a stream of records."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.live_chain import live_chain
from support.made_runs import make_run, training_records
from support.real_terminal import SPRINGTUI, Terminal

from engine.runs.directory import Run
from engine.runs.launch import launch


@pytest.fixture
def chain(home: Path) -> Iterator[Run]:
    """A chain that is being pulled by a worker; it is gone at the end."""
    with live_chain(home) as run:
        yield run


def test_two_watch_one_stops_and_both_show_it(chain: Run) -> None:
    with (
        Terminal((*SPRINGTUI, "watch")) as one,
        Terminal((*SPRINGTUI, "watch", chain.id, "--read-only"), columns=80, rows=24) as other,
    ):
        one.wait_for("chain · running", 60)
        other.wait_for("chain · running", 60)
        other.press("x")
        other.wait_for("read-only: nothing is asked")
        assert chain.status() == "running"
        one.press("x")
        one.wait_for("chain · stopped")
        one.wait_for("stop: acknowledged at step")
        other.wait_for("chain · stopped")
        for terminal in (one, other):
            terminal.press("q")  # nothing was begun here, so nothing is asked
            assert terminal.wait_exit() == 0
            assert terminal.modes_left_on() == set()


def click_away(terminal: Terminal, text: str) -> None:
    """Click on a message that would stay for a quarter of a minute."""
    terminal.wait_for(text)
    row, line = next((row, line) for row, line in enumerate(terminal.screen.display, 1) if text in line)
    where = f"0;{line.index(text) + 1};{row}"
    terminal.press(f"\x1b[<{where}M\x1b[<{where}m")
    terminal.wait_for(lambda screen: text not in screen, 60)


def test_of_two_that_watch_one_fires_an_alert(chain: Run, config_file: Path, tmp_path: Path) -> None:
    """And once again when the run was taken up and stopped a second time."""
    told = tmp_path / "told"
    config_file.parent.mkdir()
    config_file.write_text(f"[[alerts]]\non = 'stopped'\ncommand = 'echo $SPRINGTUI_RUN >> {told}'\n")

    def lines() -> list[str]:
        return told.read_text().splitlines() if told.exists() else []

    watchers = [Terminal((*SPRINGTUI, "watch", chain.id)) for _ in range(2)]
    process = None
    try:
        for count in (1, 2):
            for terminal in watchers:
                terminal.wait_for("chain · running", 60)
            chain.ask("stop")
            for terminal in watchers:
                terminal.wait_for(f"{chain.id}: stopped", 60)  # each says it
            end = time.monotonic() + 30
            while len(lines()) < count:
                assert time.monotonic() < end, lines()
                time.sleep(0.05)
            time.sleep(2)  # whoever comes second has looked by then
            for terminal in watchers:
                click_away(terminal, f"{chain.id}: stopped")
            assert lines() == [chain.id] * count
            if process is None:
                process = launch(chain)
    finally:
        for terminal in watchers:
            terminal.close()
        if process is not None:
            process.kill()
            process.wait()


def test_killed_and_opened_again_it_is_where_it_was(chain: Run) -> None:
    with Terminal((*SPRINGTUI, "watch")) as terminal:
        terminal.wait_for("chain · running", 60)
        terminal.press("v")
        place = chain.path.parents[1] / "place.json"
        end = time.monotonic() + 30
        while not (place.exists() and chain.id in json.loads(place.read_text())["seen"]):
            assert time.monotonic() < end, "where it was is not written down"
            terminal.read(0.05)
        terminal.process.kill()
        terminal.process.wait(10)
    noted = json.loads(place.read_text())
    noted["seen"][chain.id]["time"] -= 60  # a shorter absence is not worth a word
    place.write_text(json.dumps(noted))
    assert chain.status() == "running"
    with Terminal((*SPRINGTUI, "--last")) as again:
        # a frame is written style by style
        again.wait_for(lambda text: all(words in text for words in ("caught up", "away", chain.id)), 60)
        again.press("q")
        assert again.wait_exit() == 0
    assert chain.status() == "running"


def test_json_streams_records_until_the_run_ends(home: Path, chain: Run) -> None:
    argv = [*SPRINGTUI, "watch", str(chain.path), "--json", "--home", str(home.parent / "another")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        first = json.loads(stream.stdout.readline())
        assert first["kind"] == "started"
        for _ in range(5):
            assert json.loads(stream.stdout.readline())["kind"] == "curve"
        chain.ask("stop")
        rest = [json.loads(line) for line in stream.stdout]
        assert stream.wait(30) == 1  # it did not finish
    assert rest[-1]["kind"] == "ended"
    assert rest[-1]["reason"] == "stopped"
    assert [event.seq for event in chain.events()][-1] == rest[-1]["seq"]


def test_without_a_run_or_with_a_wrong_one_it_says_so(home: Path) -> None:
    def watch(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*SPRINGTUI, "watch", *arguments], capture_output=True, text=True, check=False)

    done = watch("--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no run under" in done.stderr
    folder = make_run(home, training_records(3))
    assert watch("nonsense", "--json").returncode == 2
    done = watch("--json")
    assert done.returncode == 1  # nobody wrote its last word
    assert len(done.stdout.splitlines()) >= 4
    (folder / "config.json").write_text("{")
    done = watch()
    assert done.returncode == 2
    assert "is damaged" in done.stderr
