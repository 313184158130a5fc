"""What all screens share: the terminal's last size wins, and no picture waits in a line."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.screen import Screen, ScreenResultType
from textual.widgets import Static

from ..pace import AT_ONCE, Pace
from ..state import RunState


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
    def read_only(self) -> bool:
        """Whether the app was opened to look only."""
        return getattr(self.app, "read_only", False)

    def refuses(self, instead: str) -> bool:
        """Whether the app is read-only, which is then said: ``instead`` of the action."""
        refuses = getattr(self.app, "refuses", None)
        return refuses is not None and bool(refuses(instead))

    def tell(self, texts: Mapping[str, str]) -> None:
        """Let Statics, by selector, say a text each; those that say it already are left alone."""
        for selector, text in texts.items():
            if self._words.get(selector) != text:  # an update repaints, whether anything changed or not
                self._words[selector] = text
                self.query_one(selector, Static).update(text)

    def tell_alerts(self, state: RunState, *, new: bool = False) -> None:
        """Let the person's rules see how a run stands."""
        values = state.latest.scalars if state.latest is not None else {}
        if (tell := getattr(self.app, "tell_alerts", None)) is not None:
            tell(state.run_id, state.status, values, heard=state.heard, new=new)
