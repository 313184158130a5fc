"""The terminal's last size wins, in whatever order its messages come."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events
from textual.geometry import Size
from textual.message import Message

from springtui.app import SpringApp
from springtui.lab.screen import LabScreen


class Between(Message):
    """Anything that stands between two sizes in a busy screen's queue."""


@pytest.mark.parametrize("keys", [(), ("question_mark",), ("f",)], ids=["lab", "help", "phase"])
async def test_an_older_size_does_not_come_back(home: Path, keys: tuple[str, ...]) -> None:
    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        old, last = Size(80, 24), Size(60, 15)
        screen = app.screen
        app._size = last
        for message in (events.Resize(old, old), Between(), events.Resize(last, last)):
            screen.post_message(message)
        await asyncio.sleep(0.3)  # pilot.pause() would put a message of its own between them
        await pilot.pause()
        assert screen._compositor.size == last
        if isinstance(screen, LabScreen):
            assert screen.has_class("-small")
