"""Only cells that changed go out, in few bytes, and the terminal shows the same as if all had."""

from __future__ import annotations

import random
import re

import pyte
import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, InlineUpdate, LayoutUpdate
from textual.geometry import Region, Size
from textual.strip import Strip

from springtui.terminal.diff import Encoder, ScreenDiff
from springtui.terminal.sgr import PLAIN, sgr

SIZE = Size(30, 6)
CONSOLE = Console(color_system="truecolor", force_terminal=True)


def styles_for(colors: str) -> list[Style]:
    """Of every kind, and none equal for two kinds of consoles: rich keeps the codes of a style's first console."""
    end = {"truecolor": "20", "256": "21", "standard": "22"}[colors]
    return [
        Style(),
        Style(color="red"),
        Style(color=f"#10c0{end}", bgcolor=f"#1010{end}"),
        Style(bgcolor="blue", bold=True),
        Style(underline=True),
        Style(color=f"#3040{end}", underline=True, bold=True),
        Style(reverse=True),
        Style(color="yellow", bgcolor=f"#3030{end}", reverse=True),
        Style(strike=True, color=f"#8080{end}"),
        Style(italic=True, bgcolor="bright_magenta"),
        Style(dim=True, color=f"#10c0{end}"),
        Style(color="default", bgcolor="default", bold=True),
    ]


STYLES = styles_for("truecolor")
RED, BLUE, ON_BLUE = sgr(foreground="31"), sgr(foreground="34"), sgr(foreground="31", background="44")


def random_line(rng: random.Random, width: int, styles: list[Style]) -> Strip:
    segments, left = [], width
    while left:
        text = rng.choice(["a", "b ", "  ", "      ", "⠿⠶", "漢", "│", "●", "ab ⠿"])
        cells = Segment(text).cell_length
        if cells <= left:
            segments.append(Segment(text, rng.choice(styles)))
            left -= cells
    return Strip(segments)


def look(cell: pyte.screens.Char) -> object:
    """What can be seen of a cell: of a blank not its foreground, unless that is drawn."""
    if cell.data == " " and not (cell.underscore or cell.reverse or cell.strikethrough):
        return cell.data, cell.bg
    return cell


def shown(screen: pyte.Screen) -> list[object]:
    return [look(screen.buffer[y][x]) for y in range(SIZE.height) for x in range(SIZE.width)]


def next_update(rng: random.Random, lines: list[Strip], whole: bool, styles: list[Style]) -> CompositorUpdate:
    """A whole picture, or a line of which two pieces are drawn."""
    if whole:
        lines[:] = [random_line(rng, SIZE.width, styles) for _ in range(SIZE.height)]
        return LayoutUpdate([[line] for line in lines], Region(0, 0, *SIZE))
    y = rng.randrange(SIZE.height)
    if rng.random() < 0.3:
        lines[y] = random_line(rng, SIZE.width, styles)
    elif rng.random() < 0.7:  # few cells, with some alike between them
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(SIZE.width)
            letter = Strip([Segment(rng.choice("xyz "), rng.choice(styles))])
            before, after = lines[y].crop(0, at), lines[y].crop(at + 1)
            if before.cell_length == at and after.cell_length == SIZE.width - at - 1:
                lines[y] = Strip.join([before, letter, after])
    half = next(x for x in (15, 14) if lines[y].crop(0, x).cell_length == x)
    chops: list[dict[int, Strip]] = [{} for _ in range(SIZE.height)]
    chops[y] = {0: lines[y].crop(0, half), half: lines[y].crop(half, SIZE.width)}
    return ChopsUpdate(chops, [(y, 0, SIZE.width)], [[half, SIZE.width]] * SIZE.height)


@pytest.mark.parametrize("colors", ["truecolor", "256", "standard"])
@pytest.mark.parametrize("seed", range(8))
def test_whole_pictures_and_pieces_end_in_the_same_screen(seed: int, colors: str) -> None:
    rng = random.Random(seed)
    console = Console(color_system=colors, force_terminal=True)  # type: ignore[arg-type]
    styles = styles_for(colors)[: 4 if seed < 2 else None]
    diff, screen, plain_screen = ScreenDiff(), pyte.Screen(*SIZE), pyte.Screen(*SIZE)
    stream, plain_stream = pyte.Stream(screen), pyte.Stream(plain_screen)
    lines = [random_line(rng, SIZE.width, styles) for _ in range(SIZE.height)]
    sent = plain = 0
    for turn in range(60):
        update = next_update(rng, lines, turn % 10 == 0, styles)
        output, whole = diff.output(update, SIZE, console), update.render_segments(console)
        assert output is not None
        stream.feed(output)
        plain_stream.feed(whole.replace("\n", ""))
        assert shown(screen) == shown(plain_screen), (turn, output)
        assert screen.cursor.attrs == screen.default_char, "a style is left switched on"
        sent, plain = sent + len(output.encode()), plain + len(whole.encode())
    assert sent < 0.6 * plain


