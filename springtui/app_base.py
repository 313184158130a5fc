"""An app that does as the preferences say: themes here, keys and pace with them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen
from textual.theme import Theme

from engine.errors import ConfigError

from .preferences.keymap import Bound, checked_keys, readable
from .preferences.memory import remember
from .preferences.preferences import Effective, load_preferences
from .preferences.themes import DEFAULT_THEME, check_name, in_16_colours, load_themes
from .terminal.ascii import AsciiFilter
from .terminal.paced import PacedApp
from .terminal.text import ascii_only, draw_ascii, plain_text


class AppBase(PacedApp[int]):
    """What the app's preferences ask for, and what is told where they ask for something that is not there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+t",
            "next_theme",
            "Theme",
            id="app.next_theme",
            show=False,
            tooltip="the next theme",
        ),
        Binding("ctrl+l", "redraw", "Redraw", id="app.redraw", show=False, tooltip="draw the whole screen anew"),
    ]

    def __init__(self, effective: Effective | None = None) -> None:
        self.effective = effective or load_preferences()
        self.preferences = self.effective.values
        self.frames_per_second = self.preferences.frames_per_second
        draw_ascii(self.preferences.ascii)
        super().__init__()
        self.warnings: list[str] = list(self.effective.problems)
        """What is told once the app is open."""
        self._dress()
        self._bind_keys()

    # keys

    def all_bindings(self) -> list[Bound]:
        """Every binding that the preferences may change; the app knows its screens."""
        return []

    def _bind_keys(self) -> None:
        where = self.effective.origins["keys"]
        keys, problems = checked_keys(self.preferences.keys, where, self.all_bindings)
        self.warnings += problems
        self.set_keymap(keys)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers: every action that a key would have here, and what the screen adds to them."""
        textuals = {"Quit", "Keys"}  # the one would ask nothing, the other is a second help
        yield from (c for c in super().get_system_commands(screen) if c.title not in textuals)
        told: set[str] = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id is None or not binding.description or binding.action in told:  # Textual's have no id
                continue
            told.add(binding.action)
            title = f"{binding.description}  ({binding.key_display or readable(binding.key)})"  # [ would be markup
            run = partial(self.run_action, binding.action, active.node)
            yield SystemCommand(title, binding.tooltip or binding.description, run)
        if (commands := getattr(screen, "commands", None)) is not None:
            yield from commands()

    # told

    def tell_warnings(self) -> None:
        """Say what of the preferences and themes could not be followed."""
        for warning in self.warnings:
            self.notify(plain_text(warning), severity="warning", timeout=12, markup=False)

    # themes

    def _dress(self) -> None:
        """Ours and the person's themes; Textual's own know nothing of heat maps and legibility."""
        themes = load_themes(self.warnings.append)
        chosen = self.preferences.theme
        try:
            check_name(chosen, themes, self.effective.origins["theme"])
        except ConfigError as error:
            self.warnings.append(str(error))
            chosen = DEFAULT_THEME
        for theme in themes:
            self.register_theme(theme)
        self.theme = chosen
        self.our_themes = [theme.name for theme in themes]
        for name in set(self.available_themes) - set(self.our_themes):
            self.unregister_theme(name)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._theme_chosen)

    def _theme_chosen(self, theme: Theme) -> None:
        self.run_worker(
            asyncio.to_thread(remember, theme=theme.name, theme_over=self.effective.file_theme), group="remember"
        )

    def wear_terminal_colours(self) -> None:
        """Before the app runs: where the terminal has 16 colours, choose among those, not the nearest to ours."""
        if self.console.color_system == "standard":
            for name in self.our_themes:
                self.register_theme(in_16_colours(self.available_themes[name]))

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and behind them a sign of ASCII for every other where the terminal knows no other."""
        filters = super().get_line_filters()
        return [*filters, AsciiFilter()] if ascii_only() else filters

    def action_next_theme(self) -> None:
        """Wear the next theme, and remember it."""
        self.theme = self.our_themes[(self.our_themes.index(self.theme) + 1) % len(self.our_themes)]
        self.notify(self.theme, title="theme", timeout=2, markup=False)
