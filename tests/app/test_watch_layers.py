"""Watch's tabs on layers: what the probe says of each, the heat map, and the towers of a model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from msgspec import structs
from support.lab import until
from support.made_runs import make_probe_run, make_run, probe_records, training_records
from test_watch_screen import offered, said, watch
from textual.pilot import Pilot

from engine.measures.registry import PROBES
from engine.runs.directory import Run
from engine.runs.records import Curve, Health, Note, Started, encode
from springtui.app import Opening, SpringApp
from springtui.runs.catalogue import Row
from springtui.runs.screen import RunsScreen
from springtui.state.layer_times import LOAD, quantities_of
from springtui.state.layers import Layers, described_in, layers_of, newest_health
from springtui.state.run_state import RunState
from springtui.watch.layer_words import NOT_DESCRIBED, columns_of, rows_of
from springtui.watch.screen import WatchScreen
from springtui.widgets.curves_plot import CurvesPlot
from springtui.widgets.layer_map import LayerMap
from springtui.widgets.lines import Console
from springtui.widgets.load_bars import LoadBars
from springtui.widgets.table import Table

NAMES = [*(f"model.h.{i}.mlp" for i in range(5)), "logits"]


def layers_in(state: RunState) -> Layers:
    return layers_of(state, "trace_ratio", described_in(state.facts))


def table_lines(screen: WatchScreen) -> list[str]:
    table = screen.query_one("#layers", Table)
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


async def on_tab(screen: WatchScreen, pilot: Pilot[int], name: str) -> None:
    """Go to a tab by the key, as a person does."""
    for _ in range(6):
        if screen.tab == name:
            break
        before = screen.tab
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: screen.tab != before)  # noqa: B023
    assert screen.tab == name
    await pilot.pause(0.2)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_the_layers_tab_lists_every_point_and_what_was_left_out(home: Path, size: tuple[int, int]) -> None:
    run = Run(make_probe_run(home, probe_records(NAMES)))
    async with watch(run, home, size) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 40)
        await on_tab(screen, pilot, "layers")
        table = screen.query_one("#layers", Table)
        assert pilot.app.focused is table
        await until(pilot, lambda: len(table.ids) == 7 + 1 + 2)
        head, *lines = table_lines(screen)
        assert head.split()[:4] == ["LAYER", "LOAD", "GRADIENT", "DEAD"]
        assert "REDUCTION" in head
        assert ("WHY" in head, "SHAPE" in head) == (size == (120, 40), size == (120, 40))
        assert lines[0].split()[0] == "input"
        third = next(line for line in lines if "h.2.mlp" in line)
        assert "token_mean" in third
        assert f"{0.6 * (1 - 0.9**39):.3f}" in third
        await pilot.press("down", "down")
        await until(pilot, lambda: said(screen, "#layer").startswith("model.h.1.mlp"))
        about = said(screen, "#layer")
        for words in (
            "MLP N×197×768", "samples on axis 0, 768 features on axis 2",
            "reduction token_mean: last map has 768 features", "role block", "load 0.295 in trace ratio",
            "gradient norm 0.316",
        ):  # fmt: skip
            assert words in about
        await pilot.press("end", "up")
        await until(pilot, lambda: said(screen, "#layer").startswith("lm_head"))
        assert "Linear, left out: its width grows with the batch" in said(screen, "#layer")
        assert any("left out (2)" in line for line in table_lines(screen))
        await pilot.press("up")  # over the heading
        await until(pilot, lambda: said(screen, "#layer").startswith("logits"))
        assert "gradient norm not known" in said(screen, "#layer")


async def test_very_long_names_keep_their_ends(home: Path) -> None:
    names = [f"base_model.model.{'encoder.' * 30}layer.{i}" for i in range(60)]
    run = Run(make_probe_run(home, probe_records(names)))
    async with watch(run, home, (80, 24)) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 40)
        await on_tab(screen, pilot, "layers")
        await until(pilot, lambda: any("layer.3" in line for line in table_lines(screen)))
        assert all(len(line) <= 76 for line in table_lines(screen))
        await pilot.press("pagedown", "pagedown")
        await until(pilot, lambda: "layer.1" in table_lines(screen)[4])
        assert said(screen, "#layer").splitlines()[0] in names
        await on_tab(screen, pilot, "times")
        picture = screen.query_one(LayerMap)
        await until(pilot, lambda: not picture.is_stale())
        rows = [picture.render_line(y).text for y in range(picture.size.height - 2)]
        assert rows[0][:10].strip(" ▶").startswith("0")


async def test_an_older_run_shows_what_it_has(home: Path) -> None:
    run = Run(make_probe_run(home, probe_records(NAMES, described=False, health=False)))
    async with watch(run, home, (80, 24)) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 40)
        await on_tab(screen, pilot, "layers")
        await until(pilot, lambda: NOT_DESCRIBED in table_lines(screen)[1])
        assert "MODULE" not in table_lines(screen)[0]
        assert "flatten" in table_lines(screen)[2]
        assert "model.h.4.mlp" in "\n".join(table_lines(screen))


async def test_a_run_of_another_kind_says_that_it_has_no_such_facts(home: Path) -> None:
    run = Run(make_run(home, training_records(20)))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 20)
        await on_tab(screen, pilot, "layers")
        await until(pilot, lambda: "a train records no modules, axes or roles" in table_lines(screen)[1])
        assert "layer 1" in table_lines(screen)[3]
        await on_tab(screen, pilot, "times")
        await until(pilot, lambda: screen.query_one(LayerMap).selected == "layer 1")
        assert "P" not in {key for key in screen.active_bindings if key == "P"}


async def test_facts_of_the_wrong_form_are_no_crash(home: Path) -> None:
    facts = {
        "points": [{"name": 3}, "x", {"name": "a", "shape": [2, "b"]}, {"name": "\x1b[31mred[/]", "role": "b"}],
        "left_out": {"name": "y"}, "towers": "none", "reductions": ["z"],
    }  # fmt: skip
    events = [
        Started(pid=1, host="h", settings={}, layers=["input", "a"], total=0, facts=facts),
        Curve(at=1, step=1, curves={"trace_ratio": [1.0, None, 0.5]}),
    ]
    run = Run(make_probe_run(home, events))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 1)
        await on_tab(screen, pilot, "layers")
        await until(pilot, lambda: "[31mred[/]" in table_lines(screen)[1])
        await pilot.press("down", "end", "home")
        await on_tab(screen, pilot, "times")
        await pilot.press("down", "c", "m", "left", "right", "P")


async def test_the_heat_map_goes_through_the_measures_and_shares_its_layer_with_the_table(home: Path) -> None:
    run = Run(make_probe_run(home, probe_records(NAMES)))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 40)
        await on_tab(screen, pilot, "layers")
        await pilot.press("down", "down")
        await until(pilot, lambda: said(screen, "#layer").startswith("model.h.1.mlp"))
        await on_tab(screen, pilot, "times")
        picture, plot = screen.query_one(LayerMap), screen.query_one("#layer-curve", CurvesPlot)
        assert pilot.app.focused is picture
        assert picture.selected == "model.h.1.mlp"
        await until(pilot, lambda: plot.curves and not picture.is_stale())
        assert "Load · trace ratio · log ratio" in str(picture.border_title)
        assert plot.curves[0].y[-1] == pytest.approx(0.3 * (1 - 0.9**39))
        assert not plot.log_y
        await pilot.press("c")
        await until(pilot, lambda: picture.times is not None and picture.times.quantity == "grad_norm")
        await until(pilot, lambda: max(plot.curves[0].y) == 50.0)
        assert plot.log_y
        await pilot.press("down")
        assert picture.selected == "model.h.2.mlp"
        await until(pilot, lambda: "model.h.2.mlp" in str(plot.border_title))
        await pilot.press("c", "c")
        await until(pilot, lambda: picture.times is not None and picture.times.quantity == "load")
        assert not plot.log_y  # and what is drawn is scaled as the axis is
        assert "log y" not in str(plot.border_title)
        assert min(plot._series[0].y) >= 0.0
        await pilot.press("home")  # belongs to the bar of time, which has not the focus
        await on_tab(screen, pilot, "layers")
        await until(pilot, lambda: said(screen, "#layer").startswith("model.h.2.mlp"))


async def test_a_replay_marks_its_moment_and_shows_the_loads_of_then(home: Path) -> None:
    run = Run(make_probe_run(home, probe_records(NAMES)))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 40)
        await pilot.press("home", "full_stop")
        await until(pilot, lambda: screen.view.state.at == 10)
        await on_tab(screen, pilot, "layers")
        await until(pilot, lambda: "0.030" in "\n".join(table_lines(screen)))
        await on_tab(screen, pilot, "times")
        picture = screen.query_one(LayerMap)
        await until(pilot, lambda: picture.times is not None and not picture.is_stale())
        assert picture.times is not None
        assert picture.times.steps[-1] == 390
        assert "▲" in picture.render_line(picture.size.height - 2).text
        assert picture.readout() == (10.0, pytest.approx(0.03))


async def test_towers_are_drawn_one_by_one_and_their_curves_together(home: Path) -> None:
    run = Run(make_probe_run(home, probe_records(NAMES, towers=("text", "im[red]age"))))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 40 and len(screen._towers) == 2)
        curve, bars = screen.query_one("#curve", CurvesPlot), screen.query_one(LoadBars)
        await until(pilot, lambda: "Tower" in offered(screen))
        assert "tower text" in str(curve.border_title)
        assert "tower text" in str(bars.border_title)
        assert [one.name for one in curve.curves].count("im[red]age") == 1
        assert "im\\[red]age" in str(curve.border_subtitle)  # as text, not as markup
        assert bars._loads[0] == pytest.approx(0.3 * (1 - 0.9**39))
        await pilot.press("P")
        await until(pilot, lambda: "tower im\\[red]age" in str(curve.border_title))
        assert bars._loads[0] == pytest.approx(0.4 * (1 - 0.9**39))
        assert bars._names[0] == "im[red]age.model.h.0.mlp"
        assert "text" in [one.name for one in curve.curves]
        await on_tab(screen, pilot, "layers")
        await until(pilot, lambda: any("tower text" in line for line in table_lines(screen)))
        table = screen.query_one("#layers", Table)
        assert table.current == "point\nim[red]age\ninput"
        await pilot.press("home", "down")  # to the other tower's
        await until(pilot, lambda: screen.path == "text")
        await on_tab(screen, pilot, "times")
        picture = screen.query_one(LayerMap)
        assert picture.times is not None
        assert picture.selected == "text.model.h.0.mlp"
        await pilot.press("P")
        await until(pilot, lambda: picture.selected == "im[red]age.model.h.0.mlp")


async def test_warnings_stand_in_the_log_and_are_shown_once_when_they_come(home: Path) -> None:
    events = list(probe_records(NAMES, 5))
    old = Note(seq=90, time=1.7e9 + 7, text="an old [red]warning", level="warning")
    folder = make_probe_run(home, [*events, old])
    run = Run(folder)
    async with watch(run, home) as (screen, pilot):
        console = screen.query_one(Console)
        await until(pilot, lambda: screen.follower.complete and "an old" in console.render_line(0).text)
        assert console.render_line(0).text.strip() == "after 7s: warning: an old [red]warning"
        assert not pilot.app._notifications  # no news
        new = [Note(seq=91 + i, time=1.7e9 + 8 + i, text=f"h.{i} collapsed", level="warning") for i in range(5)]
        with (folder / "events.jsonl").open("ab") as file:
            file.writelines(encode(note) for note in [*new, Note(seq=99, time=1.7e9 + 20, text="said by the way")])
        await until(pilot, lambda: len(pilot.app._notifications) == 4)
        told = [note.message for note in pilot.app._notifications]
        assert told[0] == f"{run.id}: h.0 collapsed"
        assert "2 more warnings" in told[3]
        await until(pilot, lambda: "h.4 collapsed" in console.render_line(5).text)
        await pilot.pause(1.0)
        assert len(pilot.app._notifications) == 4


def test_columns_that_do_not_fit_or_are_empty_are_left_out() -> None:
    state = RunState("r")
    for event in probe_records(NAMES, 3):
        state.fold(event)
    rows = rows_of(layers_in(state), "probe")
    keys = {width: [column.key for column in columns_of(rows, width)] for width in (30, 60, 114, 200)}
    assert keys[30] == ["name", "load"]
    assert keys[60] == ["name", "load", "grad_norm", "dead", "reduction"]
    assert {"load", "grad_norm", "dead", "module", "shape", "reduction", "role"} <= set(keys[114])
    assert keys[200] == [
        "name", "load", "grad_norm", "dead", "module", "shape", "axes", "reduction", "why", "role",
    ]  # fmt: skip
    for width in keys:
        columns = columns_of(rows, width)
        assert sum(column.width + 2 for column in columns[1:]) + 15 <= width
    bare = RunState("r")
    bare.fold(Started(pid=1, host="h", settings={}, layers=["input", "a"], total=0))
    assert [c.key for c in columns_of(rows_of(layers_in(bare), "train"), 200)] == ["name"]
    assert columns_of(rows_of(layers_in(RunState("new")), "probe"), 80)


def test_newest_health_is_of_the_newest_record_and_nan_is_not_known() -> None:
    state = RunState("r")
    for event in probe_records(NAMES, 21):
        state.fold(event)
    (tower,) = layers_in(state).towers
    assert tower.health["grad_norm"]["model.h.1.mlp"] == pytest.approx(10**-0.5)
    assert math.isnan(tower.health["grad_norm"]["logits"])
    assert "input" not in tower.loads
    names = tower.points[1].name, tower.points[2].name
    state.fold(Health(step=999, layers=[*names], measures={"grad_norm": [1.0, 2.0]}))
    state.fold(
        Health(step=1000, layers=[*names], measures={"grad_norm": [math.nan, 3.0], "saturated": [math.nan] * 2})
    )
    state.fold(Health(step=1001, layers=[*names], measures={"dead": [0.5, 0.0]}))  # the last was not foreseen
    assert newest_health(state, "", "grad_norm") == {names[0]: 1.0, names[1]: 3.0}
    assert newest_health(state, "", "dead") == {names[0]: 0.5, names[1]: 0.0}
    assert all(map(math.isnan, newest_health(state, "", "saturated").values()))
    assert quantities_of(state, "") == [LOAD, "grad_norm", "dead"]  # nothing is known of the saturated part


async def test_keys_skip_measures_and_quantities_that_the_run_does_not_hold(home: Path) -> None:
    state = [
        event if not isinstance(event, Health) else structs.replace(
            event, measures={**event.measures, "saturated": [math.nan] * len(event.layers)}
        )
        for event in probe_records(NAMES)
    ]  # fmt: skip
    run = Run(make_probe_run(home, state))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 40)
        await on_tab(screen, pilot, "times")
        picture, plot = screen.query_one(LayerMap), screen.query_one("#layer-curve", CurvesPlot)
        await until(pilot, lambda: picture.times is not None)
        for _ in range(4):
            await pilot.press("m")
            assert screen.measure == "trace_ratio"  # the only one
        shown = []
        for _ in range(4):
            await pilot.press("c")
            shown.append(screen.layers_view.quantity)
        assert shown == ["grad_norm", "dead", "load", "grad_norm"]
        await pilot.press("pagedown")
        await until(pilot, lambda: picture.selected == "logits" and not plot.curves)
        assert plot.EMPTY == "gradient norm of this layer is not known"


async def test_a_measure_chosen_in_another_run_gives_way_to_one_that_this_run_holds(home: Path) -> None:
    run = Run(make_probe_run(home, probe_records(NAMES)))
    async with watch(run, home) as (screen, pilot):
        screen.measure, screen._drawn_version = PROBES, -1
        await until(pilot, lambda: screen.whole.curves == 40 and screen.measure == "trace_ratio")
        await until(pilot, lambda: bool(screen.query_one("#curve", CurvesPlot).curves[-1].y))


async def test_the_list_of_runs_shows_warnings_of_live_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_probe_run(home, probe_records(NAMES, 5))
    monkeypatch.setattr(Row, "goes_on", property(lambda _: True))  # as if a worker held it
    app = SpringApp(home, opening=Opening("runs"))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.alerts._warned)
        with (folder / "events.jsonl").open("ab") as file:
            file.write(encode(Note(seq=90, time=1.7e9 + 7, text="gradients vanish below h.2", level="warning")))
        await until(pilot, lambda: any("gradients vanish" in note.message for note in app._notifications))
