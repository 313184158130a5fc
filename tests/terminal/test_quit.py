"""Leaving while runs go on that were begun here: asked, or as the preference says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.lab import until
from textual.pilot import Pilot

from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.settings.chain import ChainConfig
from springtui.app import Opening, SpringApp
from springtui.dialogs import ChoiceScreen

ENDLESS = ChainConfig(steps=10**12, replicas=4, blocks=3, pace=2000.0)


@asynccontextmanager
async def with_a_run(home: Path) -> AsyncIterator[tuple[Run, Pilot[int]]]:
    """The app, and a chain that it began."""
    app = SpringApp(home, opening=Opening("runs"))
    run = Run.create(open_home(home), ENDLESS)
    try:
        async with app.run_test() as pilot:
            await asyncio.to_thread(app.run_workers.resume, run)
            await until(pilot, lambda: run.status() == "running")
            yield run, pilot
    finally:
        process = app.run_workers.processes[run.id]
        if run.status() == "running":
            process.kill()
        await asyncio.to_thread(process.wait, 30)


async def test_it_asks_and_escape_stays(home: Path) -> None:
    async with with_a_run(home) as (run, pilot):
        await pilot.press("q")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("y")  # none of the choices
        assert isinstance(pilot.app.screen, ChoiceScreen)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ChoiceScreen))
        assert pilot.app.is_running
        await pilot.press("q")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("d")
        await until(pilot, lambda: not pilot.app.is_running)
        assert run.status() == "running"


@pytest.mark.parametrize(("choice", "after"), [("detach", "running"), ("stop", "stopped")])
async def test_a_preference_decides(home: Path, config_file: Path, choice: str, after: str) -> None:
    config_file.parent.mkdir(parents=True, exist_ok=True)
    config_file.write_text(f'on_quit = "{choice}"\n')
    async with with_a_run(home) as (run, pilot):
        await pilot.press("q")
        await until(pilot, lambda: not pilot.app.is_running)
        for _ in range(600):
            if run.status() == after:
                break
            await asyncio.sleep(0.05)
        assert run.status() == after
