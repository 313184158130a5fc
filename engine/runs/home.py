"""The home directory where none is given: for the verbs, the app, and a probe in a user's own script."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import platformdirs

from ..errors import ConfigError

_LIMIT = 1 << 20


def default_home() -> Path:
    """``SPRINGTUI_HOME``, else the platform's user data directory."""
    named = os.environ.get("SPRINGTUI_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir("springtui"))


def preferred_home() -> Path:
    """``SPRINGTUI_HOME``, else ``home`` of the preferences file, else the platform's user data directory.

    Raises:
        ConfigError: the file cannot be read, or its ``home`` is no text; says what is allowed.
    """
    if os.environ.get("SPRINGTUI_HOME"):
        return default_home()
    path = config_path()
    named = read_config(path).get("home", "")
    if not isinstance(named, str):
        raise ConfigError(f"{path}: home = {named!r} is not allowed; allowed: text")
    return Path(named).expanduser() if named else default_home()


def config_path() -> Path:
    """``SPRINGTUI_CONFIG``, else ``config.toml`` in the platform's configuration directory."""
    named = os.environ.get("SPRINGTUI_CONFIG")
    return Path(named).expanduser() if named else Path(platformdirs.user_config_dir("springtui")) / "config.toml"


def read_config(path: Path) -> dict[str, Any]:
    """The tables of a preferences file, unchecked; empty where there is no file.

    Raises:
        ConfigError: it cannot be read; says why and what to do.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise ConfigError(f"{path} is larger than {_LIMIT} bytes; it cannot be a file of preferences")
        return tomllib.loads(data.decode("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; defaults are used") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}; mend that line, defaults are used") from error
