"""What all screens share: the terminal's last size wins."""

from __future__ import annotations

from textual import events
from textual.screen import Screen, ScreenResultType

from ..state import RunState


class BaseScreen(Screen[ScreenResultType]):
    """A screen that cannot be left at a size the terminal no longer has."""

    def on_resize(self, event: events.Resize) -> None:
        """Textual's layout tells the screen its size once more, by the same message as a change of the terminal.

        Of two such messages in a row the later replaces the earlier. Where a new size waits in the queue while an
        older one is laid out, the older one's echo comes last and would win.
        """
        if event.size != self.app.size:
            self.post_message(events.Resize(self.app.size, self.app.size))

    def tell_alerts(self, state: RunState, *, new: bool = False) -> None:
        """Let the person's rules see how a run stands."""
        values = state.latest.scalars if state.latest is not None else {}
        if (tell := getattr(self.app, "tell_alerts", None)) is not None:
            tell(state.run_id, state.status, values, new=new)
