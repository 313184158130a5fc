"""The tour: a few cards over the lab, which goes on meanwhile; shown once, and when asked for."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from ..screen import BaseScreen

LIVE_SECONDS = 0.3
"""Seconds between looks at the regimes of the two systems."""


class Stage(Protocol):
    """What the tour asks of the lab."""

    @property
    def has_tabs(self) -> bool:
        """Whether network and chain are on tabs."""

    def light(self, selector: str) -> Widget | None:
        """Light the widget of a selector and no other, and return it; none for an empty one."""

    def set_noise(self, *, noisy: bool) -> None:
        """Move both sliders to a calm or a noisy training."""

    def next_noise(self) -> None:
        """Choose the next kind of noise."""

    def promise(self) -> str:
        """What the calm and the noisy value of the chosen kind of noise do."""

    def regimes(self) -> str:
        """Which layers are lazy now, in both systems."""


class Card(NamedTuple):
    """A card, and the widget of the lab that it explains."""

    title: str
    words: str
    about: str = ""
    on_tabs: str = ""
    """Added where network and chain are on tabs."""
    does: bool = False
    """Whether the noise is turned up and down on this card."""


CARDS = (
    Card(
        "Two systems, one picture",
        "A network learns to read digits. Beside it a chain of blocks and springs is pulled at both ends, as a "
        "map from the network's settings says. When a slider moves, the network is trained anew and the chain "
        "moves.",
        "#panels",
        "The ] and [ keys change between the tabs Network and Chain.",
    ),
    Card(
        "Load",
        "This curve says how badly the classes are mixed after each layer. A layer's drop is its load. A straight "
        "line: all layers share it. A bulge: the shallow layers are lazy. A sag: the deep ones are.",
        "#network-curve",
    ),
    Card(
        "Springs",
        "Each spring is a layer, and its stretch is the load. Nonlinearity moves the pull from the input's hand "
        "to the output's; noise lets a pull reach further.",
        "#chain-view",
    ),
    Card("Your turn", "", "#controls", does=True),
    Card(
        "On your own",
        "Arrow keys or the mouse move a slider, n changes the kind of noise, C shows the paper's chain with "
        "friction, O lets both go on. ? has every key and term, Ctrl+P every command, this tour among them.",
        "#controls",
    ),
)


class TourScreen(BaseScreen[None], ModalScreen[None]):
    """Shows one card at a time beside the widget that it explains, which is lit."""

    DEFAULT_CSS = """
    TourScreen { align: right bottom; background: $background 0%; }
    TourScreen.-above { align: right top; }
    TourScreen > Vertical {
        width: 58; height: auto; max-height: 100%; margin: 0 1 1 0; padding: 0 1;
        border: round $primary; border-title-color: $primary; border-subtitle-color: $secondary;
        background: $surface;
    }
    TourScreen #live { display: none; color: $accent; margin-top: 1; }
    TourScreen.-does #live { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,enter", "turn(1)", "Next", id="tour.next", tooltip="the next card"),
        Binding("left,h,backspace", "turn(-1)", "Back", id="tour.back", tooltip="the card before"),
        Binding("space", "noise", "Noise", id="tour.noise", tooltip="noise up or down, where a card asks for it"),
        Binding("n", "next_noise", "Noise", id="tour.next_noise", tooltip="next kind of noise, on that card"),
        Binding("escape,q", "skip", "Skip", id="tour.skip", tooltip="close the tour"),
    ]

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.card = 0
        self.noisy = False
        self._stage = stage

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(id="words", markup=False)
            yield Static(id="live", markup=False)

    def on_mount(self) -> None:
        self._fit()
        self._show()
        self.set_interval(LIVE_SECONDS, self._tick)

    @on(events.Resize)
    def _resized(self) -> None:
        self._fit()
        self.call_after_refresh(self._place)

    def _fit(self) -> None:
        """Leave the sliders at the left visible, where the terminal has room for that."""
        width = self.app.size.width
        self.query_one(Vertical).styles.width = min(58, width - 30 if width >= 76 else width)

    def action_turn(self, step: int) -> None:
        """Go ``step`` cards on; after the last card the tour closes."""
        self.card = max(0, self.card + step)
        if self.card >= len(CARDS):
            self.dismiss()
        else:
            self._show()

    def action_noise(self) -> None:
        """Turn the noise up, or down again; on another card, go on."""
        if not CARDS[self.card].does:
            self.action_turn(1)
            return
        self.noisy = not self.noisy
        self._stage.set_noise(noisy=self.noisy)
        self._show()

    def action_next_noise(self) -> None:
        """Choose the next kind of noise, on the card on which noise is turned."""
        if CARDS[self.card].does:
            self.noisy = False
            self._stage.next_noise()
            self.call_after_refresh(self._show)

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
        self._stage.light("")

    def _show(self) -> None:
        card = CARDS[self.card]
        frame = self.query_one(Vertical)
        frame.border_title = f"{card.title} · {self.card + 1}/{len(CARDS)}"
        if card.does:
            frame.border_subtitle = "Space noise · n kind · Enter next · Esc skip"
            way = "down again" if self.noisy else "up"
            words = f"{self._stage.promise()} Press Space to turn the noise {way}, and watch both curves bend."
        else:
            frame.border_subtitle = "Enter next · ← back · Esc skip"
            words = f"{card.words} {card.on_tabs if self._stage.has_tabs else ''}".strip()
        self.set_class(card.does, "-does")
        self.set_texts({"#words": words})
        self._stage.light(self._about)
        if card.does and not self.noisy:
            self._stage.set_noise(noisy=False)
        self._tick()

    @property
    def _about(self) -> str:
        """Selector of the widget that the card is about; where sliders and curves do not fit, the curve."""
        card = CARDS[self.card]
        return "#network-curve" if card.does and self._stage.has_tabs else card.about

    def _tick(self) -> None:
        """Show the regimes, and place the card once the panel that it explains is laid out."""
        if self.card < len(CARDS):
            if CARDS[self.card].does:
                self.set_texts({"#live": self._stage.regimes()})
            self._place()

    def _place(self) -> None:
        """Put the card above or below, so that it does not cover the widget that it explains."""
        lit = self._stage.light(self._about)
        if lit is not None and (region := lit.region):
            self.set_class(2 * region.y + region.height > self.app.size.height, "-above")
