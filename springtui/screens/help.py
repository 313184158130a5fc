"""Help: the picture in plain words, and the keys as they are bound."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from springtui.widgets.slider import Slider

from .base import BaseScreen
from .lab import LabScreen

_WORDS = """\
[b]What you see[/b]
A deep network learns on the left of each row, a chain of blocks and springs is pulled on the right.
Both are driven by the same two sliders.

[b]Load curve[/b]  D₀ … D_L, how badly the classes are mixed after each layer: log(Tr Σ_w / Tr Σ_b),
scatter within the classes over scatter between them. It falls as layers pull the classes apart.
[b]Load of a layer[/b]  d_ℓ = D_(ℓ-1) - D_ℓ: how much of the work that layer does. For the chain it is
the extension of a spring, x_ℓ - x_(ℓ-1).
[b]Regime[/b]  balanced: all layers share the work, a straight line. Shallow layers lazy: deep ones carry
the load (concave). Deep layers lazy: shallow ones carry it (convex).
[b]CV[/b]  coefficient of variation of the loads, 0 = balanced.
[b]Asymmetry[/b]  (load of the shallow half - load of the deep half) / total load.

[b]Nonlinearity[/b]  1 - α, α the slope of LeakyReLU for negative inputs: 0 is a linear network, 1 ReLU.
To the chain it is friction μ→ against moving right.
[b]Noise[/b]  one of four knobs: data noise, learning rate, dropout, batch size. To the chain it is the
random force ε that shakes the blocks. Changing the knob returns the former one to its calm value.

[b]Network and chain[/b]  The map from sliders to chain was fitted, for each kind of noise, to a whole diagram of
networks on MNIST: for data noise μ→ = .030 + .055 x nonlinearity, ε = .029 + .042 x noise. It predicts well for
data noise and dropout (asymmetries correlate .94 and .99), less well for learning rate and batch size.
[b]Twin[/b]  The chain that the newest load curve behaves like. Its effective friction F* is > 0 where shallow
layers are lazy, 0 in balance, < 0 where deep ones are.

[b]Files[/b]  Every run is a directory under the home directory; springtui runs lists them.
"""


class HelpScreen(BaseScreen[None], ModalScreen[None]):
    """Scrolls; any of the usual keys closes it."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 90%; max-width: 112; height: 90%; border: round $primary; background: $surface; padding: 0 2;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "close", "Close"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "springtui: help"
            scroll.border_subtitle = "Esc closes · arrows or j/k scroll"
            yield Static(_WORDS)
            yield Static(self._keys())

    def action_close(self) -> None:
        """Back to where help was asked for."""
        self.dismiss()

    def action_down(self) -> None:
        """Scroll a line down."""
        self.query_one(VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll a line up."""
        self.query_one(VerticalScroll).scroll_up(animate=False)

    def _keys(self) -> Text:
        """Generated from the bindings, so that it cannot grow stale."""
        text = Text("Keys\n", style="bold")
        for heading, owner in (("everywhere", type(self.app)), ("lab", LabScreen), ("on a slider", Slider)):
            text.append(f"{heading}\n", style="italic not bold")
            for binding in owner.BINDINGS:
                if isinstance(binding, Binding) and binding.description:
                    key = binding.key_display or binding.key.replace(",", " ")
                    text.append(f"  {key:<22} {binding.tooltip or binding.description}\n", style="not bold")
        text.append(
            "  type a number          set the focused slider; Enter accepts, Esc cancels\n", style="not bold"
        )
        text.append("  mouse                  click or drag the track, or turn the wheel", style="not bold")
        return text
