"""Terminals with few colours or few signs: what goes out to them, byte by byte, from the real program."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.made_runs import make_many, make_run, training_records
from support.real_terminal import SPRINGTUI, Terminal, stop_workers

from springtui.terminal.ascii import in_ascii

HUES = {b"%d" % (ground + hue) for ground in (30, 40, 90, 100) for hue in range(1, 7)}
"""Codes of the sixteen colours that are no greys."""
SGR = re.compile(rb"\x1b\[([0-9;]*)m")


def settle(terminal: Terminal, seconds: float = 1.0) -> None:
    """Read on until nothing comes for a while, or a time has passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        terminal.read(0.05)


def walk(terminal: Terminal) -> None:
    """Every screen and overlay: lab with ruler, palette, help, tour, phase, runs."""
    terminal.wait_for(lambda text: "epoch" in text and "two hands" in text, 90)
    terminal.press("v")
    settle(terminal)
    for keys, sign in (("?", "springtui: help"), ("f", "g makes"), ("u", "Overlay")):
        terminal.press(keys)
        terminal.wait_for(sign, 60)
        settle(terminal)
        terminal.press("\x1b")
        terminal.wait_for(lambda text: "Nonlinearity" in text and "Measure" in text, 30)
    terminal.press("\x10")
    terminal.wait_for("Search for commands", 30)
    terminal.press("tour")
    terminal.wait_for("in a few cards", 30)
    terminal.press("\r")
    terminal.wait_for("Two systems", 30)
    terminal.press("\x1b")
    settle(terminal)


def colour_codes(raw: bytes) -> set[str]:
    """The kinds of colour that were written: rgb, 256 or 16."""
    kinds = set()
    for match in SGR.finditer(raw):
        codes = match.group(1).decode()
        for kind, pattern in (("rgb", r"[34]8;2;\d+;\d+;\d+"), ("256", r"[34]8;5;\d+")):
            codes, found = re.subn(pattern, "", codes)
            kinds |= {kind} if found else set()
        kinds |= {"16"} if re.search(r"(^|;)(3[0-7]|4[0-7]|9[0-7]|10[0-7])(;|$)", codes) else set()
    return kinds


@pytest.mark.slow
def test_nothing_but_ascii_and_sixteen_colours_goes_to_an_old_terminal(home: Path) -> None:
    env = {"LC_ALL": "C", "TERM": "linux", "COLORTERM": ""}
    with Terminal(env=env) as terminal:
        walk(terminal)
        assert bytes(terminal.raw).isascii(), [line for line in terminal.screen.display if not line.isascii()]
        assert colour_codes(bytes(terminal.raw)) == {"16"}
        terminal.press("q")
        settle(terminal)
    stop_workers(home)


