"""Runs the lab in tests, and fills it with made-up states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from engine.runs.records import Acknowledged, Curve, Started
from springtui.app import SpringApp
from springtui.lab import panels as lab_panels
from springtui.lab.screen import LabScreen
from springtui.lab.session import Panel
from springtui.state.run_state import RunState
from springtui.widgets.chain_view import ChainView, show_chain
from springtui.widgets.plot import Plot


@asynccontextmanager
async def open_lab(
    home: Path, size: tuple[int, int] = (120, 40), settings: dict[str, Any] | None = None, *, stop: bool = True
) -> AsyncIterator[tuple[LabScreen, Pilot[int]]]:
    """The app with its two workers, which are stopped at the end if ``stop``."""
    app = SpringApp(home, settings)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, LabScreen)
        try:
            yield screen, pilot
        finally:
            if stop:
                await asyncio.to_thread(screen.stop_runs)
            for process in screen.laboratory.leaving:
                await asyncio.to_thread(process.wait, 20)


async def until(pilot: Pilot[int], true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until ``true()`` is true; AssertionError after ``seconds``."""
    for _ in range(int(seconds / 0.05)):
        if true():
            return
        await pilot.pause(0.05)
    raise AssertionError("waited in vain")


LAYERS = ["input", *(f"layer {i}" for i in range(1, 8)), "logits"]


def network_state() -> RunState:
    """State of a network after 40 of 60 epochs, whose deep layers carry the load."""
    state = RunState("a-run")
    state.fold(
        Started(
            pid=1,
            host="here",
            time=0.0,
            layers=LAYERS,
            total=60,
            settings={"negative_slope": 0.2, "data_noise": 0.2},
        )
    )
    for epoch in range(41):
        learnt = 1.0 - 0.8**epoch
        curve = [0.5 - learnt * (0.04 * i**2 + 0.2 * i + 0.05 * (i % 2)) for i in range(9)]
        scalars = {"train_loss": 2.3 - 2.0 * learnt, "train_accuracy": 0.1 + 0.9 * learnt,
                   "test_accuracy": 0.1 + 0.86 * learnt, "rate": 20.0}  # fmt: skip
        state.fold(
            Curve(time=epoch / 20 + 1.0, at=epoch, step=epoch, curves={"trace_ratio": curve}, scalars=scalars)
        )
    return state


def chain_state() -> RunState:
    """State of a paused chain with a curved load curve."""
    state = RunState("b-run")
    settings = {"mu_right": 0.074, "mu_left": 0.138, "noise": 0.0374, "target": 1.0}
    state.fold(
        Started(pid=1, host="here", time=0.0, layers=[str(i) for i in range(9)], total=1000, settings=settings)
    )
    positions = [i / 8 - 0.01 * i * (8 - i) for i in range(1, 8)]
    for step, part in ((0, 0.0), (500, 1.0)):
        curve = [1.0, *(1.0 - part * x for x in positions), 0.0]
        state.fold(
            Curve(
                time=1.0,
                at=step,
                step=step,
                curves={"distance": curve},
                positions=positions,
                scalars={"rate": 300.0},
            )
        )
    state.fold(Acknowledged(time=1.0, action="pause", control=1, step=1))
    return state


def showing(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    """For snapshots: press keys, then draw ``network_state`` and ``chain_state`` in the lab."""

    async def draw(pilot: Pilot[int]) -> None:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        screen = next(s for s in pilot.app.screen_stack if isinstance(s, LabScreen))
        states: dict[Panel, RunState] = {"train": network_state(), "chain": chain_state()}
        screen.states = states
        screen._show_in_force()
        lab_panels.show_states(screen, states, "trace_ratio")
        show_chain(screen.query_one(ChainView), states["chain"])
        for plot in screen.query(Plot):
            if plot.is_stale():
                plot.redraw()
        screen.draw_words()
        await pilot.pause()

    return draw
