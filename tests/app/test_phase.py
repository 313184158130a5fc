"""The Phase screen: finished diagrams drawn, real small sweeps made, paused, stopped and exported."""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path

import msgspec
import pytest
from support.lab import until
from support.phase import AXES, SMALL
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widgets import Static
from textual.widgets._footer import FooterKey

from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Ended, Note, Started
from engine.settings.chain import ChainConfig
from engine.settings.sweep import SweepConfig
from engine.sweep.diagrams import DIAGRAMS, make_sweep
from engine.sweep.grid import cell_settings
from engine.sweep.summary import accuracy_cv_correlation
from engine.twin.maps import TwinMap
from engine.workers.work import work
from springtui.app import SpringApp
from springtui.follow.workers import Workers
from springtui.lab.choice import Choice
from springtui.lab.screen import LabScreen
from springtui.phase.screen import PhaseScreen
from springtui.phase.sweeps import SweepRuns
from springtui.preferences.last_place import LastSession
from springtui.state.diagram import COLOURS, facts_of, grid_of, short
from springtui.watch.screen import WatchScreen
from springtui.widgets.heat_map import HeatMap
from springtui.widgets.palette import LEVELS, color, ink, level


async def let_go(workers: Workers) -> None:
    """Stop the workers and see them end."""
    await asyncio.to_thread(workers.stop_all)
    for process in workers.processes.values():
        await asyncio.to_thread(process.wait, 20)


async def open_phase(pilot: Pilot[int]) -> PhaseScreen:
    """From the lab by its key."""
    await pilot.pause()
    await pilot.press("f")
    await until(pilot, lambda: isinstance(pilot.app.screen, PhaseScreen))
    screen = pilot.app.screen
    assert isinstance(screen, PhaseScreen)
    return screen


@pytest.fixture
def app(home: Path) -> SpringApp:
    """The app, its lab without workers."""
    return SpringApp(home, begin_runs=False)


async def test_the_newest_diagram_is_drawn_with_the_chain_beside_it(
    finished: Run, app: SpringApp, home: Path
) -> None:
    async with app.run_test(size=(140, 45)) as pilot:
        phase = await open_phase(pilot)
        await until(
            pilot,
            lambda: len(phase.control.summaries["network"]) == 6 and len(phase.control.summaries["chain"]) == 6,
        )
        heat_map = phase.query_one("#network", HeatMap)
        lines = [heat_map.render_line(y).text for y in range(heat_map.size.height)]
        assert lines[0].split()[0] == "1"  # the first row is nonlinearity 1
        await pilot.press("right", "down")
        await pilot.pause()
        assert heat_map.cursor == 3
        assert phase.query_one("#chain", HeatMap).cursor == 3
        assert "finished" in phase._progress_text
        await pilot.press("c", "E")
        await until(pilot, lambda: len(list((home / "exports").glob("[!.]*"))) == 4)
        assert {path.stat().st_mode & 0o777 for path in (home / "exports").glob("[!.]*")} == {0o600}
        assert (home / "exports").stat().st_mode & 0o777 == 0o700
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen))
        await let_go(phase.control.sweeps.run_workers)


def drawn(phase: PhaseScreen) -> str:
    """The networks' map as text."""
    heat_map = phase.query_one("#network", HeatMap)
    return "\n".join(heat_map.render_line(y).text for y in range(heat_map.size.height))


def boxes(phase: PhaseScreen) -> dict[str | None, Region]:
    """Where every panel stands."""
    return {widget.id: widget.region for widget in phase.query("#maps > *, #below > *")}


async def test_no_screen_that_was_visited_before_changes_its_looks(
    finished: Run, app: SpringApp, home: Path
) -> None:
    async with app.run_test(size=(140, 45)) as pilot:
        phase = await open_phase(pilot)
        await until(pilot, lambda: "nonlinearity" in str(phase.query_one("#cell", Static).content))
        await until(pilot, lambda: phase.query_one("#chain", HeatMap).grid is not None)
        await pilot.pause()
        before = boxes(phase)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen))
        app.push_screen(WatchScreen(finished, LastSession()))
        await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, WatchScreen))
        again = await open_phase(pilot)
        await until(pilot, lambda: "nonlinearity" in str(again.query_one("#cell", Static).content))
        await until(pilot, lambda: boxes(again) == before)
        assert again.query_one("#said").size.height > 8
        await let_go(again.control.sweeps.run_workers)


