"""Watch and Runs with runs that other tools logged: in the app alone, without the process that reads logs."""

from __future__ import annotations

import math
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

from engine.logs.batch import Batch, Remark
from engine.logs.foreign import ForeignRun
from engine.logs.joined import JoinedRun
from engine.logs.series import series_of
from engine.runs.any_run import AnyRun
from springtui.app import Opening, SpringApp
from springtui.runs.screen import RunsScreen
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
        assert screen.whole.curves == 4000
        screen.query_one(TimeBar).post_message(TimeBar.Scrubbed(screen.query_one(TimeBar), 2000))
        await until(pilot, lambda: screen.replay.view is not None and screen.replay.is_settled)
        view = screen.replay.view
        assert view is not None
        assert view.state.at == pytest.approx(POINTS / 2, rel=0.01)
        assert max(view.histories["train/loss"][0]) <= view.state.at
        assert view.histories["epoch_loss"][0] == [0.0, 1.0], "cut by time where steps count otherwise"
        assert "replay" in said(screen, "#head")
        position, _ = screen.follower.timeline.position_after(0, 10.0)
        assert position == pytest.approx(80, abs=2)


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
        screen.scalar = "val by epoch"
        screen._draw()
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
