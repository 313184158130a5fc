"""Every screen at three sizes in two themes, from records that never change; empty ones and the tour too.

After a wanted change: pytest tests/app/test_screen_snapshots.py --snapshot-update, and look at the difference.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.lab import showing, until
from support.made_runs import make_many, make_run, training_records
from textual.pilot import Pilot
from textual.widgets import Static

from engine.runs import status
from engine.runs.directory import Run
from engine.runs.records import Cell, Ended, Started
from engine.sweep.diagrams import DIAGRAMS, make_sweep
from engine.sweep.grid import cell_count
from springtui.app import Opening, SpringApp
from springtui.lab import panels as lab_panels
from springtui.lab.screen import LabScreen
from springtui.phase.control import PhaseControl
from springtui.phase.screen import PhaseScreen
from springtui.runs import panels as runs_panels
from springtui.runs.screen import RunsScreen
from springtui.state.run_state import RunState
from springtui.watch.screen import WatchScreen
from springtui.widgets.plot import Plot

SnapCompare = Callable[..., bool]
Draw = Callable[[Pilot[int]], Awaitable[None]]
SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = ("springtui-dark", "springtui-light")
EPOCHS = 60


@pytest.fixture(autouse=True)
def still(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker, no clock, no zone of time."""
    monkeypatch.setattr(PhaseControl, "take_up", lambda self: _nothing())
    monkeypatch.setattr(runs_panels, "age_in_words", lambda seconds: "2h")
    monkeypatch.setattr(status, "ago", lambda moment: "2 hours")
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
        state.fold(Started(time=0.0, pid=1, host="here", settings={}, layers=[], total=cell_count(config)))
        measure = "trace_ratio" if system == "network" else "distance"
        for cell in range(cell_count(config) if system == "chain" else 3 * cell_count(config) // 4):
            row, column = divmod(cell, len(config.x_values))
            bend = 0.004 + 0.03 * (column - row)
            curve = [1.0 - i / 7 + bend * i * (7 - i) / 7 for i in range(8)] + [-0.2]
            accuracy = 0.95 - 0.05 * column + 0.01 * row
            state.fold(
                Cell(time=1.0 + cell, cell=cell, member=0, done=cell + 1, at=100, final=True,
                     curves={measure: curve}, scalars={"test_accuracy": accuracy, "train_loss": 0.1 * column})
            )  # fmt: skip
        phase.control.configs[system], phase.control.states[system] = config, state
        phase.control.runs[system] = Run(Path(f"/nowhere/a-{system}"))
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
    await pilot.press("space", "down", "space", "down")
    await until(pilot, lambda: len(screen.marked) == 2)
    await pilot.pause(1.2)
    await settled(pilot)


async def draw_watch(pilot: Pilot[int]) -> None:
    """A finished run."""
    screen = pilot.app.screen
    assert isinstance(screen, WatchScreen)
    await until(pilot, lambda: screen.whole.curves == EPOCHS and screen.control.config is not None)
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
    app = SpringApp(home, opening=opening, begin_runs=False)

    async def before(pilot: Pilot[int]) -> None:
        await draw(pilot)
        if name == "tour":
            await app.action_tour()
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
    app = SpringApp(home, opening=Opening(name), begin_runs=False)  # type: ignore[arg-type]
    assert snap_compare(app, terminal_size=(100, 30), run_before=wait)


# states in which there is little to show: why, and what can be done, at two sizes


def without_a_record(home: Path) -> Run:
    folder = make_run(home, [])
    return Run(folder)


def failed_at_once(home: Path) -> Run:
    words = "cannot read the data set in /data: no such directory; leave data_dir away for the embedded digits"
    begun = Started(time=1.7e9, pid=1, host="gone", settings={"lr": 1e-3}, layers=[], total=60)
    return Run(make_run(home, [begun, Ended(seq=1, reason="failed", text=words, time=1.7e9 + 1, at=0)]))


def damaged(home: Path) -> Run:
    run = Run(make_run(home, training_records(EPOCHS)))
    (run.path / "config.json").write_bytes(b"{nonsense")
    return run


async def draw_bare_watch(pilot: Pilot[int], sign: str) -> None:
    screen = pilot.app.screen
    assert isinstance(screen, WatchScreen)
    await until(pilot, lambda: screen.follower.complete and sign in str(screen.query_one("#said", Static).content))
    await until(pilot, lambda: screen._drawn_version == screen.follower.version)
    await until(pilot, lambda: "nothing to measure" in str(screen.query_one("#usage", Static).content))
    await settled(pilot)


async def draw_directory_gone(pilot: Pilot[int], run: Run) -> None:
    screen = pilot.app.screen
    assert isinstance(screen, WatchScreen)
    await until(pilot, lambda: screen.whole.curves == EPOCHS and screen.control.config is not None)
    run.path.rename(run.path.parents[1] / "elsewhere")
    await draw_bare_watch(pilot, "is gone")
    await until(pilot, lambda: "gone" in str(screen.query_one("#head", Static).content))


async def draw_filtered(pilot: Pilot[int]) -> None:
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: len(screen.table.in_view) > 3)
    screen._filtered("no such run")
    await until(pilot, lambda: "0 shown" in str(screen.query_one("#head", Static).content))
    await until(pilot, lambda: all(screen.catalogue.is_described(name) for name in screen.catalogue.rows))
    screen.show_rows()
    await settled(pilot)


