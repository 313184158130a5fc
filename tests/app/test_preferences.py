"""Preferences: where they come from, what is refused and how, and the verb that shows them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
import tomllib
from pathlib import Path

import msgspec
import pytest
from support.real_terminal import SPRINGTUI

from engine.errors import ConfigError
from springtui.app import SpringApp
from springtui.commands.session import Session
from springtui.preferences.preferences import (
    Preferences,
    about,
    allowed,
    commented_file,
    load_preferences,
    names,
    schema,
    strict_preferences,
)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*SPRINGTUI, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_defaults_file_environment_and_command_line_in_that_order(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_preferences().values == msgspec.structs.replace(Preferences(), tour=False)
    write(config_file, 'theme = "springtui-light"\nascii = "on"\nhome = "/somewhere"\nframes_per_second = 5')
    monkeypatch.setenv("SPRINGTUI_ASCII", "0")
    monkeypatch.setenv("SPRINGTUI_MOUSE", "no")
    monkeypatch.setenv("SPRINGTUI_FRAMES_PER_SECOND", "12.5")
    effective = load_preferences({"home": "/elsewhere", "ascii": None})
    values, origins = effective.values, effective.origins
    assert (values.theme, origins["theme"]) == ("springtui-light", str(config_file))
    assert (values.ascii, origins["ascii"]) == ("off", "SPRINGTUI_ASCII")
    assert (values.home, origins["home"]) == ("/elsewhere", "--home")
    assert (values.mouse, values.frames_per_second) == (False, 12.5)
    assert (values.on_quit, origins["on_quit"]) == ("ask", "default")
    assert effective.problems == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('colour = "x"', "unknown key 'colour'; known: theme, "),
        ('them = "x"', "unknown key 'them'; the nearest is 'theme'"),
        ('on_quit = "leave"', "on_quit = 'leave' is not allowed; allowed: ask, detach, stop"),
        ("frames_per_second = 0", "frames_per_second = 0 is not allowed; allowed: a number from 1 to 60"),
        ('mouse = "yes"', "mouse = 'yes' is not allowed; allowed: true or false"),
        ("theme = 3", "theme = 3 is not allowed; allowed: text"),
        ('keys = "q"', "allowed: a table of texts"),
        ("theme = ", "is no TOML"),
    ],
)
def test_what_is_wrong_is_named_and_costs_only_itself(config_file: Path, text: str, said: str) -> None:
    write(config_file, f'ascii = "on"\n{text}')
    effective = load_preferences()
    assert len(effective.problems) == 1
    assert str(config_file) in effective.problems[0]
    assert said in effective.problems[0]
    assert effective.values.ascii == ("auto" if "TOML" in said else "on")
    with pytest.raises(ConfigError):
        strict_preferences()


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRINGTUI_FRAMES_PER_SECOND", "many")
    assert "SPRINGTUI_FRAMES_PER_SECOND: frames_per_second = 'many'" in load_preferences().problems[0]


def test_the_verb_shows_values_and_origins(config_file: Path, home: Path) -> None:
    write(config_file, 'theme = "high-contrast"\n[keys]\n"lab.restart" = "R"')
    status, text = run("config", "--json")
    told = json.loads(text)
    assert status == 0
    assert set(told["values"]) == set(names())
    assert told["values"]["theme"] == {"value": "high-contrast", "origin": str(config_file)}
    assert told["values"]["home"] == {"value": str(home), "origin": "SPRINGTUI_HOME"}
    assert told["values"]["keys"]["value"] == {"lab.restart": "R"}
    status, text = run("config")
    assert status == 0
    assert "high-contrast" in text
    assert run("config", "--path")[1].strip() == str(config_file)


def test_the_verbs_refuse_a_wrong_file_and_nothing_is_lost(config_file: Path, home: Path) -> None:
    write(config_file, "mouse = 3")
    before = config_file.read_bytes()
    status, text = run("config")
    assert status == 2
    assert "mouse = 3" in text
    assert config_file.read_bytes() == before


def test_init_writes_a_file_of_comments_and_never_over_another(config_file: Path) -> None:
    assert run("config", "--init")[0] == 0
    text = config_file.read_text("utf-8")
    assert all(about(key) in text for key in names())
    assert tomllib.loads(text) == {}
    plain = text.partition("# [keys]")[0].splitlines()
    values = tomllib.loads("\n".join(line[2:] for line in plain if re.match(r"# \w+ = ", line)))
    assert {key: getattr(Preferences(), key) for key in values} == values  # the comments tell the defaults
    config_file.write_text("mouse = false")
    status, text = run("config", "--init")
    assert status == 1
    assert "stays as it is" in text
    assert config_file.read_text() == "mouse = false"


def test_the_schema_describes_every_key() -> None:
    assert run("config", "--schema", "--json")[1].strip() == json.dumps(schema())
    properties = schema()["$defs"]["Preferences"]["properties"]
    assert set(properties) == set(names())
    assert all(one.get("description") for one in properties.values())
    assert all(allowed(key) for key in names())
    assert "frames_per_second" in commented_file()


def test_the_commented_file_and_the_page_hold_as_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line that looks like TOML, its # taken away; and the blocks of docs/configuration.md."""
    typed = re.findall(r"^# (\[.*|[\w\".]+ = .*)$", commented_file(), re.MULTILINE)
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", page, re.MULTILINE)
    shown = [textwrap.dedent(block) for block in blocks if "[colors]" not in block]
    assert len(shown) == 2
    for number, text in enumerate(["\n".join(typed), *shown]):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        monkeypatch.setenv("SPRINGTUI_CONFIG", str(path))
        effective = strict_preferences()
        assert effective.values.keys or effective.values.alerts


async def test_the_app_opens_with_what_is_right_and_tells_the_rest(config_file: Path, home: Path) -> None:
    write(config_file, 'mouse = false\non_quit = "never"')
    app = SpringApp(home, begin_runs=False)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.preferences.mouse is False
        assert app.preferences.on_quit == "ask"
        assert any("on_quit" in note.message for note in app._notifications)


def test_home_comes_from_the_file_too(config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPRINGTUI_HOME", raising=False)
    write(config_file, f'home = "{tmp_path / "kept"}"')
    assert Session().look_home() == tmp_path / "kept"
    assert Session(home=Path("given")).look_home() == Path("given")
    assert os.environ.get("SPRINGTUI_HOME") is None


def test_a_rule_with_an_unknown_field_is_told_the_known_ones(config_file: Path) -> None:
    write(config_file, '[[alerts]]\non = "crashed"\nwhen = "now"\n')
    (problem,) = load_preferences().problems
    assert "unknown field `when`" in problem
    assert problem.endswith("tables [[alerts]] with the fields on, metric, above, below, bell, command")
