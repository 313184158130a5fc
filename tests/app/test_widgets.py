"""The lab's own widgets, each alone in a small app."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from textual.app import App, ComposeResult
from textual.color import Color
from textual.drivers._writer_thread import WriterThread
from textual.widget import Widget

from springtui.lab.slider import Slider
from springtui.state.knobs import NOISE_KINDS, NoiseKind, friction_settings
from springtui.state.pictures import Grid, Series
from springtui.terminal.paced import is_behind
from springtui.widgets.chain_view import ChainView
from springtui.widgets.curves_plot import CurvesPlot
from springtui.widgets.heat_map import HeatMap
from springtui.widgets.load_bars import LoadBars
from springtui.widgets.plot import Plot
from springtui.widgets.ticks import MOST_EMPTY, even_axis, log_axis, log_ticks, round_ticks


class Stage(App[None]):
    """One widget that fills the screen."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget
        self.asked: list[float] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_slider_changed(self, message: Slider.Changed) -> None:
        self.asked.append(message.value)

    def picture(self) -> list[str]:
        """The widget's lines as text."""
        return [self.widget.render_line(y).text for y in range(self.widget.size.height)]


def linear(**changes: object) -> Slider:
    shape = {"minimum": 0.0, "maximum": 1.0, "value": 0.5, **changes}
    return Slider("Noise", **shape)  # type: ignore[arg-type]


async def test_a_slider_moves_by_keys_and_stays_in_range() -> None:
    app = Stage(linear())
    async with app.run_test(size=(42, 3)) as pilot:
        await pilot.press("right", "left", "pageup", "shift+right", "end", "right", "home", "left")
        await pilot.pause()
    assert app.asked == [0.525, 0.5, 0.625, 0.63, 1.0, 0.0]


async def test_a_typed_number_is_set_or_refused_with_the_range() -> None:
    app = Stage(linear())
    async with app.run_test(size=(42, 3)) as pilot:
        await pilot.press(*"0.25", "enter")
        await pilot.pause()
        assert app.asked == [0.25]
        await pilot.press("7", "enter")
        await pilot.pause()
        assert "7? 0 to 1 only" in app.picture()[2]
        await pilot.press("1", "-", "enter")
        await pilot.pause()
        assert "1- is not a number" in app.picture()[2]
        await pilot.press("9", "escape")
        await pilot.pause()
        assert app.asked == [0.25]


async def test_a_slider_follows_click_drag_and_wheel() -> None:
    app = Stage(linear())
    async with app.run_test(size=(41, 3)) as pilot:
        await pilot.click(Slider, offset=(10, 1))
        assert app.asked == [0.25]
        await pilot.mouse_down(Slider, offset=(20, 1))
        await pilot.hover(Slider, offset=(30, 1))
        await pilot.mouse_up(Slider, offset=(30, 1))
        assert app.asked[1:] == [0.5, 0.75]
        app.widget.post_message(_scroll(app))
        await pilot.pause()
        assert app.asked[-1] == 0.775


def _scroll(app: Stage) -> object:
    from textual.events import MouseScrollUp

    return MouseScrollUp(app.widget, 5, 1, 0, 0, 0, False, False, False, 5, 1)


async def test_a_logarithmic_slider_covers_its_decades_evenly() -> None:
    slider = linear(minimum=1e-4, maximum=1.0, value=1e-2, scale="log")
    app = Stage(slider)
    async with app.run_test(size=(41, 3)):
        assert slider.place == pytest.approx(0.5)
        assert app.picture()[1].index("●") == 20


async def test_a_slider_of_whole_numbers_moves_by_one_at_least() -> None:
    app = Stage(linear(minimum=5, maximum=1280, value=5, scale="log", integer=True))
    async with app.run_test(size=(41, 3)) as pilot:
        await pilot.press("right")
        await pilot.pause()
    assert app.asked == [6]


async def test_a_slider_tells_what_is_asked_and_what_is_in_force() -> None:
    slider = linear()
    app = Stage(slider)
    async with app.run_test(size=(42, 3)) as pilot:
        assert "asked" in app.picture()[2]
        slider.in_force = 0.4
        await pilot.pause()
        assert "in force 0.4" in app.picture()[2]
        slider.in_force = 0.5
        await pilot.pause()
        assert "✓ in force" in app.picture()[2]