@pytest.mark.slow
@pytest.mark.parametrize("colours", ["sixteen", "greys"])
def test_a_run_and_prompts_in_an_old_terminal(home: Path, monkeypatch: pytest.MonkeyPatch, colours: str) -> None:
    """Watch with its tabs and replay, the list of runs, a question for text and one of choices."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    make_many(home, 4)
    make_run(home, training_records(60, moves=3), 99, began=1.7e9 + 9000)
    env = {"LC_ALL": "C", "TERM": "linux", "COLORTERM": ""} | ({"NO_COLOR": "1"} if colours == "greys" else {})
    with Terminal([*SPRINGTUI, "watch"], columns=80, rows=24, env=env) as terminal:
        terminal.wait_for(lambda text: "record 60/60" in text and "###" in text and "*" in text, 60)
        terminal.press("\x1b[H")
        terminal.wait_for("record 1/60")
        for key, sign in (("]", "Settings in force"), ("]", "worker.log"), ("i", "Esc cancels"), ("\x1b", "^p")):
            terminal.press(key)
            terminal.wait_for(sign)
        terminal.wait_for(lambda text: "Esc cancels" not in text)
        terminal.press("\x1b")
        terminal.wait_for(lambda text: "Overlay" in text and "stopped" in text)
        for key, sign in (("/", "Enter takes it"), ("\x1b", "Overlay")):
            terminal.press(key)
            terminal.wait_for(sign)
        terminal.wait_for(lambda text: "Enter takes it" not in text)
        terminal.press("D")
        terminal.wait_for("y    delete")
        assert bytes(terminal.raw).isascii(), [line for line in terminal.screen.display if not line.isascii()]
        assert colour_codes(bytes(terminal.raw)) == {"16"}
        hues = {code for codes in SGR.findall(bytes(terminal.raw)) for code in codes.split(b";")} & HUES
        assert not hues if colours == "greys" else {b"93", b"96"} <= hues
        terminal.press("\x1b")
        terminal.wait_for(lambda text: "y    delete" not in text)
        terminal.press("q")
        assert terminal.wait_exit() == 0
        assert not terminal.modes_left_on()


@pytest.mark.parametrize("multiplexer", ["screen", "tmux"])
def test_leaving_leaves_a_clean_prompt_in_a_multiplexer(home: Path, tmp_path: Path, multiplexer: str) -> None:
    """GNU screen, as it comes, has no second screen: what was drawn would stand under the prompt."""
    if shutil.which(multiplexer) is None:
        pytest.skip(f"{multiplexer} is not installed")
    folder = make_run(home, training_records(60), 99)
    sockets = tmp_path / "s"
    sockets.mkdir(mode=0o700)
    shell = ["sh", "-c", f"PS1='ready> ' exec {shutil.which('bash') or 'sh'} --norc --noprofile"]
    argv = ["screen", "-c", os.devnull, "-S", "leaving", *shell]
    stop = ["screen", "-S", "leaving", "-X", "quit"]
    if multiplexer == "tmux":
        tmux = ["tmux", "-S", str(sockets / "t"), "-f", os.devnull]
        argv, stop = [*tmux, "new-session", shlex.join(shell)], [*tmux, "kill-server"]
    env = {"SCREENDIR": str(sockets), "HISTFILE": os.devnull}
    with Terminal(argv, columns=80, rows=24, env=env) as terminal:
        try:
            terminal.wait_for("ready>", 30)
            terminal.press(f"{shlex.join(SPRINGTUI)} watch {folder.name}; echo left with $?\r")
            terminal.wait_for("record 60/60", 60)
            terminal.press("q")
            terminal.wait_for("left with 0")
            terminal.wait_for(lambda text: text.split("left with 0")[1].strip().startswith("ready>"))
            assert "record" not in terminal.text()
            assert "Load curve" not in terminal.text()
        finally:
            subprocess.run(stop, env={**os.environ, **env}, check=False, capture_output=True)


@pytest.mark.parametrize(
    ("term", "colorterm", "kind"),
    [("xterm", "", "16"), ("xterm-256color", "", "256"), ("xterm", "truecolor", "rgb")],
)
def test_colours_are_those_that_the_terminal_has(home: Path, term: str, colorterm: str, kind: str) -> None:
    with Terminal(env={"TERM": term, "COLORTERM": colorterm}) as terminal:
        terminal.wait_for(lambda text: "epoch" in text, 90)
        settle(terminal)
        kinds = colour_codes(bytes(terminal.raw))
        assert kind in kinds
        assert kinds <= ({kind, "16"} if kind == "256" else {kind})
        if kind == "16":  # network and chain have different colours, and borders can be seen
            assert {b"93", b"96", b"90"} <= set(
                re.findall(rb"[0-9]+", b";".join(SGR.findall(bytes(terminal.raw))))
            )
        terminal.press("d")
        terminal.wait_exit()
    stop_workers(home)


def test_signs_are_replaced_by_as_wide_ones() -> None:
    assert in_ascii("μ→ 0.1 · ε ≤ 2…") == "m> 0.1 . e < 2."
    assert in_ascii("╭─┤⠿▁█╰") == "+-+*_#+"
    assert in_ascii("D₀ x² é 漢") == "D0 x2 e ??"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_it_works_in_tmux(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real tmux, its server in a socket of the test's own; the environment holds the size at the start."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "40")
    tmux = ["tmux", "-S", str(tmp_path / "s"), "-f", os.devnull]

    def pane() -> str:
        done = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=False)
        return done.stdout

    def wait(sign: str, seconds: float = 90.0) -> None:
        end = time.monotonic() + seconds
        while sign not in pane():
            assert time.monotonic() < end, pane()
            time.sleep(0.2)

    subprocess.run([*tmux, "new-session", "-d", "-x", "120", "-y", "40", *SPRINGTUI], check=True, timeout=30)
    try:
        wait("epoch")
        subprocess.run([*tmux, "send-keys", "End"], check=True)
        wait("in force          1")
        subprocess.run([*tmux, "resize-window", "-x", "80", "-y", "24"], check=True)
        wait("Training")
        subprocess.run([*tmux, "send-keys", "?"], check=True)
        wait("springtui: help")
        assert "[1;1R" not in pane()
        subprocess.run([*tmux, "send-keys", "Escape"], check=True)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
        stop_workers(home)
