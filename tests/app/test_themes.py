"""Themes: sound ones are legible, wrong ones are named, and a choice is worn at once and kept."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from support.lab import until
from textual.color import Color
from textual.theme import Theme

from engine.errors import ConfigError
from springtui.app import SpringApp
from springtui.preferences import themes
from springtui.preferences.memory import UserState, load_user_state, save_user_state, user_state_path
from springtui.preferences.preferences import load_preferences
from springtui.widgets.heat_map import HeatMap
from springtui.widgets.palette import CIVIDIS, MOST_LEVELS, Palette, contrast

SHIPPED = {"springtui-dark", "springtui-light", "high-contrast", "colour-blind-safe"}
TEXT = ("foreground", "primary", "secondary", "accent", "success", "warning", "error", "theory")
GROUNDS = ("background", "surface")


def shipped() -> dict[str, Theme]:
    warnings: list[str] = []
    found = {theme.name: theme for theme in themes.load_themes(warnings.append)}
    assert warnings == []
    return found


def color_of(theme: Theme, key: str) -> Color:
    return Color.parse(theme.variables["theory"] if key == "theory" else getattr(theme, key))


def test_shipped_themes_are_sound() -> None:
    assert set(shipped()) == SHIPPED
    assert {path.stem for path in themes.theme_folder().glob("*.toml")} == SHIPPED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_text_is_legible(name: str) -> None:
    """WCAG 2.2: 4.5 for text, 7 for text that is to be read by everybody; 3 for what only bounds."""
    theme = shipped()[name]
    least = 7.0 if name == "high-contrast" else 4.5
    for key, ground in itertools.product(TEXT, GROUNDS):
        assert contrast(color_of(theme, key), color_of(theme, ground)) >= least, (key, ground)
    assert theme.variables["footer-background"] == theme.surface  # of the line of keys
    if name == "high-contrast":
        assert contrast(color_of(theme, "panel"), color_of(theme, "background")) >= 3
    palette = Palette.of_theme(theme.variables)
    assert all(contrast(palette.color(n), palette.ink(n)) >= 4.5 for n in range(len(palette.colors)))


def seen_with(color: Color, deficiency: list[list[float]]) -> list[float]:
    """Linear RGB through a deficiency's matrix (Machado, Oliveira & Fernandes 2009, severity 1)."""
    linear = [(p / 255 / 12.92) if p <= 10 else ((p / 255 + 0.055) / 1.055) ** 2.4 for p in color.rgb]
    return [max(0.0, sum(m * v for m, v in zip(row, linear, strict=True))) for row in deficiency]


DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


@pytest.mark.parametrize("deficiency", sorted(DEFICIENCIES))
def test_curves_and_diagrams_are_told_apart_whatever_the_eyes(deficiency: str) -> None:
    theme, matrix = shipped()["colour-blind-safe"], DEFICIENCIES[deficiency]
    seen = {key: seen_with(color_of(theme, key), matrix) for key in ("primary", "accent", "theory", "secondary")}
    for (one, a), (other, b) in itertools.combinations(seen.items(), 2):
        if {one, other} <= {"primary", "accent"} or "primary" in (one, other):
            assert sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5 > 0.15, (one, other)
    levels = [seen_with(each, matrix) for each in Palette.of_theme(theme.variables).colors]
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in levels]
    assert light == sorted(light)  # brighter is more, whatever the eyes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 3", "name = 3"),
        ('name = "Not so"', "name = 'Not so'"),
        ('name = "x"', "[colors]"),
        ('name = "x"\nsize = 3', "unknown key 'size'"),
        ('name = "x"\ncolours = 3', "the nearest is 'colors'"),
        ('name = "x"\ndark = 1', "dark = 1"),
        ('name = "x"\n[colors]\nprimary = "mud"', "'mud' is no color"),
        ('name = "x"\n[colors]\nprimary = "#ff000080"', "is no plain color"),
        ('name = "x"\n[colors]\nborder = "red"', "unknown color 'border'"),
        ('name = "x"\n[colors]\naccent = "red"', "primary is missing"),
        ('name = "x"\n[colors]\nprimary = "red"\n[heat_map]\nlevels = 256', "levels = 256"),
        ('name = "x"\n[colors]\nprimary = "red"\n[heat_map]\ncolors = ["red"]', "colors = ['red']"),
        ('name = "x"\n[colors]\nprimary = "red"\n[heat_map]\ncolors = ["red", "mud"]', "colors[1] = 'mud'"),
        ('name = "x"\n[colors]\nprimary = "red"\n[heat_map]\ncolor = 3', "unknown key in [heat_map] 'color'"),
        ("name = ", "cannot read the theme"),
    ],
)
def test_a_wrong_theme_is_named_with_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.toml") as caught:
        themes.load_theme(path)
    assert said in str(caught.value)


def own_theme(config_file: Path, name: str) -> None:
    folder = config_file.parent / "themes"
    folder.mkdir(parents=True, exist_ok=True)
    text = f'name = "{name}"\n[colors]\nprimary = "#ff8800"\n[heat_map]\nlevels = 32\ncolors = ["#000", "#f80"]'
    (folder / f"{name}-file.toml").write_text(text)


def test_a_persons_own_themes_are_found_and_may_not_take_anothers_name(config_file: Path) -> None:
    own_theme(config_file, "mine")
    own_theme(config_file, "high-contrast")
    warnings: list[str] = []
    found = {theme.name: theme for theme in themes.load_themes(warnings.append)}
    assert set(found) == SHIPPED | {"mine"}
    assert len(warnings) == 1
    assert "high-contrast-file.toml" in warnings[0]
    assert len(Palette.of_theme(found["mine"].variables).colors) == MOST_LEVELS


async def test_a_theme_is_switched_live_and_remembered(
    config_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_theme(config_file, "mine")
    config_file.write_text('theme = "springtui-light"')
    app = SpringApp(home, begin_runs=False)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.theme == "springtui-light"
        before = app.theme_variables["background"]
        while app.theme != "mine":
            await pilot.press("ctrl+t")
        assert app.theme_variables["background"] != before
        await until(pilot, lambda: load_user_state().theme == "mine")
    assert (load_preferences().values.theme, load_preferences().origins["theme"]) == ("mine", "chosen in the app")
    assert SpringApp(home).theme == "mine"
    config_file.write_text('theme = "high-contrast"')  # the file's word is newer
    assert SpringApp(home).theme == "high-contrast"
    monkeypatch.setenv("SPRINGTUI_THEME", "no-such")
    app = SpringApp(home, begin_runs=False)
    assert app.theme == themes.DEFAULT_THEME
    assert any("'no-such' is no theme" in warning for warning in app.warnings)


async def test_a_heat_map_wears_the_themes_colours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRINGTUI_THEME", "high-contrast")
    app = SpringApp(home, begin_runs=False)
    async with app.run_test() as pilot:
        await pilot.press("f")
        await pilot.pause()
        heat_map = app.screen.query_one("#network", HeatMap)
        heat_map._lay_out()
        assert len(heat_map._palette.colors) == 8
        app.theme = "springtui-dark"
        await until(pilot, lambda: heat_map._palette.colors == CIVIDIS.colors)


def test_what_is_remembered_is_lost_without_harm(config_file: Path) -> None:
    save_user_state(tour_seen=True)
    save_user_state(theme="x")
    assert load_user_state() == UserState(theme="x", tour_seen=True)
    user_state_path().write_text("{")
    assert load_user_state() == UserState()
    user_state_path().unlink()
    user_state_path().mkdir()
    save_user_state(theme="y")  # says nothing, does nothing
    assert load_user_state() == UserState()
