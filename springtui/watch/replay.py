"""Replays a run: which of its curves is shown, and how that moves on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from ..follow.follower import Follower
from ..screen import Notifier
from ..state.timeline import View

SPEEDS = (1, 2, 5, 10, 20, 50, 100)
"""How many times faster than the run itself a replay can be."""


class ReplayView(Notifier, Protocol):
    """What a replay needs of the screen that holds it, and what it reports there."""

    follower: Follower
    whole: View
    """The run up to its newest record."""

    def replay_moved(self) -> None:
        """Another moment of the run is shown."""

    def replay_changed(self) -> None:
        """It began, was held, or goes at another speed."""

    def start_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine as a task."""


class Replay:
    """The moment of a run that a screen shows, and the replay that moves it on."""

    def __init__(self, view: ReplayView) -> None:
        self.position: int | None = None
        """Number of the curve that is shown; None shows the newest."""
        self.playing = False
        self.speed = SPEEDS[0]
        self._screen = view
        self._shown: View | None = None
        self._shown_at = -1
        self._credit = 0.0
        """Seconds of the run that have passed and did not reach another curve."""
        self._seeking = self._advancing = False

    @property
    def view(self) -> View | None:
        """The run as it was at the position; None where the newest is shown, or nothing was read yet."""
        return None if self.position is None else self._shown

    @property
    def is_settled(self) -> bool:
        """Whether what is shown is of the position that was asked for."""
        return self.position is None or self._shown_at == self.position

    def go_to(self, position: int | None) -> None:
        """Show the run as it was when curve number ``position`` was recorded; None shows the newest."""
        screen = self._screen
        if position is not None and not screen.whole.curves:
            return
        if position is not None and screen.follower.gone:
            screen.notify("the run's directory is gone: there is nothing to replay from", timeout=4)
            return
        self.position = position if position is None else min(screen.whole.curves - 1, max(0, position))
        if self.position is None:
            self.playing = False
            self._shown, self._shown_at = None, -1
            screen.replay_moved()
        elif not self._seeking:
            screen.start_task(self._seek(), "seek")

    async def _seek(self) -> None:
        """Read and draw the wanted position, again while another one was wanted meanwhile."""
        self._seeking = True
        try:
            while self.position is not None and self.position != self._shown_at:
                wanted = self.position
                self._shown = await asyncio.to_thread(self._screen.follower.timeline.view_at, wanted)
                self._shown_at = wanted
                if self.position is not None:
                    self._screen.replay_moved()
        finally:
            self._seeking = False

    async def advance(self, seconds: float) -> None:
        """Move on by so many seconds where it plays, to the end at most."""
        if not self.playing or self._advancing:
            return
        self._advancing = True
        try:
            start = self.position or 0
            self._credit += seconds * self.speed
            reached, self._credit = await asyncio.to_thread(
                self._screen.follower.timeline.position_after, start, self._credit
            )
        finally:
            self._advancing = False
        if not self.playing or self.position is None:
            return
        if reached >= self._screen.whole.curves - 1:
            self._credit = 0.0
            self.go_to(None)
        elif reached != start:
            self.go_to(reached)

    def toggle(self) -> None:
        """Start, at the first curve where the newest is shown; or hold."""
        self.playing = not self.playing
        self._credit = 0.0
        if self.playing and self.position is None:
            self.go_to(0)
        self._screen.replay_changed()

    def step(self, step: int) -> None:
        """Hold, and go some curves back or forward."""
        self.playing = False
        at = self._screen.whole.curves - 1 if self.position is None else self.position
        self.go_to(at + step)

    def change_speed(self, step: int) -> None:
        """Replay faster or slower."""
        self.speed = SPEEDS[min(len(SPEEDS) - 1, max(0, SPEEDS.index(self.speed) + step))]
        self._screen.replay_changed()