async def test_a_plot_draws_in_braille_and_sends_only_what_changed() -> None:
    plot = Plot()
    app = Stage(plot)
    sent: list[Sequence[object]] = []
    async with app.run_test(size=(60, 15)) as pilot:
        assert any("waiting" in line for line in app.picture())
        plot.show([Series([0, 1, 2, 3], [4.0, 2.0, 1.0, 0.0], "now", "primary")])
        plot.redraw()
        await pilot.pause()
        first = app.picture()
        assert any(0x2800 < ord(char) <= 0x28FF for line in first for char in line)
        assert not plot.is_stale()
        plot.show([Series([0, 1, 2, 3], [4.0, 2.0, 1.0, 0.0], "now", "primary")])
        assert not plot.is_stale()  # the same data
        plot.refresh = lambda *regions, **_: sent.append(regions) or plot  # type: ignore[assignment,method-assign]
        plot.show([Series([0, 1, 2, 3], [4.0, 2.0, 1.5, 0.0], "now", "primary")])
        plot.redraw()
    assert 0 < sum(region.area for regions in sent for region in regions) < 60 * 15 / 3  # type: ignore[attr-defined]


async def test_curves_of_a_plot_have_their_colours_and_the_last_is_on_top() -> None:
    plot = Plot()
    app = Stage(plot)
    flat = [1.0, 1.0, 1.0, 1.0]
    async with app.run_test(size=(40, 10)) as pilot:
        plot.show([Series([0, 1, 2, 3], flat, "under", "primary"), Series([0, 1], flat[:2], "over", "fade1")])
        plot.redraw()
        await pilot.pause()
        colors: list[Color] = []
        for line in range(10):
            for segment in plot.render_line(line):
                if any("\u2800" < char <= "\u28ff" for char in segment.text):
                    assert segment.style is not None
                    assert segment.style.color is not None
                    colors.append(Color.from_rich_color(segment.style.color))
        assert colors == [plot.color_of("fade1"), plot.color_of("primary")]  # fade1 is the frame's colour too


async def test_a_plot_joins_what_is_left_where_values_are_missing() -> None:
    plot = Plot()
    app = Stage(plot)
    async with app.run_test(size=(60, 15)):
        plot.show([Series([0, 1, 2, 3, 4], [0.0, math.nan, 2.0, math.nan, 1.0])])
        plot.redraw()
        gaps = app.picture()
        plot.show([Series([0, 2, 4], [0.0, 2.0, 1.0])])
        plot.redraw()
        assert app.picture() == gaps


@pytest.mark.parametrize("log", ["", "y", "x", "xy"])
async def test_a_power_law_is_straight_on_two_logarithmic_axes(log: str) -> None:
    curves = CurvesPlot()
    app = Stage(curves)
    async with app.run_test(size=(60, 20)):
        x = [1.0, 10.0, 100.0, 1000.0]
        curves.log_x, curves.log_y = "x" in log, "y" in log
        curves.show_curves([Series([0.0, *x], [-1.0, *(value**2 for value in x)], "square")])
        curves.redraw()
        rows = [line for line in app.picture() if "│" in line]
        columns = [min((line.index(char) for char in line if char > "\u2800"), default=None) for line in rows]
        steps = [a - b for a, b in itertools.pairwise(column for column in columns if column is not None)]
        assert steps
        assert (max(steps) - min(steps) <= 2) == (log == "xy")


async def test_a_plot_leaves_out_what_is_not_finite() -> None:
    plot = Plot()
    app = Stage(plot)
    async with app.run_test(size=(60, 15)):
        plot.show([Series([0, 1, 2], [math.nan, math.inf, 1.0]), Series([0, 1], [math.nan, math.nan])])
        plot.redraw()
        assert not any("nan" in line or "inf" in line for line in app.picture())
        plot.show([])
        plot.redraw()
        assert any("waiting" in line for line in app.picture())


