"""An app opened read-only: on no screen can a key, a click or the palette ask, make or change anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lab import until
from support.made_runs import make_run, training_records
from textual.pilot import Pilot

from engine.runs.directory import Run
from springtui.app import Opening, SpringApp
from springtui.phase.screen import PhaseScreen
from springtui.runs.screen import RunsScreen
from springtui.watch.screen import WatchScreen


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def told(pilot: Pilot[int]) -> bool:
    """Whether it was said why nothing happens."""
    return any(one.message.startswith("read-only: ") for one in pilot.app._notifications)


async def refused(pilot: Pilot[int], *keys: str) -> None:
    """Press each key: a notification says that it does nothing, and the screen stays."""
    screen = pilot.app.screen
    for key in keys:
        pilot.app.clear_notifications()
        await pilot.press(key)
        await until(pilot, lambda: told(pilot))
        assert pilot.app.screen is screen, key


@pytest.fixture
def watched(home: Path, finished: Run) -> Run:
    """A run that one may watch, a finished diagram, a run that was left, and one deleted by a killed app."""
    make_run(home, [*training_records(5)][:-1], 2)
    lost = make_run(home, [*training_records(5)], 3)
    (home / "trash" / "0123456789abcdef").mkdir(parents=True)
    lost.rename(home / "trash" / "0123456789abcdef" / lost.name)
    return Run(make_run(home, training_records(50), 1))


async def test_no_screen_of_it_asks_makes_or_changes_anything(home: Path, watched: Run, finished: Run) -> None:
    app = SpringApp(home, opening=Opening("watch", watched, read_only=True))
    before = contents(home / "runs") | contents(home / "trash")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WatchScreen) and app.screen.whole.curves == 50)
        await refused(pilot, "b", "x", "i")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.table.ids) == 3)
        runs = app.screen
        assert isinstance(runs, RunsScreen)
        for name in runs.table.ids:
            runs.table.point_at(name)
            await refused(pilot, "x", "g", "asterisk", "e", "a", "w", "D", "U")
        await refused(pilot, "escape")  # the lab below would begin runs
        for command in runs.commands():
            if command.title != "Filter":
                app.clear_notifications()
                called = command.callback()
                if called is not None:
                    await called
                await until(pilot, lambda: told(pilot))
        runs.table.point_at(finished.id)
        await pilot.press("enter")
        await until(
            pilot,
            lambda: isinstance(app.screen, PhaseScreen) and len(app.screen.control.summaries["network"]) == 6,
        )
        phase = app.screen
        assert isinstance(phase, PhaseScreen)
        await refused(pilot, "space", "x", "g", "enter")
        await until(pilot, lambda: "read-only" in phase._progress_text and phase.control.chainless)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is runs)
        await app.open_lab_with({})
        await app.action_open_lab()
        assert app.screen is runs
        assert not app.run_workers.processes
    assert contents(home / "runs") | contents(home / "trash") == before


async def test_every_other_app_does_as_it_is_told(home: Path, watched: Run) -> None:
    """The same keys, so that the test above can fail."""
    app = SpringApp(home, opening=Opening("watch", watched))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WatchScreen) and app.screen.whole.curves == 50)
        await pilot.press("b")
        await until(pilot, lambda: b"pause" in (watched.path / "control.jsonl").read_bytes())
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and bool(app.screen.table.ids))
        assert not app._notifications
