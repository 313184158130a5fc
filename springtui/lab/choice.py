"""Radio buttons whose state can be read without colour."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import RadioButton, RadioSet

from springtui.terminal.text import ascii_only


class Choice(RadioButton):
    """A radio button: a filled circle where chosen, a hollow one where not."""

    BUTTON_LEFT = BUTTON_RIGHT = ""

    def toggle(self) -> Choice:
        """Choose it, also where it is chosen: to unset it and be set again by its list takes two messages, between
        which another key may choose another one, and both stay chosen."""
        self.value = True
        return self

    @property
    def _button(self) -> Content:
        chosen, other = ("(*)", "( )") if ascii_only() else ("◉", "○")
        return Content.styled(chosen if self.value else other, self.get_visual_style("toggle--button"))


class Choices(RadioSet):
    """A list of radio buttons with the arrow keys and the keys of vi."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,right,j,l", "next_button", "Next", id="choices.next", show=False, tooltip="next choice"),
        Binding(
            "up,left,k,h", "previous_button", "Before", id="choices.previous", show=False, tooltip="the one before"
        ),
        Binding("enter,space", "toggle_button", "Choose", id="choices.choose", show=False, tooltip="choose it"),
    ]
