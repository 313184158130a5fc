"""What all screens share: the terminal's last size wins, and no picture waits in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from textual import events
from textual.screen import Screen, ScreenResultType
from textual.widgets import Static

from engine.runs.directory import Run

from .state.run_state import RunState
from .terminal.pacing import AT_ONCE, Pace


class Host(Protocol):
    """What an app offers to its screens; ``SpringApp`` is one."""

    read_only: bool
    """Whether nothing is asked of a worker and no run is made or changed."""

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said."""

    def tell_alerts(
        self, run_id: str, state: str, values: Mapping[str, float | None], *, heard: float, new: bool = False
    ) -> None:
        """Let the person's rules see how a run stands."""

    def forget_alerts(self, run_id: str) -> None:
        """Drop what the person's rules know of a run that was deleted."""

    def open_run(self, run: Run, *, kind: str = "") -> None:
        """Open the screen for a run of this kind."""

    async def open_lab_with(self, settings: Mapping[str, Any], noise: str = "") -> None:
        """Open the lab with a network of these settings."""

    def first_tour(self) -> None:
        """Show the tour where it was never seen."""


class BaseScreen(Screen[ScreenResultType]):
    """A screen that cannot be left at a size the terminal no longer has."""

    def __init__(self) -> None:
        super().__init__()
        self._words: dict[str, str] = {}
        """What its Statics say, by selector."""

    def on_resize(self, event: events.Resize) -> None:
        """Textual's layout tells the screen its size once more, by the same message as a change of the terminal.

        Of two such messages in a row the later replaces the earlier. Where a new size waits in the queue while an
        older one is laid out, the older one's echo comes last and would win.
        """
        if event.size != self.app.size:
            self.post_message(events.Resize(self.app.size, self.app.size))

    async def _on_idle(self, _: events.Idle) -> None:
        """What a key changed goes out at once: Textual's tick, which follows, comes up to two intervals later."""
        pace: Pace | None = getattr(self.app._driver, "pace", None)
        changed = self._dirty_widgets or self._layout_required or self._repaint_required
        if pace is not None and changed and pace.seconds_since_key() < AT_ONCE:
            self._on_timer_update()

    def _on_timer_update(self) -> None:
        """Textual's tick that draws what changed; it goes on ticking until the terminal has room for a picture."""
        pace: Pace | None = getattr(self.app._driver, "pace", None)
        if pace is None or pace.ready():
            super()._on_timer_update()

    @property
    def host(self) -> Host:
        """The app, as screens know it."""
        return cast("Host", self.app)

    @property
    def read_only(self) -> bool:
        """Whether the app was opened to look only."""
        return self.host.read_only

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said: ``instead`` of the action."""
        return self.host.refuses(instead)

    def tell(self, texts: Mapping[str, str]) -> None:
        """Let Statics, by selector, say a text each; those that say it already are left alone."""
        for selector, text in texts.items():
            if self._words.get(selector) != text:  # an update repaints, whether anything changed or not
                self._words[selector] = text
                self.query_one(selector, Static).update(text)

    def tell_alerts(self, state: RunState, *, new: bool = False) -> None:
        """Let the person's rules see how a run stands."""
        values = state.latest.scalars if state.latest is not None else {}
        self.host.tell_alerts(state.run_id, state.status, values, heard=state.heard, new=new)


NOTHING_ASKED = "nothing is asked of the worker"
