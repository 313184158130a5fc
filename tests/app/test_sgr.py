"""Fewer bytes, the same picture: what a terminal emulator shows of both."""

from __future__ import annotations

import random

import pyte

from springtui.terminal.sgr import thrifty


def shown(text: str) -> list[list[object]]:
    """Every cell of a terminal that was written to; of a blank, not the ink."""
    screen = pyte.Screen(40, 8)
    pyte.Stream(screen).feed(text)
    cells = []
    for y in range(8):
        row: list[object] = []
        for x in range(40):
            cell = screen.buffer[y][x]
            blank = cell.data == " " and not (cell.underscore or cell.reverse or cell.strikethrough)
            row.append((cell.data, cell.bg, cell.underscore, cell.reverse, cell.strikethrough) if blank else cell)
        cells.append(row)
    return cells


def random_picture(seed: int) -> str:
    rng = random.Random(seed)
    colors = ["38;2;10;200;30", "38;5;9", "33", "97", "39", ""]
    grounds = ["48;2;1;2;3", "48;5;240", "44", "103", "49", ""]
    attributes = ["", "", "", "1", "3", "4", "7", "1;4"]
    out = []
    for _ in range(60):
        if rng.random() < 0.3:
            out.append(f"\x1b[{rng.randint(1, 8)};{rng.randint(1, 30)}H")
        if rng.random() < 0.05:
            out.append("\x1b[K")
        codes = ";".join(c for c in (rng.choice(attributes), rng.choice(colors), rng.choice(grounds)) if c)
        text = rng.choice(["  ", "ab", " x ", "⠿⠿", "   ", "#"])
        out.append(f"\x1b[{codes}m{text}\x1b[0m" if codes else text)
    return "".join(out)


def test_a_terminal_shows_the_same() -> None:
    for seed in range(200):
        text = random_picture(seed)
        assert shown(thrifty(text)) == shown(text), seed


def test_what_is_alike_is_written_once() -> None:
    red, blue = "\x1b[38;2;255;0;0;48;2;0;0;0m", "\x1b[38;2;0;0;255;48;2;0;0;0m"
    assert thrifty(f"{red}ab\x1b[0m{red}cd\x1b[0m") == f"{red}abcd\x1b[0m"
    assert thrifty(f"{red}ab\x1b[0m{blue}c\x1b[0m") == f"{red}ab\x1b[38;2;0;0;255mc\x1b[0m"
    assert thrifty(f"{red}ab\x1b[0m{blue}  \x1b[0m{red}c\x1b[0m") == f"{red}ab  c\x1b[0m"


def test_what_has_no_style_is_left_alone() -> None:
    for text in ("", "plain", "\x1b[?1049h", "\x1b[6n", "\x1b[2J\x1b[H"):
        assert thrifty(text) == text


def test_pictures_shrink() -> None:
    text = "".join(random_picture(seed) for seed in range(20))
    assert len(thrifty(text)) < 0.8 * len(text)