async def draw_unmade_phase(pilot: Pilot[int]) -> None:
    """A diagram whose worker died before a cell was done."""
    await pilot.pause()
    phase = pilot.app.screen
    assert isinstance(phase, PhaseScreen)
    config, state = make_sweep("data-noise", {}, seeds=3), RunState("a-network")
    state.fold(Started(time=0.0, pid=1, host="here", settings={}, layers=[], total=162))
    state.worker_is_gone()
    phase.control.configs["network"], phase.control.states["network"] = config, state
    phase.control.runs["network"] = Run(Path("/nowhere/a-network"))
    phase._stale = True
    phase._draw()
    await settled(pilot)


async def draw_dead_lab(pilot: Pilot[int]) -> None:
    """A network that failed before its first curve, and a chain that could not be begun."""
    await pilot.pause()
    lab = pilot.app.screen
    assert isinstance(lab, LabScreen)
    state = RunState("a-run")
    state.fold(Ended(reason="failed", text="the data set is damaged", time=1.0, at=0))
    lab.control.states = {"train": state}
    lab.control.trouble = {"chain": "cannot start a run: No space left on device; is the disk full?"}
    lab_panels.show_states(lab, lab.states, "trace_ratio", trouble=lab.control.trouble)
    lab.draw_words()
    for plot in lab.query(Plot):
        if plot.is_stale():
            plot.redraw()
    await settled(pilot)


@pytest.mark.parametrize("columns_rows", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", ["no-record", "failed", "damaged", "gone", "filter", "phase", "lab", "prompt"])
def test_states_with_little_to_show(
    home: Path, snap_compare: SnapCompare, columns_rows: tuple[int, int], state: str
) -> None:
    opening = Opening("runs")
    if state in {"filter", "prompt"}:
        make_many(home, 5)
    elif state in {"phase", "lab"}:
        opening = Opening(state)  # type: ignore[arg-type]
    else:
        making = {"no-record": without_a_record, "failed": failed_at_once, "damaged": damaged}
        run = making[state](home) if state in making else Run(make_run(home, training_records(EPOCHS)))
        opening = Opening("watch", run)

    async def before(pilot: Pilot[int]) -> None:
        if state == "gone":
            await draw_directory_gone(pilot, run)
        elif state in {"no-record", "failed", "damaged"}:
            signs = {"no-record": "no worker", "failed": "cannot read", "damaged": "config.json is damaged"}
            await draw_bare_watch(pilot, signs[state])
        elif state == "phase":
            await draw_unmade_phase(pilot)
        elif state == "lab":
            await draw_dead_lab(pilot)
        else:
            await draw_filtered(pilot)
        if state == "prompt":
            await pilot.press("slash")
            await until(pilot, lambda: bool(pilot.app.screen.query("#wrong")))
            await pilot.press("home", *("delete",) * 11, "slash", "left_square_bracket", "slash", "enter")
            await until(pilot, lambda: "regular" in str(pilot.app.screen.query_one("#wrong", Static).content))
            await pilot.pause()

    assert snap_compare(
        SpringApp(home, opening=opening, begin_runs=False), terminal_size=columns_rows, run_before=before
    )
