"""What a person prefers: ``config.toml`` in the platform's configuration directory, variables, options.

Defaults < file < environment < command line; a theme chosen in the app stands above a file that has not named
another since. A wrong line costs only itself: the rest of the file holds, and the complaint names file, key, value
and what is allowed. Nothing of the app is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta

from engine.errors import ConfigError
from engine.runs.home import config_path, read_config
from engine.settings.fields import (
    SWITCH_WORDS,
    field_help,
    field_metas,
    field_names,
    field_types,
    nearest_name,
    plain_type,
)

from ..alerts.rules import AlertRule
from .memory import recall


class Preferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field for each key of the file; its description is what ``config --init`` and ``--schema`` say."""

    theme: Annotated[str, Meta(min_length=1, description="name of a theme; springtui config lists them")] = (
        "springtui-dark"
    )
    on_quit: Annotated[
        Literal["ask", "detach", "stop"],
        Meta(description="what q does with runs that still go: ask, let them go on, or stop them"),
    ] = "ask"
    home: Annotated[str, Meta(description="where runs are kept; empty: the platform's user data directory")] = ""
    ascii: Annotated[
        Literal["auto", "on", "off"], Meta(description="draw with ASCII only; auto: where the locale is not UTF-8")
    ] = "auto"
    frames_per_second: Annotated[
        float, Meta(ge=1, le=60, description="pictures a second at most; a slow link is given fewer")
    ] = 30.0
    tour: Annotated[bool, Meta(description="show the tour when the lab opens for the first time")] = True
    mouse: Annotated[
        bool, Meta(description="take the mouse; off leaves it to the terminal, for selecting and copying")
    ] = True
    keys: Annotated[
        dict[str, str],
        Meta(description="a table of binding ids and their keys, comma between; the help (?) tells the ids"),
    ] = {}
    alerts: Annotated[list[AlertRule], Meta(description="tables [[alerts]]: what to be told of")] = []


class Effective(NamedTuple):
    """Preferences in force."""

    values: Preferences
    origins: dict[str, str]
    """Where each value comes from: default, the file's path, a variable's name or an option's."""
    problems: list[str]
    """What was left out because it is not allowed."""
    path: Path
    file_theme: str = ""
    """What the file says of the theme."""


def load_preferences(options: Mapping[str, Any] | None = None) -> Effective:
    """What is in force, wrong values left out and told of in ``problems``.

    ``options`` are the command line's, by field; None values were not given.
    """
    path = config_path()
    values: dict[str, Any] = {}
    origins = dict.fromkeys(names(), "default")
    problems: list[str] = []
    file: dict[str, Any] = {}
    layers: list[tuple[str, Any, str, str]] = []
    try:
        file = read_config(path)
        layers += [(key, value, str(path), str(path)) for key, value in file.items()]
        memory = recall()
        if memory.theme and memory.theme_over == str(file.get("theme", "")):
            layers.append(("theme", memory.theme, str(path), "chosen in the app"))
    except ConfigError as error:
        problems.append(str(error))
    layers += [(key, os.environ[name], f"the environment: {name}", name) for key, name in _variables().items()]
    layers += [(k, v, "the command line", f"--{k}") for k, v in (options or {}).items() if v is not None]
    for key, value, where, origin in layers:
        try:
            values[key] = checked(key, value, where)
            origins[key] = origin
        except ConfigError as error:
            problems.append(str(error))
    return Effective(Preferences(**values), origins, problems, path, str(file.get("theme", "")))


def strict_preferences(options: Mapping[str, Any] | None = None) -> Effective:
    """What is in force.

    Raises:
        ConfigError: something in the file or the environment is not allowed; every fault is named.
    """
    effective = load_preferences(options)
    if effective.problems:
        raise ConfigError("\n".join(effective.problems))
    return effective


def names() -> tuple[str, ...]:
    """The keys of the file."""
    return field_names(Preferences)


def about(key: str) -> str:
    """A key's description."""
    return field_help(Preferences, key)


def allowed(key: str) -> str:
    """A key's values in words."""
    annotation = field_types(Preferences)[key]
    plain = plain_type(annotation)
    if get_origin(plain) is Literal:
        return ", ".join(get_args(plain))
    if plain is bool:
        return "true or false"
    if plain is float:
        return next(f"a number from {m.ge} to {m.le}" for m in field_metas(annotation))
    if plain is str:
        return "text"
    if key == "keys":
        return "a table of texts"
    return f"tables [[alerts]] with the fields {', '.join(field_names(AlertRule))}"


def checked(key: str, value: Any, where: str) -> Any:
    """One value, converted to its field's type.

    Raises:
        ConfigError: names where, the key, the value, what is allowed and, for an unknown key, the nearest one.
    """
    types = field_types(Preferences)
    if key not in types:
        near = nearest_name(key, names())
        raise ConfigError(f"{where}: unknown key {key!r}; the nearest is {near!r}. Known: {', '.join(names())}")
    try:
        # the environment knows only texts: "1" is a switch that is on and a number
        return msgspec.convert(_spelt(key, value, where), types[key], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        why = f" ({error})" if key in {"keys", "alerts"} else ""
        raise ConfigError(f"{where}: {key} = {value!r} is not allowed{why}; allowed: {allowed(key)}") from error


def schema() -> dict[str, Any]:
    """The file's JSON schema."""
    return msgspec.json.schema(Preferences)


def commented_file() -> str:
    """A file of comments that says of every key what it does, what is allowed and what it is by default."""
    default = Preferences()
    lines = [
        "# springtui's preferences. Take away a # to change a line; springtui config shows what is in force.",
        "",
    ]
    for key in names():
        lines.append(f"# {about(key)}")
        value = getattr(default, key)
        if key == "keys":
            lines += ["# [keys]", '# "lab.restart" = "R"', ""]
        elif key == "alerts":
            lines += [f"#   {name}: {field_help(AlertRule, name)}" for name in field_names(AlertRule)]
            lines += ["# [[alerts]]", '# on = "threshold"', '# metric = "train_loss"', "# below = 0.01"]
            lines += ["# bell = true", '# command = ["notify-send", "springtui"]', ""]
        else:
            lines += [f"# allowed: {allowed(key)}", f"# {key} = {_toml(value)}", ""]
    return "\n".join(lines)


def _variables() -> dict[str, str]:
    """Keys that the environment sets, and the variable's name. Empty counts as not set."""
    scalars = (key for key in names() if key not in {"keys", "alerts"})
    found = {key: f"SPRINGTUI_{key.upper()}" for key in scalars}
    return {key: name for key, name in found.items() if os.environ.get(name)}


def _spelt(key: str, value: Any, where: str) -> Any:
    """SPRINGTUI_ASCII=1 means on; a switch also takes on, off, yes and no."""
    if isinstance(value, str):
        word = value.lower()
        plain = plain_type(field_types(Preferences)[key])
        if key == "ascii":
            return {"1": "on", "0": "off", "true": "on", "false": "off"}.get(word, word)
        if plain is bool:
            if where.startswith("the environment"):
                return SWITCH_WORDS.get(word, value)
            raise msgspec.ValidationError("a text is no switch")
        if plain is float and not where.startswith("the environment"):
            raise msgspec.ValidationError("a text is no number")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
