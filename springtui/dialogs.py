"""Two dialogs: one asks for a line of text, one offers choices by key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.errors import SpringtuiError

from .terminal.text import plain_text

_CSS = """
{name} {{ align: center middle; }}
{name} > Vertical {{
    width: 76; max-width: 94%; height: auto; border: round $primary; border-title-color: $primary;
    background: $surface; padding: 1 2;
}}
{name} Static {{ width: 100%; height: auto; }}
{name} #hint {{ color: $secondary; margin-top: 1; height: auto; }}
{name} #hint Offer {{ width: auto; margin-right: 3; }}
{name} #hint Offer:hover {{ color: $primary; }}
"""


class Offer(Static):
    """A line of a dialog; a click on it does what its key does."""

    def __init__(self, text: str, take: Callable[[], object]) -> None:
        super().__init__(plain_text(text), markup=False)
        self._take = take

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self._take()


class PromptScreen(ModalScreen[str | None]):
    """Asks for a line of text. ``check`` raises a SpringtuiError for a wrong one; its message is shown."""

    DEFAULT_CSS = _CSS.format(name="PromptScreen") + "PromptScreen #wrong { color: $error; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="prompt.cancel", tooltip="change nothing")
    ]

    def __init__(
        self, title: str, about: str, value: str = "", check: Callable[[str], object] | None = None
    ) -> None:
        super().__init__()
        self._title, self._about, self._value, self._check = title, about, value, check

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            yield Static(self._about, markup=False)
            yield Input(value=self._value, compact=True)
            yield Static(id="wrong", markup=False)
            with Horizontal(id="hint"):
                yield Offer("Enter takes it", self._submit)
                yield Offer("Esc cancels", self.action_cancel)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._submit()

    def _submit(self) -> None:
        value = self.query_one(Input).value
        try:
            if self._check is not None:
                self._check(value)
        except SpringtuiError as error:
            self.query_one("#wrong", Static).update(plain_text(str(error)))
        else:
            self.dismiss(value)

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class ChoiceScreen(ModalScreen[str | None]):
    """Offers choices, each by a key; its answer is the key, None after Escape."""

    DEFAULT_CSS = _CSS.format(name="ChoiceScreen")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="choice.cancel", tooltip="change nothing")
    ]

    def __init__(self, title: str, question: str, choices: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._question, self._choices = title, question, choices

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            yield Static(self._question, markup=False)
            with Vertical(id="hint"):
                for key, words in self._choices:
                    yield Offer(f"  {key}    {words}", partial(self.dismiss, key))
                yield Offer("  Esc  cancel", self.action_cancel)

    def on_key(self, event: events.Key) -> None:
        """Answer with the choice of this key, or with the first after Enter."""
        keys = [key for key, _ in self._choices]
        chosen = keys[0] if event.key == "enter" else event.character
        if chosen in keys:
            event.stop()
            self.dismiss(chosen)

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