def test_what_is_shown_already_costs_nothing_until_it_is_forgotten() -> None:
    diff = ScreenDiff()
    update = LayoutUpdate([[Strip([Segment("x" * 30, STYLES[2])])]], Region(0, 0, 30, 1))
    assert diff.output(update, SIZE, CONSOLE)
    assert diff.output(update, SIZE, CONSOLE) == ""
    assert diff.output(update, Size(31, 6), CONSOLE) != ""  # another size: the terminal may show anything
    diff.forget()
    assert diff.output(update, Size(31, 6), CONSOLE) != ""
    assert diff.output(InlineUpdate([]), SIZE, CONSOLE) is None


def test_only_the_stretch_asked_for_is_sent() -> None:
    diff = ScreenDiff()
    line = Strip([Segment("abcdefghij" * 3, STYLES[1])])
    update = ChopsUpdate([{0: line}], [(0, 4, 6)], [[30]])
    assert diff.output(update, Size(30, 1), CONSOLE) == "\x1b[1;5H\x1b[31mef\x1b[0m"


def line_update(text: str, style: Style = STYLES[1]) -> LayoutUpdate:
    return LayoutUpdate([[Strip([Segment(text, style)])]], Region(0, 0, len(text), 1))


def test_a_blank_of_another_foreground_is_no_change() -> None:
    diff, size = ScreenDiff(), Size(4, 1)
    diff.output(line_update("a  b"), size, CONSOLE)
    update = LayoutUpdate(
        [
            [
                Strip(
                    [
                        Segment("a", STYLES[1]),
                        Segment("  ", Style(color="blue", bold=True)),
                        Segment("b", STYLES[1]),
                    ]
                )
            ]
        ],
        Region(0, 0, 4, 1),
    )
    assert diff.output(update, size, CONSOLE) == ""
    output = diff.output(line_update("a  b", Style(color="red", underline=True)), size, CONSOLE)
    assert output == "\x1b[1H\x1b[4;31ma  b\x1b[0m"


@pytest.mark.parametrize(
    ("before", "after", "output"),
    [
        ("abcdefgh", "Xbcdefgh", "\x1b[1H\x1b[31mX\x1b[0m"),
        ("abcdefgh", "XbcdXfgh", "\x1b[1H\x1b[31mXbcdX\x1b[0m"),  # three letters, or four bytes to pass over them
        ("abcdefgh", "XbcdefgX", "\x1b[1H\x1b[31mX\x1b[6CX\x1b[0m"),
        ("a⠿⠿⠿efgh", "X⠿⠿⠿Xfgh", "\x1b[1H\x1b[31mX\x1b[3CX\x1b[0m"),  # nine bytes against four
        ("a⠿cdefgh", "X⠿Xdefgh", "\x1b[1H\x1b[31mX⠿X\x1b[0m"),
        ("a●⠿⠿⠿fgh", "X●⠿⠿⠿Xgh", "\x1b[1H\x1b[31mX\x1b[4CX\x1b[0m"),
        ("a●c⠿⠿⠿gh", "X○c⠿⠿⠿Xh", "\x1b[1H\x1b[31mX○\x1b[1;7HX\x1b[0m"),  # may be two cells wide
    ],
)
def test_the_cursor_takes_the_cheaper_way(before: str, after: str, output: str) -> None:
    diff, size = ScreenDiff(), Size(8, 1)
    diff.output(line_update(before), size, CONSOLE)
    assert diff.output(line_update(after), size, CONSOLE) == output


def test_each_style_is_switched_on_once_and_blanks_have_any_of_their_background() -> None:
    encoder = Encoder()
    on_blue = sgr(background="44")
    encoder.write(0, 0, [(" ", PLAIN), ("a", RED), (" ", PLAIN), ("c", RED), (" ", on_blue), ("d", ON_BLUE)])
    encoder.write(2, 3, [("e", BLUE), (" ", PLAIN), ("f", RED)])
    assert encoder.finish() == (
        "\x1b[1H\x1b[31m a c\x1b[3;6Hf"  # red
        "\x1b[3;4H\x1b[34me "
        "\x1b[1;5H\x1b[31;44m d\x1b[0m"  # the same foreground on another background
    )
    assert encoder.finish() == ""
    encoder.write(1, 0, [(" ", PLAIN), (" ", PLAIN)])
    encoder.write(1, 4, [(" ", sgr(["4"])), (" ", PLAIN)])
    assert encoder.finish() == "\x1b[2H  \x1b[3C \x1b[1;5H\x1b[4m \x1b[0m".replace("[1;5H", "[2;5H")


def test_only_what_every_terminal_knows_is_sent() -> None:
    rng = random.Random(3)
    diff, sent = ScreenDiff(), ""
    lines = [random_line(rng, SIZE.width, STYLES) for _ in range(SIZE.height)]
    for turn in range(100):
        sent += diff.output(next_update(rng, lines, turn % 10 == 0, STYLES), SIZE, CONSOLE) or ""
    kinds = set(re.findall(r"\x1b\[[0-9;]*(.)", sent))
    assert kinds == {"m", "H", "C"}
