"""Themes are files: TOML in ``themes/``, beside the package in a wheel or at the top of a checkout."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from engine.errors import ConfigError

DEFAULT_THEME = "springtui-dark"
COLORS = (
    "primary",
    "secondary",
    "accent",
    "success",
    "warning",
    "error",
    "foreground",
    "background",
    "surface",
    "panel",
)


def theme_folder() -> Path:
    """Where the shipped themes lie."""
    here = Path(__file__).parent
    return next(path for path in (here / "themes", here.parent / "themes") if path.is_dir())


def load_themes(warn: Callable[[str], None]) -> list[Theme]:
    """Every shipped theme that is sound; what is wrong with the others is told to ``warn``.

    Raises:
        ConfigError: the default theme itself is missing or wrong.
    """
    themes = []
    for path in sorted(theme_folder().glob("*.toml")):
        try:
            themes.append(load_theme(path))
        except ConfigError as error:
            if path.stem == DEFAULT_THEME:
                raise
            warn(str(error))
    return themes


def load_theme(path: Path) -> Theme:
    """One theme.

    Raises:
        ConfigError: names the file, the key, the value and what is allowed.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the theme {path}: {error}") from error
    unknown = sorted(set(data) - {"name", "dark", "colors"})
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}; allowed: name, dark, colors")
    name, dark, colors = data.get("name"), data.get("dark", True), data.get("colors")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{path}: name = {name!r} is not allowed; allowed: some text")
    if not isinstance(dark, bool):
        raise ConfigError(f"{path}: dark = {dark!r} is not allowed; allowed: true or false")
    if not isinstance(colors, dict):
        raise ConfigError(f"{path}: the table [colors] is missing; it holds {', '.join(COLORS)}")
    chosen: dict[str, Any] = _checked(path, colors)
    return Theme(name=name, dark=dark, **chosen)


def _checked(path: Path, colors: dict[str, Any]) -> dict[str, Any]:
    for key, value in colors.items():
        if key not in COLORS:
            raise ConfigError(f"{path}: unknown color {key!r}; allowed: {', '.join(COLORS)}")
        try:
            Color.parse(value if isinstance(value, str) else "")
        except ColorParseError as error:
            raise ConfigError(f"{path}: {key} = {value!r} is no color; allowed: #rrggbb or a CSS name") from error
    if "primary" not in colors:
        raise ConfigError(f"{path}: primary is missing from [colors]")
    return colors
