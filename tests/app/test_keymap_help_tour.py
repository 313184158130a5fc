"""Keys as they are bound and as a person binds them, the help and the palette made from them, and the tour."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest
from support.lab import until
from textual.containers import Vertical
from textual.widgets import Static

from springtui.app import WITH_BINDINGS, Opening, SpringApp, all_bound
from springtui.dialogs import ChoiceScreen
from springtui.help.glossary import CHAIN, HEALTH, NETWORK
from springtui.help.screen import HelpScreen
from springtui.help.tour import CARDS, TourScreen
from springtui.lab.choice import Choice, Choices
from springtui.lab.screen import LabScreen
from springtui.lab.slider import Slider
from springtui.preferences.keymap import checked_keys, is_key, readable
from springtui.preferences.memory import load_user_state
from springtui.preferences.preferences import load_preferences
from springtui.widgets.scroll import Scroll


def test_every_binding_can_be_told_and_changed() -> None:
    bound = all_bound()
    assert len(bound) > 40
    for owner, binding in bound:
        assert binding.id, (owner, binding.key)
        assert binding.description and binding.tooltip, binding.id  # noqa: PT018
        assert "." in binding.id
        assert all(is_key(key) for key in keys_of(binding.key)), binding.key
    per_owner: dict[tuple[type, str], str] = {}
    for one in bound:
        for key in one.keys:
            assert per_owner.setdefault((one.owner, key), one.binding.id or "") == one.binding.id, (one.owner, key)


def test_no_module_with_bindings_is_forgotten() -> None:
    package = Path(__file__).parents[2] / "springtui"
    found = {
        ".".join(("springtui", *path.relative_to(package).with_suffix("").parts))
        for path in package.rglob("*.py")
        if "BINDINGS: ClassVar" in path.read_text(encoding="utf-8")
    }
    assert found == set(WITH_BINDINGS)


ALIKE = {
    "Colour": "another quantity", "Quantity": "another quantity", "Scalar": "another quantity",
    "Make": "go on", "Resume": "go on", "Top": "go on",
    "Before": "left", "Less": "left", "Back": "left", "Left": "left", "Step": "left",
    "Next": "right", "More": "right", "Right": "right",
    "Next control": "down", "Control before": "up", "Layer": "up",
    "A little less": "finer", "A little more": "finer",
    "Log x": "x", "Log y": "y", "Words down": "further down", "Words up": "further up",
}  # fmt: skip
"""Words for one meaning. In the help, as in a pager, g is its top; lists and cells have h and l, or j and k."""


def test_a_letter_means_one_thing_on_every_screen() -> None:
    """Who has learnt x on one screen stops a run with it on the others, and does nothing else."""
    meanings: dict[str, set[str]] = {}
    for _, binding in all_bound():
        for key in keys_of(binding.key):
            if len(key) == 1 and binding.id not in {"choices.next", "choices.previous"}:
                word = ALIKE.get(binding.description, binding.description.lower())
                meanings.setdefault(key, set()).add(word)
    meanings["q"] -= {"close", "skip"}  # it leaves what is open
    assert {key: words for key, words in meanings.items() if len(words) > 1} == {}


def keys_of(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"lab.restrat": "R"}, "'lab.restrat' is no binding's id; the nearest is 'lab.restart'"),
        ({"lab.restart": "contrl+r"}, "'contrl+r' is no key"),
        ({"lab.restart": ""}, "'' is no key"),
        ({"lab.restart": "m"}, "m is lab.measure's already"),
        ({"lab.restart": "q"}, "q is app.quit's already"),
        ({"lab.restart": "pageup"}, "pageup is slider.much_more's already"),
        ({"lab.restart": "ctrl+p"}, "the command palette's"),
    ],
)
def test_wrong_ids_keys_and_clashes_are_named(keys: dict[str, str], said: str) -> None:
    good, problems = checked_keys(keys, "here", all_bound)
    assert good == {}
    assert len(problems) == 1
    assert said in problems[0]
    assert problems[0].startswith("here: keys: ")


def test_what_cannot_meet_may_share_a_key_and_two_may_swap() -> None:
    assert checked_keys({"phase.make": "m"}, "x", all_bound) == (
        {"phase.make": "m"},
        [],
    )  # the lab's m is another screen's
    assert checked_keys({"lab.restart": "m", "lab.measure": "r"}, "x", all_bound)[1] == []
    assert checked_keys({"app.help": "?,f1"}, "x", all_bound)[0] == {"app.help": "question_mark,f1"}


async def test_a_changed_key_works_and_the_help_and_footer_tell_it(config_file: Path, home: Path) -> None:
    config_file.parent.mkdir(parents=True)
    config_file.write_text('[keys]\n"lab.measure" = "z"\n"app.help" = "f1"\n"lab.nothing" = "y"')
    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        lab = app.screen
        assert isinstance(lab, LabScreen)
        before = lab.measure
        await pilot.press("m")
        assert lab.measure == before
        await pilot.press("z")
        assert lab.measure != before
        assert any("lab.nothing" in note.message for note in app._notifications)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = str(app.screen.query_one(Static).render())
        assert "F1" in text
        line = next(line for line in text.splitlines() if "(lab.measure)" in line)
        assert line.split()[0] == "z"


async def test_the_help_tells_every_key_of_the_screen_below_and_every_term(home: Path) -> None:
    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("question_mark")
        text = str(app.screen.query_one(Static).render())
        for owner, binding in all_bound():
            if owner in (LabScreen, Slider, Choices, type(app)):
                assert f"({binding.id})" in text, binding.id
        assert "(phase." not in text
        for term in (*NETWORK, *HEALTH, *CHAIN):
            assert term.name in text and term.formula in text  # noqa: PT018
        scroll = app.screen.query_one(Scroll)
        await pilot.press("j", "j", "down")
        await until(pilot, lambda: scroll.scroll_y == 3)
        await pilot.press("G")
        await until(pilot, lambda: scroll.scroll_y == scroll.max_scroll_y)
        await pilot.press("g")
        await until(pilot, lambda: scroll.scroll_y == 0)
        await pilot.press("escape", "f")
        await pilot.pause()
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = str(app.screen.query_one(Static).render())
        assert "(phase.make)" in text and "(heat_map.left)" in text and "(lab." not in text  # noqa: PT018


async def test_the_palette_has_every_action_of_the_screen(home: Path) -> None:
    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        lab = app.screen
        assert isinstance(lab, LabScreen)
        commands = {c.title.split("  (")[0]: c for c in app.get_system_commands(lab)}
        wanted = [b for owner, b in all_bound() if owner in (LabScreen, type(app)) and b.id != "app.save_screen"]
        assert {b.description for b in wanted} <= set(commands)
        before = lab.measure
        await commands["Measure"].callback()  # type: ignore[misc]
        assert lab.measure != before


async def test_arrows_and_the_keys_of_vi_move_alike(home: Path) -> None:
    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        slider = app.screen.query_one("#nonlinearity", Slider)
        slider.focus()
        start = slider.value
        await pilot.press("l", "right")
        assert slider.value > start
        await pilot.press("h", "left")
        assert slider.value == start
        await pilot.press("j")
        assert isinstance(app.focused, Choices)
        await pilot.press("j", "enter")
        assert [choice.value for choice in app.screen.query(Choice)].index(True) == 1
        await pilot.press("k", "enter")
        assert [choice.value for choice in app.screen.query(Choice)].index(True) == 0
        await pilot.press("tab", "up")
        assert isinstance(app.focused, Choices)


def test_keys_are_printed_as_on_keyboards() -> None:
    assert [readable(k) for k in ("left", "shift+left", "ctrl+t", "f5", "question_mark", "G")] == [
        "←", "Shift+←", "Ctrl+T", "F5", "?", "G",
    ]  # fmt: skip


async def test_the_tour_is_shown_once_and_again_when_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRINGTUI_TOUR", "on")
    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app.first_tour()
        await until(pilot, lambda: isinstance(app.screen, TourScreen) and bool(app.screen.query(Vertical)))
        for card in CARDS:
            frame = app.screen.query_one(Vertical)
            assert card.title in str(frame.border_title)
            assert app.screen_stack[-2].query(".-toured").first().id == card.about.strip("#")
            await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        assert not app.screen.query(".-toured")
        await until(pilot, lambda: load_user_state().tour_seen)
        app.first_tour()
        await pilot.pause()
        assert isinstance(app.screen, LabScreen)
        await app.action_tour()
        await until(pilot, lambda: isinstance(app.screen, TourScreen) and bool(app.screen.query(Vertical)))
        await pilot.press("right", "left")
        assert CARDS[0].title in str(app.screen.query_one(Vertical).border_title)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
    assert load_preferences().values.tour  # the preference stays what it was; that it was seen is remembered


async def test_the_lab_lives_behind_the_tour(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRINGTUI_TOUR", "on")
    app = SpringApp(home)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TourScreen))
        lab = app.screen_stack[-2]
        assert isinstance(lab, LabScreen)
        try:
            await until(pilot, lambda: "train" in lab.states and lab.states["train"].latest is not None)
            plot = lab.query_one("#network-curve")
            await until(pilot, lambda: any("⠉" <= c <= "⣿" for y in range(8) for c in plot.render_line(y).text))
        finally:
            await asyncio.to_thread(lab.control.stop_runs)
            for process in lab.session.leaving:
                await asyncio.to_thread(process.wait, 20)


@pytest.mark.parametrize("columns", [72, 80, 100, 120])
@pytest.mark.parametrize("screen", ["lab", "phase", "runs"])
async def test_the_bottom_line_names_quit_help_and_the_palette_at_any_width(
    home: Path, columns: int, screen: Literal["lab", "phase", "runs"]
) -> None:
    app = SpringApp(home, opening=Opening(screen), begin_runs=False)
    async with app.run_test(size=(columns, 24)) as pilot:

        def told() -> str:
            return app.screen._compositor.render_strips()[-1].text

        await until(pilot, lambda: told().rstrip().endswith("^p Palette") and "? Help" in told())
        assert "q Quit" in told()
        wanted = {"lab": ("space Pause", "r Restart"), "phase": ("g Make", "esc Back"), "runs": ("esc Back",)}
        assert all(key in told() for key in wanted[screen]) or columns < 80


async def test_ctrl_q_asks_as_q_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = SpringApp(home, begin_runs=False)
    monkeypatch.setattr(app.leaving, "going", lambda: 1)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("ctrl+q", "escape")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
