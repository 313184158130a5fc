"""Two runs layer by layer: how layers are matched, and the screen."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.lab import until
from support.made_runs import make_probe_run, make_run, probe_records, training_records
from textual.pilot import Pilot
from textual.widgets import Static

from engine.runs.records import Curve, Health, encode
from springtui.app import Opening, SpringApp
from springtui.runs.comparison import ComparisonScreen
from springtui.runs.layer_match import (
    TowerCurve,
    bare,
    bare_names,
    compare,
    health_of_both,
    measures_of_both,
    verdict,
)
from springtui.runs.screen import RunsScreen
from springtui.widgets.curves_plot import CurvesPlot
from springtui.widgets.table import Table


def curve_of(loads: dict[str, float], **more: list[float | None]) -> TowerCurve:
    values, points = [1.0], ["input"]
    for name, load in loads.items():
        values.append(values[-1] - load)
        points.append(name)
    return TowerCurve("", points, Curve(at=1, step=1, curves={"trace_ratio": list(values), **more}))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("h.0.mlp", "h.0.mlp"),
        ("module.h.0.mlp", "h.0.mlp"),
        ("_orig_mod.h.0.mlp", "h.0.mlp"),
        ("base_model.model.h.0.mlp", "h.0.mlp"),
        ("module._orig_mod.base_model.model.module.h.0.mlp", "h.0.mlp"),
        ("h.0._orig_mod.mlp", "h.0.mlp"),
        ("modules.h.0", "modules.h.0"),
        ("base_model.h.0", "base_model.h.0"),
        ("_orig_mod", "_orig_mod"),
        ("module.", "module."),
        ("logits", "logits"),
    ],
)
def test_wrappers_are_no_part_of_a_name(name: str, plain: str) -> None:
    assert bare(name) == plain


def test_names_that_only_a_wrapper_tells_apart_keep_it() -> None:
    assert bare_names(["module.a", "a", "module.b"]) == ["module.a", "a", "b"]


def test_layers_are_matched_by_name_with_their_loads_and_differences() -> None:
    first = curve_of({"h.0": 0.5, "h.1": 0.25, "logits": 1.0})
    second = curve_of({"base_model.model.h.0": 0.75, "base_model.model.h.1": -0.25, "logits": 1.5})
    found = compare(first, second, "trace_ratio")
    assert [pair.name for pair in found.both] == ["h.0", "h.1", "logits"]
    assert [pair.difference for pair in found.both] == pytest.approx([0.25, -0.5, 0.5])
    assert not any(pair.is_shifted for pair in found.both)
    assert (found.only_first, found.only_second) == ([], [])
    assert found.words == "all 3 layers are matched by name"


def test_what_is_in_one_alone_is_listed_and_what_follows_it_is_marked() -> None:
    first = curve_of({"h.0": 0.5, "h.1": 0.25, "h.2": 0.125, "logits": 1.0})
    second = curve_of({"h.0": 0.5, "adapter": 0.1, "h.2": 0.125, "logits": 1.0})
    found = compare(first, second, "trace_ratio")
    assert [(pair.name, pair.is_shifted) for pair in found.both] == [
        ("h.0", False), ("h.2", True), ("logits", False),
    ]  # fmt: skip
    assert [pair.name for pair in found.only_first] == ["h.1"]
    assert [pair.name for pair in found.only_second] == ["adapter"]
    assert math.isnan(found.only_second[0].first)
    assert found.words == "3 layers are matched by name, of 4 and 4; the others stand below"


def test_without_a_name_in_common_place_decides_where_there_are_as_many() -> None:
    first, second = curve_of({"a": 0.5, "b": 0.25, "logits": 1.0}), curve_of({"x": 0.25, "y": 0.5, "logits": 2.0})
    found = compare(first, second, "trace_ratio")
    assert [pair.name for pair in found.both] == ["a", "b", "logits"]
    assert [pair.difference for pair in found.both] == pytest.approx([-0.25, 0.25, 1.0])
    assert found.words == "the 3 layers are matched by their place: no name but the logits' is in both"
    unlike = compare(first, curve_of({"x": 0.25, "logits": 2.0}), "trace_ratio")
    assert unlike.both == []
    assert unlike.words == "none is matched: no name but the logits' is in both; A has 3 layers, B 2"
    assert verdict(unlike, "load") == ""
    assert (len(unlike.only_first), len(unlike.only_second)) == (3, 2)


def test_measures_that_rise_count_upwards_and_only_shared_ones_are_offered() -> None:
    first = curve_of({"h.0": 0.5}, inverse_fuzziness=[1.0, 4.0], fuzziness=[1.0, 0.0])
    second = curve_of({"h.0": 0.5}, inverse_fuzziness=[1.0, None])
    assert measures_of_both(first, second) == ["trace_ratio", "inverse_fuzziness"]
    (pair,) = compare(first, second, "inverse_fuzziness").both
    assert pair.first == 3.0
    assert math.isnan(pair.second)
    chain = TowerCurve("", ["0", "1"], Curve(at=1, step=1, curves={"distance": [1.0, 0.0]}))
    assert measures_of_both(first, chain) == []


def test_a_verdict_names_the_layers_that_moved_most_but_not_the_logits() -> None:
    first = curve_of({"h.0": 0.5, "h.1": 0.25, "h.2": 0.3, "logits": 1.0})
    second = curve_of({"h.0": 0.9, "h.1": -0.05, "h.2": 0.31, "logits": 9.0})
    found = compare(first, second, "trace_ratio")
    assert verdict(found, "load") == "load moved most from A to B: h.0 (+0.4), h.1 (-0.3)"
    assert verdict(compare(first, first, "trace_ratio"), "load").startswith("load: alike, no layer moved by more")


def test_measures_of_health_that_both_have_are_compared_layer_by_layer() -> None:
    health = {"grad_norm": {"h.0": 1.0, "h.1": 2.0}, "dead": {"h.0": math.nan}, "own": {"h.0": 1.0}}
    first = curve_of({"h.0": 0.5, "h.1": 0.25})._replace(health=health)
    theirs = {"grad_norm": {"module.h.0": 4.0, "module.h.1": 1.5}, "dead": {"module.h.0": 0.0}}
    second = curve_of({"module.h.0": 0.5, "module.h.1": 0.25})._replace(health=theirs)
    assert health_of_both(first, second) == ["grad_norm"]
    found = compare(first, second, "trace_ratio", "grad_norm")
    assert [(pair.name, pair.difference) for pair in found.both] == [("h.0", 3.0), ("h.1", -0.5)]
    assert verdict(found, "gradient norm") == "gradient norm moved most from A to B: h.0 (+3)"


# the screen


@asynccontextmanager
async def compared(
    home: Path, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[ComparisonScreen, Pilot[int]]]:
    """The two runs under the home beside each other; the older one is A."""
    app = SpringApp(home, opening=Opening("runs"))
    async with app.run_test(size=size) as pilot:
        runs = app.screen
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.table.ids) == 2)
        runs = app.screen
        assert isinstance(runs, RunsScreen)
        await until(pilot, lambda: all(runs.catalogue.is_described(name) for name in runs.table.ids))
        await pilot.press("space", "down", "space")
        await until(
            pilot, lambda: "2 marked: o overlays them, B compares" in str(runs.query_one("#said", Static).content)
        )
        await pilot.press("B")
        await until(pilot, lambda: isinstance(app.screen, ComparisonScreen))
        screen = app.screen
        assert isinstance(screen, ComparisonScreen)
        yield screen, pilot


def said(screen: ComparisonScreen, selector: str) -> str:
    return str(screen.query_one(selector, Static).content)


def pair_lines(screen: ComparisonScreen) -> list[str]:
    table = screen.query_one(Table)
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


BASE = [*(f"h.{i}.mlp" for i in range(6)), "logits"]
TUNED = [*(f"base_model.model.h.{i}.mlp" for i in range(6)), "logits"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_a_base_and_its_fine_tune(home: Path, size: tuple[int, int]) -> None:
    make_probe_run(home, probe_records(BASE), 1)
    make_probe_run(home, probe_records(TUNED, slope=0.5), 2, began=1.7e9 + 50)
    async with compared(home, size) as (screen, pilot):
        await until(pilot, lambda: screen.comparison is not None)
        assert said(screen, "#said") == "all 7 layers are matched by name"
        await until(pilot, lambda: len(pair_lines(screen)) > 7 and "h.0.mlp" in pair_lines(screen)[1])
        learnt = 1 - 0.9**39
        line = pair_lines(screen)[3].split()
        assert line[:4] == ["h.2.mlp", f"{0.6 * learnt:.3f}", f"{learnt:.3f}", f"{0.4 * learnt:+.3f}"]
        assert set(line[4]) == {"█"}
        assert said(screen, "#verdict").startswith("load moved most from A to B: h.2.mlp (+0.393), ")
        runs = said(screen, "#runs").splitlines()
        assert [line[:5] for line in runs] == ["━━ A ", "•• B "]
        plot = screen.query_one(CurvesPlot)
        await until(pilot, lambda: [one.name for one in plot.curves] == ["A", "B"])
        assert list(plot.curves[0].x) == list(range(1, 8))
        assert [one.lines for one in plot.curves] == [True, False]
        assert plot.curves[0].y[2] == pytest.approx(0.6 * learnt)
        assert plot.curves[1].y[2] == pytest.approx(learnt)
        await until(pilot, lambda: not plot.is_stale())
        assert "A[/]" in str(plot.border_subtitle) or "A" in str(plot.border_subtitle)
        await pilot.press("A")
        await until(pilot, lambda: f"{-0.4 * learnt:+.3f}" in pair_lines(screen)[3])
        assert said(screen, "#runs").splitlines()[0][5:] == runs[1][5:]
        await pilot.press("A", "c")
        assert screen.health == "grad_norm"
        assert str(plot.border_title) == "Gradient norm of each layer"
        assert screen.comparison is not None
        assert all(math.isfinite(pair.first) for pair in screen.comparison.both[:-1])
        await pilot.press(*["c"] * len(health_of_both(*screen._towers[0])))
        assert screen.health == ""
        await pilot.press("down", "m")  # the only measure stays
        assert screen.measure == "trace_ratio"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))


async def test_unmatched_layers_stand_below(home: Path) -> None:
    make_probe_run(home, probe_records(BASE), 1)
    make_probe_run(home, probe_records([*BASE[:4], "extra.0", *BASE[4:]]), 2, began=1.7e9 + 50)
    async with compared(home) as (screen, pilot):
        await until(pilot, lambda: screen.comparison is not None)
        await until(pilot, lambda: any("only in B (1)" in line for line in pair_lines(screen)))
        lines = pair_lines(screen)
        assert any("* follows another layer in B" in line for line in lines)
        assert any(line.strip().startswith("extra.0") for line in lines)
        assert any("h.4.mlp" in line and "*" in line for line in lines)
        assert "7 layers are matched by name, of 7 and 8" in said(screen, "#said")


async def test_towers_are_compared_one_by_one(home: Path) -> None:
    for number in (1, 2):
        events = probe_records(BASE, towers=("text", "image"), slope=0.1 * number)
        make_probe_run(home, events, number, began=1.7e9 + 50 * number)
    async with compared(home) as (screen, pilot):
        await until(pilot, lambda: screen.comparison is not None)
        assert "tower text" in said(screen, "#head")
        await pilot.press("P")
        await until(pilot, lambda: "tower image" in said(screen, "#head"))
        assert screen.comparison is not None
        assert screen.comparison.both[0].name == "image.h.0.mlp"
        assert screen.comparison.both[0].difference == pytest.approx(0.1 * (1 - 0.9**39))


async def test_a_run_that_goes_on_is_read_again(home: Path) -> None:
    make_probe_run(home, probe_records(BASE), 1)
    folder = make_probe_run(home, [], 2, began=1.7e9 + 50)
    async with compared(home) as (screen, pilot):
        await until(pilot, lambda: "B has no curve yet" in said(screen, "#said"))
        with (folder / "events.jsonl").open("ab") as file:
            file.writelines(encode(event) for event in probe_records(BASE, 3))
        await until(pilot, lambda: screen.comparison is not None)
        assert screen.comparison is not None
        assert screen.comparison.both[0].second == pytest.approx(0.3 * (1 - 0.9**2))


async def test_runs_without_a_measure_in_common_say_so(home: Path) -> None:
    make_run(home, training_records(20), 1)
    events = [event for event in probe_records(BASE, 5) if not isinstance(event, (Curve, Health))]
    events.append(Curve(seq=9, time=1.7e9 + 9, at=1, step=1, curves={"own": [1.0, 0.5]}))
    make_probe_run(home, events, 2, began=1.7e9 + 50)
    async with compared(home) as (screen, pilot):
        await until(pilot, lambda: "no measure in common" in said(screen, "#said"))
        await pilot.press("m", "down", "P")
        assert screen.comparison is None


async def test_two_must_be_marked(home: Path) -> None:
    make_probe_run(home, probe_records(BASE, 3), 1)
    app = SpringApp(home, opening=Opening("runs"))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.table.ids) == 1)
        await pilot.press("B")
        await until(pilot, lambda: any("two runs are compared" in note.message for note in app._notifications))
        await pilot.press("space", "B")  # the marked one is that under the cursor
        assert isinstance(app.screen, RunsScreen)
