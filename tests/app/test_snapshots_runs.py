"""The Runs and Watch screens as they look, from directories that never change; see test_snapshots."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.made_runs import make_many, make_run, training_records
from textual.pilot import Pilot

from engine.runs.directory import Run
from engine.runs.label import write_label
from engine.runs.listing import list_runs
from engine.runs.records import Ended
from springtui.app import Opening, SpringApp
from springtui.runs.screen import RunsScreen
from springtui.watch.screen import WatchScreen
from springtui.widgets.plot import Plot

SnapCompare = Callable[..., bool]
NOW = 1.7e9 + 9000.0


async def settled(pilot: Pilot[int], known: Callable[[], bool]) -> None:
    """Until all is known and drawn."""
    for _ in range(600):
        await pilot.pause(0.05)
        if known() and not any(plot.is_stale() for plot in pilot.app.screen.query(Plot)):
            break
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
        await settled(pilot, lambda: len(screen.query_one("#overlay").curves) >= len(screen.marked))  # type: ignore[attr-defined]

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
