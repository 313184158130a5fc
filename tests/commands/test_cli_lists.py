"""The verbs that only look: runs and doctor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.runs.directory import Run
from engine.runs.records import Curve, Ended, Started
from engine.settings.chain import ChainConfig
from engine.settings.train import TrainConfig
from springtui.cli import main
from springtui.doctor.doctor import colours, examine
from springtui.state.wording import age_in_words


def a_run(home: Path, *, ended: str | None = "finished", values: dict[str, float | None] | None = None) -> Run:
    """A run as a worker leaves it."""
    run = Run.create(home, TrainConfig(epochs=5))
    writer = run.writer()
    writer.write(Started(pid=1, host="here", settings={}, layers=["input", "1"], total=5))
    writer.write(Curve(at=3, step=9, curves={"trace_ratio": [1.0, 0.5]}, scalars=values or {"train_loss": 0.25}))
    if ended:
        writer.write(Ended(reason=ended, text="so it ended"))
    writer.release()
    return run


class TestRuns:
    def list(self, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
        assert main(["runs", "--json"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def test_none_yet(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.list(capsys) == []
        assert main(["runs"]) == 0
        assert "No runs yet" in capsys.readouterr().out
        assert not home.exists()

    def test_every_state(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        expected = {a_run(home, ended=how).id: how or "crashed" for how in ("finished", "diverged", None)}
        waiting = Run.create(home, ChainConfig())
        live = Run.create(home, ChainConfig())
        writer = live.writer()
        expected |= {waiting.id: "waiting", live.id: "starting"}
        found = {run["run"]: run["status"] for run in self.list(capsys)}
        writer.release()
        assert found == expected

    def test_values(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        a_run(home, values={"train_loss": None, "test_accuracy": 0.5})
        (run,) = self.list(capsys)
        assert (run["kind"], run["at"], run["total"]) == ("train", 3, 5)
        assert run["values"] == {"train_loss": None, "test_accuracy": 0.5}
        assert main(["runs"]) == 0
        assert "test_accuracy 0.5" in capsys.readouterr().out

    def test_damaged_run_is_listed(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = a_run(home)
        (run.path / "config.json").write_text("{")
        assert [run["status"] for run in self.list(capsys)] == ["damaged"]
        assert main(["runs"]) == 0
        assert "damaged" in capsys.readouterr().out

    def test_no_control_sequence_reaches_the_terminal(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = a_run(home, ended=None, values={"other": 1.0})
        writer = run.writer()
        writer.write(Ended(reason="failed", text="\x1b]0;owned\x07\x1b[2J\x9b31m\x7f"))
        writer.release()
        assert main(["runs"]) == 0
        assert main(["runs", "--json"]) == 0
        said = capsys.readouterr().out
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said)

    def test_locale_without_unicode(self, home: Path) -> None:
        run = a_run(home, ended=None, values={"other": 1.0})
        writer = run.writer()
        writer.write(Ended(reason="failed", text="Größe \u202e unklar"))
        writer.release()
        for form in ([], ["--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "springtui", "runs", *form],
                capture_output=True,
                env={**os.environ, "PYTHONIOENCODING": "ascii"},
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout.isascii()

    def test_reader_that_leaves_early(self, home: Path) -> None:
        for _ in range(5):
            a_run(home)
        command = f"'{sys.executable}' -m springtui runs --json | true"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""

    @pytest.mark.parametrize(("seconds", "words"), [(5, "5s"), (300, "5m"), (7300, "2h"), (200_000, "2d")])
    def test_age(self, seconds: float, words: str) -> None:
        assert age_in_words(seconds) == words


class TestDoctor:
    def test_json(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        main(["doctor", "--json"])
        result = json.loads(capsys.readouterr().out)
        checks = {check["name"]: check for check in result["checks"]}
        assert {"python", "torch", "terminal", "colours", "home", "cores", "memory", "gpu", "digits"} <= set(
            checks
        )
        assert {check["state"] for check in checks.values()} <= {"ok", "warn", "fail"}
        assert checks["digits"]["state"] == "ok"
        assert all(set(check) == {"name", "state", "detail", "remedy"} for check in checks.values())

    def test_failed_check_says_what_to_do(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "taken"
        file.touch()
        assert main(["doctor", "--home", str(file)]) == 1
        assert "FAIL  home" in capsys.readouterr().out

    def test_every_shortcoming_has_a_remedy(self, tmp_path: Path) -> None:
        for check in examine(tmp_path):
            assert check.state == "ok" or check.remedy

    @pytest.mark.parametrize(
        ("environment", "words"),
        [
            ({"TERM": "xterm-256color"}, "256"),
            ({"TERM": "xterm"}, "16,"),
            ({"TERM": "xterm", "COLORTERM": "truecolor"}, "16 million"),
            ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
        ],
    )
    def test_colours(self, environment: dict[str, str], words: str) -> None:
        assert words in colours(environment)[1]
