"""Every screen at three sizes in two themes, from records that never change; empty ones and the tour too.

After a wanted change: pytest tests/test_looks.py --snapshot-update, and look at the difference.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from made_runs import make_many, make_run, training_records
from test_lab import until
from test_snapshots import showing
from textual.pilot import Pilot
from textual.widgets import Static

from engine import liveness
from engine.records import Cell, Started
from engine.rundir import Run
from engine.sweep import DIAGRAMS, make_sweep, size
from springtui.app import Opening, SpringApp
from springtui.screens import runs_panels
from springtui.screens.lab import LabScreen
from springtui.screens.phase import PhaseScreen
from springtui.screens.runs import RunsScreen
from springtui.screens.watch import WatchScreen
from springtui.state import RunState
from springtui.widgets.plot import Plot

SnapCompare = Callable[..., bool]
Draw = Callable[[Pilot[int]], Awaitable[None]]
SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = ("springtui-dark", "springtui-light")
EPOCHS = 60


@pytest.fixture(autouse=True)
def still(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker, no clock, no zone of time."""
    monkeypatch.setattr(LabScreen, "_open", lambda self: None)
    monkeypatch.setattr(PhaseScreen, "_take_up", lambda self: _nothing())
    monkeypatch.setattr(runs_panels, "age_in_words", lambda seconds: "2h")
    monkeypatch.setattr(liveness, "_ago", lambda moment: "2 hours")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


async def _nothing() -> None:
    pass


async def settled(pilot: Pilot[int]) -> None:
    """Every plot drawn."""
    await pilot.pause()
    await until(pilot, lambda: not any(plot.is_stale() for plot in pilot.app.screen.query(Plot)))
    await pilot.pause()


async def draw_phase(pilot: Pilot[int]) -> None:
    """A diagram of the paper's axes, three quarters made."""
    await pilot.pause()
    phase = pilot.app.screen
    assert isinstance(phase, PhaseScreen)
    for system, config in (
        ("network", make_sweep("data-noise", {}, seeds=1)),
        ("chain", make_sweep("chain-twin", {"blocks": 6}, axes=None)),
    ):
        state = RunState(f"a-{system}")
        state.fold(Started(time=0.0, pid=1, host="here", settings={}, layers=[], total=size(config)))
        measure = "trace_ratio" if system == "network" else "distance"
        for cell in range(size(config) if system == "chain" else 3 * size(config) // 4):
            row, column = divmod(cell, len(config.x_values))
            bend = 0.004 + 0.03 * (column - row)
            curve = [1.0 - i / 7 + bend * i * (7 - i) / 7 for i in range(8)] + [-0.2]
            accuracy = 0.95 - 0.05 * column + 0.01 * row
            state.fold(
                Cell(time=1.0 + cell, cell=cell, member=0, done=cell + 1, at=100, final=True,
                     curves={measure: curve}, scalars={"test_accuracy": accuracy, "train_loss": 0.1 * column})
            )  # fmt: skip
        phase.configs[system], phase.states[system] = config, state
        phase.runs[system] = Run(Path(f"/nowhere/a-{system}"))
    phase._rate = lambda state: 0.0  # type: ignore[method-assign]
    for _ in range(2):  # the line above the maps is drawn before them, from what they were
        phase._stale = True
        phase._draw()
    await settled(pilot)


async def draw_runs(pilot: Pilot[int]) -> None:
    """The list, two of its runs overlaid."""
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: len(screen.table.in_view) > 3)
    await until(pilot, lambda: all(screen.catalogue.is_described(name) for name in screen.table.in_view))
    await pilot.press("space", "space")
    await until(pilot, lambda: len(screen.marked) == 2)
    await pilot.pause(1.2)
    await settled(pilot)


async def draw_watch(pilot: Pilot[int]) -> None:
    """A finished run."""
    screen = pilot.app.screen
    assert isinstance(screen, WatchScreen)
    await until(pilot, lambda: screen.whole.curves == EPOCHS and screen.config is not None)
    words = ("#said", "last heard"), ("#facts", "data_noise"), ("#usage", "nothing to measure")
    await until(pilot, lambda: all(w in str(screen.query_one(s, Static).content) for s, w in words))
    await until(pilot, lambda: screen._drawn_version == screen.follower.version)
    await settled(pilot)


def opening_of(name: str, home: Path) -> tuple[Opening, Draw]:
    if name == "phase":
        return Opening("phase"), draw_phase
    if name == "runs":
        make_many(home, 12)
        return Opening("runs"), draw_runs
    if name == "watch":
        return Opening("watch", Run(make_run(home, training_records(EPOCHS)))), draw_watch
    keys = {"lab": (), "help": ("question_mark",), "tour": ()}[name]
    return Opening("lab"), showing(*keys)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("columns_rows", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["lab", "help", "tour", "phase", "runs", "watch"])
def test_looks(
    home: Path, monkeypatch: pytest.MonkeyPatch, snap_compare: SnapCompare, name: str,
    columns_rows: tuple[int, int], theme: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("SPRINGTUI_THEME", theme)
    opening, draw = opening_of(name, home)
    app = SpringApp(home, opening=opening)

    async def before(pilot: Pilot[int]) -> None:
        await draw(pilot)
        if name == "tour":
            app.action_tour()
            await until(pilot, lambda: bool(app.screen.query("#words")))
            await pilot.press("enter")
            await pilot.pause()

    assert snap_compare(app, terminal_size=columns_rows, run_before=before)


@pytest.mark.parametrize("name", ["lab", "phase", "runs"])
def test_empty_screens_say_what_to_do(home: Path, snap_compare: SnapCompare, name: str) -> None:
    async def wait(pilot: Pilot[int]) -> None:
        await pilot.pause()
        if name == "runs":
            await until(pilot, lambda: "no runs yet" in pilot.app.screen.table.EMPTY)  # type: ignore[attr-defined]
            await until(pilot, lambda: "0 runs" in str(pilot.app.screen.query_one("#head", Static).content))
        elif name == "phase":
            await until(pilot, lambda: "accuracy" in str(pilot.app.screen.query_one("#network").border_title))
        await pilot.pause()

    assert DIAGRAMS
    app = SpringApp(home, opening=Opening(name))  # type: ignore[arg-type]
    assert snap_compare(app, terminal_size=(100, 30), run_before=wait)