async def test_a_lost_worker_is_said_and_stays_in_sight(app: SpringApp, home: Path) -> None:
    """The test plays the worker; the loss is told while the sweep goes on, and no longer once it is over."""
    config = make_sweep("data-noise", SMALL, axes=AXES, seeds=2)
    run = Run.create(open_home(home), config)
    writer = run.writer()
    writer.write(Started(pid=os.getpid(), host="here", settings={}, layers=[], total=12))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        phase = await open_phase(pilot)
        await until(pilot, lambda: "0/12 networks" in phase._progress_text)
        assert "lost" not in phase._progress_text
        text = "dask://here:1: worker [10.0.0.1:1] was lost, 1 left; its work starts again"
        writer.write(Note(text=text, level="warning", lost=1))
        await until(pilot, lambda: "1 worker lost" in phase._progress_text)
        assert [notice.message for notice in pilot.app._notifications] == [text]
        writer.write(Note(text=text, level="warning", lost=2))
        await until(pilot, lambda: "3 workers lost" in phase._progress_text)
        writer.write(Ended(reason="stopped", text="0 of 12 networks made"))
        writer.release()
        await until(pilot, lambda: "stopped" in phase._progress_text)
        assert "lost" not in phase._progress_text
        await let_go(phase.control.sweeps.run_workers)
    async with SpringApp(home, begin_runs=False).run_test(size=(100, 30), notifications=True) as pilot:
        phase = await open_phase(pilot)
        await until(pilot, lambda: "stopped" in phase._progress_text)
        assert not list(pilot.app._notifications)
        await let_go(phase.control.sweeps.run_workers)


