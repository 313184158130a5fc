"""The base of the app, which applies the preferences: themes, keys and pace."""

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
from .preferences.memory import save_user_state
from .preferences.preferences import Effective, load_preferences
from .preferences.themes import DEFAULT_THEME, check_name, in_16_colours, load_themes
from .screen import BaseScreen
from .state.cycling import next_of
from .terminal.ascii import AsciiFilter
from .terminal.paced import PacedApp
from .terminal.text import ascii_only, draw_ascii, plain_text


class AppBase(PacedApp[int]):
    """An app that applies the preferences and warns of those that it cannot follow."""

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
        """Warnings to show once the app is open."""
        self._dress()
        self._bind_keys()

    # keys

    def all_bindings(self) -> list[Bound]:
        """Every binding that the preferences may change; overridden by the app, which knows its screens."""
        return []

    def _bind_keys(self) -> None:
        where = self.effective.origins["keys"]
        keys, problems = checked_keys(self.preferences.keys, where, self.all_bindings)
        self.warnings += problems
        self.set_keymap(keys)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette's entries: every action that has a key here, and the screen's own."""
        textuals = {"Quit", "Keys"}  # Quit would ask nothing, Keys is a second help
        yield from (c for c in super().get_system_commands(screen) if c.title not in textuals)
        listed: set[str] = set()
        told: set[str] = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if (
                binding.id is None or not binding.description or binding.action in listed
            ):  # Textual's own bindings have no id
                continue
            listed.add(binding.action)
            if isinstance(screen, BaseScreen) and not screen.offers(binding.action.partition("(")[0]):
                continue
            told.add(binding.description)
            title = f"{binding.description}  ({binding.key_display or readable(binding.key)})"  # [ would be markup
            run = partial(self.run_action, binding.action, active.node)
            yield SystemCommand(title, binding.tooltip or binding.description, run)
        if isinstance(screen, BaseScreen):
            yield from (command for command in screen.commands() if command.title not in told)

    # warnings

    def show_warnings(self) -> None:
        """Show the warnings about preferences and themes."""
        for warning in self.warnings:
            self.notify(plain_text(warning), severity="warning", timeout=12, markup=False)

    # themes

    def _dress(self) -> None:
        """Register the shipped and the person's themes and remove Textual's, which lack colours for heat maps."""
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
            asyncio.to_thread(save_user_state, theme=theme.name, theme_over=self.effective.file_theme),
            group="user-state",
        )

    def wear_terminal_colours(self) -> None:
        """Give the themes ANSI colours where the terminal has 16; to be called before the app runs."""
        if self.console.color_system == "standard":
            for name in self.our_themes:
                self.register_theme(in_16_colours(self.available_themes[name]))

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, and last the one that draws in ASCII where the terminal needs it."""
        filters = super().get_line_filters()
        return [*filters, AsciiFilter()] if ascii_only() else filters

    def action_next_theme(self) -> None:
        """Use the next theme, and save the choice."""
        self.theme = next_of(self.our_themes, self.theme)
        self.notify(self.theme, title="theme", timeout=2, markup=False)
