"""Screens and apps whose frames are sent when the terminal has room for them, as differences.

This module and ``textual_private`` hold what the app uses of Textual's private names, and
``tests/app/test_private_names.py`` sees that Textual still has them.
"""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual.app import App, ReturnType
from textual.driver import Driver
from textual.screen import Screen, ScreenResultType

from .diff import Changes, ScreenDiff
from .pacing import AT_ONCE, FramePacer


def pacer_of(app: App[Any]) -> FramePacer | None:
    """The pacer of the app's terminal; None in a browser and in tests, whose drivers have none."""
    pacer: FramePacer | None = getattr(app._driver, "pace", None)
    return pacer


def is_behind(app: App[Any]) -> bool:
    """Whether earlier frames have not been drawn yet, as over a slow link, so that no more should be prepared.

    Textual writes from a thread with a queue of 30 writes, which is seconds of delay on a slow link.
    """
    if (pacer := pacer_of(app)) is not None:
        return pacer.is_behind()
    queue = getattr(getattr(app._driver, "_writer_thread", None), "_queue", None)
    return queue is not None and queue.qsize() > 0


class PacedScreen(Screen[ScreenResultType]):
    """A screen that draws at once after a key, else when the terminal has room, and at the terminal's size."""

    def on_resize(self, event: events.Resize) -> None:
        """Restore the terminal's size after an outdated one.

        Textual's layout sends the screen its size once more, by the same message as a change of the terminal, and
        of two such messages in a row the later replaces the earlier. Where a new size waits in the queue while an
        older one is laid out, the copy of the older one comes last and would win.
        """
        if event.size != self.app.size:
            self.post_message(events.Resize(self.app.size, self.app.size))

    async def _on_idle(self, _: events.Idle) -> None:
        """Draw the effect of a key at once: Textual's next tick comes up to two intervals later."""
        pacer = pacer_of(self.app)
        changed = self._dirty_widgets or self._layout_required or self._repaint_required
        if pacer is not None and changed and pacer.seconds_since_key() < AT_ONCE:
            self._on_timer_update()

    def _on_timer_update(self) -> None:
        """Draw changes at Textual's tick, which goes on until the terminal has room for a frame."""
        pacer = pacer_of(self.app)
        if pacer is None or pacer.ready():
            super()._on_timer_update()


class PacedApp(App[ReturnType]):
    """An app that sends the cells that changed, and after each frame waits for the terminal's answer."""

    frames_per_second = 60.0
    """Frames per second, at most."""

    def get_driver_class(self) -> type[Driver]:
        """A driver with a pacer for terminals; in a browser and in tests Textual's own."""
        chosen = super().get_driver_class()
        if chosen.__name__ == "LinuxDriver":
            from .driver import PacedDriver  # needs termios, which not every system has

            return PacedDriver
        return chosen

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Reduce a frame to the cells that changed, and hand it to the driver."""
        if (diff := self._screen_diff) is not None and isinstance(renderable, CompositorUpdate):
            renderable = Changes(renderable, diff, self.size)
        super()._display(screen, renderable)

    @property
    def _screen_diff(self) -> ScreenDiff | None:
        return getattr(self._driver, "screen_diff", None)

    def action_redraw(self) -> None:
        """Draw every cell again, where another program wrote on the terminal."""
        if (diff := self._screen_diff) is not None:
            diff.forget()
        self.screen.refresh()

    def post_display_hook(self) -> None:
        """Tell the driver that the frame is complete."""
        if (end := getattr(self._driver, "end_picture", None)) is not None:
            end()
