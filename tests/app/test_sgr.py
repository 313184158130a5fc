"""From one style to another in few bytes: what a terminal emulator then shows."""

from __future__ import annotations

import itertools
import random

import pyte
import pytest
from rich.color import ColorSystem
from rich.style import Style

from springtui.terminal.sgr import PLAIN, Sgr, sgr, sgr_of, shortest_change

STYLES = [
    sgr(attributes, foreground, background)
    for attributes in ((), ("1",), ("1", "2"), ("2",), ("3",), ("4", "7"), ("1", "4"), ("9",))
    for foreground in ("", "33", "38;5;9", "38;2;10;200;30")
    for background in ("", "44", "48;2;1;2;3")
]


def on(text: str) -> pyte.screens.Char:
    """What is switched on after some output."""
    screen = pyte.Screen(4, 1)
    pyte.Stream(screen).feed(text)
    return screen.cursor.attrs


def written_out(style: Sgr) -> str:
    codes = [*sorted(style.attributes), style.foreground, style.background]
    return f"\x1b[0;{';'.join(code for code in codes if code)}m".replace(";m", "m")


def test_a_change_ends_in_the_style_wanted() -> None:
    for now, wanted in itertools.product(STYLES, STYLES):
        change, then = shortest_change(now, wanted)
        assert then is wanted
        assert on(written_out(now) + change) == on(written_out(wanted)), (now, wanted, change)
        assert len(change) <= len(written_out(wanted)) + 1


def test_before_a_blank_only_what_can_be_seen_changes() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        now, wanted = rng.choice(STYLES), rng.choice(STYLES)
        change, then = shortest_change(now, wanted, blank=True)
        assert on(written_out(now) + change) == on(written_out(then))
        assert then.background == wanted.background
        assert len(change) <= max(len("\x1b[49m"), len(shortest_change(now, wanted)[0]))
        if now.shows_on_blanks or wanted.shows_on_blanks:
            assert then is wanted


@pytest.mark.parametrize(
    ("now", "wanted", "change"),
    [
        (sgr(foreground="31"), sgr(foreground="31"), ""),
        (sgr(foreground="31"), PLAIN, "\x1b[0m"),
        (sgr(foreground="31", background="44"), sgr(foreground="32", background="44"), "\x1b[32m"),
        (sgr(foreground="31"), sgr(foreground="31", background="44"), "\x1b[44m"),
        (sgr(foreground="31", background="44"), sgr(background="44"), "\x1b[39m"),
        (sgr(["1"], "38;2;1;2;3", "48;2;4;5;6"), sgr([], "38;2;1;2;3", "48;2;4;5;6"), "\x1b[22m"),
        (sgr(["1", "2"], "38;2;1;2;3"), sgr(["2"], "38;2;1;2;3"), "\x1b[22;2m"),
        (sgr(["3"], "31"), sgr([], "31"), "\x1b[0;31m"),
    ],
)
def test_what_is_alike_is_not_written_again(now: Sgr, wanted: Sgr, change: str) -> None:
    assert shortest_change(now, wanted) == (change, wanted)


def test_a_style_in_as_many_colours_as_the_terminal_has() -> None:
    style = Style(color="#ff0000", bgcolor="default", bold=True)
    assert sgr_of(style, ColorSystem.TRUECOLOR) == (sgr(["1"], "38;2;255;0;0"), PLAIN)
    assert sgr_of(style, ColorSystem.EIGHT_BIT)[0].foreground == "38;5;196"
    assert sgr_of(style, ColorSystem.STANDARD)[0].foreground == "31"
    whole, blank = sgr_of(Style(color="red", bgcolor="blue", underline=True), ColorSystem.STANDARD)
    assert blank is whole, "the line is drawn under blanks, in the foreground"
    assert sgr_of(Style(color="red", bgcolor="blue"), ColorSystem.STANDARD)[1] is sgr(background="44")
