"""Only cells that changed go out, and the terminal shows the same as if all had."""

from __future__ import annotations

import random

import pyte
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, InlineUpdate, LayoutUpdate
from textual.geometry import Region, Size
from textual.strip import Strip

from springtui.terminal.diff import Shown
from springtui.terminal.sgr import thrifty

SIZE = Size(30, 6)
CONSOLE = Console(color_system="truecolor", force_terminal=True)
STYLES = [Style(), Style(color="red"), Style(color="#10c020", bgcolor="#101010"), Style(bgcolor="blue", bold=True)]


def random_line(rng: random.Random, width: int) -> Strip:
    segments, left = [], width
    while left:
        text = rng.choice(["a", "b ", "  ", "⠿⠶", "漢", "│"])
        cells = Segment(text).cell_length
        if cells <= left:
            segments.append(Segment(text, rng.choice(STYLES)))
            left -= cells
    return Strip(segments)


def cells(screen: pyte.Screen) -> list[object]:
    return [
        (c.data, c.bg) if c.data in " " and c.data else (c.data, c.fg, c.bg, c.bold)
        for y in range(SIZE.height)
        for c in (screen.buffer[y][x] for x in range(SIZE.width))
    ]


def test_whole_pictures_and_pieces_end_in_the_same_screen() -> None:
    rng = random.Random(1)
    shown, screen, whole = Shown(), pyte.Screen(*SIZE), pyte.Screen(*SIZE)
    mine, theirs = pyte.Stream(screen), pyte.Stream(whole)
    lines = [random_line(rng, SIZE.width) for _ in range(SIZE.height)]
    sent = wanted = 0
    for turn in range(150):
        if turn % 10:
            y = rng.randrange(SIZE.height)
            lines[y] = random_line(rng, SIZE.width) if rng.random() < 0.3 else lines[y]
            half = next(x for x in (15, 14) if lines[y].crop(0, x).cell_length == x)
            chops = [{} for _ in range(SIZE.height)]  # type: ignore[var-annotated]
            chops[y] = {0: lines[y].crop(0, half), half: lines[y].crop(half, SIZE.width)}
            update = ChopsUpdate(chops, [(y, 0, SIZE.width)], [[half, SIZE.width]] * SIZE.height)
        else:
            lines = [random_line(rng, SIZE.width) for _ in range(SIZE.height)]
            update = LayoutUpdate([[line] for line in lines], Region(0, 0, *SIZE))  # type: ignore[assignment]
        output, full = shown.output(update, SIZE, CONSOLE), update.render_segments(CONSOLE)
        assert output is not None
        mine.feed(thrifty(output))
        theirs.feed(full.replace("\n", ""))
        assert cells(screen) == cells(whole), turn
        sent, wanted = sent + len(output), wanted + len(full)
    assert sent < 0.8 * wanted


def test_what_is_shown_already_costs_nothing_until_it_is_forgotten() -> None:
    shown = Shown()
    update = LayoutUpdate([[Strip([Segment("x" * 30, STYLES[2])])]], Region(0, 0, 30, 1))
    assert shown.output(update, SIZE, CONSOLE)
    assert shown.output(update, SIZE, CONSOLE) == ""
    assert shown.output(update, Size(31, 6), CONSOLE) != ""  # another size: the terminal may show anything
    shown.forget()
    assert shown.output(update, Size(31, 6), CONSOLE) != ""
    assert shown.output(InlineUpdate([]), SIZE, CONSOLE) is None


def test_only_the_stretch_asked_for_is_sent() -> None:
    shown = Shown()
    line = Strip([Segment("abcdefghij" * 3, STYLES[1])])
    update = ChopsUpdate([{0: line}], [(0, 4, 6)], [[30]])
    assert shown.output(update, Size(30, 1), CONSOLE) == "\x1b[1;5H\x1b[31mef\x1b[0m"
