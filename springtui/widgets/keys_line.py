"""The bottom line of key bindings."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Footer

from ..terminal.text import ascii_only
from ..terminal.textual_private import FooterKey

ROOMY = 110
"""Columns from which all keys of a screen fit beside the palette's at the right edge; below, they stand closer."""
_PLAIN = {"⏎": "enter", "↑↓": "k/j", "←→": "h/l"}
"""Keys as they are written where only ASCII can be shown."""
_ALWAYS = {"help", "quit_lab", "command_palette", "back"}


class KeysLine(Footer):
    """Textual's footer; where it is too narrow, help, quit and the palette stay and other keys are left out.

    Where it is roomy each key has a blank more around it, and the palette's a line beside it.
    """

    _shown: tuple[object, ...] = ()
    """What the present keys were composed for; empty before there are any."""

    def _wanted(self) -> tuple[object, ...]:
        """All that the keys follow from: the room, and the bindings in force."""
        active = self.screen.active_bindings.values()
        return min(self.app.size.width, ROOMY), *((one.binding, one.enabled, one.tooltip) for one in active)

    async def recompose(self) -> None:
        """Compose anew, unless the same keys would come again: Textual asks four times while a screen opens."""
        if self.is_attached and self._shown != self._wanted():  # a call may come after the screen was closed
            await super().recompose()

    def on_resize(self, event: events.Resize) -> None:
        if not self.compact or event.size.width < ROOMY:
            self.call_after_refresh(self.recompose)

    def compose(self) -> ComposeResult:
        self.compact = self.app.size.width < ROOMY
        keys = list(super().compose())
        self._shown = self._wanted() if keys else ()  # Textual's are none before a screen's bindings are known
        for key in keys:
            if isinstance(key, FooterKey) and key.key_display in _PLAIN and ascii_only():
                key.key_display = _PLAIN[key.key_display]  # its ASCII substitute would be unclear
            if isinstance(key, FooterKey) and key.has_class("-command-palette"):
                key.description = "Palette"  # as the others are written
                key.set_class(not self.compact, "-command-palette")  # which puts it at the right edge
            elif isinstance(key, FooterKey) and not self.compact:
                key.set_reactive(FooterKey.compact, False)  # as Textual will; set later, each key is styled twice
        yield from _fitting(keys, self.app.size.width - (0 if self.compact else len(keys)))


def _fitting(keys: Sequence[Widget], width: int) -> list[Widget]:
    """The keys that fit into ``width``: the last are left out first, those always needed never."""
    kept = list(keys)
    for key in reversed(keys):
        if sum(map(_width, kept)) <= width + 1:  # a blank behind the last may be cut
            break
        if isinstance(key, FooterKey) and key.action.removeprefix("app.") not in _ALWAYS:
            kept.remove(key)
    return kept


def _width(key: Widget) -> int:
    """With a blank behind key and description."""
    return cell_len(key.key_display) + cell_len(key.description) + 2 if isinstance(key, FooterKey) else 0
