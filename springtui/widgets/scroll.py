"""Containers that scroll: one by keys and wheel, one by the wheel alone."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll


class Column(VerticalScroll, can_focus=False, inherit_bindings=False):
    """A vertical scroll that binds no keys; it scrolls by the wheel."""


class Scroll(VerticalScroll):
    """A vertical scroll with the keys of vi beside the arrows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "Down", id="scroll.down", show=False, tooltip="a line down"),
        Binding("k,up", "scroll_up", "Up", id="scroll.up", show=False, tooltip="a line up"),
        Binding(
            "pagedown,ctrl+f", "page_down", "Page down", id="scroll.page_down", show=False, tooltip="a page down"
        ),
        Binding("pageup,ctrl+b", "page_up", "Page up", id="scroll.page_up", show=False, tooltip="a page up"),
        Binding("g,home", "scroll_home", "Top", id="scroll.home", show=False, tooltip="to the top"),
        Binding("G,end", "scroll_end", "End", id="scroll.end", show=False, tooltip="to the end"),
    ]
