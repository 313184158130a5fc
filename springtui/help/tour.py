"""The tour: a few cards over the lab, which goes on meanwhile; shown once, and when asked for."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.css.query import NoMatches
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from ..screen import BaseScreen


class Card(NamedTuple):
    """A card, and the widget of the lab that it explains."""

    title: str
    words: str
    about: str = ""


CARDS = (
    Card(
        "Two systems, one picture",
        "At the left of each row a real network learns to read digits. At the right a chain of blocks and "
        "springs is "
        "pulled by its end. Both have begun, and neither waits for you.",
        "#panels",
    ),
    Card(
        "Load",
        "This curve says how badly the classes are mixed after each layer. It falls where a layer does work, and "
        "a "
        "layer's drop is its load. A straight line: all layers share the load. For the chain, a load is how far a "
        "spring is stretched.",
        "#network-curve",
    ),
    Card(
        "Friction",
        "Nonlinearity acts on a network as friction acts on blocks: what is close to the pull moves, what is far "
        "stays behind. Layers near the input get lazy, and the curve bulges.",
        "#nonlinearity",
    ),
    Card(
        "Noise",
        "Noise shakes the blocks free, so that all springs stretch alike. Wrong labels, large steps, dropout and "
        "small "
        "batches do the same for layers: lazy ones get to work.",
        "#noise",
    ),
    Card(
        "What to try",
        "With the arrow keys, set nonlinearity to 1 and noise to 0: shallow layers are lazy. Then turn up the "
        "noise, "
        "and watch both curves straighten. Press ? for every key and term, Ctrl+P for every command.",
        "#controls",
    ),
)


class TourScreen(BaseScreen[None], ModalScreen[None]):
    """Shows one card at a time in the corner, and frames the widget that it explains."""

    DEFAULT_CSS = """
    TourScreen { align: right bottom; background: $background 0%; }
    TourScreen > Vertical {
        width: 58; max-width: 100%; height: auto; max-height: 100%; margin: 0 1 1 0; padding: 0 1;
        border: round $primary; border-title-color: $primary; border-subtitle-color: $secondary;
        background: $surface;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,enter,space", "turn(1)", "Next", id="tour.next", tooltip="the next card"),
        Binding("left,h,backspace", "turn(-1)", "Back", id="tour.back", tooltip="the card before"),
        Binding("escape,q", "skip", "Skip", id="tour.skip", tooltip="close the tour"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.card = 0

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_subtitle = "Enter next · ← back · Esc skip"
            yield Static(id="words", markup=False)

    def on_mount(self) -> None:
        self._show()

    def action_turn(self, step: int) -> None:
        """Go ``step`` cards on; after the last card the tour closes."""
        self.card = max(0, self.card + step)
        if self.card >= len(CARDS):
            self.dismiss()
        else:
            self._show()

    def action_skip(self) -> None:
        """Close the tour."""
        self.dismiss()

    def on_click(self, event: events.Click) -> None:
        """A click on the card shows the next one; a click beside it closes the tour."""
        if event.widget is None or event.widget is self:
            self.dismiss()
        else:
            self.action_turn(1)

    def on_unmount(self) -> None:
        self._frame("")

    def _show(self) -> None:
        card = CARDS[self.card]
        self.query_one(Vertical).border_title = f"{card.title} · {self.card + 1}/{len(CARDS)}"
        self.query_one("#words", Static).update(card.words)
        self._frame(card.about)

    def _frame(self, about: str) -> None:
        """Frame the widget of this selector on the screen below, and no other."""
        for screen in self.app.screen_stack:
            for framed in screen.query(".-toured"):
                framed.remove_class("-toured")
            if about and screen is not self:
                try:
                    screen.query_one(about, Widget).add_class("-toured")
                except NoMatches:
                    continue
