"""Watch and Runs with runs that other tools logged: in the app alone, without the process that reads logs."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.foreign_runs import POINTS, SPIKE, Given, long_run
from support.imports import HEAVY, modules_after
from support.lab import until
from support.made_runs import make_probe_run, probe_records
from textual.pilot import Pilot
from textual.widgets import Static

from engine.errors import ConfigError
from engine.logs.batch import Batch, Remark
from engine.logs.foreign import ForeignRun
from engine.logs.joined import JoinedRun
from engine.logs.series import series_of
from engine.runs.any_run import AnyRun
from springtui.app import Opening, SpringApp
from springtui.help.screen import HelpScreen
from springtui.runs.catalogue import Row
from springtui.runs.panels import why_no_curve
from springtui.runs.screen import RunsScreen
from springtui.state.timeline import View
from springtui.watch import log_words
from springtui.watch.screen import WatchScreen
from springtui.watch.time_bar import TimeBar
from springtui.widgets.curves_plot import CurvesPlot
from springtui.widgets.lines import Console


@asynccontextmanager
async def opened(
    home: Path, source: Given, size: tuple[int, int] = (120, 40), first: AnyRun | None = None
) -> AsyncIterator[Pilot[int]]:
    opening = Opening("watch" if first else "runs", first, read_only=True, source=source)
    async with SpringApp(home, opening=opening).run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


def watching(pilot: Pilot[int]) -> WatchScreen:
    screen = pilot.app.screen
    assert isinstance(screen, WatchScreen)
    return screen


def said(screen: WatchScreen, selector: str) -> str:
    return str(screen.query_one(selector, Static).content)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_run_of_another_tool_is_drawn_with_every_spike(home: Path, size: tuple[int, int]) -> None:
    run = long_run()
    async with opened(home, Given(run), size, run) as pilot:
        screen = watching(pilot)
        plot = screen.query_one("#history", CurvesPlot)
        await until(pilot, lambda: plot.curves and screen.follower.complete)
        assert [one.name for one in plot.curves] == ["train/loss", "val/loss"]
        assert max(plot.curves[0].y) == 9.0, "the spike is drawn"
        assert len(plot.curves[0].x) <= 1200
        assert plot.axis == "step"
        assert plot.size.height >= 8
        assert "exp1 · TensorBoard · finished · step 49999" in said(screen, "#head")
        facts = said(screen, "#facts")
        assert "lr 0.1" in facts
        assert "bad inf" in facts
        console = screen.query_one(Console)
        assert console._lines == ["step 1", "step 2", "", "step 100: \x1b[31mresumed"]
        assert "\x1b" not in "".join(console._folded())
        # every group of tags, those by epochs apart
        await pilot.press("c")
        titles = []
        for _ in range(3):
            titles.append((plot.heading, plot.axis))
            await pilot.press("c")
        assert set(titles) == {
            ("train/loss, val/loss", "step"), ("bad (2 not finite)", "step"), ("epoch_loss", "epoch"),
        }  # fmt: skip


async def test_zoom_reads_the_true_points(home: Path) -> None:
    run = long_run()
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        plot = screen.query_one("#history", CurvesPlot)
        await until(pilot, lambda: plot.curves)
        plot.cursor = float(SPIKE)
        for _ in range(22):
            plot.action_zoom(1)
        shown = plot._shaped[0]
        assert list(shown.x) == list(range(round(shown.x[0]), round(shown.x[-1]) + 1)), "each step is there"
        assert SPIKE in shown.x
        assert len(shown.x) < 20
        plot.action_whole()
        assert len(plot._shaped[0].x) > 500


async def test_a_replay_shows_the_run_at_its_steps(home: Path) -> None:
    run = long_run()
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        await until(pilot, lambda: screen.follower.complete and screen.whole.curves)
        assert screen.whole.curves == POINTS
        screen.query_one(TimeBar).post_message(TimeBar.Scrubbed(screen.query_one(TimeBar), POINTS // 2))
        await until(pilot, lambda: screen.replay.view is not None and screen.replay.is_settled)
        view = screen.replay.view
        assert view is not None
        assert view.state.at == pytest.approx(POINTS / 2, rel=0.01)
        assert max(view.histories["train/loss"][0]) <= view.state.at
        assert view.histories["epoch_loss"][0] == [0.0, 1.0], "cut by time where steps count otherwise"
        assert "replay" in said(screen, "#head")
        position, _ = screen.follower.timeline.position_after(0, 10.0)
        assert position == pytest.approx(1000, abs=2)


async def test_new_points_come_and_void_ones_go(home: Path) -> None:
    run = ForeignRun("live", Path("/logs/live"), "CSV")
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        plot = screen.query_one("#history", CurvesPlot)
        await until(pilot, lambda: "waiting for records" in plot.EMPTY)
        assert "waiting" in said(screen, "#head")
        run.take(Batch(points={"loss": series_of(range(10), range(10, 0, -1))}))
        await until(pilot, lambda: plot.curves and len(plot.curves[0].x) == 10)
        run.take(Batch(cuts={"loss": 5}, points={"loss": series_of([5, 6], [1.5, 1.25])}))
        await until(pilot, lambda: list(plot.curves[0].x) == [0, 1, 2, 3, 4, 5, 6])
        run.take(Batch(points={"loss": series_of([3], [8.0])}))
        await until(pilot, lambda: list(plot.curves[0].x) == [0, 1, 2, 3, 3, 4, 5, 6])
        run.take(Batch(anew=True, points={"acc": series_of([1], [0.5])}))
        await until(pilot, lambda: plot.heading == "acc")


async def test_the_axis_that_the_training_declared_and_the_step_of_a_resume(home: Path) -> None:
    run = ForeignRun("run", Path("/logs/run"), "wandb")
    steps = list(range(10))
    run.take(
        Batch(
            points={
                "val": series_of(steps, [10.0 - step for step in steps]),
                "loss": series_of(steps, steps),
                "epoch": series_of(steps[::2], [step / 4 for step in steps[::2]]),
            },
            axes={"val": "epoch"},
            remarks=[Remark(4, math.nan, "resumed here", "resumed")],
        )
    )
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        plot = screen.query_one("#history", CurvesPlot)
        await until(pilot, lambda: plot.curves)
        assert (plot.heading, plot.axis) == ("loss", "step")
        assert plot._series[0][:2] == ([4, 4], [0.0, 9.0]), "a mark"
        screen.show_scalar("val by epoch")
        assert plot.axis == "epoch"
        assert [len(one.x) for one in plot.curves] == [10]
        assert plot.curves[0].x[:4] == [0.0, 0.0, 0.5, 0.5]


async def test_nothing_is_asked_of_it_and_nothing_changed(home: Path) -> None:
    run = long_run()
    before = sorted(path for path in home.rglob("*"))
    async with opened(home, Given(run, long_run("exp2")), first=run) as pilot:
        for key in ("b", "x", "i"):
            pilot.app.clear_notifications()
            await pilot.press(key)
            await until(pilot, lambda: any("another tool" in n.message for n in pilot.app._notifications))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
        await until(pilot, lambda: len(pilot.app.screen.query_one("#table").ids) == 2)  # type: ignore[attr-defined]
        for key in ("D", "e", "asterisk", "g", "w"):
            pilot.app.clear_notifications()
            await pilot.press(key)
            await until(pilot, lambda: any(n.message.startswith("read-only") for n in pilot.app._notifications))
    assert sorted(path for path in home.rglob("*")) == before


async def test_several_are_listed_sorted_filtered_overlaid_and_opened(home: Path) -> None:
    source = Given(*(long_run(f"exp{i}", 1.0 + i) for i in range(3)))
    async with opened(home, source) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, RunsScreen)
        await until(
            pilot, lambda: len(screen.table.ids) == 3 and all(map(screen.catalogue.is_described, screen.table.ids))
        )
        assert {row.status for row in screen.catalogue.rows.values()} == {"finished"}
        screen.sort_by("loss", reverse=True)
        assert screen.table.ids == ["exp2", "exp1", "exp0"]
        screen.table.point_at("exp2")
        await pilot.press("space", "down", "space")
        plot = screen.query_one(CurvesPlot)
        await until(pilot, lambda: len(plot.curves) == 2)
        assert plot.heading == "train/loss of 2 runs"
        await pilot.press("c")
        await until(pilot, lambda: plot.heading == "val/loss of 2 runs", 5.0)
        screen._filtered("exp1")
        await until(pilot, lambda: screen.table.ids == ["exp1"])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
        assert watching(pilot).watched.id == "exp1"
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)


async def test_that_there_are_no_layers_and_that_a_folder_is_gone_is_told(home: Path) -> None:
    source = Given(*(long_run(f"exp{i}") for i in range(2)))
    async with opened(home, source) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: len(screen.table.ids) == 2)
        screen.table.point_at(screen.table.ids[0])
        await pilot.press("space", "down", "space")
        await until(pilot, lambda: "2 marked: o overlays them ·" in str(screen.query_one("#said", Static).content))
        await pilot.press("B")
        await until(pilot, lambda: any("no layers" in n.message for n in pilot.app._notifications))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
        run = watching(pilot).watched
        assert isinstance(run, ForeignRun)
        run.set_files([], is_gone=True)
        await until(pilot, lambda: "directory is gone" in said(watching(pilot), "#said"))
        assert watching(pilot).query_one("#history", CurvesPlot).curves


async def test_the_first_run_is_waited_for_and_opened(home: Path) -> None:
    source = Given()
    async with opened(home, source) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: screen.table.EMPTY.startswith("waiting for records"))
        source.found.append(long_run())
        await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
        await until(pilot, lambda: watching(pilot).is_mounted and watching(pilot).follower.complete)


async def test_the_end_of_the_reading_process_is_told(home: Path) -> None:
    source = Given(run := long_run())
    async with opened(home, source, first=run) as pilot:
        source.trouble = "the process that reads logs failed"
        await until(pilot, lambda: any(n.message == source.trouble for n in pilot.app._notifications))


async def test_loads_of_a_probe_and_losses_of_a_tracker_are_one_run(home: Path) -> None:
    own = make_probe_run(home, probe_records(["a", "b"], 8), 1)
    run = JoinedRun(own, [long_run()])
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        await until(pilot, lambda: screen.follower.complete and "train/loss" in screen.whole.histories)
        assert screen.whole.curves == 8
        assert screen.query_one("#curve", CurvesPlot).curves
        assert "val/loss" in screen.whole.state.values
        assert screen.kind == "probe"


def test_tags_share_a_plot_where_they_differ_in_the_samples_alone() -> None:
    tags = ["Loss/train", "Loss/valid", "eval_loss", "acc", "val_acc", "lr", "train", "epoch_loss"]
    groups = log_words.groups_of(tags, {"epoch_loss": "epoch"})
    assert list(groups.values()) == [
        ["Loss/train", "Loss/valid", "eval_loss"], ["acc", "val_acc"], ["lr"], ["train"], ["epoch_loss"],
    ]  # fmt: skip
    assert log_words.first_group(groups) == "loss"
    assert log_words.first_group({}) == ""


def test_the_app_imports_nothing_heavy_for_other_tools_logs() -> None:
    names = modules_after(
        "import engine.logs.client, engine.logs.joined, springtui.commands.logs, springtui.watch.screen"
    )
    assert not names & HEAVY


def rows_run(run_id: str = "rows") -> ForeignRun:
    """A loss at 60 steps, then a row each with numbers that are not finite, and with another scalar."""
    run = ForeignRun(run_id, Path("/logs") / run_id, "wandb")
    loss = [1 / (1 + step) for step in range(60)]
    loss[20] = loss[21] = math.nan
    run.take(
        Batch(
            points={
                "loss": series_of(range(60), loss, [1.7e9 + step for step in range(60)]),
                "bad": series_of([61], [math.nan], [1.7e9 + 61]),
                "low": series_of([61, 62], [-math.inf, math.nan], [1.7e9 + 61, 1.7e9 + 62]),
                "acc": series_of([500], [0.5], [1.7e9 + 130]),
                "end": series_of([3, 4], [1.0, math.inf], [1.7e9 + 3, 1.7e9 + 4]),
            },
            name="a run",
        )
    )
    return run


async def test_a_replay_has_a_record_for_each_row_and_true_times(home: Path) -> None:
    run = rows_run()
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        bar = screen.query_one(TimeBar)
        await until(pilot, lambda: screen.follower.complete and bar._left == "record 63/63 · 2m10s")
        await pilot.press("comma")
        await until(pilot, lambda: bar._left == "record 62/63 · 1m02s" and screen.replay.is_settled)
        view = screen.replay.view
        assert view is not None
        assert (view.state.step, view.state.heard) == (62, 1.7e9 + 62)
        assert math.isnan(view.state.logged["low"])
        assert "acc" not in view.state.logged
        run.take(Batch(points={"loss": series_of([700], [0.25], 1.7e9 + 200)}))
        await pilot.press("end")
        await until(pilot, lambda: bar._left == "record 64/64 · 3m20s")
        run.take(Batch(anew=True, points={"loss": series_of([1, 2], [0.5, 0.25])}))
        await until(pilot, lambda: bar._left == "record 2/2")


async def test_what_is_not_finite_is_said_marked_and_interrupts_the_curve(home: Path) -> None:
    run = rows_run()
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        plot = screen.query_one("#history", CurvesPlot)
        await until(pilot, lambda: plot.heading == "loss (2 not finite)")
        pieces = [one for one in plot._series if one.name == "loss"]
        assert [(one.x[0], one.x[-1]) for one in pieces] == [(0, 19), (22, 59)]
        assert [list(one.x) for one in plot._series if one.role == "warn"] == [[20, 21]]
        for name, text in (
            ("bad", "one value, NaN at step 61"),
            ("low", "2 values, none of them finite: the newest is NaN at step 62"),
        ):
            screen.show_scalar(name)
            assert text == plot.EMPTY
        screen.show_scalar("end")
        await until(pilot, lambda: not plot.is_stale())
        assert plot._along is not None
        assert plot._along.high >= 4, "the axis goes to the last number, which is infinite"
        run.take(Batch(points={"end": series_of([5, 6, 7], [math.nan, 2.0, math.nan])}))
        await until(pilot, lambda: screen.whole.holes.get("end") == [(4, 5), (7, 7)])


async def test_a_scalar_is_found_and_the_plot_has_the_keys(home: Path) -> None:
    run = rows_run()
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        plot = screen.query_one("#history", CurvesPlot)
        await until(pilot, lambda: screen.scalars.group == "loss")
        assert pilot.app.focused is plot
        await pilot.press("Y", "z")
        assert "log y · mean of 5" in str(plot.border_title)
        await pilot.press("N")
        assert screen.scalars.group == "end"
        await pilot.press("slash", "A", "c", "enter")
        await until(pilot, lambda: screen.scalars.group == "acc")
        found = next(c for c in pilot.app.get_system_commands(screen) if c.title == "Show bad")
        found.callback()
        assert screen.scalars.group == "bad"
        with pytest.raises(ConfigError, match="no scalar of this run holds 'lr'"):
            screen.scalars.find("lr")
        await pilot.resize_terminal(40, 6)
        await until(pilot, lambda: screen.has_class("-small"))
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: pilot.app.focused is not None)


async def test_help_palette_and_bottom_line_hold_what_does_something(home: Path) -> None:
    source = Given(rows_run("a/x"), rows_run("b/x"))
    async with opened(home, source) as pilot:
        listed = pilot.app.screen
        assert isinstance(listed, RunsScreen)
        await until(pilot, lambda: len(listed.table.ids) == 2)
        assert {listed._line(name).cells["name"] for name in listed.table.ids} == {"a/x · a run", "b/x · a run"}
        assert {listed._line(name).cells["kind"] for name in listed.table.ids} == {"wandb"}
        await until(pilot, lambda: "bad NaN" in str(listed.query_one("#about", Static).content))
        await pilot.press("space", "down", "space")
        plot = listed.query_one(CurvesPlot)
        await until(pilot, lambda: [one.name for one in plot.curves] == ["a/x · a run", "b/x · a run"])
        for screen in (listed, None):
            if screen is None:
                await pilot.press("enter")
                await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
                screen = pilot.app.screen
            titles = {c.title.split("  (")[0] for c in pilot.app.get_system_commands(screen)}
            for action in (
                "Delete",
                "Duplicate",
                "By layer",
                "Pause",
                "Stop",
                "Stop the run",
                "Set",
                "Tour",
                "Name",
            ):
                assert action not in titles
            assert {"Quantity", "Quantity before"} <= titles
            assert ("Back" in titles) == isinstance(screen, WatchScreen)
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
            text = str(pilot.app.screen.query_one(Static).render())
            assert text.startswith("These are logs that other tools write")
            assert "Not finite" in text
            for word in ("chain", "slider", "worker", "layer", "measure", "sweep", "lab"):
                assert word not in text, word
            keys = [line for line in text.splitlines() if "(runs.quantity)" in line or "(watch.scalar)" in line]
            assert len(keys) == 1
            await pilot.press("escape")
        source.trouble = "the process that reads logs failed"
        await until(pilot, lambda: source.trouble in said(watching(pilot), "#said"))
        await pilot.press("escape")
        await until(pilot, lambda: source.trouble in str(listed.query_one("#said", Static).content))
        await pilot.press("escape")
        assert pilot.app.screen is listed


async def test_a_run_is_read_until_its_curves_are_known_and_colours_are_no_text(home: Path) -> None:
    run = ForeignRun("new", Path("/logs/new"), "CSV")
    run.take(
        Batch(points={"hp metric": series_of([0], [-1.0])}, console=b"\x1b[1mloss\x1b[0m 3\n", read=1, size=9)
    )
    async with opened(home, Given(run), first=run) as pilot:
        screen = watching(pilot)
        plot = screen.query_one("#history", CurvesPlot)
        await until(pilot, lambda: screen.scalars.group == "hp metric" and screen.query_one(Console)._lines)
        assert screen.query_one(Console)._lines[0] == "loss 3"
        run.take(Batch(points={"train loss": series_of([0, 1], [1.0, 0.5])}))
        await until(pilot, lambda: plot.heading == "train loss")  # better than what came first
    (row,) = (Row(run, "log", 0.0),)
    assert why_no_curve([row], "loss", is_read=False) == "reading …"
    assert log_words.why_empty(View(screen.whole.state, {}, 0), [], is_read=False) == "reading …"


async def test_a_loss_that_is_not_finite_is_told_to_alert_rules(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(SpringApp, "check_alerts", lambda _self, _run, state, _values, **_more: told.append(state))
    run = ForeignRun("live", Path("/logs/live"), "CSV")
    now = time.time()
    run.take(Batch(points={"train/loss": series_of([0, 1], [1.0, 0.5], now)}))
    async with opened(home, Given(run)) as pilot:
        await until(pilot, lambda: told and told[-1] == "running")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
        run.take(Batch(points={"train/loss": series_of([2], [math.nan], now)}))
        await until(pilot, lambda: told[-1] == "diverged")
        await pilot.press("escape")
        told.clear()
        await until(pilot, lambda: told and told[-1] == "diverged")
        run.set_files([], is_gone=True)
        await until(pilot, lambda: [row.status for row in pilot.app.screen.catalogue.rows.values()] == ["gone"])  # type: ignore[attr-defined]