async def test_the_chain_stands_where_its_positions_say() -> None:
    view = ChainView()
    app = Stage(view)
    async with app.run_test(size=(101, 6)):
        view.show([0.25, 0.5, 0.75], 1.0)
        line = next(line for line in app.picture() if "█" in line)
        assert [i for i, char in enumerate(line) if char in "▌█▶"] == [0, 25, 50, 75, 100]
        view.show([math.nan, -3.0, 9.0], 1.0)  # drawn at the edges rather than not at all
        assert any("█" in line or "▶" in line for line in app.picture())


async def test_bars_are_as_long_as_the_loads() -> None:
    bars = LoadBars()
    app = Stage(bars)
    async with app.run_test(size=(60, 3)):
        bars.show([1.0, 0.5, -0.25], ["layer 1", "layer 2", "[b]evil\x1b[2J"])
        full, half, negative = app.picture()
        assert full.count("█") == pytest.approx(2 * half.count("█"), abs=1)
        assert "-0.250" in negative
        assert "\x1b" not in negative
        bars.show([1.0] * 5, [f"layer {i}" for i in range(5)])
        assert "3 more layers" in app.picture()[2]
        bars.show([math.nan, 1.0], ["a", "b"])
        assert app.picture()[0].rstrip().endswith("-")


async def test_a_cut_name_of_a_bar_says_so_and_the_logits_do_not_set_its_length() -> None:
    bars = LoadBars()
    app = Stage(bars)
    async with app.run_test(size=(60, 3)):
        bars.show([0.5, 0.25, -5.0], ["the.image.blocks.10", "the.image.blocks.11", "logits"])
        first, second, logits = app.picture()
        assert first.startswith("…mage.blocks.10 ")
        assert first.count("█") == 60 - 15 - 9
        assert second.count("█") == pytest.approx(first.count("█") / 2, abs=1)
        assert "≫" in logits
        assert "-5.000" in logits
        bars.show([0.0, 2.0], ["a", "logits"])  # where nothing else carries a load
        assert "█" in app.picture()[1]
        assert "≫" not in app.picture()[1]


async def test_ascii_terminals_get_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRINGTUI_ASCII", "1")
    for widget in (linear(), Plot(), ChainView(), LoadBars()):
        app = Stage(widget)
        async with app.run_test(size=(60, 12)):
            if isinstance(widget, Plot):
                widget.show([Series([0, 1], [0.0, 1.0])])
                widget.redraw()
            elif isinstance(widget, ChainView):
                widget.show([0.4], 1.0)
            elif isinstance(widget, LoadBars):
                widget.show([1.0], ["layer 1"])
            assert all(line.isascii() for line in app.picture()), app.picture()


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0, 100, 6, ["0", "20", "40", "60", "80", "100"]),
        (0.0, 1.0, 3, ["0.0", "0.5", "1.0"]),
        (-4.8, 0.5, 4, ["-4", "-2", "0"]),
        (0, 3_000_000, 4, ["0", "1M", "2M", "3M"]),
        (0, 200_000, 5, ["0", "50k", "100k", "150k", "200k"]),
        (0, 1_500_000, 4, ["0", "0.5M", "1.0M", "1.5M"]),
        (100_000, 100_100, 4, ["100000", "100050", "100100"]),
        (-2e16, 2e16, 3, ["-2e16", "0", "2e16"]),
        (1e-9, 4e-9, 4, ["1e-9", "2e-9", "3e-9", "4e-9"]),
        (60.0, 60.0, 4, ["60"]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, labels: list[str]) -> None:
    assert [label for _, label in round_ticks(low, high, most)] == labels


