"""Everything by mouse, as a terminal sends it: real bytes to the real program, over runs that never change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.made_runs import make_many, make_run, training_records
from support.real_terminal import SPRINGTUI, Terminal

from engine.runs.records import Ended

pytestmark = pytest.mark.slow


class Mouse:
    """Points at what is seen."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def find(self, words: str, *, after: int = 0) -> tuple[int, int]:
        """Column and row, from 1, of the first cell of words, on the screen from a row on."""
        for row, line in enumerate(self.terminal.screen.display):
            if row >= after and words in line:
                return line.index(words) + 1, row + 1
        raise AssertionError(f"{words!r} is nowhere in\n{self.terminal.text()}")

    def press(self, column: int, row: int) -> None:
        self.terminal.press(f"\x1b[<0;{column};{row}M")

    def drag(self, column: int, row: int) -> None:
        self.terminal.press(f"\x1b[<32;{column};{row}M")

    def release(self, column: int, row: int) -> None:
        self.terminal.press(f"\x1b[<0;{column};{row}m")

    def click(self, words: str, sign: Callable[[str], bool] | str, *, times: int = 1, after: int = 0) -> None:
        """On words, once they stand there, until a sign is shown; a click while all is drawn anew is lost."""
        shows = (lambda text: sign in text) if isinstance(sign, str) else sign
        self.terminal.wait_for(lambda text: words in "\n".join(text.splitlines()[after:]), 60)
        for _ in range(10):
            if words not in self.terminal.text():
                break
            column, row = self.find(words, after=after)
            for _ in range(times):
                self.press(column, row)
                self.release(column, row)
            end = time.monotonic() + 4
            while time.monotonic() < end:
                self.terminal.read(0.05)
                if shows(self.terminal.text()):
                    return
        self.terminal.wait_for(sign)

    def wheel(self, words: str, *, up: bool) -> None:
        column, row = self.find(words)
        self.terminal.press(f"\x1b[<{64 if up else 65};{column};{row}M")


@pytest.fixture
def runs(home: Path) -> Iterator[Terminal]:
    """The list of runs in a real terminal of 80x24."""
    make_many(home, 30)
    ended = Ended(reason="finished", text="finished after 60 epochs", time=1.7e9 + 9003.0, at=60)
    folder = make_run(home, [*training_records(60, moves=3), ended], 99, began=1.7e9 + 9000)
    (folder / "worker.log").write_text("".join(f"line {i}\n" for i in range(200)))
    with Terminal([*SPRINGTUI, "watch"], columns=80, rows=24) as terminal:
        terminal.wait_for("record 60/60", 60)
        Mouse(terminal).click("esc Back", lambda text: "o Overlay" in text and "train-000063" in text, after=23)
        yield terminal


def without(words: str) -> Callable[[str], bool]:
    return lambda text: words not in text


def ask(terminal: Terminal, key: str, sign: str) -> None:
    """Press a key until its question is there; one that comes while another screen goes is that screen's."""
    for _ in range(5):
        terminal.press(key)
        end = time.monotonic() + 4
        while sign not in terminal.text() and time.monotonic() < end:
            terminal.read(0.05)
        if sign in terminal.text():
            return
    terminal.wait_for(sign)


def test_rows_heads_tabs_time_and_log(runs: Terminal) -> None:
    mouse = Mouse(runs)
    mouse.click("NAME", "by name")
    mouse.click("AGE", "by age")
    mouse.click("train-000063", "record 60/60", times=2)
    bar = mouse.find("record 60/60")[1] - 1
    mouse.press(40, bar)
    runs.wait_for(lambda text: "record 30/60" in text or "record 31/60" in text)
    mouse.drag(2, bar)
    runs.wait_for("record 1/60")
    mouse.release(2, bar)
    mouse.click("History", "Settings in force")
    mouse.click("Log", "line 199")
    mouse.wheel("line 199", up=True)
    runs.wait_for(lambda text: "line 196" in text and "line 199" not in text)
    mouse.wheel("line 196", up=False)
    runs.wait_for("line 199")
    mouse.click("esc Back", "o Overlay", after=23)


def test_the_bottom_line_prompts_help_palette_and_leaving(runs: Terminal) -> None:
    mouse = Mouse(runs)
    mouse.click("/ Filter", "Esc cancels", after=23)
    mouse.click("Esc cancels", without("Esc cancels"))
    mouse.click("/ Filter", "Enter takes it", after=23)
    runs.press("chain")
    mouse.click("Enter takes it", "filter chain")
    mouse.click("? Help", "springtui: help", after=23)
    mouse.press(1, 1)  # beside the frame
    mouse.release(1, 1)
    runs.wait_for(without("springtui: help"))
    mouse.click("^p Palette", "Search for commands", after=23)
    runs.press("\x1b")
    runs.wait_for(without("Search for commands"))
    ask(runs, "D", "Esc  cancel")
    mouse.click("Esc  cancel", without("Esc  cancel"))
    ask(runs, "D", "y    delete")
    mouse.click("y    delete", "1 deleted")
    mouse.click("q Quit", without("q Quit"), after=23)
    assert runs.wait_exit() == 0
    assert not runs.modes_left_on()
