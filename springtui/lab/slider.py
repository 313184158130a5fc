"""A linear or logarithmic slider, set by keys, mouse or a typed number; shows also the value in force."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from springtui.terminal.text import ascii_only

Scale = Literal["linear", "log"]
STEPS = 40
"""Number of arrow-key steps from end to end."""
_TYPED = "0123456789.-+e"


class Slider(Widget, can_focus=True):
    """A slider of three lines: label and value; track; range and value in force."""

    DEFAULT_CSS = """
    Slider { height: 3; min-width: 20; width: 1fr; color: $foreground; }
    Slider:focus { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "move(1)", "More", id="slider.more", show=False, tooltip="a step up"),
        Binding("left,h", "move(-1)", "Less", id="slider.less", show=False, tooltip="a step down"),
        Binding("shift+right,L", "move(0.2)", "A little more", id="slider.finer_more", show=False,
                tooltip="a fifth of a step up"),
        Binding("shift+left,H", "move(-0.2)", "A little less", id="slider.finer_less", show=False,
                tooltip="a fifth of a step down"),
        Binding("pageup", "move(5)", "Much more", id="slider.much_more", show=False, tooltip="five steps up"),
        Binding("pagedown", "move(-5)", "Much less", id="slider.much_less", show=False, tooltip="five steps down"),
        Binding("home", "end(0)", "Smallest", id="slider.smallest", show=False, tooltip="to the smallest"),
        Binding("end", "end(1)", "Largest", id="slider.largest", show=False, tooltip="to the largest"),
    ]  # fmt: skip

    in_force: reactive[float | None] = reactive(None)
    """The value that the worker acknowledged; None while it is not known."""

    @dataclass
    class Changed(Message):
        """The slider's value was changed."""

        slider: Slider
        value: float

        @property
        def control(self) -> Slider:
            return self.slider

    def __init__(
        self,
        label: str,
        *,
        minimum: float,
        maximum: float,
        value: float,
        scale: Scale = "linear",
        integer: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._dragging = False
        self.configure(label=label, minimum=minimum, maximum=maximum, value=value, scale=scale, integer=integer)

    def configure(
        self, *, label: str, minimum: float, maximum: float, value: float, scale: Scale, integer: bool
    ) -> None:
        """Replace label, range, value and scale; nothing is posted."""
        self.label, self.minimum, self.maximum = label, minimum, maximum
        self.scale: Scale = scale
        self.integer = integer
        self.value = self._rounded(value)
        self._entry = ""
        self._complaint = ""
        self.refresh()

    # value and place

    @property
    def place(self) -> float:
        """Position of the value on the track, from 0 to 1."""
        return self._place_of(self.value)

    def _place_of(self, value: float) -> float:
        low, high = self._ends()
        at = math.log(value) if self.scale == "log" else value
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def _value_at(self, place: float) -> float:
        low, high = self._ends()
        at = low + min(1.0, max(0.0, place)) * (high - low)
        return self._rounded(math.exp(at) if self.scale == "log" else at)

    def _ends(self) -> tuple[float, float]:
        if self.scale == "log":
            return math.log(self.minimum), math.log(self.maximum)
        return self.minimum, self.maximum

    def _rounded(self, value: float) -> float:
        """The value within the range, rounded to a whole number or to three digits."""
        value = round(value) if self.integer else float(f"{value:.3g}")
        return min(self.maximum, max(self.minimum, value))

    def set_value(self, value: float, *, notify: bool = True) -> None:
        """Set the value, within the range; where it changes and ``notify`` is set, ``Changed`` is posted."""
        value = min(self.maximum, max(self.minimum, round(value) if self.integer else value))
        self._complaint = ""
        if value != self.value:
            self.value = value
            if notify:
                self.post_message(self.Changed(self, value))
        self.refresh()

    def adopt(self) -> None:
        """Set the value to the one in force; nothing is posted."""
        if self.in_force is not None:
            self.set_value(self.in_force, notify=False)

    # keys

    def action_move(self, steps: float) -> None:
        """Move by steps of the track."""
        moved = self._value_at(self.place + steps / STEPS)
        if moved == self.value and self.integer:
            moved = self.value + math.copysign(1, steps)
        self.set_value(moved)

    def action_end(self, end: int) -> None:
        """Go to an end of the track."""
        self.set_value(self.maximum if end else self.minimum)

    def on_key(self, event: events.Key) -> None:
        if event.character is not None and event.character in _TYPED and (self._entry or event.character != "e"):
            self._entry = (self._entry + event.character)[:12]
            self._complaint = ""
        elif self._entry and event.key == "backspace":
            self._entry = self._entry[:-1]
        elif self._entry and event.key == "enter":
            self._take_entry()
        elif (self._entry or self._complaint) and event.key == "escape":
            self._entry = self._complaint = ""
        else:
            return
        event.stop()
        event.prevent_default()
        self.refresh()

    def on_blur(self) -> None:
        self._entry = self._complaint = ""
        self.refresh()

    def _take_entry(self) -> None:
        text, self._entry = self._entry, ""
        try:
            value = float(text)
        except ValueError:
            self._complaint = f"{text} is not a number"
            return
        if not self.minimum <= value <= self.maximum:
            self._complaint = f"{text}? {self._text(self.minimum)} to {self._text(self.maximum)} only"
        elif self.integer and not value.is_integer():
            self._complaint = f"{text}? whole numbers only"
        else:
            self.set_value(value)

    # mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.focus()
        self.capture_mouse()
        self._dragging = True
        self._go_to(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragging:
            self._go_to(event.x)

    def on_mouse_up(self, _event: events.MouseUp) -> None:
        self._dragging = False
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(-1)

    def _go_to(self, column: int) -> None:
        self.set_value(self._value_at(column / max(1, self.size.width - 1)))

    # drawing

    def watch_in_force(self) -> None:
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        line = (self._head, self._track, self._foot)[y](width) if y < 3 else []
        return Strip(line).adjust_cell_length(width, self.rich_style)

    def _head(self, width: int) -> list[Segment]:
        base, color = self.rich_style, self._color("primary" if self.has_focus else "foreground")
        if self._entry:
            value, style = f"{self._entry}_", base + Style(reverse=True)
        else:
            value, style = self._text(self.value), base + Style(bold=True)
        gap = max(1, width - len(self.label) - len(value))
        return [Segment(self.label, base + color), Segment(" " * gap, base), Segment(value, style)]

    def _track(self, width: int) -> list[Segment]:
        full, thumb, rest = ("=", "O", "-") if ascii_only() else ("━", "●", "─")
        at = round(self.place * (width - 1))
        base = self.rich_style
        lit = base + self._color("primary")
        return [
            Segment(full * at, lit),
            Segment(thumb, lit + Style(bold=True)),
            Segment(rest * (width - 1 - at), base + self._color("secondary")),
        ]

    def _foot(self, width: int) -> list[Segment]:
        dim = self.rich_style + self._color("secondary")
        if self._complaint:
            return [Segment(self._complaint[:width], self.rich_style + self._color("error"))]
        if self._entry:
            return [Segment("Enter sets · Esc cancels"[:width], dim)]
        low, high = self._text(self.minimum), self._text(self.maximum)
        state = self._state()
        gap = max(0, width - len(low) - len(high) - len(state))
        middle = " " * (gap // 2) + state + " " * (gap - gap // 2)
        return [Segment(low, dim), Segment(middle, dim), Segment(high, dim)]

    def _state(self) -> str:
        if self.in_force is None:
            return "asked"
        if math.isclose(self.in_force, self.value, rel_tol=1e-9, abs_tol=1e-9):
            return "in force" if ascii_only() else "✓ in force"
        return f"in force {self._text(self.in_force)}"

    def _text(self, value: float) -> str:
        return f"{round(value)}" if self.integer else f"{value:.3g}"

    def _color(self, name: str) -> Style:
        return Style(color=self.app.theme_variables.get(name))
