"""A radio button whose state can be read without colour."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import RadioButton

from springtui.terminal import ascii_only


class Choice(RadioButton):
    """A filled circle where chosen, a hollow one where not."""

    BUTTON_LEFT = BUTTON_RIGHT = ""

    @property
    def _button(self) -> Content:
        chosen, other = ("(*)", "( )") if ascii_only() else ("◉", "○")
        return Content.styled(chosen if self.value else other, self.get_visual_style("toggle--button"))
