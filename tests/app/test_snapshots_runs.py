"""The Runs and Watch screens as they look, from directories that never change; see test_snapshots."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.foreign_runs import Given, long_run
from support.lab import until
from support.made_runs import make_many, make_probe_run, make_run, probe_records, training_records
from textual.pilot import Pilot

from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.listing import list_runs
from engine.runs.records import Ended, Note
from springtui.app import Opening, SpringApp
from springtui.runs.comparison import ComparisonScreen
from springtui.runs.screen import RunsScreen
from springtui.watch.screen import WatchScreen
from springtui.watch.tabs import WatchTabs
from springtui.widgets.curves_plot import CurvesPlot
from springtui.widgets.plot import Plot

SnapCompare = Callable[..., bool]
NOW = 1.7e9 + 9000.0
SIZES = pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=["120x40", "80x24"])


async def settled(pilot: Pilot[int], known: Callable[[], bool]) -> None:
    """Until all is known and drawn; AssertionError where that takes too long."""
    await pilot.pause()
    await until(pilot, lambda: known() and not any(plot.is_stale() for plot in pilot.app.screen.query(Plot)))
    await pilot.pause()


def watched(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    async def draw(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, WatchScreen)
        await settled(pilot, lambda: screen.follower.complete and screen._drawn_version == screen.follower.version)
        await pilot.press(*keys)
        await settled(pilot, lambda: screen.replay.is_settled)

    return draw


def listed(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    async def draw(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, RunsScreen)
        await settled(pilot, lambda: all(screen.catalogue.is_described(name) for name in screen.table.in_view))
        await pilot.press(*keys)
        overlay = screen.query_one("#overlay", CurvesPlot)  # which a small terminal shows only when asked
        await settled(pilot, lambda: not overlay.size or len(overlay.curves) >= len(screen.marked))

    return draw


@pytest.mark.parametrize(
    ("size", "keys"),
    [
        ((120, 40), ()),
        ((80, 24), ()),
        ((80, 24), ("right_square_bracket",)),
        ((80, 24), ("right_square_bracket", "right_square_bracket")),
        ((120, 40), ("home", *["right"] * 20, "m")),
    ],
    ids=["whole", "curve", "history", "log", "replay"],
)
def test_watch(home: Path, snap_compare: SnapCompare, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    ended = Ended(reason="finished", text="finished after 400 epochs", time=1.7e9 + 20.0, at=400)
    run = Run(make_run(home, [*training_records(400, moves=3), ended]))
    run.log_path.write_text("data set digits: 1437 samples to train on, 360 to test\n")
    app = SpringApp(home, opening=Opening("watch", run))
    assert snap_compare(app, terminal_size=size, run_before=watched(*keys))


@SIZES
def test_watch_of_another_tool(home: Path, snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    run = long_run()
    app = SpringApp(home, opening=Opening("watch", run, read_only=True, source=Given(run)))
    assert snap_compare(app, terminal_size=size, run_before=watched())


def test_runs_of_another_tool(home: Path, snap_compare: SnapCompare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springtui.runs.panels.now", lambda: NOW)
    source = Given(*(long_run(f"sweep/exp{i}", 1.0 + i) for i in range(4)))
    app = SpringApp(home, opening=Opening("runs", read_only=True, source=source))
    assert snap_compare(app, terminal_size=(120, 40), run_before=listed("space", "down", "space"))


BLOCKS = [*(f"model.decoder.layers.{i}.mlp" for i in range(48)), "logits"]


def on_tab(name: str, *keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    async def draw(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, WatchScreen)
        await settled(pilot, lambda: screen.follower.complete and screen._drawn_version == screen.follower.version)
        screen.query_one(WatchTabs).active = name
        await settled(pilot, lambda: screen.tab == name)
        await pilot.press(*keys)
        await settled(pilot, lambda: not screen.layer_map.is_stale())

    return draw


@SIZES
@pytest.mark.parametrize(
    ("tab", "keys"),
    [("layers", ("down", "down", "down")), ("times", ("c", "down", "down", "left"))],
    ids=["layers", "times"],
)
def test_layers(
    home: Path, snap_compare: SnapCompare, size: tuple[int, int], tab: str, keys: tuple[str, ...]
) -> None:
    events = [*probe_records(BLOCKS[:6] if tab == "layers" else BLOCKS), Ended(reason="finished", time=1.7e9 + 5)]
    app = SpringApp(home, opening=Opening("watch", Run(make_probe_run(home, events))))
    assert snap_compare(app, terminal_size=size, run_before=on_tab(tab, *keys))


@SIZES
def test_towers(home: Path, snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    events = probe_records(BLOCKS[:5], towers=("text", "image"))
    warning = Note(time=1.7e9 + 4, text="layers.3.mlp collapsed: effective rank 1.0", level="warning")
    run = Run(make_probe_run(home, [*events, warning, Ended(reason="finished", time=1.7e9 + 5)]))
    app = SpringApp(home, opening=Opening("watch", run))
    assert snap_compare(app, terminal_size=size, run_before=watched("P"))


@SIZES
def test_comparison(home: Path, snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    make_probe_run(home, [*probe_records(BLOCKS[:6]), Ended(reason="finished", time=1.7e9 + 5)], 1)
    tuned = [f"base_model.model.{name}" for name in (*BLOCKS[:3], "adapter.0", *BLOCKS[3:6])]
    events = [*probe_records(tuned, slope=0.2), Ended(reason="finished", time=1.7e9 + 5)]
    make_probe_run(home, events, 2, began=1.7e9 + 50)

    async def draw(pilot: Pilot[int]) -> None:
        await listed("space", "down", "space")(pilot)
        await pilot.press("B")
        screen = pilot.app.screen
        assert isinstance(screen, ComparisonScreen)
        await settled(pilot, lambda: screen.comparison is not None)

    app = SpringApp(home, opening=Opening("runs"))
    assert snap_compare(app, terminal_size=size, run_before=draw)


@pytest.mark.parametrize(
    ("size", "keys"),
    [
        ((120, 40), ()),
        ((120, 40), ("space", "down", "space", "down", "space", "down", "o", "right")),
        ((80, 24), ()),
    ],
    ids=["whole", "overlay", "narrow"],
)
def test_runs(
    home: Path,
    snap_compare: SnapCompare,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    keys: tuple[str, ...],
) -> None:
    monkeypatch.setattr("springtui.runs.panels.now", lambda: NOW)
    make_many(home, 26)
    first = list_runs(home)[-2]
    write_label(first.path, name="the one with noise", text="compare with the paper's figure", pinned=True)
    assert snap_compare(SpringApp(home, opening=Opening("runs")), terminal_size=size, run_before=listed(*keys))