@pytest.mark.parametrize("offset", [0.0, 1e3, 99_990.0, 1e5, 123_456.0, 1e6, 4e8, 7e12])
@pytest.mark.parametrize("span", [3e-9, 2e-4, 0.7, 30.0, 1e5, 2.3e5, 1.6e6, 9e9])
def test_labels_are_true_and_distinct(offset: float, span: float) -> None:
    if span < 1e-9 * offset:
        return  # drawn as a constant
    for axis in (even_axis(offset, offset + span, 97, least=6, beside=True), even_axis(offset, offset + span, 20)):
        assert axis is not None
        labels = [label for _, label in axis.ticks]
        assert len(set(labels)) == len(labels) >= 2
        step = axis.ticks[1][0] - axis.ticks[0][0]
        units = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
        for value, label in axis.ticks:
            shown = float(label.rstrip("kMGT")) * units.get(label[-1], 1.0)
            assert abs(shown - value) <= 0.01 * step + 1e-12 * abs(value), (label, value)


def test_ticks_of_counts_are_whole() -> None:
    assert [label for _, label in round_ticks(0, 2, 10, whole=True)] == ["0", "1", "2"]
    assert round_ticks(math.nan, 1.0, 4) == []


@pytest.mark.parametrize("cells", [5, 6, 7, 9, 12, 20, 44, 100])
@pytest.mark.parametrize(
    ("low", "high"), [(0.02, 2.3), (-5.5, 0.5), (0.1, 1.0), (0.0, 8.0), (37.0, 734.0), (-1e-4, 3e-3), (1e6, 3e6)]
)
def test_labels_of_an_axis_are_equally_many_cells_apart_and_all_data_is_on_it(
    low: float, high: float, cells: int
) -> None:
    least = 2 if cells < 30 else 6
    axis = even_axis(low, high, cells, least=least)
    if axis is None:  # even labels would leave too much of so small a plot empty
        assert cells <= 6
        return
    assert axis.low <= low + 1e-9 * (high - low)
    assert axis.high >= high - 1e-9 * (high - low)
    places = [(value - axis.low) / (axis.high - axis.low) * (cells - 1) for value, _ in axis.ticks]
    assert all(abs(place - round(place)) < 1e-6 for place in places), places
    assert len({round(b) - round(a) for a, b in itertools.pairwise(places)}) == 1
    assert round(places[1]) - round(places[0]) >= least
    assert (high - low) / (axis.high - axis.low) >= 1 / MOST_EMPTY - 1e-9, "too much is empty"


def test_an_axis_from_nothing_is_labelled_at_its_foot() -> None:
    for cells in range(5, 30):
        axis = even_axis(0.02, 2.3, cells)
        assert axis is not None
        assert axis.low == axis.ticks[0][0] == 0.0
    assert even_axis(math.nan, 1.0, 9) is None
    assert even_axis(1.0, 1.0, 9) is None
    whole = even_axis(0.0, 3.0, 80, least=4, whole=True)
    assert whole is not None
    assert [label for _, label in whole.ticks] == ["0", "1", "2", "3"]
    powers = log_axis(-2.3, 1.2, 12)
    assert powers is not None
    assert [label for _, label in powers.ticks] == ["0.01", "0.1", "1", "10"]
    assert log_axis(0.1, 0.9, 12) is None


@pytest.mark.parametrize("most", [2, 3, 6])
@pytest.mark.parametrize(("low", "high"), [(-2.6, -2.2), (-2.75, -2.2), (-2.501, -2.5), (0.1, 0.9), (-5.2, -4.3)])
def test_a_log_axis_is_labelled_with_values_and_never_without(low: float, high: float, most: int) -> None:
    found = log_ticks(low, high, most)
    assert 2 <= len(found) <= max(2, most)
    for place, label in found:
        assert low - 1e-9 <= place <= high + 1e-9
        assert float(label) == pytest.approx(10.0**place, rel=0.01)
    assert log_ticks(-310.0, -309.5, 3) == [(-310.0, "10^-310"), (-309.5, "10^-309.5")]
    assert log_ticks(math.nan, 1.0, 3) == []


@pytest.mark.parametrize("plain", ["off", "on"])
async def test_a_load_below_nothing_differs_in_shape(monkeypatch: pytest.MonkeyPatch, plain: str) -> None:
    monkeypatch.setenv("SPRINGTUI_ASCII", plain)
    bars = LoadBars()
    app = Stage(bars)
    async with app.run_test(size=(40, 6)) as pilot:
        bars.show([0.5, -0.5], ["layer 1", "layer 2"])
        await pilot.pause()
        up, down = (line.split()[2] for line in app.picture()[:2])
        assert (set(up), set(down)) == (({"#"}, {"/"}) if plain == "on" else ({"█"}, {"╱"}))
        assert len(up) == len(down)