@pytest.mark.real_start
async def test_a_diagram_is_made_stopped_and_gone_on_with(
    app: SpringApp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = DIAGRAMS["data-noise"]._replace(settings=SMALL | {"epochs": 40}, x_values=(0.0, 0.4))
    monkeypatch.setitem(DIAGRAMS, "data-noise", small)
    async with app.run_test(size=(140, 45)) as pilot:
        phase = await open_phase(pilot)
        await until(pilot, lambda: "no diagram yet" in phase._progress_text)
        await pilot.press("g")
        await until(
            pilot, lambda: "network" in phase.control.states and phase.control.states["network"].done >= 2, 60
        )
        await pilot.press("x")
        await until(pilot, lambda: phase.control.states["network"].status == "stopped")
        made = phase.control.states["network"].done
        await pilot.press("g")
        await until(pilot, lambda: phase.control.states["network"].status == "finished", 90)
        assert made < phase.control.states["network"].total == 36
        assert len(phase.control.states["network"].cells) == 36
        await let_go(phase.control.sweeps.run_workers)


async def test_a_hessian_that_was_not_measured_is_said_so_and_measured_on_demand(
    finished: Run, app: SpringApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = DIAGRAMS["data-noise"]._replace(settings=SMALL, x_values=(0.0,), y_values=(0.0, 1.0))
    monkeypatch.setitem(DIAGRAMS, "data-noise", small)
    async with app.run_test(size=(80, 24)) as pilot:
        phase = await open_phase(pilot)
        await until(pilot, lambda: len(phase.control.summaries["network"]) == 6)
        while phase.colour.key != "hessian_trace":
            await pilot.press("c")
        await until(pilot, lambda: "g measures the Hessian" in phase._progress_text)
        known = math.isfinite(accuracy_cv_correlation(phase.control.summaries["network"]))
        assert ("Spearman" in phase._progress_text) == known
        hint = "not measured; a sweep with --set hessian=on measures it"
        assert hint in drawn(phase)
        await pilot.press("g")
        await until(pilot, lambda: phase.control.runs["network"].id != finished.id, 60)
        await until(pilot, lambda: phase.control.states["network"].status == "finished", 90)
        await until(pilot, lambda: len(phase.control.summaries["network"]) == 2)
        assert all(s.scalars["hessian_trace"] > 0 for s in phase.control.summaries["network"])
        assert "g measures" not in phase._progress_text
        assert hint not in drawn(phase)
        assert not phase.query_one("#chain", HeatMap).display  # no room for both; v shows it
        await pilot.press("v")
        await until(pilot, lambda: phase.query_one("#chain", HeatMap).display)
        assert not phase.query_one("#network", HeatMap).display
        await let_go(phase.control.sweeps.run_workers)


async def test_another_diagram_that_was_made_is_shown(finished: Run, app: SpringApp, home: Path) -> None:
    """The newest of its kind that was finished, before one that was left; g is offered where there is none."""
    axes = {"x": ("dropout", (0.0, 0.1)), "y": ("negative_slope", (0.0,))}
    made = Run.create(home, make_sweep("dropout", SMALL, axes=axes, seeds=1))
    assert work(made).reason == "finished"
    Run.create(home, make_sweep("dropout", SMALL, axes=axes, seeds=1))  # never begun
    other = Run.create(home, make_sweep("data-noise", SMALL, axes=AXES, seeds=1))
    assert work(other).reason == "finished"
    newest = max(finished.id, other.id)  # both may be of one second
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_run(other)
        await until(pilot, lambda: isinstance(app.screen, PhaseScreen))
        phase = app.screen
        assert isinstance(phase, PhaseScreen)
        await until(pilot, lambda: len(phase.control.summaries["network"]) == 6)
        assert "View" not in {key.description for key in phase.query(FooterKey)}  # all views are shown
        await pilot.press("right", "down", "down", "t")  # a learning rate: there is none
        await until(pilot, lambda: any("g makes learning-rate" in n.message for n in app._notifications))
        assert phase.control.runs["network"].id == other.id
        await until(pilot, lambda: "g makes learning-rate" in phase._progress_text)
        await pilot.press("t")
        await until(pilot, lambda: len(phase.control.summaries["network"]) == 2)
        assert phase.control.runs["network"].id == made.id
        assert "g makes" not in phase._progress_text
        assert phase.query_one("#network", HeatMap).cursor == 1
        await until(pilot, lambda: len(phase.control.summaries["chain"]) == 2)  # over the same axes
        while phase.control.recipe != "data-noise":
            await pilot.press("t")
        await until(
            pilot,
            lambda: phase.control.runs["network"].id == newest and len(phase.control.summaries["network"]) == 6,
        )
        await let_go(phase.control.sweeps.run_workers)


async def test_a_cell_without_noise_opens_with_the_noise_of_its_diagram(home: Path, app: SpringApp) -> None:
    """Whatever else is not calm: the paper's networks have batches of 2560."""
    open_home(home)
    axes = {"x": ("data_noise", (0.0, 0.4)), "y": ("negative_slope", (0.0,))}
    run = Run.create(home, make_sweep("data-noise", SMALL | {"lr": 1e-2}, axes=axes, seeds=1))
    assert work(run).reason == "finished"
    async with app.run_test(size=(140, 45)) as pilot:
        first = app.screen
        phase = await open_phase(pilot)
        await until(pilot, lambda: len(phase.control.summaries["network"]) == 2)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen is not first)
        lab = app.screen
        assert isinstance(lab, LabScreen)
        await until(pilot, lambda: bool(lab.query(Choice)))
        assert [choice.id for choice in lab.query(Choice) if choice.value] == ["data-noise"]
        asked = lab.settings_of("train")
        assert (lab.kind.key, asked["data_noise"], asked["lr"], asked["batch_size"]) == (
            "data_noise",
            0.0,
            1e-2,
            50,
        )
        await let_go(phase.control.sweeps.run_workers)


@pytest.mark.usefixtures("quick_network")
async def test_a_cell_opens_in_the_lab_with_its_settings(finished: Run, home: Path) -> None:
    app = SpringApp(home)
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and "train" in app.screen.states)
        first = app.screen
        phase = await open_phase(pilot)
        await until(pilot, lambda: len(phase.control.summaries["network"]) == 6)
        await pilot.press("right", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen is not first)
        lab = app.screen
        assert isinstance(lab, LabScreen)
        await until(pilot, lambda: "train" in lab.states and bool(lab.states["train"].settings))
        settings = lab.states["train"].settings
        assert (settings["data_noise"], settings["negative_slope"], settings["width"]) == (0.4, 0.5, 16)
        await asyncio.to_thread(lab.control.stop_runs)
        assert isinstance(first, LabScreen)
        for process in [*lab.session.leaving, *first.session.leaving]:
            await asyncio.to_thread(process.wait, 20)
        await let_go(phase.control.sweeps.run_workers)


