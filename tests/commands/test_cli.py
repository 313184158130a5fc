"""The command line's contract: exit statuses, what goes to which stream, and nothing written half."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.settings.chain import ChainConfig
from engine.settings.recipes import RECIPES
from engine.settings.train import TrainConfig
from springtui import cli
from springtui.cli import main
from springtui.commands import opening

QUICK = ("--set", "epochs=2", "--set", "width=8", "--set", "depth=3")
CHAIN = ("--set", "steps=400", "--set", "replicas=8", "--set", "blocks=3")


def springtui(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real program, piped."""
    return subprocess.run(
        [sys.executable, "-m", "springtui", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


def in_terminal(*arguments: str, term: str) -> tuple[int, str]:
    """The real program in a pseudo-terminal; its exit status and all that it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "springtui", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": term},
        start_new_session=True,
    )
    os.close(theirs)
    written = b""
    with open(ours, "rb", buffering=0) as file:
        try:
            while chunk := file.read(4096):
                written += chunk
        except OSError:  # Linux says so where the other end has closed
            pass
    return process.wait(30), written.decode()


def runs_in(home: Path) -> list[str]:
    folder = home / "runs"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


class TestBadInput:
    """Exit status 2, a message that helps, and nothing left behind."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["train", "--set", "learning_rat=1"], ["learning_rat", "lr"]),
            (["train", "--set", "lr=99"], ["lr", "99", "<= 10"]),
            (["train", "--set", "lr=nan"], ["lr", "nan"]),
            (["train", "--set", "epochs=2.5"], ["epochs", "2.5", "whole number"]),
            (["train", "--set", "model=rnn"], ["model", "rnn", "mlp, cnn"]),
            (["train", "--set", "lr"], ["lr", "key=value"]),
            (["train", "--recipe", "paper-mpl"], ["paper-mpl", "paper-mlp"]),
            (["chain", "--set", "mu_rigth=1"], ["mu_rigth", "mu_right"]),
            (["chain", "--set", "eta=3"], ["eta", "0.5"]),
            (["chain", "--set", "blocks=0"], ["blocks", ">= 1"]),
        ],
    )
    def test_setting(
        self, arguments: list[str], words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([*arguments, "--json"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("springtui: error: ")
        assert all(word in said.err for word in words)
        assert not home.exists()

    @pytest.mark.parametrize(
        "arguments", [["trian"], ["train", "--jsno"], ["separation"], ["train", "extra"], ["--last", "runs"]]
    )
    def test_usage(self, arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "Error" in said.err
        assert not home.exists()

    def test_a_sweep_without_a_recipe_is_told_them(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["sweep"]) == 2
        assert "--recipe; known: data-noise, learning-rate" in capsys.readouterr().err
        assert not home.exists()

    def test_home_is_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Tests may run as root, whom permission bits do not bind: a file stands in for the directory."""
        file = tmp_path / "taken"
        file.write_text("mine")
        assert main(["chain", "--home", str(file), *CHAIN]) == 2
        assert "--home" in capsys.readouterr().err
        assert file.read_text() == "mine"

    def test_home_is_a_file_for_the_lab(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "taken"
        file.write_text("mine")
        monkeypatch.setattr(opening, "check_terminal", lambda: None)
        assert main(["--home", str(file)]) == 2
        assert str(file) in capsys.readouterr().err

    def test_watching_needs_a_terminal(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = Run.create(open_home(home), ChainConfig())
        assert main(["watch", run.id]) == 2
        said = capsys.readouterr().err
        assert "not a terminal" in said
        assert f"springtui watch {run.id} --json" in said

    def test_piped(self, home: Path) -> None:
        done = springtui()
        assert done.returncode == 2
        assert done.stdout == ""
        assert "not a terminal" in done.stderr
        assert "springtui train --json" in done.stderr
        assert not home.exists()

    @pytest.mark.parametrize("term", ["dumb", ""])
    def test_terminal_too_simple(self, term: str, home: Path) -> None:
        status, written = in_terminal(term=term)
        assert status == 2
        assert "TERM" in written
        assert "xterm-256color" in written
        assert "\x1b" not in written
        assert not home.exists()

    @pytest.mark.parametrize("content", ["nothing", "text", "names", "lengths", "pickled"])
    def test_npz(self, content: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "layer.npz"
        write_wrong(file, content)
        assert main(["separation", str(file), "--json"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "layer.npz" in said.err
        assert "Traceback" not in said.err

    @pytest.mark.parametrize("content", ["nothing", "torn", "names"])
    def test_data_of_a_training(self, content: str, tmp_path: Path, home: Path) -> None:
        file = tmp_path / "mine.npz"
        write_wrong(file, content)
        done = springtui("train", "--set", f"dataset={file}", "--json")
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert "mine.npz" in done.stderr
        assert runs_in(home) == []


def write_wrong(file: Path, content: str) -> None:
    x, y = np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1])
    if content == "text":
        file.write_text("these are no arrays\n")
    elif content == "torn":
        np.savez(file, X=x, y=y)
        file.write_bytes(file.read_bytes()[:200])
    elif content == "names":
        np.savez(file, images=x, labels=y)
    elif content == "lengths":
        np.savez(file, X=x, y=y[:-1])
    elif content == "pickled":
        np.savez(file, X=np.array([{}, {}], dtype=object), y=np.array([0, 1]))


class TestTrain:
    def test_json(self, home: Path) -> None:
        done = springtui("train", *QUICK, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert done.stdout.count("\n") == 1
        assert list(result) == [
            "run", "reason", "epochs", "train_loss", "test_accuracy", "seconds", "load_curve",
            "train_accuracy", "cv", "asymmetry", "regime", "regime_reason", "hessian", "linear_probes",
            "test_load_curve",
        ]  # fmt: skip
        assert (result["reason"], result["epochs"]) == ("finished", 2)
        assert set(result["load_curve"]) == {"trace_ratio", "fuzziness", "inverse_fuzziness"}
        assert {len(curve) for curve in result["load_curve"].values()} == {4}
        assert runs_in(home) == [result["run"]]
        assert "epoch 2/2" in done.stderr

    def test_diverged(self, home: Path) -> None:
        """A learning rate far too large, without the BatchNorm that would bear it."""
        wild = ("optimizer=sgd", "lr=10", "batch_norm=off", "loss=mse", "init_scale=100", "epochs=20")
        done = springtui("train", *(word for pair in wild for word in ("--set", pair)), "--json")
        assert done.returncode == 1, done.stderr
        result = json.loads(done.stdout, parse_constant=pytest.fail)
        assert result["reason"] == "diverged"
        assert "diverged" in done.stderr
        assert "epoch" in done.stderr

    def test_interrupt_stops_in_order(self, home: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "springtui", "train", "--recipe", "lab", "--set", "epochs=1000000", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: process.poll() is not None or has_curve(home))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert json.loads(out)["reason"] == "stopped"
        assert "Traceback" not in err

    @pytest.mark.parametrize("name", RECIPES)
    def test_recipe_holds_valid_settings(self, name: str) -> None:
        from engine.settings.fields import make

        assert make(TrainConfig, RECIPES[name].settings)


def has_curve(home: Path) -> bool:
    return any('"curve"' in path.read_text() for path in home.glob("runs/*/events.jsonl"))


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)


class TestChain:
    def test_json(self, home: Path) -> None:
        done = springtui("chain", *CHAIN, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert {len(result[name]) for name in ("positions", "sd", "mean_field")} == {3}
        assert isinstance(result["friction"], float)
        assert runs_in(home) == [result["run"]]
        assert result["loads"] == pytest.approx(np.diff([0.0, *result["positions"], 1.0]).tolist())

    @pytest.mark.parametrize(
        ("right", "left", "sign", "words"),
        [(0.2, 0.02, -1, "shallow layers lazy"), (0.02, 0.2, 1, "deep layers lazy")],
    )
    def test_loads_and_regime(
        self, right: float, left: float, sign: int, words: str, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What resists the pull leaves the load to the springs near the target."""
        settings = {"mu_right": right, "mu_left": left, "noise": 0.1, "steps": 4000, "replicas": 64, "blocks": 4}
        arguments = ["chain", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]
        assert main([*arguments, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert len(result["loads"]) == 5
        assert sum(result["loads"]) == pytest.approx(1.0)
        assert sign * result["asymmetry"] > 0.1
        assert result["cv"] > 0.25
        assert result["regime"] == {-1: "concave", 1: "convex"}[sign]
        assert main(arguments) == 0
        said = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["regime", *words.split()] in said
        assert ["block", "position", "load", "sd", "mean", "field"] in said
        assert (said[-1][0], float(said[-1][1])) == ("target", 1.0)
        assert float(said[-1][2]) == pytest.approx(result["loads"][-1], rel=1e-3)


class TestSeparation:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        y = np.arange(60) % 3
        np.savez(tmp_path / "layer.npz", X=rng.normal(size=(60, 4)) + 3 * y[:, None], y=y)
        return tmp_path / "layer.npz"

    def test_json(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["separation", str(file), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert set(result) == {"trace_ratio", "fuzziness", "inverse_fuzziness"}
        assert all(np.isfinite(value) for value in result.values())

    def test_table(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["separation", str(file)]) == 0
        assert "trace_ratio" in capsys.readouterr().out


class TestProgram:
    @pytest.mark.parametrize("verb", sorted(cli.cli.commands))
    def test_help_has_an_example(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([verb, "--help"]) == 0
        said = capsys.readouterr().out
        assert f"springtui {verb}" in said.split("Examples:")[1]
        assert "--json" in said or verb == "lab"  # a screen prints nothing

    def test_help_tells_of_completion_and_exit_status(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        said = capsys.readouterr().out
        assert "_SPRINGTUI_COMPLETE=bash_source" in said
        assert "Exit status" in said

    def test_unexpected_error_is_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken(_: Path) -> list[Run]:
            raise RuntimeError("of no kind we know")

        monkeypatch.setattr("springtui.commands.runs.list_runs", broken)
        assert main(["runs"]) == 1
        said = capsys.readouterr().err
        assert "of no kind we know" in said
        assert "Traceback" not in said
        assert main(["runs", "--debug"]) == 1
        assert "Traceback" in capsys.readouterr().err