@pytest.mark.parametrize("kind", NOISE_KINDS, ids=lambda kind: kind.key)
def test_more_of_each_noise_shakes_the_chain_more(kind: NoiseKind) -> None:
    calm, noisy = (kind.maximum, kind.minimum) if kind.key == "batch_size" else (kind.minimum, kind.maximum)
    assert friction_settings(0.5, kind, calm)["noise"] < friction_settings(0.5, kind, noisy)["noise"]
    assert friction_settings(0.0, kind, calm)["mu_right"] < friction_settings(1.0, kind, calm)["mu_right"]


def test_the_map_to_the_chain_is_the_measured_one() -> None:
    data_noise = NOISE_KINDS[0]
    assert friction_settings(1.0, data_noise, 0.8) == {"mu_right": 0.085, "mu_left": 0.138, "noise": 0.0626}
    assert friction_settings(0.0, data_noise, 0.0) == {"mu_right": 0.03, "mu_left": 0.138, "noise": 0.029}


def test_a_terminal_that_takes_no_more_is_seen_to_be_behind() -> None:
    """Textual's own writer, into a pipe that nobody reads: what waits there is told, until it is read."""
    reading, writing = os.pipe()
    with open(writing, "w") as file:
        app: App[None] = App()
        app._driver = driver = SimpleNamespace(_writer_thread=WriterThread(file))  # type: ignore[assignment]
        driver._writer_thread.start()
        assert not is_behind(app)
        for _ in range(3):
            driver._writer_thread.write("x" * 200_000)
        assert is_behind(app)
        left = 600_000
        while left:
            left -= len(os.read(reading, left))
        driver._writer_thread.stop()
        assert not is_behind(app)
    os.close(reading)
    assert not is_behind(App())


async def test_a_click_on_a_framed_diagram_points_at_the_cell_that_is_seen_there() -> None:
    diagram = HeatMap()
    app = Stage(diagram)
    async with app.run_test(size=(60, 7)) as pilot:
        diagram.styles.border, diagram.styles.padding = ("round", "white"), (0, 1)
        await pilot.pause()
        values = [i / 100 for i in range(12)]
        diagram.show(Grid(list("abcd"), list("xyz"), values, [[]] * 12, [True] * 12))
        await pilot.pause()
        for cell, value in enumerate(values):
            picture = [strip.text for strip in app.screen._compositor.render_strips()]
            text = f"{value:.2f}"[1:]
            row = next(y for y, line in enumerate(picture) if text in line)
            await pilot.click(offset=(picture[row].index(text) + 1, row))
            await pilot.pause()
            assert diagram.cursor == cell


@pytest.mark.parametrize(("ascii_only", "mark"), [("0", "×"), ("1", "x")])
async def test_a_cell_whose_curve_means_nothing_has_a_mark(
    ascii_only: str, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRINGTUI_ASCII", ascii_only)
    diagram = HeatMap()
    app = Stage(diagram)
    async with app.run_test(size=(60, 9)) as pilot:
        await pilot.pause()
        curves = [[], [1.0, 0.5, 0.0], [], []]
        unclear = [True, False, True, False]
        for values, numbers in (([math.nan, 0.2, math.nan, math.nan], 1), ([0.1, 0.2, 0.3, 0.4], 4)):
            diagram.show(Grid(list("ab"), list("yz"), values, curves, [True] * 4, unclear=unclear))
            await pilot.pause()
            lines = app.picture()
            assert sum(line.count(mark) for line in lines[:-1]) == 2, lines
            assert f"{mark} 2 unclear" in lines[-1]
            assert sum(line.count(".") for line in lines[:-1]) == numbers
        diagram.show(Grid(list("ab"), list("yz"), [0.1] * 4, [[]] * 4, [True] * 4))
        await pilot.pause()
        assert mark not in "".join(app.picture())
