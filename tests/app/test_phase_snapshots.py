"""The Phase screen as it looks, from a diagram whose records never change."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.lab import until
from textual.pilot import Pilot

from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Cell, Ended, Started
from engine.sweep.diagrams import make_sweep
from engine.sweep.grid import cell_count, cell_values
from engine.workers.work import work
from springtui.app import SpringApp
from springtui.phase.screen import PhaseScreen

SnapCompare = Callable[..., bool]
UNFINISHED = 53
"""A cell whose networks are still under way."""


@pytest.fixture
def diagram(home: Path) -> Run:
    """Of 54 cells x 2 networks whose load curves bend as noise grows, all but one finished; and the chain's."""
    open_home(home)
    config = make_sweep("data-noise", {"hessian": True}, seeds=2)
    run = Run.create(home, config)
    writer = run.writer()
    writer.write(Started(pid=1, host="here", settings={}, layers=[], total=2 * cell_count(config)))
    for index in range(cell_count(config)):
        noise, slope = (float(value) for value in cell_values(config, index))
        bend = 1.0 + 1.5 * (noise - 0.6 * (1.0 - slope))
        for member in range(2):
            curve = [4.0 * (1.0 - (i / 7) ** math.exp(-0.5 * bend + 0.4)) - 1.0 + 0.05 * member for i in range(8)]
            scalars: dict[str, float | None] = {
                "test_accuracy": 0.95 - 0.1 * noise**2 - 0.04 * slope,
                "train_loss": noise,
                "hessian_trace": 10.0 ** (3.0 - 2.0 * noise),
            }
            curves: dict[str, list[float | None]] = {"trace_ratio": [*curve, -2.0]}
            final = index != UNFINISHED
            done = min(2 * index + member + 1, 2 * UNFINISHED)
            writer.write(
                Cell(cell=index, member=member, final=final, at=100, curves=curves, scalars=scalars, done=done)
            )
    writer.write(Ended(reason="stopped", text="106 of 108 networks made", at=106))
    writer.release()
    axes = {"x": (config.x_axis, config.x_values), "y": (config.y_axis, config.y_values)}
    assert work(Run.create(home, make_sweep("chain-twin", {"blocks": 6}, axes=axes))).reason == "finished"
    return run


@pytest.fixture
def app(home: Path, diagram: Run) -> SpringApp:
    """The app, its lab without workers."""
    return SpringApp(home, begin_runs=False)


def showing(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    """Opens the Phase screen, and presses keys once both diagrams are drawn."""

    async def draw(pilot: Pilot[int]) -> None:
        await pilot.pause()
        await pilot.press("f")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhaseScreen))
        phase = pilot.app.screen
        assert isinstance(phase, PhaseScreen)
        await until(pilot, lambda: [len(phase.control.summaries[s]) for s in ("network", "chain")] == [54, 54])
        await pilot.press(*keys)
        phase._stale = True
        phase._draw()
        await pilot.pause()
        phase._stale = True  # once more, at the heights that the first brought
        phase._draw()
        await pilot.pause()

    return draw


@pytest.mark.parametrize(
    ("size", "keys"),
    [
        ((120, 40), ("right", "down", "down")),
        ((80, 24), ("right", "right")),
        ((80, 24), ("v", "c")),
        ((80, 24), ("v", "v", "c", "c", "c", "c")),
    ],
    ids=["whole", "narrow", "chain", "hessian"],
)
def test_phase_screen(
    app: SpringApp, snap_compare: SnapCompare, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    assert snap_compare(app, terminal_size=size, run_before=showing(*keys))
