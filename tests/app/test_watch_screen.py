"""The Watch screen: replay, control and what is shown of a run, with real files and real workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.lab import until
from support.made_runs import SPIKE, make_run, training_records
from textual.pilot import Pilot
from textual.widgets import Input, Static
from textual.widgets._footer import FooterKey

from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import list_runs, open_home
from engine.runs.records import Ended, Note, encode
from engine.settings.chain import ChainConfig
from springtui.app import Opening, SpringApp
from springtui.dialogs import PromptScreen
from springtui.preferences.last_place import Seen, load_last_session, save_last_session
from springtui.runs.screen import RunsScreen
from springtui.watch import requests
from springtui.watch.screen import WatchScreen
from springtui.watch.time_bar import TimeBar
from springtui.widgets.curves_plot import CurvesPlot
from springtui.widgets.lines import Console, bars, fold

ENDLESS = ChainConfig(steps=10**12, replicas=4, blocks=3, pace=2000.0, frames=20.0)
COUNT = 2000


@asynccontextmanager
async def watch(
    run: Run, home: Path, size: tuple[int, int] = (120, 40), *, read_only: bool = False
) -> AsyncIterator[tuple[WatchScreen, Pilot[int]]]:
    app = SpringApp(home, opening=Opening("watch", run, read_only))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, WatchScreen)
        yield screen, pilot


def said(screen: WatchScreen, selector: str = "#said") -> str:
    return str(screen.query_one(selector, Static).content)


@asynccontextmanager
async def endless(home: Path) -> AsyncIterator[Run]:
    """A chain that goes on for ever; its worker is gone at the end."""
    run = Run.create(open_home(home), ENDLESS)
    process = launch(run)
    try:
        yield run
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def test_a_run_is_replayed_and_everything_moves_together(home: Path) -> None:
    run = Run(make_run(home, training_records(COUNT)))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == COUNT)
        bar, history = screen.query_one(TimeBar), screen.query_one("#history", CurvesPlot)
        assert bar.position == COUNT - 1
        assert len(bar._moves) == 10
        assert "◆" in bar.render_line(0).text
        assert max(history.curves[-1].y) == SPIKE
        await pilot.press("home")
        await until(pilot, lambda: screen.view.state.at == 0)
        assert screen.view.state.settings["data_noise"] == 0.2
        await pilot.press("full_stop", "full_stop", "full_stop", "comma")
        await until(pilot, lambda: screen.view.state.at == 2)
        assert "replay" in said(screen, "#head")
        await pilot.press("right")  # a fiftieth
        await until(pilot, lambda: screen.view.state.at == 2 + COUNT // 50)
        assert screen.query_one("#curve", CurvesPlot)._about == (run.id, "trace_ratio")  # whose axis is held
        now = next(one for one in screen.query_one("#curve", CurvesPlot).curves if one.name == "now")
        assert list(now.y) == screen.view.state.latest.curves["trace_ratio"]  # type: ignore[union-attr]
        assert max(history.curves[-1].x) <= screen.view.state.at  # and what is to come stands faint behind
        assert max(history.curves[0].x) == COUNT - 1
        await pilot.click(bar, offset=(bar.size.width // 2, 0))
        await until(pilot, lambda: abs(screen.view.state.at - COUNT // 2) < 0.02 * COUNT)
        await until(pilot, lambda: "data_noise 0.3" in said(screen, "#facts"))
        before = screen.view.state.at
        for _ in range(10):
            await pilot.press("greater_than_sign")
        assert screen.replay.speed == 100
        await pilot.press("space")
        await until(pilot, lambda: screen.view.state.at > before + 300)
        await until(pilot, lambda: screen.replay.position is None)  # played to the end
        assert not screen.replay.playing
        assert screen.view.state.at == COUNT - 1


async def test_playing_takes_the_run_s_own_time(home: Path) -> None:
    run = Run(make_run(home, training_records(COUNT)))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == COUNT)
        await pilot.press("space")
        await until(pilot, lambda: screen.replay.position == 0 or screen.view.state.at < 40)
        await until(pilot, lambda: screen.view.state.at >= 20)  # a second of the run at twenty records a second
        await pilot.press("space")
        assert not screen.replay.playing
        held = screen.replay.position
        await pilot.pause(0.3)
        assert screen.replay.position == held
        await pilot.press("end")
        assert screen.replay.position is None


async def test_control_is_acknowledged_or_refused(home: Path) -> None:
    async with endless(home) as run, watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.state.at > 0)
        await pilot.press("b")
        await until(pilot, lambda: screen.whole.state.status == "paused")
        await until(pilot, lambda: "pause: acknowledged at step" in said(screen))
        await pilot.press("b")
        await until(pilot, lambda: "resume: acknowledged" in said(screen))
        for text, wrong in (
            ("noise", "key=value"), ("noise=-1", "noise = '-1' is not allowed"), ("noize=1", "nearest is 'noise'"),
            ("blocks=4", "cannot change while it runs"),
        ):  # fmt: skip
            await pilot.press("i")
            await until(pilot, lambda: isinstance(pilot.app.screen, PromptScreen))
            pilot.app.screen.query_one(Input).value = text
            await pilot.press("enter")
            await until(pilot, lambda: wrong in str(pilot.app.screen.query_one("#wrong", Static).content))  # noqa: B023
            await pilot.press("escape")
        await pilot.press("i")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptScreen))
        pilot.app.screen.query_one(Input).value = "noise=0.1"
        await pilot.press("enter")
        await until(pilot, lambda: screen.whole.state.settings["noise"] == 0.1)
        await until(pilot, lambda: "set noise=0.1: acknowledged" in said(screen))
        run.ask("dance")  # what another asks is not shown as ours
        await pilot.press("x")
        await until(pilot, lambda: screen.whole.state.status == "stopped")
        await until(pilot, lambda: "stop: acknowledged" in said(screen))


async def test_a_request_that_nobody_hears_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.2)
    run = Run(make_run(home, training_records(50)))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 50)
        await pilot.press("b")
        await until(pilot, lambda: "pause: not acknowledged" in said(screen))
        assert screen.query_one("#said").has_class("-wrong")


async def test_read_only_asks_nothing(home: Path) -> None:
    run = Run(make_run(home, training_records(50)))
    async with watch(run, home, read_only=True) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 50)
        assert "read-only" in said(screen)
        await pilot.press("b", "x", "i")
        assert pilot.app.screen is screen
        assert (run.path / "control.jsonl").read_bytes() == b""


async def test_what_was_missed_is_told_and_the_app_opens_where_it_was(home: Path) -> None:
    run = Run(make_run(home, training_records(50)))
    async with watch(run, home, (80, 24)) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 50)
        await pilot.press("right_square_bracket", "m")
        await until(pilot, lambda: screen.tab == "history")
        await pilot.press("q")
    assert load_last_session(home).seen[run.id].records == screen.whole.state.records
    with (run.path / "events.jsonl").open("ab") as file:
        file.writelines(encode(event) for event in list(training_records(80))[-20:])
    last = load_last_session(home)
    assert last.away(run.id, 1000, last.seen[run.id].time + 9) == ""  # a glance elsewhere is no absence
    last.seen[run.id] = Seen(last.seen[run.id].records, last.seen[run.id].time - 60)
    (home / "place.json").unlink()  # the newer time in it would be kept
    save_last_session(home, last)
    app = SpringApp(home, opening=Opening("last"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
        again = pilot.app.screen
        assert isinstance(again, WatchScreen)
        await until(pilot, lambda: "20 records caught up" in said(again))
        assert "away" in said(again)
        assert (again.watched.id, again.tab, again.measure) == (run.id, "history", "fuzziness")


async def test_text_from_files_is_inert(home: Path) -> None:
    nasty = "\x1b]0;owned\x07[red]\u202e[/red]"
    events = [*training_records(5), Note(text=nasty)]
    run = Run(make_run(home, events))
    run.log_path.write_text(f"first {nasty}\n" + "long word " * 20 + "\n\N{CJK UNIFIED IDEOGRAPH-6F22}" * 3)
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 5 and screen.follower.log)
        console = screen.query_one(Console)
        await until(
            pilot, lambda: "first" in "".join(console.render_line(y).text for y in range(console.size.height))
        )
        lines = [console.render_line(y).text for y in range(console.size.height)]
        shown = "".join([*lines, said(screen, "#facts"), said(screen, "#head")])
        assert "[red]" in shown
        assert not any(bad in shown for bad in "\x1b\x07\u202e")
        console.focus()
        await pilot.press("up", "pageup", "down", "pagedown")


@pytest.mark.parametrize("damage", ["config", "no records", "garbage", "gone", "directory"])
async def test_damaged_runs_are_told_and_never_a_crash(home: Path, damage: str) -> None:
    folder = make_run(home, [] if damage == "no records" else training_records(5))
    if damage == "config":
        (folder / "config.json").write_bytes(b"{nonsense")
    elif damage == "garbage":
        (folder / "events.jsonl").write_bytes(bytes(range(256)) * 2000)
    elif damage == "directory":
        (folder / "events.jsonl").unlink()
        (folder / "events.jsonl").mkdir()
    async with watch(Run(folder), home) as (screen, pilot):
        await until(pilot, lambda: screen.follower.complete)
        if damage == "gone":
            await until(pilot, lambda: screen.whole.curves == 5)
            folder.rename(home / "elsewhere")
        wanted = {"config": "is damaged", "gone": "directory is gone"}.get(damage, "")
        await until(pilot, lambda: wanted in said(screen))
        if damage == "garbage":
            await until(pilot, lambda: "damaged lines" in said(screen, "#head"))
        await pilot.press("space", "comma", "full_stop", "home", "end", "c", "m", "v", "i", "b")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))


async def test_sizes_and_panels(home: Path) -> None:
    run = Run(make_run(home, training_records(30)))
    async with watch(run, home, (80, 24)) as (screen, pilot):
        await until(pilot, lambda: screen.whole.curves == 30)
        assert [w.id for w in screen.query("#grid > *") if w.display] == ["curve", "loads"]
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: screen.query_one("#facts").display)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: screen.query_one("#console").display)
        await pilot.resize_terminal(60, 15)
        await until(pilot, lambda: screen.has_class("-small"))
        assert "72×20" in said(screen, "#too-small")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: not screen.has_class("-tabbed"))
        assert sum(w.display for w in screen.query("#grid > *")) == 6
        for _ in range(3):  # loss, accuracy, rate
            await pilot.press("c")
        assert screen.scalars.group == "loss"


async def test_a_chain_is_drawn_and_its_use_is_measured(home: Path) -> None:
    async with endless(home) as run, watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.state.at > 0)
        assert screen.query_one("#chain-view").display
        assert not screen.query_one("#loads").display
        assert screen.measure == "distance"
        await until(pilot, lambda: "worker" in said(screen, "#usage") and "MiB" in said(screen, "#usage"))
        assert "GPU" in said(screen, "#usage")
        await pilot.press("v", "m")
        assert "Folding ruler" in str(screen.query_one("#chain-view").border_title)
        assert len(list_runs(home)) == 1


def test_lines_are_folded_at_spaces_and_bars_scaled() -> None:
    assert fold("", 10) == [""]
    assert fold("one two three four", 10) == ["one two", "three four"]
    assert all(len(piece) <= 10 for piece in fold("x" * 35, 10))
    assert "".join(fold("x" * 35, 10)) == "x" * 35
    assert bars([0.0, 0.5, 1.0, None], 6, 1.0) == "  ▁▅█ " or bars([0.0, 0.5, 1.0, None], 6, 1.0) == "  ▁▄█ "


def offered(screen: WatchScreen) -> set[str]:
    """What the bottom line names."""
    return {key.description for key in screen.query(FooterKey)}


async def test_nothing_is_offered_to_ask_of_a_run_that_has_ended(home: Path) -> None:
    run = Run(make_run(home, [*training_records(50), Ended(reason="finished", time=1.7e9 + 60)]))
    async with watch(run, home) as (screen, pilot):
        await until(pilot, lambda: screen.whole.state.status == "finished")
        asking = {"Pause", "Stop", "Set"}
        await until(pilot, lambda: "Quantity" in offered(screen) and not offered(screen) & asking)
        await pilot.press("b", "x", "i")
        assert pilot.app.screen is screen
        assert (run.path / "control.jsonl").read_bytes() == b""
        stop = next(command for command in screen.commands() if command.title == "Stop the run")
        await stop.callback()  # type: ignore[misc]
        told = pilot.app._notifications
        await until(pilot, lambda: any("run is finished: it has no process" in one.message for one in told))