OWN = TwinMap(friction=0.2, friction_per_nonlinearity=0.1, mu_left=0.3, noise=0.05, noise_per_noise=0.02)


async def test_ones_own_map_drives_the_chain_of_the_diagram(finished: Run, home: Path) -> None:
    """Not one that was made by the shipped map, and that one stands when the map of one's own is left away."""
    shipped = SweepRuns(home, Workers(home))
    network = finished.config().settings
    assert isinstance(network, SweepConfig)
    usual = await asyncio.to_thread(shipped.start_chain, network)
    assert usual is not None
    shipped.run_workers.processes[usual.id].wait(60)
    async with SpringApp(home, twin=OWN, begin_runs=False).run_test(size=(140, 45)) as pilot:
        phase = await open_phase(pilot)
        await until(pilot, lambda: len(phase.control.summaries["chain"]) == 6)
        chain = phase.control.runs["chain"]
        assert chain.id != usual.id
        settings = cell_settings(phase.control.configs["chain"], 1)  # a ReLU network, the larger noise
        assert isinstance(settings, ChainConfig)
        assert (settings.mu_right, settings.mu_left, settings.noise) == pytest.approx((0.3, 0.3, 0.058))
        await until(pilot, lambda: "by your own map" in str(phase.query_one("#cell", Static).content))
        assert "μ→ 0.300 · μ← 0.300 · ε 0.050" in str(phase.query_one("#cell", Static).content)
        await let_go(phase.control.sweeps.run_workers)
    assert SweepRuns(home, Workers(home), OWN).start_chain(network).id == chain.id  # type: ignore[union-attr]
    assert SweepRuns(home, Workers(home)).start_chain(network).id == usual.id  # type: ignore[union-attr]
    elsewhere = msgspec.structs.replace(OWN, noise_axis="lr")
    assert SweepRuns(home, Workers(home), elsewhere).start_chain(network).id == usual.id  # type: ignore[union-attr]


def test_a_map_that_lacks_a_number_is_refused() -> None:
    config = msgspec.structs.replace(make_sweep("chain-twin", {}), twin={"friction": 0.1})
    with pytest.raises(ConfigError, match=r"is no map .*mu_left, noise"):
        cell_settings(config, 0)


def test_a_damaged_run_does_not_hide_the_others(finished: Run, home: Path) -> None:
    broken = home / "runs" / "99999999-000000-sweep-ffffff"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    found = SweepRuns(home, Workers(home)).newest("network")
    assert found is not None
    assert found.id == finished.id


def test_colours_are_sixteen_and_legible() -> None:
    assert [level(v, 0.0, 1.0) for v in (-1.0, 0.0, 0.5, 1.0, 9.0)] == [0, 0, 8, 15, 15]
    assert level(math.nan, 0.0, 1.0) is None
    assert level(3.0, 2.0, 2.0) == 8
    for number in range(LEVELS):
        ground = color(number)
        assert abs(ground.brightness - ink(ground).brightness) > 0.4
    assert color(0).brightness < color(7).brightness < color(15).brightness


def test_numbers_are_short() -> None:
    assert [short(v) for v in (0.2, 1.0, 1e-4, 2560.0, 0.0005)] == [".2", "1", "1e-4", "2560", "5e-4"]


def test_nothing_known_gives_no_grid_and_says_so() -> None:
    config = SweepConfig(x_values=(0.0, 0.1), y_values=(0.0,))
    assert grid_of(config, [], COLOURS[0]) is None
    assert facts_of(config, [], 1)[-1] == "not made yet"
