"""Shell completion: the protocol that the shells speak, and a real bash whose Tab key is pressed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import HEAVY, modules_after
from support.real_terminal import Terminal

from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.settings.chain import ChainConfig
from springtui.cli import main


def offered(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """What bash is answered for these words, the last under the cursor."""
    monkeypatch.setenv("_SPRINGTUI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "\n".join(("springtui", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code in {None, 0}
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trai"], "plain,train"),
        (["train", "--rec"], "plain,--recipe"),
        (["train", "--recipe", "paper-mls"], ""),
        (["train", "--recipe", "paper-ml"], "plain,paper-mlp"),
        (["train", "--recipe", "=", "paper-ml"], "plain,paper-mlp"),
        (["lab", "--recipe", "dig"], "plain,digits"),
        (["sweep", "--recipe", "data"], "plain,data-noise"),
        (["train", "--set", "data_n"], "open,data_noise="),
        (["train", "--set", "negative-"], "open,negative_slope="),
        (["train", "--set", "optimizer", "=", "ada"], "plain,adam"),
        (["train", "--set", "dataset", "=", "fash"], "plain,fashion-mnist"),
        (["train", "--set", "lr", "="], "plain,0.001"),
        (["train", "--set", "batch_norm", "="], "plain,on plain,off"),
        (["train", "--set", "nothing", "="], ""),
        (["train", "--set", "lr", "=", "0.1", "--set", "see"], "open,seed="),
        (["chain", "--set", "mu_r"], "open,mu_right="),
        (["chain", "--set", "pulling", "=", "j"], "plain,jerky"),
        (["resume", "la"], "plain,last"),
    ],
)  # fmt: skip
def test_words(
    words: list[str],
    expected: str,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert offered(capsys, monkeypatch, *words) == expected.split()


def test_runs_of_the_home_that_was_named(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path / "other", ChainConfig())
    assert offered(capsys, monkeypatch, "resume", run.id[:8]) == []
    found = offered(capsys, monkeypatch, "--home", str(tmp_path / "other"), "resume", run.id[:8])
    assert found == [f"plain,{run.id}"]


def test_names_of_runs(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that several runs share, and one that a shell would read as something else, is not offered."""
    names = ("baseline", "my run", "twice", "twice", "$(reboot)", "")
    runs = [Run.create(home, ChainConfig()) for _ in names]
    for run, name in zip(runs, names, strict=True):
        write_label(run.path, name=name)
    monkeypatch.setattr(Run, "config", lambda _: pytest.fail("no configuration is read"))
    for verb in ("twin", "watch", "export", "resume", "stop", "note", "rm"):
        assert offered(capsys, monkeypatch, verb, "base") == ["plain,baseline"]
    assert offered(capsys, monkeypatch, "lab", "--twin", "base") == ["plain,baseline"]
    assert " ".join(offered(capsys, monkeypatch, "watch", "my\\ r")) == "plain,my\\ run"
    assert offered(capsys, monkeypatch, "watch", "tw") == offered(capsys, monkeypatch, "watch", "$") == []
    assert len(offered(capsys, monkeypatch, "watch", "")) >= 1 + len(runs)


@pytest.mark.parametrize(
    ("shell", "word", "wanted"),
    [
        ("zsh", "optimizer=ada", "plain\noptimizer=adam\n_"),
        ("zsh", "optim", "open\noptimizer=\npsgld"),
        ("fish", "optimizer=ada", "plain\noptimizer=adam"),
        ("fish", "optim", "plain\noptimizer="),
    ],
)
def test_other_shells(shell: str, word: str, wanted: str, home: Path) -> None:
    current = {"zsh": "3", "fish": word}[shell]
    asked = {"_SPRINGTUI_COMPLETE": f"{shell}_complete", "COMP_CWORD": current}
    done = subprocess.run(
        [sys.executable, "-m", "springtui"],
        env={**os.environ, **asked, "COMP_WORDS": f"springtui train --set {word}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert wanted in done.stdout.replace(",", "\n").replace("\t", "\n")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_a_real_fish(tmp_path: Path, home: Path) -> None:
    shim = tmp_path / "springtui"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m springtui "$@"\n')
    shim.chmod(0o755)
    script = (
        "_SPRINGTUI_COMPLETE=fish_source springtui | source\n"
        'complete -C "springtui train --set optim"\ncomplete -C "springtui train --set optimizer=ps"\n'
    )
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["optimizer=", "optimizer=psgld"]


def test_nothing_heavy_is_imported(home: Path) -> None:
    names = modules_after(
        "import os\n"
        "os.environ |= dict(_SPRINGTUI_COMPLETE='bash_complete', COMP_WORDS='springtui train --set l')\n"
        "os.environ['COMP_CWORD'] = '3'\n"
        "from springtui.cli import main\n"
        "try: main([])\n"
        "except SystemExit: print()"
    )
    assert not names & (HEAVY | {"textual", "plotext", "matplotlib"})


@pytest.mark.parametrize(
    ("shell", "options", "first"),
    [
        ("bash", ["--norc", "--noprofile", "-i"], ""),
        ("zsh", ["-f", "-i"], "autoload -Uz compinit; compinit -D -u; "),
        ("fish", ["--no-config", "-i", "-C", "function fish_prompt; echo 'ready> '; end"], ""),
    ],
    ids=["bash", "zsh", "fish"],
)
def test_tab_in_a_real_shell(shell: str, options: list[str], first: str, tmp_path: Path, home: Path) -> None:
    """Tab completes a verb, a key without a space after it, the value beyond the ``=``, and a name with spaces."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    shim = tmp_path / "bin" / "springtui"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m springtui "$@"\n')
    shim.chmod(0o755)
    write_label(Run.create(home, ChainConfig()).path, name="my run")
    environment = {
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PS1": "ready> ",
        "HOME": str(tmp_path),
    }
    with Terminal([found, *options], env=environment) as terminal:
        terminal.wait_for("ready>")
        terminal.press(f'{first}eval "$(_SPRINGTUI_COMPLETE={shell}_source springtui)"; echo so"urced"\r')
        terminal.wait_for("sourced")
        terminal.press("\x15")  # what was typed so far, if anything, is wiped
        for typed, shown in (
            ("springtui trai\t", "springtui train "),
            ("--set optim\t", "--set optimizer="),
            ("psg\t", "optimizer=psgld "),
            ("--recipe paper-ml\t", "--recipe paper-mlp "),
        ):
            terminal.press(typed)
            terminal.wait_for(lambda text, shown=shown: shown in text.split("sourced")[-1])
        terminal.press("\x15springtui watch my\t")
        quoted = ("springtui watch my\\ run ", "springtui watch 'my run' ")  # as each shell does it
        terminal.wait_for(lambda text: any(shown in text for shown in quoted))
