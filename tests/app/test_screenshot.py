"""The screen saved as SVG, from every screen, by key and by palette."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support.lab import until

from springtui.app import SpringApp


@pytest.fixture
def app(home: Path) -> SpringApp:
    """The app without workers."""
    return SpringApp(home, begin_runs=False)


def pictures(home: Path) -> list[Path]:
    return sorted((home / "exports").glob("*.svg"))


async def test_every_screen_is_saved_by_its_key(app: SpringApp, home: Path) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        for number, (key, name) in enumerate((("", "lab"), ("?", "help"), ("escape", "lab"), ("f", "phase")), 1):
            await pilot.press(*([key] if key else []))
            await pilot.pause()
            await pilot.press("ctrl+s")
            await until(pilot, lambda number=number: len(pictures(home)) == number)
            assert sum(path.name.startswith(name) for path in pictures(home)) == (2 if key == "escape" else 1)
        told = [notification.message for notification in app._notifications]
        assert all(any(str(path) in text for text in told) for path in pictures(home))
    lab = next(path for path in pictures(home) if path.name.startswith("lab")).read_text()
    ET.fromstring(lab)
    assert "Nonlinearity" in lab
    assert "url(http" not in lab.replace("&quot;", "").replace('"', "")
    assert "@font-face" not in lab


async def test_the_palette_saves_the_screen_beneath_it(app: SpringApp, home: Path) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert "Screenshot" not in titles
        await pilot.press("ctrl+p")
        await pilot.press(*"save the screen")
        await pilot.pause()
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(pictures(home)) == 1)
    assert "Nonlinearity" in pictures(home)[0].read_text()


async def test_a_home_that_cannot_be_written_is_told_of(app: SpringApp, home: Path) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        home.mkdir(parents=True, exist_ok=True)
        (home / "exports").write_text("in the way")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: any("cannot save" in n.message for n in app._notifications))
