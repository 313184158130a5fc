"""An app that does as the preferences say: themes here, keys and pace with them."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme

from engine.errors import ConfigError

from .memory import remember
from .preferences import Effective, load_preferences
from .terminal import draw_ascii, plain_text
from .themes import DEFAULT_THEME, check_name, load_themes


class PreferredApp(App[int]):
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
    ]

    def __init__(self, effective: Effective | None = None) -> None:
        self.effective = effective or load_preferences()
        self.preferences = self.effective.values
        draw_ascii(self.preferences.ascii)
        super().__init__()
        self.warnings: list[str] = list(self.effective.problems)
        """What is told once the app is open."""
        self._dress()

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

    def action_next_theme(self) -> None:
        """Wear the next theme, and remember it."""
        self.theme = self.our_themes[(self.our_themes.index(self.theme) + 1) % len(self.our_themes)]
        self.notify(self.theme, title="theme", timeout=2, markup=False)
