"""``springtui config``: the preferences in force, and where each comes from."""

from __future__ import annotations

import json
from typing import Any

import click
import msgspec

from engine.errors import ConfigError
from engine.runs.home import config_path

from ..preferences.preferences import Effective, commented_file, names, schema
from .options import json_option
from .output import print_json, print_line, print_message, print_table
from .session import Session, common, examples


@click.command(
    short_help="See the preferences in force, and where each comes from.",
    epilog=examples(
        "springtui config                 every value, and where it comes from",
        "springtui config --init          write a file of comments to begin with",
        "springtui config --schema        the file's JSON schema",
        "SPRINGTUI_THEME=high-contrast springtui",
    )
    + "\n\nExit status: 0 done, 1 the file is there already (--init), 2 something in it is not allowed.",
)
@click.option("--path", "only_path", is_flag=True, help="Print where the file is looked for, and no more.")
@click.option("--schema", "only_schema", is_flag=True, help="Print the file's JSON schema.")
@click.option("--init", "begin", is_flag=True, help="Write a commented file; one that is there stays as it is.")
@json_option
@common
@click.pass_obj
def config(session: Session, only_path: bool, only_schema: bool, begin: bool, as_json: bool) -> int:
    """Show the preferences in force and where each comes from: default, file, environment or command line.

    The file is config.toml in the platform's configuration directory, or the file that SPRINGTUI_CONFIG names.
    Environment variables go before the file: SPRINGTUI_ and the key in capitals, as SPRINGTUI_THEME. Options of
    the command line go before both.
    With --json: path, exists, themes, and values, each with value and origin.

    Tables [[alerts]] are rules that ring the bell or start a command once a run has ended or one of its metrics
    crosses a value; their fields are on, metric, above, below, bell and command. --init writes an example.
    """
    if only_path:
        print_json({"path": str(config_path())}) if as_json else print_line(str(config_path()))
        return 0
    if only_schema:
        print_line(json.dumps(schema(), indent=None if as_json else 2), plain=False)
        return 0
    if begin:
        return _begin(as_json)
    effective = session.preferences()
    _show(effective, _themes(effective), as_json)
    return 0


def _begin(as_json: bool) -> int:
    path = config_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(commented_file())
    except FileExistsError:
        print_message(f"springtui: {path} is there already, and stays as it is")
        return 1
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; SPRINGTUI_CONFIG names another") from error
    print_json({"path": str(path)}) if as_json else print_line(f"written: {path}")
    return 0


def _plain(value: Any) -> Any:
    """A value as JSON types."""
    return msgspec.to_builtins(value)


def _themes(effective: Effective) -> list[str]:
    """Names of all themes, with a warning on standard error for each wrong file; checks the preferred keys too.

    Raises:
        ConfigError: the preferred theme does not exist, or a binding's id or key is wrong.
    """
    from ..app import all_bound
    from ..preferences.keymap import checked_keys
    from ..preferences.themes import check_name, load_themes  # imports much of textual

    _, problems = checked_keys(effective.values.keys, effective.origins["keys"], all_bound)
    if problems:
        raise ConfigError("\n".join(problems))
    themes = load_themes(lambda warning: print_message(f"springtui: {warning}"))
    check_name(effective.values.theme, themes, effective.origins["theme"])
    return [theme.name for theme in themes]


def _show(effective: Effective, themes: list[str], as_json: bool) -> None:
    values = {key: getattr(effective.values, key) for key in names()}
    exists = effective.path.exists()
    if as_json:
        given = {key: {"value": _plain(value), "origin": effective.origins[key]} for key, value in values.items()}
        print_json({"path": str(effective.path), "exists": exists, "themes": themes, "values": given})
        return
    print_line(f"{effective.path}{'' if exists else '  (not there; springtui config --init writes one)'}")
    shown = {key: json.dumps(_plain(value), ensure_ascii=False) for key, value in values.items()}
    print_table(("key", "value", "from"), [(key, text, effective.origins[key]) for key, text in shown.items()])
    print_line(f"themes: {', '.join(themes)}")
