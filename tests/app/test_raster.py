"""Curves as dots in cells, against pictures that can be told in advance, and the frame about them."""

from __future__ import annotations

import numpy as np
import pytest
from rich.style import Style

from springtui.widgets.frame import frame_of
from springtui.widgets.raster import NOBODY, Codes, Curve, rasterise, to_strips
from springtui.widgets.ticks import Axis

UNIT = (0.0, 1.0)


def lines(codes: Codes) -> list[str]:
    return ["".join(map(chr, line)) for line in codes.tolist()]


def draw(*curves: Curve, width: int = 4, height: int = 2, ascii_only: bool = False) -> list[str]:
    return lines(rasterise(curves, UNIT, UNIT, width, height, ascii_only=ascii_only)[0])


def test_a_diagonal_sets_the_dots_of_a_diagonal() -> None:
    """It goes from the middle of the first cell to that of the last; a cell has 2 × 4 dots."""
    codes, _ = rasterise([Curve([0, 1], [0, 1])], UNIT, UNIT, 8, 4)
    dots = {
        (2 * x + dx, 4 * y + dy)
        for y, line in enumerate(codes.tolist())
        for x, code in enumerate(line)
        for dx in (0, 1)
        for dy, bit in enumerate(((1, 8), (2, 16), (4, 32), (64, 128)))
        if code != ord(" ") and (code - 0x2800) & bit[dx]
    }
    assert min(dots) == (1, 13), "2 of 4 dots above the bottom"
    assert max(dots)[0] == 14
    assert len({x for x, _ in dots}) == 14, "no column between them is left out"
    slope = (14 - 1) / (13 - 2)
    assert all(abs((x - 1) - slope * (13 - y)) <= slope for x, y in dots)


def test_a_line_along_and_a_line_up_are_unbroken() -> None:
    assert draw(Curve([0, 1], [1, 1])) == ["⠠⠤⠤⠄", "    "]
    assert draw(Curve([0, 0], [0, 1]), height=3) == ["⢠   ", "⢸   ", "⠘   "]


def test_points_that_are_not_joined_are_dots() -> None:
    assert draw(Curve([0, 1 / 3, 1], [1, 1, 0], lines=False)) == ["⠠⠠  ", "   ⠂"]
    assert draw(Curve([0], [0])) == draw(Curve([0, 0], [0, 0])) == ["    ", "⠐   "]
    assert draw(Curve([], [])) == draw() == ["    ", "    "]


def test_ascii_has_a_star_in_every_cell_passed() -> None:
    assert draw(Curve([0, 1], [0, 1]), height=4, ascii_only=True) == ["   *", "  * ", " *  ", "*   "]
    assert draw(Curve([0, 1], [1, 1]), ascii_only=True) == ["****", "    "]


def test_what_lies_beyond_the_axes_is_left_out() -> None:
    assert draw(Curve([0, 2], [1, 1])) == ["⠠⠤⠤⠤", "    "], "a line leaves the canvas at its edge"
    assert draw(Curve([-0.5, 0.5], [0, 0], lines=False)) == ["    ", "  ⠂ "]
    assert draw(Curve([-5, -4], [0, 0]), Curve([0, 1], [7, 8])) == ["    ", "    "]
    codes, _ = rasterise([Curve([0, 1, 2], [0, 1e300, -1e300])], (0, 2), UNIT, 40, 20)
    assert codes.shape == (20, 40), "and costs no steps"


def test_the_last_curve_stands_on_top_and_dots_of_all_stay() -> None:
    along, up = Curve([0, 1], [1, 1]), Curve([0, 0], [0, 1])
    codes, owners = rasterise([along, up], UNIT, UNIT, 3, 2)
    assert lines(codes) == ["⢠⠤⠄", "⠘  "]
    assert owners.tolist() == [[1, 0, 0], [1, NOBODY, NOBODY]]
    assert rasterise([up, along], UNIT, UNIT, 3, 2)[1].tolist() == [[1, 1, 1], [0, NOBODY, NOBODY]]


def test_neighbouring_curves_are_not_joined() -> None:
    assert draw(Curve([0, 0], [1, 1]), Curve([1, 1], [0, 0])) == ["⠠   ", "   ⠂"]


@pytest.mark.parametrize("ends", [(3.0, 3.0), (1e308, 1e308)])
def test_an_axis_without_length_has_its_values_in_the_middle(ends: tuple[float, float]) -> None:
    codes, _ = rasterise([Curve([ends[0]], [0.5])], ends, UNIT, 5, 1)
    assert lines(codes)[0].strip() == lines(codes)[0][2]


def test_the_largest_numbers_do_not_overflow() -> None:
    codes, _ = rasterise([Curve([0, 1], [-1.7e308, 1.7e308])], UNIT, (-1.7e308, 1.7e308), 4, 4, ascii_only=True)
    assert lines(codes) == ["   *", "  * ", " *  ", "*   "]


def test_cells_become_lines_of_one_style_each_stretch() -> None:
    red, plain = Style(color="red"), Style()
    codes = np.array([[ord(char) for char in line] for line in ("ab⠿ ", "    ")], np.uint32)
    kinds = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], np.int16)
    first, second = to_strips(codes, kinds, [plain, red])
    assert [(text, style) for text, style, _ in first] == [("ab", red), ("⠿ ", plain)]
    assert [(text, style) for text, style, _ in second] == [("    ", plain)]
    assert first.cell_length == second.cell_length == 4


UP = Axis(0.0, 1.0, [(0.0, "0.0"), (1.0, "1.0")])
ALONG = Axis(0.0, 10.0, [(0.0, "0"), (5.0, "5"), (10.0, "10")])


def test_a_frame_has_its_labels_at_their_places() -> None:
    frame = frame_of(20, 7, UP, ALONG)
    assert lines(frame.codes) == [
        "   ┌───────────────┐",
        "1.0┤               │",
        "   │               │",
        "   │               │",
        "0.0┤               │",
        "   └┬──────┬──────┬┘",
        "    0      5     10 ",
    ]
    assert (frame.left, frame.top, frame.width, frame.height) == (4, 1, 15, 4)
    text = "".join("".join(line) for line in lines(frame.codes))
    labels = frame.labels.ravel().tolist()
    assert "".join(char for char, is_label in zip(text, labels, strict=True) if is_label) == "1.00.00510"
    assert "".join(map(chr, frame_of(20, 7, UP, ALONG, ascii_only=True).codes.ravel().tolist())).isascii()


@pytest.mark.parametrize(("width", "height"), [(12, 4), (13, 5), (40, 4), (12, 30), (200, 60)])
@pytest.mark.parametrize("labels", ["1", "-1000000"])
def test_curves_and_labels_meet_in_frames_of_any_size(width: int, height: int, labels: str) -> None:
    frame = frame_of(width, height, UP._replace(ticks=[(0.0, labels), (1.0, labels)]), ALONG)
    assert frame.codes.shape == (height, width)
    assert frame.width >= 1
    assert frame.height >= 1
    codes, _ = rasterise([Curve([0, 10], [0, 1])], (0, 10), UNIT, frame.width, frame.height)
    for column, line in (
        (0, -1),
        (-1, 0),
    ):
        assert codes[line, column] != ord(" ")
    rows = lines(frame.codes)
    assert rows[frame.top + frame.height][frame.left] in "┬─"


def test_an_axis_without_labels_is_given_some() -> None:
    frame = frame_of(40, 8, UP._replace(ticks=[]), ALONG._replace(ticks=[]))
    assert frame.labels.any()
    assert frame.width > 20
