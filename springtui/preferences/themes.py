"""Loads themes from TOML files: those in ``themes/`` of the package or the checkout, and the user's own."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from textual.color import Color, ColorParseError
from textual.theme import Theme

import springtui
from engine.errors import ConfigError, nearest_and_known
from engine.runs.home import config_path
from engine.settings.fields import field_help, field_names, field_types

from ..widgets.palette import CIVIDIS, LEVELS, MOST_LEVELS, Palette

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
    "theory",
)
"""primary colours the network, accent the chain, theory what is computed: the twin and the mean field."""
_LIMIT = 1 << 16


class ThemeFile(msgspec.Struct, kw_only=True):
    """The keys of a theme's file; each description is what messages say of the allowed values."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}\Z", description="a-z, 0-9 and -, 40 at most")]
    dark: Annotated[bool, Meta(description="true or false")] = True
    colors: Annotated[dict[str, Any], Meta(description=f"a table with {', '.join(COLORS)}")]
    heat_map: Annotated[dict[str, Any], Meta(description="a table with colors and levels")] | None = None


class HeatMapTable(msgspec.Struct, kw_only=True):
    """The keys of the table [heat_map]."""

    colors: (
        Annotated[list[Any], Meta(min_length=2, max_length=MOST_LEVELS, description=f"2 to {MOST_LEVELS} colors")]
        | None
    ) = None
    levels: Annotated[
        int,
        Meta(
            ge=2,
            le=MOST_LEVELS,
            description=f"2 to {MOST_LEVELS}, since every colour costs a slow link some bytes",
        ),
    ] = LEVELS


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
        raise ConfigError(f"{where}: theme = {name!r} is no theme; {nearest_and_known(name, known)}")


def load_theme(path: Path) -> Theme:
    """The theme in a file.

    Raises:
        ConfigError: the file cannot be read, or a value is not allowed; the message names the file, the key, the
            value and what is allowed.
    """
    data = _read(path)
    _refuse_unknown(path, "key", data, field_names(ThemeFile))
    name, dark = _value(path, ThemeFile, data, "name"), _value(path, ThemeFile, data, "dark")
    colors = data.get("colors")
    if not isinstance(colors, dict):
        raise ConfigError(f"{path}: the table [colors] is missing; it holds {', '.join(COLORS)}")
    chosen = _colors(path, colors)
    theory = chosen.pop("theory", None) or chosen.get("warning") or chosen["primary"]
    variables = {"theory": theory, **_palette(path, _value(path, ThemeFile, data, "heat_map")).as_variables()}
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


def _value(path: Path, cls: type[msgspec.Struct], table: dict[str, Any], key: str, where: str = "") -> Any:
    """The value of a key, or its default; raises ConfigError if it is not allowed. ``where`` names the table."""
    default = next(field.default for field in msgspec.structs.fields(cls) if field.name == key)
    value = table.get(key, None if default is msgspec.NODEFAULT else default)
    try:
        return msgspec.convert(value, field_types(cls)[key])
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{path}: {key} = {value!r}{where} is not allowed; allowed: {field_help(cls, key)}"
        ) from error


def _refuse_unknown(path: Path, what: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: unknown {what} {key!r}; {nearest_and_known(key, known)}")


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


def _palette(path: Path, table: dict[str, Any] | None) -> Palette:
    """The palette in a table [heat_map]: colors from low to high, divided into ``levels``."""
    if table is None:
        return CIVIDIS
    _refuse_unknown(path, "key in [heat_map]", table, field_names(HeatMapTable))
    levels, colors = (_value(path, HeatMapTable, table, key, " in [heat_map]") for key in ("levels", "colors"))
    if colors is None:
        return Palette.between(CIVIDIS.colors, levels)
    return Palette.between([_color(path, f"colors[{i}]", each) for i, each in enumerate(colors)], levels)
