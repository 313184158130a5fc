"""Layers over steps made as large as the screen: nothing is lost where layers or steps share a cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from textual.app import ComposeResult

from engine.measures.registry import HEALTH
from engine.runs.records import Curve, Health, Started
from springtui.app_base import AppBase
from springtui.state.layer_times import LOAD, LayerTables, LayerTimes, quantities_of
from springtui.state.layers import short_names
from springtui.state.run_state import RunState
from springtui.widgets.layer_cells import joined, levels, scale_of, signed_scale_of
from springtui.widgets.layer_map import CHROME_ROWS, UNKNOWN, LayerMap

STEPS = np.arange(100.0)


def test_as_many_lines_and_columns_as_layers_and_steps_keep_every_value() -> None:
    values = np.random.default_rng(0).normal(size=(7, 100))
    cells = joined(STEPS, values, 7, 100)
    assert np.array_equal(cells.places, values)
    assert cells.rows.tolist() == list(range(7))
    assert cells.columns.tolist() == list(range(100))


@pytest.mark.parametrize(("lines", "columns"), [(1, 1), (3, 10), (36, 90), (200, 60)])
def test_a_spike_and_a_dead_layer_are_seen_at_any_size(lines: int, columns: int) -> None:
    values = np.ones((200, 100)) + 0.01 * np.random.default_rng(1).normal(size=(200, 100))
    values[123, 77] = 900.0
    cells = joined(STEPS, values, lines, columns)
    assert cells.places.shape == (min(lines, 200), columns)
    assert np.max(cells.places) == 900.0
    row, column = np.argwhere(cells.places == 900.0)[0]
    assert cells.owners[row, column] == 123
    values[123, 77], values[50] = 1.0, -3.0  # and the lowest as well
    cells = joined(STEPS, values, lines, columns)
    rows = np.flatnonzero((cells.places == -3.0).all(axis=1))
    assert rows.size == 1
    assert (cells.owners[rows[0]] == 50).all()


def test_every_layer_belongs_to_exactly_one_line() -> None:
    for count, lines in ((200, 36), (7, 7), (10, 3), (5, 9)):
        starts = joined(STEPS, np.zeros((count, 100)), lines, 20).rows
        assert starts[0] == 0
        sizes = np.diff([*starts.tolist(), count])
        assert sizes.min() >= 1
        assert sizes.max() - sizes.min() <= 1


def test_columns_are_steps_and_one_without_a_record_shows_the_record_before() -> None:
    steps, values = np.array([0.0, 10.0, 90.0, 100.0]), np.array([[1.0, 2.0, 3.0, 4.0]])
    assert joined(steps, values, 1, 10).places[0].tolist() == [1, 2, 2, 2, 2, 2, 2, 2, 2, 4]
    assert joined(np.array([5.0]), np.array([[7.0]]), 1, 3).places[0].tolist() == [7, 7, 7]


def test_what_is_not_known_stays_so_and_hides_no_neighbour() -> None:
    values = np.full((4, 100), np.nan)
    values[1] = 2.0
    cells = joined(STEPS, values, 2, 10)
    assert (cells.places[0] == 2.0).all()
    assert np.isnan(cells.places[1]).all()
    assert levels(cells.places, cells.scale, 16)[1].tolist() == [16] * 10
    nothing = joined(STEPS, np.full((3, 100), np.nan), 3, 10)
    assert np.isnan(nothing.places).all()


def test_the_scale_is_logarithmic_where_positive_values_span_decades() -> None:
    spread = np.logspace(-6, 1, 50)[None]
    scale = scale_of(spread)
    assert scale.log
    assert math.isclose(scale.value(scale.low), 1e-6)
    assert math.isclose(scale.value(scale.high), 10.0)
    assert not scale_of(np.linspace(1.0, 50.0, 50)[None]).log
    assert not scale_of(np.array([[-1e-6, 1e-6, 1.0, 50.0]])).log  # loads have signs
    zeros = scale_of(np.array([[0.0, 1e-5, 1e-3, 0.1, 1.0]]))  # a dead layer lies below all
    assert zeros.log
    assert zeros.below
    assert levels(np.array([[-np.inf, 0.0]]), zeros, 16).tolist() == [[0, 15]]
    infinite = scale_of(np.array([[1.0, 2.0, np.inf]]))
    assert infinite.above
    assert levels(np.array([[np.inf, np.nan]]), infinite, 16).tolist() == [[15, 16]]


def test_one_outlier_does_not_flatten_the_scale_and_is_said() -> None:
    values = np.random.default_rng(2).uniform(-1, 1, (20, 100))
    values[3, 3] = 1e4
    scale = scale_of(values)
    assert scale.high < 2.0
    assert scale.above
    assert not scale.below or scale.low > -1.0
    assert scale_of(np.full((2, 5), 3.0)) == (3.0, 3.0, False, False, False, 0.0)
    assert levels(np.full((2, 5), 3.0), scale_of(np.full((2, 5), 3.0)), 16).tolist() == [[8] * 5] * 2


def test_a_signed_scale_has_its_middle_at_0_and_tells_small_values_apart() -> None:
    loads = np.concatenate([[2.9], np.linspace(-0.06, 0.06, 11)])[:, None] * np.linspace(0.1, 1, 50)
    scale = signed_scale_of(loads, loads)
    assert scale.high == -scale.low
    assert scale.value(scale.high) == pytest.approx(2.9)
    assert scale.value(0.0) == 0.0
    assert (scale.below, scale.above) == (False, False)
    found = levels(scale.places(loads[:, -1]), scale, 17)
    assert found[0] == 16
    assert found[6] == 8  # 0 has a level of its own
    assert len(set(found[1:].tolist())) >= 5
    assert (np.sign(found - 8.0)[[1, 2, 3, 9, 10, 11]] == [-1, -1, -1, 1, 1, 1]).all()
    at_zero = levels(scale.places(np.array([1e-6, -1e-6, np.nan])), scale, 17)
    assert at_zero.tolist() == [8, 8, 17]


def test_what_does_not_set_a_signed_scale_and_outliers_lie_beyond_it() -> None:
    loads = np.random.default_rng(0).uniform(-0.5, 0.5, (8, 100))
    logits = np.full((1, 100), -5.0)
    every = np.concatenate([loads, logits])
    scale = signed_scale_of(every, loads)
    assert scale.value(scale.high) == pytest.approx(0.5, abs=0.01)
    assert (scale.below, scale.above) == (True, False)
    assert levels(scale.places(every), scale, 17)[-1].tolist() == [0] * 100
    loads[3, 3] = 1e4
    outlier = signed_scale_of(loads, loads)
    assert outlier.value(outlier.high) < 1.0
    assert outlier.above
    assert signed_scale_of(np.zeros((2, 3)), np.zeros((2, 3)))[:2] == (-1.0, 1.0)
    assert signed_scale_of(logits, logits[:0]).value(1e9 * 0) == 0.0
    nothing = np.full((2, 3), np.nan)
    assert signed_scale_of(nothing, nothing)[:2] == (-1.0, 1.0)


def test_lines_of_a_signed_table_show_what_is_farthest_from_0() -> None:
    values = np.array([[0.5, 0.5], [0.6, 0.6], [-0.1, -0.9]])
    cells = joined(np.array([0.0, 1.0]), values, 1, 2, signed_scale_of(values, values))
    assert cells.owners.tolist() == [[1, 2]]


def test_names_lose_what_they_all_begin_with() -> None:
    assert short_names(["input", "gpt.h.0.mlp", "gpt.h.1.mlp", "logits"]) == ["input", "0.mlp", "1.mlp", "logits"]
    assert short_names(["a.b", "a.b.c"]) == ["b", "b.c"]
    assert short_names(["only.one"]) == ["only.one"]
    assert short_names([]) == []


def state_with(loads: list[float], count: int, path: str = "") -> RunState:
    state = RunState("r")
    names = ["input", *(f"h.{i}" for i in range(len(loads)))]
    facts = {"towers": [{"path": path, "layers": names, "logits": False}]}
    state.fold(Started(pid=1, host="h", settings={}, layers=names, total=0, facts=facts))
    for i in range(count):
        curve = [1.0, *(1.0 - i * sum(loads[: j + 1]) for j in range(len(loads)))]
        curves: dict[str, list[float | None]] = {
            "trace_ratio": list(curve),
            "inverse_fuzziness": [-d for d in curve],
        }
        state.fold(Curve(at=i, step=10 * i, path=path, curves=curves))
        if i % 2:
            measures = {"grad_norm": [float(i)] * (len(loads) - 1) + [math.nan]}
            state.fold(Health(step=10 * i, path=path, layers=names[1:], measures=measures))
    return state


@pytest.mark.parametrize("path", ["", "text"])
def test_loads_are_the_drops_of_the_curve_and_health_as_recorded(path: str) -> None:
    state, tables = state_with([0.5, -0.25, 2.0], 6, path), LayerTables()
    assert quantities_of(state, path) == [LOAD, "grad_norm"]
    times = tables.of(state, path, LOAD, "trace_ratio")
    assert times is not None
    assert times.layers == ["h.0", "h.1", "h.2"]
    assert times.steps.tolist() == [0, 10, 20, 30, 40, 50]
    assert np.allclose(times.values, np.outer([0.5, -0.25, 2.0], range(6)))
    assert times.unit == "log ratio"
    assert times.is_signed
    assert not times.has_logits
    rising = tables.of(state, path, LOAD, "inverse_fuzziness")
    assert rising is not None
    assert np.allclose(rising.values, times.values)  # of a measure that rises, the rise
    health = tables.of(state, path, "grad_norm", "trace_ratio")
    assert health is not None
    assert health.steps.tolist() == [10, 30, 50]
    assert (health.title, health.unit) == (HEALTH["grad_norm"].label, "loss / parameters")
    assert health.of_layer("h.1").tolist() == [1, 3, 5]
    assert np.isnan(health.of_layer("h.2")).all()
    assert np.isnan(health.of_layer("no such layer")).all()
    assert tables.of(state, path, LOAD, "fuzziness") is None
    assert tables.of(state, "elsewhere", LOAD, "trace_ratio") is None
    assert tables.of(RunState("new"), "", LOAD, "trace_ratio") is None


def test_rows_made_before_are_the_same_as_new_ones() -> None:
    state, tables = state_with([0.5, 1.0], 4), LayerTables()
    tables.of(state, "", LOAD, "trace_ratio")
    state.fold(Curve(at=9, step=90, curves={"trace_ratio": [1.0, 0.0, None]}))
    again, new = (one.of(state, "", LOAD, "trace_ratio") for one in (tables, LayerTables()))
    assert again is not None
    assert new is not None
    assert np.array_equal(again.values, new.values, equal_nan=True)
    assert np.isnan(again.values[1, -1])


def test_of_a_long_run_it_is_said_how_many_records_are_shown() -> None:
    times = LayerTables().of(state_with([0.5, 1.0], 1500), "", LOAD, "trace_ratio")
    assert times is not None
    assert times.stride == 4
    assert 375 <= len(times.steps) <= 513
    assert (times.steps[0], times.steps[-1]) == (0, 14990)


class MapApp(AppBase):
    """A heat map of its own."""

    def compose(self) -> ComposeResult:
        yield LayerMap()


def times_of(values: np.ndarray) -> LayerTimes:
    names = [f"model.h.{i}" for i in range(len(values))]
    return LayerTimes("q", "quantity", "unit", names, np.arange(values.shape[1]) * 10.0, values)


async def test_drawn_with_textures_labels_and_steps() -> None:
    values = np.logspace(-4, 2, 6)[:, None] * np.ones((6, 50))
    values[4] = np.nan
    app = MapApp()
    async with app.run_test(size=(60, 6 + CHROME_ROWS)) as pilot:
        picture = app.query_one(LayerMap)
        assert "waiting" in "".join(picture.render_line(y).text for y in range(picture.size.height))
        picture.show(times_of(values), "model.h.2")
        picture.redraw()
        assert not picture.is_stale()
        lines = [picture.render_line(y).text for y in range(6 + CHROME_ROWS)]
        assert lines[2].startswith("▶ 2")
        assert lines[3].startswith("  3")
        assert set(lines[4][8:].strip()) == {UNKNOWN}
        assert "0" in lines[6]
        assert "400" in lines[6]
        assert lines[6].endswith("490")
        assert "0.0001" in lines[7]
        assert "100" in lines[7]
        assert f"{UNKNOWN} not known" in lines[7]
        assert "log scale" in lines[7]
        await pilot.press("tab", "down", "down", "down", "down", "down")
        assert picture.selected == "model.h.5"
        assert picture.readout() == (490.0, values[5, 0])
        await pilot.press("left", "up")
        found = picture.readout()
        assert found is not None
        assert found[0] == 480.0  # one record, however wide it is drawn
        assert math.isnan(found[1])


async def test_arrows_go_from_record_to_record_and_the_mark_stands_where_is_read() -> None:
    values = np.arange(11.0)[None] * np.ones((3, 11))
    app = MapApp()
    async with app.run_test(size=(90, 3 + CHROME_ROWS)) as pilot:
        picture = app.query_one(LayerMap)
        times = times_of(values)
        picture.show(times)
        picture.redraw()
        label = picture._label_width()

        def mark() -> int:
            picture.redraw()
            return picture.render_line(3).text.find("▲") - label

        assert mark() < 0
        await pilot.press("tab", "left")
        assert picture.readout() == (90.0, 9.0)
        await pilot.press("left", "left")
        assert picture.readout() == (70.0, 7.0)
        assert mark() == int(0.7 * (90 - label))
        await pilot.press("right", "right", "right")
        assert picture.readout() == (100.0, 10.0)
        assert mark() < 0  # the newest is followed again
        picture.show(times, moment=44.0)
        assert picture.readout() == (40.0, 4.0)
        assert mark() == int(0.4 * (90 - label))
        await pilot.press("left")
        assert picture.readout() == (30.0, 3.0)
        assert mark() == int(0.3 * (90 - label))
        picture.show(times, moment=60.0)  # the replay goes on, and the mark with it
        assert picture.readout() == (60.0, 6.0)
        assert mark() == int(0.6 * (90 - label))
        await pilot.press(*["left"] * 9)
        assert picture.readout() == (0.0, 0.0)
        picture.show(times)
        assert picture.readout() == (100.0, 10.0)


async def test_a_click_selects_the_layer_that_the_cell_shows() -> None:
    values = np.zeros((40, 50))
    values[33, 20:30] = 5.0
    app = MapApp()
    async with app.run_test(size=(70, 4 + CHROME_ROWS)) as pilot:
        picture = app.query_one(LayerMap)
        picture.show(times_of(values))
        picture.redraw()
        label = picture._label_width()
        await pilot.click(picture, offset=(label + (70 - label) // 2, 3))
        assert picture.selected == "model.h.33"
        assert picture.readout() == (250.0, 5.0) or picture.readout() == (240.0, 5.0)
        picture.redraw()
        assert picture.render_line(3).text.startswith("▶ 30-39 ")
        assert picture.render_line(0).text.startswith("  0-9 ")
        await pilot.click(picture, offset=(1, 0))
        assert picture.selected == "model.h.0"


async def test_without_colours_the_levels_are_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRINGTUI_ASCII", "1")
    values = np.arange(5.0)[:, None] * np.ones((5, 50))
    values[2] = np.nan
    app = MapApp()
    async with app.run_test(size=(60, 5 + CHROME_ROWS)):
        picture = app.query_one(LayerMap)
        picture.show(times_of(values))
        picture.redraw()
        rows = [set(picture.render_line(y).text[8:].strip()) for y in range(5)]
        assert rows[4] == {"@"}
        assert rows[2] == {"?"}
        assert len({frozenset(row) for row in rows}) == 5
        assert all(picture.render_line(y).text.isascii() for y in range(5 + CHROME_ROWS))


@pytest.mark.parametrize("plain", [False, True])
async def test_loads_are_drawn_about_0_and_the_logits_set_no_scale(
    monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    if plain:
        monkeypatch.setenv("SPRINGTUI_ASCII", "1")
    values = np.array([1.0, -1.0, 0.0, 0.3, -30.0])[:, None] * np.ones((5, 50))
    times = times_of(values)
    app = MapApp()
    async with app.run_test(size=(100, 5 + CHROME_ROWS)):
        picture = app.query_one(LayerMap)
        picture.show(
            LayerTimes(LOAD, "load", "u", times.layers, times.steps, values, is_signed=True, has_logits=True)
        )
        assert not picture.is_log
        picture.redraw()
        lines = [picture.render_line(y) for y in range(5 + CHROME_ROWS)]
        low, high = ("<= -1", " 1") if plain else ("≤ -1", " 1")
        legend = lines[-1].text
        assert legend.strip().startswith(low)
        assert " 0 " in legend
        assert legend.strip().endswith(high)
        looks = [(line.text[10], list(line)[1].style) for line in lines[:5]]
        assert len(set(looks)) == 4
        assert looks[1] == looks[4]  # the logits lie beyond the lower end
        if plain:
            assert [sign for sign, _ in looks] == ["@", "N", " ", "+", "N"]
            assert all(line.text.isascii() for line in lines)


async def test_too_small_a_place_and_no_table_are_no_error() -> None:
    app = MapApp()
    async with app.run_test(size=(20, 3)) as pilot:
        picture = app.query_one(LayerMap)
        picture.show(times_of(np.zeros((3, 5))))
        picture.redraw()
        await pilot.press("tab", "down", "left")
        await pilot.click(picture, offset=(2, 1))
        picture.show(None)
        picture.redraw()
        assert picture.selected == ""
        assert picture.readout() is None
