"""The help: the key bindings of the screen below, and the terms of the theory with their formulas."""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from ..preferences.keymap import Line, lines_of
from ..screen import BaseScreen
from ..terminal.textual_private import keymap_of
from ..widgets.scroll import Scroll
from .glossary import CHAIN, HEALTH, LOGS, NETWORK, Term

_WORDS = (
    "A deep network learns; a chain of blocks and springs is pulled. The same two sliders drive both, and both "
    "are drawn as the same picture, a load curve. Its shape says which layers carry the load."
)
_OF_LOGS = (
    "These are logs that other tools write. springtui reads them in place, while they grow: nothing is asked of a "
    "training, and nothing is written beside its files. The list shows the runs; Enter opens one, with its "
    "curves, its newest numbers and settings, and what it printed."
)
_FILES = (
    "Every run is a directory under the home directory; springtui runs lists the runs, springtui config "
    "says where the home directory is."
)
_FILES_OF_LOGS = "springtui scalars PATH prints the numbers of such logs; docs/other-logs.md lists the formats."
_MOUSE_ON_LOGS = (
    Line("click, wheel", "choose a run or a tab; put a plot's cursor, and zoom; keys in the footer"),
    Line("double click", "open a run"),
)
_MOUSE = (
    Line(
        "click, drag, wheel",
        "move a slider; click chooses lists, tabs, cells of a diagram, and keys in the footer",
    ),
    Line("double click", "open the cell of a diagram, or a run"),
    Line("digits, Enter", "set the slider that has the focus to a typed number; Esc cancels"),
)
_WIDTH = 18


class HelpScreen(BaseScreen[None], ModalScreen[None]):
    """A scrollable frame over the screen below; its keys and a click beside it close it."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > Scroll {
        width: 90%; max-width: 112; height: 90%; border: round $primary; background: $surface; padding: 0 2;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "close", "Close", id="help.close", tooltip="close the help"),
    ]

    @property
    def _below(self) -> Screen[Any] | None:
        stack = self.app.screen_stack
        return stack[stack.index(self) - 1] if self in stack and stack.index(self) else None

    def compose(self) -> ComposeResult:
        with Scroll() as scroll:
            scroll.border_title = "springtui: help"
            scroll.border_subtitle = "Esc closes · arrows, PgUp, PgDn or j, k scroll"
            yield Static(self._text(self._below))

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        self.query_one(Static).update(self._text(self._below))

    def _width(self) -> int:
        """Columns of text: those of the frame without border, padding and scroll bar."""
        return max(24, min(112, self.app.size.width * 9 // 10) - 9)

    def action_close(self) -> None:
        """Close the help."""
        self.dismiss()

    def on_click(self, event: events.Click) -> None:
        """Close the help after a click beside the frame."""
        if event.widget is None or event.widget is self:
            self.dismiss()

    def _text(self, below: Screen[Any] | None) -> Text:
        of_log = isinstance(below, BaseScreen) and below.of_log
        text = Text((_OF_LOGS if of_log else _WORDS) + "\n", style="")
        self._append_keys(text, below)
        of_networks = (("The network", NETWORK), ("Layer health", HEALTH), ("The chain", CHAIN))
        for heading, terms in (("Logs", LOGS),) if of_log else of_networks:
            text.append(f"\n{heading}\n", style=self._style("accent", "bold"))
            for term in terms:
                self._append_term(text, term)
        text.append("\nFiles\n", style=self._style("accent", "bold"))
        text.append(
            f"{_FILES_OF_LOGS if of_log else _FILES} To give a command another key, put its id, which stands in "
            "brackets above, into the table [keys] of config.toml."
        )
        return text

    def _append_keys(self, text: Text, below: Screen[Any] | None) -> None:
        """Append the keys of the screen below and its widgets, read from their bindings."""
        keymap = keymap_of(self.app)
        sections: list[tuple[str, list[Line]]] = []
        offered = below.offers if isinstance(below, BaseScreen) else None
        of_log = isinstance(below, BaseScreen) and below.of_log
        if below is not None:
            name = type(below).__name__.removesuffix("Screen").lower()
            sections.append((f"Keys of this screen: {name}", list(lines_of(type(below), keymap, offered))))
            helped = below.helped() if isinstance(below, BaseScreen) else below.query("*")
            widgets = sorted({type(each) for each in helped}, key=lambda cls: cls.__name__)
            sections += [(_heading(each.__name__), list(lines_of(each, keymap))) for each in widgets]
        sections.append(
            ("Everywhere", [*lines_of(type(self.app), keymap, offered), Line("Ctrl+P", "all commands, by name")])
        )
        sections.append(("Mouse", list(_MOUSE_ON_LOGS)) if of_log else ("Mouse and numbers", list(_MOUSE)))
        for heading, lines in sections:
            if lines:
                text.append(f"\n{heading}\n", style=self._style("accent", "bold"))
            for line in lines:
                first, *more = textwrap.wrap(line.about, max(20, self._width() - _WIDTH - 3)) or [""]
                text.append(f"  {line.keys:<{_WIDTH}} ", style=self._style("primary"))
                text.append(f"{first}\n" + "".join(f"{'':{_WIDTH + 3}}{rest}\n" for rest in more))

    def _append_term(self, text: Text, term: Term) -> None:
        text.append(term.name, style=self._style("primary", "bold"))
        text.append(f"  {term.formula}\n", style=self._style("secondary"))
        text.append(textwrap.fill(term.words, self._width(), initial_indent="  ", subsequent_indent="  ") + "\n")

    def _style(self, name: str, more: str = "") -> str:
        return f"{self.app.theme_variables.get(name, '')} {more}".strip()


_HEADINGS = {
    "Choices": "On the list of kinds of noise",
    "Console": "On the log",
    "CurvesPlot": "On a plot of curves",
    "HeatMap": "On a diagram",
    "LayerMap": "On the heat map of layers",
    "RunTable": "On the table of runs",
    "Table": "On a table of layers",
    "Slider": "On a slider",
    "TimeBar": "On the bar of time",
}


def _heading(name: str) -> str:
    """The heading of a widget's keys, by the name of its class."""
    return _HEADINGS.get(name) or "On a" + "".join(f" {c.lower()}" if c.isupper() else c for c in name)
