"""What all screens share: the terminal's last size wins."""

from __future__ import annotations

from textual import events
from textual.screen import Screen, ScreenResultType


class BaseScreen(Screen[ScreenResultType]):
    """A screen that cannot be left at a size the terminal no longer has."""

    def on_resize(self, event: events.Resize) -> None:
        """Textual's layout tells the screen its size once more, by the same message as a change of the terminal.

        Of two such messages in a row the later replaces the earlier. Where a new size waits in the queue while an
        older one is laid out, the older one's echo comes last and would win.
        """
        if event.size != self.app.size:
            self.post_message(events.Resize(self.app.size, self.app.size))
