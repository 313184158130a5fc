"""The user's preferences, from ``config.toml``, environment variables and options of the command line.

Each overrides the ones before it; a theme chosen in the app overrides the file until the file's theme changes. A
wrong value is left out, the others are used, and a message names file, key, value and what is allowed. The file is
in the platform's configuration directory. The app is not imported here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta

from engine.errors import ConfigError, nearest_and_known
from engine.runs.home import config_path, read_config
from engine.settings.fields import (
    SWITCH_WORDS,
    field_help,
    field_metas,
    field_names,
    field_types,
    plain_type,
)

from ..alerts.rules import AlertRule
from .memory import load_user_state


class Preferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field for each key of the file; ``config --init`` and ``--schema`` show its description."""

    theme: Annotated[str, Meta(min_length=1, description="name of a theme; springtui config lists them")] = (
        "springtui-dark"
    )
    on_quit: Annotated[
        Literal["ask", "detach", "stop"],
        Meta(description="what q does with live runs: ask, leave them running (detach), or stop them"),
    ] = "ask"
    home: Annotated[str, Meta(description="where runs are kept; empty: the platform's user data directory")] = ""
    ascii: Annotated[
        Literal["auto", "on", "off"], Meta(description="draw with ASCII only; auto: where the locale is not UTF-8")
    ] = "auto"
    frames_per_second: Annotated[
        float, Meta(ge=1, le=60, description="most frames drawn in a second; a slow link gets fewer")
    ] = 30.0
    tour: Annotated[bool, Meta(description="show the tour when the lab opens for the first time")] = True
    mouse: Annotated[
        bool, Meta(description="take the mouse; off leaves it to the terminal, for selecting and copying")
    ] = True
    keys: Annotated[
        dict[str, str],
        Meta(description="a table of ids and their keys, with commas between keys; the help (?) shows the ids"),
    ] = {}
    alerts: Annotated[
        list[AlertRule], Meta(description="tables [[alerts]]: events that ring the bell or start a command")
    ] = []


class Effective(NamedTuple):
    """The preferences in force and their origins."""

    values: Preferences
    origins: dict[str, str]
    """By key the value's origin: default, the file's path, chosen in the app, or a variable's or option's name."""
    problems: list[str]
    """A message for each value that was left out, as it is not allowed."""
    path: Path
    file_theme: str = ""
    """The theme in the file; empty where there is none."""


def load_preferences(options: Mapping[str, Any] | None = None) -> Effective:
    """The preferences in force; a wrong value is left out and described in ``problems``.

    ``options`` are the command line's by key; None where an option was not given.
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
        memory = load_user_state()
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
    """The preferences in force.

    Raises:
        ConfigError: values in the file or the environment are not allowed; the message has a line for each.
    """
    effective = load_preferences(options)
    if effective.problems:
        raise ConfigError("\n".join(effective.problems))
    return effective


def names() -> tuple[str, ...]:
    """The keys of the file, in the order of declaration."""
    return field_names(Preferences)


def about(key: str) -> str:
    """A key's description."""
    return field_help(Preferences, key)


def allowed(key: str) -> str:
    """The allowed values of a key, in words."""
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
    """One value converted to its field's type.

    Raises:
        ConfigError: it is not allowed, or the key is unknown; the message names ``where``, the key, the value and
            what is allowed, or the nearest key.
    """
    types = field_types(Preferences)
    if key not in types:
        raise ConfigError(f"{where}: unknown key {key!r}; {nearest_and_known(key, names())}")
    try:
        # values in the environment are texts, so "1" may be a switch or a number
        return msgspec.convert(_spelt(key, value, where), types[key], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        why = f" ({error})" if key in {"keys", "alerts"} else ""
        raise ConfigError(f"{where}: {key} = {value!r} is not allowed{why}; allowed: {allowed(key)}") from error


def schema() -> dict[str, Any]:
    """The file's JSON schema."""
    return msgspec.json.schema(Preferences)


def commented_file() -> str:
    """A configuration file in which all is commented out: each key's description, allowed values and default."""
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
    """By key, the name of the environment variable that sets it; an empty variable does not."""
    scalars = (key for key in names() if key not in {"keys", "alerts"})
    variables = {key: f"SPRINGTUI_{key.upper()}" for key in scalars}
    return {key: name for key, name in variables.items() if os.environ.get(name)}


def _spelt(key: str, value: Any, where: str) -> Any:
    """A text from the environment as its key's words: ``SWITCH_WORDS`` of a switch, ``1`` for ascii = on.

    Raises msgspec.ValidationError for a text of the file where a switch or a number is wanted.
    """
    if isinstance(value, str):
        word = value.lower()
        plain = plain_type(field_types(Preferences)[key])
        if key == "ascii":
            return {"1": "on", "0": "off", "true": "on", "false": "off"}.get(word, word)
        if plain is bool:
            if where.startswith("the environment"):
                return SWITCH_WORDS.get(word, value)
            raise msgspec.ValidationError("text is not allowed here")
        if plain is float and not where.startswith("the environment"):
            raise msgspec.ValidationError("text is not allowed here")
    return value


def _toml(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
