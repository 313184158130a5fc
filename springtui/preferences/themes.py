"""Loads themes from TOML files: those in ``themes/`` of the package or the checkout, and the user's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

import springtui
from engine.errors import ConfigError
from engine.runs.home import config_path
from engine.settings.fields import nearest_name

from ..widgets.palette import CIVIDIS, LEVELS, MOST_LEVELS, Palette

DEFAULT_THEME = "springtui-dark"
KEYS = ("name", "dark", "colors", "heat_map")
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
    "theory",
)
"""primary colours the network, accent the chain, theory what is computed: the twin and the mean field."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_LIMIT = 1 << 16


def theme_folder() -> Path:
    """Folder of the shipped themes."""
    package = Path(springtui.__file__).parent
    return next(path for path in (package / "themes", package.parent / "themes") if path.is_dir())


def user_folder() -> Path:
    """Folder of the user's own themes, which need not exist: ``themes/`` beside the preferences."""
    return config_path().parent / "themes"


def load_themes(warn: Callable[[str], None]) -> list[Theme]:
    """Every valid theme, shipped ones first; ``warn`` is called with a message for each other file.

    Raises:
        ConfigError: the default theme is wrong.
    """
    themes: dict[str, Theme] = {}
    for folder in (theme_folder(), user_folder()):
        for path in sorted(folder.glob("*.toml")):
            try:
                theme = load_theme(path)
                if theme.name in themes:
                    raise ConfigError(f"{path}: name = {theme.name!r} is another theme's already; choose another")
                themes[theme.name] = theme
            except ConfigError as error:
                if folder == theme_folder() and path.stem == DEFAULT_THEME:
                    raise
                warn(str(error))
    return list(themes.values())


def check_name(name: str, themes: Iterable[Theme], where: str) -> None:
    """Check that a theme of this name exists; ``where`` is the origin of the name, for the message.

    Raises:
        ConfigError: it does not; the message gives the nearest name.
    """
    known = [theme.name for theme in themes]
    if name not in known:
        near = nearest_name(name, known)
        raise ConfigError(
            f"{where}: theme = {name!r} is no theme; the nearest is {near!r}. Known: {', '.join(known)}"
        )


def load_theme(path: Path) -> Theme:
    """The theme in a file.

    Raises:
        ConfigError: the file cannot be read, or a value is not allowed; the message names the file, the key, the
            value and what is allowed.
    """
    data = _read(path)
    _refuse_unknown(path, "key", data, KEYS)
    name, dark, colors = data.get("name"), data.get("dark", True), data.get("colors")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: name = {name!r} is not allowed; allowed: a-z, 0-9 and -, 40 at most")
    if not isinstance(dark, bool):
        raise ConfigError(f"{path}: dark = {dark!r} is not allowed; allowed: true or false")
    if not isinstance(colors, dict):
        raise ConfigError(f"{path}: the table [colors] is missing; it holds {', '.join(COLORS)}")
    chosen = _colors(path, colors)
    theory = chosen.pop("theory", None) or chosen.get("warning") or chosen["primary"]
    variables = {"theory": theory, **_palette(path, data.get("heat_map")).as_variables()}
    if "surface" in chosen:  # Textual's default is the panel's colour, on which keys are hard to read
        variables["footer-background"] = chosen["surface"]
    return Theme(name=name, dark=dark, variables=variables, **chosen)


_DARK_16: dict[str, Any] = {
    "primary": "#ffff55", "secondary": "#aaaaaa", "accent": "#55ffff", "success": "#55ff55", "warning": "#ffff55",
    "error": "#ff5555", "foreground": "#ffffff", "background": "#000000", "surface": "#000000", "panel": "#555555",
}  # fmt: skip
_LIGHT_16: dict[str, Any] = {
    "primary": "#aa5500", "secondary": "#555555", "accent": "#0000aa", "success": "#00aa00", "warning": "#aa5500",
    "error": "#aa0000", "foreground": "#000000", "background": "#ffffff", "surface": "#ffffff", "panel": "#aaaaaa",
}  # fmt: skip
_HEAT_16 = ("#0000aa", "#555555", "#00aaaa", "#aaaaaa", "#ffff55")
"""Colours of the heat map, dark to bright, each one of the sixteen."""


def in_16_colours(theme: Theme) -> Theme:
    """A theme in the sixteen colours of old terminals, chosen by role: the nearest ones would make curves grey."""
    colors = [Color.parse(each) for each in _HEAT_16]
    theory = "#ff55ff" if theme.dark else "#aa00aa"
    variables = {"theory": theory, **Palette(colors).as_variables()}
    return Theme(name=theme.name, dark=theme.dark, variables=variables, **(_DARK_16 if theme.dark else _LIGHT_16))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise ConfigError(f"cannot read the theme {path}: it is larger than {_LIMIT} bytes")
        return tomllib.loads(data.decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the theme {path}: {error}") from error


def _refuse_unknown(path: Path, what: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            near = nearest_name(key, known)
            raise ConfigError(
                f"{path}: unknown {what} {key!r}; the nearest is {near!r}. Allowed: {', '.join(known)}"
            )


def _colors(path: Path, colors: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(path, "color", colors, COLORS)
    for key, value in colors.items():
        _color(path, key, value)
    if "primary" not in colors:
        raise ConfigError(f"{path}: primary is missing from [colors]")
    return dict(colors)


def _color(path: Path, key: str, value: Any) -> Color:
    try:
        color = Color.parse(value if isinstance(value, str) else "")
    except ColorParseError as error:
        raise ConfigError(f"{path}: {key} = {value!r} is no color; allowed: #rrggbb or a CSS name") from error
    if color.a < 1 or color.ansi is not None:
        raise ConfigError(f"{path}: {key} = {value!r} is no plain color; allowed: #rrggbb or a CSS name")
    return color


def _palette(path: Path, table: Any) -> Palette:
    """The palette in a table [heat_map]: colors from low to high, divided into ``levels``."""
    if table is None:
        return CIVIDIS
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: heat_map = {table!r} is not allowed; allowed: a table with colors and levels")
    _refuse_unknown(path, "key in [heat_map]", table, ("colors", "levels"))
    levels, colors = table.get("levels", LEVELS), table.get("colors")
    if isinstance(levels, bool) or not isinstance(levels, int) or not 2 <= levels <= MOST_LEVELS:
        raise ConfigError(
            f"{path}: levels = {levels!r} in [heat_map] is not allowed; allowed: 2 to {MOST_LEVELS}, "
            "since every colour costs a slow link some bytes"
        )
    if colors is None:
        return Palette.between(CIVIDIS.colors, levels)
    if not isinstance(colors, list) or not 2 <= len(colors) <= MOST_LEVELS:
        raise ConfigError(f"{path}: colors = {colors!r} in [heat_map] is not allowed; allowed: 2 to 32 colors")
    return Palette.between([_color(path, f"colors[{i}]", each) for i, each in enumerate(colors)], levels)
