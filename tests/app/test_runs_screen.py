"""The Runs screen, driven as a person drives it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.lab import until
from support.made_runs import make_many, make_run, training_records
from support.real_terminal import Terminal
from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.runs.directory import Run
from engine.runs.label import read_label, write_label
from engine.runs.launch import launch
from engine.runs.listing import list_runs, open_home
from engine.runs.records import Note
from engine.settings.chain import ChainConfig
from engine.sweep.diagrams import make_sweep
from springtui.alerts.rules import AlertRule
from springtui.app import Opening, SpringApp
from springtui.dialogs import ChoiceScreen, PromptScreen
from springtui.phase.screen import PhaseScreen
from springtui.preferences.last_place import LastSession, save_last_session
from springtui.runs.comparison import ComparisonScreen
from springtui.runs.screen import RunsScreen
from springtui.runs.table import RunTable
from springtui.watch.screen import WatchScreen
from springtui.widgets.curves_plot import CurvesPlot

ENDLESS = ChainConfig(steps=10**12, replicas=4, blocks=3, pace=2000.0)


@asynccontextmanager
async def open_runs(home: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple[RunsScreen, Pilot[int]]]:
    app = SpringApp(home, opening=Opening("runs"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: len(screen.catalogue.rows) == len(list_runs(home)))
        yield screen, pilot


def described(screen: RunsScreen) -> bool:
    return all(screen.catalogue.is_described(name) for name in screen.table.in_view)


async def answer(pilot: Pilot[int], text: str) -> None:
    """Type into the prompt that is open, in place of what stands there."""
    await until(pilot, lambda: isinstance(pilot.app.screen, PromptScreen))
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await pilot.pause()


async def test_three_thousand_runs_cost_what_is_in_view(home: Path) -> None:
    make_many(home, 3000, epochs=2)
    async with open_runs(home) as (screen, pilot):
        await until(pilot, lambda: described(screen))
        rows = len(screen.table.in_view)
        assert rows < 40
        assert screen.catalogue.describes <= 2 * rows
        first = screen.table.current
        await pilot.press("end")
        assert screen.table.cursor == 2999
        await until(pilot, lambda: described(screen))
        await pilot.press("home", "down", "pagedown")
        assert screen.table.cursor == 1 + rows
        await until(pilot, lambda: described(screen))
        # some forty runs are not over by their records and are looked at again now and then; no others are
        again = sum(not row.is_over for row in screen.catalogue.rows.values() if row.about)
        assert screen.catalogue.describes < 6 * rows + 20 * again
        assert first == max(run.id for run in list_runs(home))
        screen.sort_by("loss", reverse=False)  # rests on every run's records; keys are answered meanwhile
        before = screen.table.current
        await pilot.press("home", "down")
        assert screen.table.current != before  # its place is another, once more runs are in order


async def test_a_quiet_list_is_looked_at_and_not_drawn(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list left open costs next to nothing; what another terminal does to a run in view is seen all the same."""
    make_many(home, 4)  # of these every fifth ended without a last word, and would be looked at again
    oldest = min(run.id for run in list_runs(home))
    async with open_runs(home) as (screen, pilot):
        await until(pilot, lambda: described(screen) and screen.overlay.known(screen.table.current or ""))
        drawn, looks = count(monkeypatch, screen, "_draw"), count(monkeypatch, screen.catalogue, "has_new")
        scans = count(monkeypatch, screen.catalogue, "scan")
        await until(pilot, lambda: len(looks) >= 2)
        before = len(drawn)
        await until(pilot, lambda: len(looks) >= 4)
        assert len(drawn) == before
        write_label(home / "runs" / oldest, name="told elsewhere")
        await until(pilot, lambda: screen.catalogue.rows[oldest].name == "told elsewhere")
        assert not scans
        await pilot.press("down")
        await until(pilot, lambda: len(drawn) > before)


def count(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[None]:
    """One item for every call from now on."""
    real, calls = getattr(owner, name), list[None]()

    def counted(*arguments: object) -> object:
        calls.append(None)
        return real(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


async def test_sorting_and_filtering(home: Path) -> None:
    make_many(home, 25)
    async with open_runs(home) as (screen, pilot):
        await pilot.press("s", "s")  # age, size, name
        assert screen.sort == ("name", False)
        assert screen.table.ids == sorted(screen.table.ids)
        await pilot.press("S")
        assert screen.table.ids == sorted(screen.table.ids, reverse=True)
        screen.sort_by("accuracy", reverse=True)
        await until(pilot, lambda: all(row.about for row in screen.catalogue.rows.values()))
        await until(pilot, lambda: screen.table.ids and "train" in screen.table.ids[0])
        best = [screen.catalogue.rows[name].value("test_accuracy") for name in screen.table.ids]
        known = [value for value in best if value is not None]
        assert known == sorted(known, reverse=True)
        await pilot.press("slash")
        await answer(pilot, "/chain|(/")
        assert isinstance(pilot.app.screen, PromptScreen)  # it stays, and says what is wrong
        assert "no regular expression" in str(pilot.app.screen.query_one("#wrong", Static).content)
        await answer(pilot, "/-chain-/")
        await until(pilot, lambda: screen.table.ids and all("-chain-" in name for name in screen.table.ids))
        await pilot.press("slash")
        await answer(pilot, "no such run")
        await until(pilot, lambda: not screen.table.ids)
        assert "no run fits" in screen.table.EMPTY
        await pilot.press("slash")
        await answer(pilot, "")
        await until(pilot, lambda: len(screen.table.ids) == 25)
        await pilot.click(screen.table, offset=(6, 0))
        assert screen.sort == ("name", False)


async def test_labels_are_written_and_shown_inert(home: Path) -> None:
    make_many(home, 4)
    async with open_runs(home) as (screen, pilot):
        await pilot.press("end")
        name = screen.table.current
        assert name is not None
        run = Run(home / "runs" / name)
        await pilot.press("e")
        await answer(pilot, "[red]mine[/red]")
        await until(pilot, lambda: read_label(run.path).name == "[red]mine[/red]")
        await pilot.press("a")
        await answer(pilot, "look again")
        await pilot.press("asterisk")
        await until(pilot, lambda: read_label(run.path).pinned and read_label(run.path).text == "look again")
        await until(pilot, lambda: screen.table.ids[0] == name)
        line = screen.table.render_line(1).text
        assert "[red]mine[/red]" in line
        await pilot.press("e")
        await answer(pilot, "x" * 500)
        await until(pilot, lambda: any("at most" in n.message for n in pilot.app._notifications))
        await pilot.press("asterisk")
        await until(pilot, lambda: not read_label(run.path).pinned)


async def test_space_marks_and_stays_on_the_run(home: Path) -> None:
    make_many(home, 5)
    async with open_runs(home) as (screen, pilot):
        await until(pilot, lambda: described(screen))
        await pilot.press("down")
        run_id = screen.table.current
        assert screen.table.cursor == 1
        await pilot.press("space")
        assert screen.marked == [run_id]
        assert screen.table.current == run_id
        line = screen.table.render_line(2).text
        assert line.startswith("●")
        await until(pilot, lambda: "1 marked" in str(screen.query_one("#said", Static).content))
        await pilot.press("space")
        assert screen.marked == []
        assert screen.table.cursor == 1
        assert not screen.table.render_line(2).text.startswith("●")


async def test_overlay_reads_every_marked_run_out(home: Path) -> None:
    for i in range(3):
        make_run(home, training_records(30 + i), i, began=1.7e9 + 100 * i)
    async with open_runs(home) as (screen, pilot):
        await until(pilot, lambda: described(screen))
        await pilot.press("space", "down", "space", "down", "space")
        assert len(screen.marked) == 3
        plot = screen.query_one(CurvesPlot)
        await until(pilot, lambda: len(plot.curves) == 3)
        assert [len(one.x) for one in plot.curves] == [9, 9, 9]
        await pilot.press("o")
        assert pilot.app.focused is plot
        await pilot.press("right", "right", "right")
        assert plot.cursor == 6
        assert len(plot.readout()) == 3
        legend = str(screen.query_one("#about", Static).content)
        assert all(screen.catalogue.rows[name].name in legend for name in screen.marked)
        await pilot.press("c")  # the next quantity: loss over time
        await until(pilot, lambda: screen.quantity == "train_loss" and len(plot.curves[0].x) >= 30)
        await pilot.press("Y", "X", "z", "plus")
        assert "log x · log y · mean of 5 · zoomed" in str(plot.border_title)
        await pilot.press("0")
        assert plot.readout() == []


async def test_a_run_that_ended_before_the_cursor_has_no_value_there(home: Path) -> None:
    for i, count in enumerate((14, 200)):
        make_run(home, training_records(count), i, began=1.7e9 + 100 * i)
    async with open_runs(home) as (screen, pilot):
        await until(pilot, lambda: described(screen))
        await pilot.press("space", "down", "space", "c")
        plot = screen.query_one(CurvesPlot)
        await until(pilot, lambda: screen.quantity == "train_loss" and len(plot.curves) == 2)
        await pilot.press("o", "right")
        assert plot.cursor is not None
        assert 13 < plot.cursor < 199
        long, short = (screen.catalogue.rows[name].name for name in screen.marked)
        lines = str(screen.query_one("#about", Static).content).splitlines()
        assert lines[1].endswith(f"{short}  –")
        assert lines[0].startswith(f"─── {long}  ")
        assert "–" not in lines[0]
        for _ in range(100):
            await pilot.press("left")
        assert "–" not in str(screen.query_one("#about", Static).content).splitlines()[1]
        await pilot.press("0")


def test_what_was_deleted_before_a_kill_is_brought_back(home: Path) -> None:
    """The real program, killed with what it had deleted in its trash."""
    make_many(home, 2)
    words = "import pathlib, sys; from springtui.app import *; "
    words += "sys.exit(run_app(pathlib.Path(sys.argv[1]), opening=Opening('runs')))"
    program = [sys.executable, "-c", words, str(home)]
    with Terminal(program) as terminal:
        terminal.wait_for("2 runs", 60)
        terminal.press("D")
        terminal.wait_for("Until you leave, U brings back")
        terminal.press("y")
        terminal.wait_for("1 deleted, U brings back")
        terminal.process.kill()
        terminal.process.wait()
    assert len(list_runs(home)) == 1
    with Terminal(program) as terminal:
        terminal.wait_for("1 deleted, U brings back", 60)
        terminal.press("U")
        terminal.wait_for("2 runs")
        terminal.press("q")
        assert terminal.wait_exit() == 0
    assert len(list_runs(home)) == 2
    assert list((home / "trash").iterdir()) == []


async def test_delete_asks_and_is_undone(home: Path) -> None:
    make_many(home, 5)
    async with open_runs(home) as (screen, pilot):
        name = screen.table.current
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("escape")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        assert len(list_runs(home)) == 5
        await pilot.press("y")
        await until(pilot, lambda: len(list_runs(home)) == 4 and name not in screen.table.ids)
        await pilot.press("U")
        await until(pilot, lambda: len(list_runs(home)) == 5 and name in screen.table.ids)
        await pilot.press("home", "D")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("y")
        await until(pilot, lambda: len(list_runs(home)) == 4)
    assert list((home / "trash").iterdir()) == []  # whoever leaves has meant it


async def test_rules_forget_a_deleted_run_alone(home: Path) -> None:
    make_many(home, 3)
    async with open_runs(home) as (screen, pilot):
        app = pilot.app
        assert isinstance(app, SpringApp)
        app.alerts.rules = (AlertRule(on="threshold", metric="train_loss", below=-1.0), AlertRule(on="crashed"))
        names = [run.id for run in list_runs(home)]
        for name in names:
            app.check_alerts(name, "running", {"train_loss": 1.0}, heard=5.0)
        assert {run for run, _ in app.alerts._held} == set(app.alerts._heard) == set(names)
        deleted = screen.table.current
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("y")
        await until(pilot, lambda: deleted not in screen.table.ids)
        left = set(names) - {deleted}
        assert {run for run, _ in app.alerts._held} == {run for run, _ in app.alerts._clear} == left
        assert set(app.alerts._heard) == left


async def test_stop_resume_and_duplicate_real_workers(home: Path) -> None:
    run = Run.create(open_home(home), ENDLESS)
    process = launch(run)
    try:
        async with open_runs(home) as (screen, pilot):
            await until(pilot, lambda: screen.row is not None and screen.row.status == "running")
            await pilot.press("x")
            await until(pilot, lambda: screen.row.status == "stopped")  # type: ignore[union-attr]
            await asyncio.to_thread(process.wait, 20)
            await pilot.press("g")
            await until(pilot, lambda: screen.row.status == "running")  # type: ignore[union-attr]
            await pilot.press("w")
            await answer(pilot, "noise=-1")
            assert isinstance(pilot.app.screen, PromptScreen)
            assert "noise = '-1' is not allowed" in str(pilot.app.screen.query_one("#wrong", Static).content)
            await answer(pilot, "noise=0.05 seed=7 steps=200")
            await until(pilot, lambda: len(list_runs(home)) == 2)
            new = next(other for other in list_runs(home) if other.id != run.id)
            settings = new.config().settings
            assert isinstance(settings, ChainConfig)
            assert (settings.noise, settings.seed, settings.steps, settings.blocks) == (0.05, 7, 200, 3)
            await until(pilot, lambda: new.status() == "finished")
            screen.table.point_at(run.id)
            await pilot.press("x")
            await until(pilot, lambda: run.status() == "stopped")
            for worker in screen.actions.run_workers.processes.values():
                await asyncio.to_thread(worker.wait, 20)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def test_opening_and_going_back(home: Path) -> None:
    make_run(home, training_records(20))
    Run.create(
        home, make_sweep("chain-twin", {"blocks": 3}, axes={"x": ("noise", (0.1,)), "y": ("mu_right", (0.1,))})
    )
    async with open_runs(home) as (screen, pilot):
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WatchScreen))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("home", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhaseScreen))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)


async def test_an_alert_rings_when_a_run_in_the_list_ends(home: Path, config_file: Path) -> None:
    config_file.parent.mkdir(parents=True, exist_ok=True)
    config_file.write_text('[[alerts]]\non = "stopped"\n')
    run = Run.create(open_home(home), ENDLESS)
    process = launch(run)
    rung: list[bool] = []
    try:
        async with open_runs(home) as (screen, pilot):
            pilot.app.bell = lambda: rung.append(True)  # type: ignore[method-assign]
            await until(pilot, lambda: screen.row is not None and screen.row.status == "running")
            await pilot.pause(1.2)  # it has been seen to go on
            run.ask("stop")
            await until(pilot, lambda: rung)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def test_an_empty_and_a_small_screen(home: Path) -> None:
    open_home(home)
    async with open_runs(home, (80, 24)) as (screen, pilot):
        await until(pilot, lambda: "no runs yet" in screen.table.EMPTY)
        assert not screen.query_one("#below").display
        await pilot.press(
            "space", "asterisk", "e", "a", "x", "g", "w", "D", "U", "enter", "o", "c"
        )  # nothing to act on
        assert pilot.app.screen is screen
        await pilot.resize_terminal(50, 12)
        await until(pilot, lambda: screen.has_class("-small"))
        make_run(home, training_records(5))
        write_label(list_runs(home)[0].path, name="now there")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: screen.table.ids and "now there" in screen.table.render_line(1).text)


async def test_after_watching_the_list_begins_at_that_run_and_no_other_has_the_cursor(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [make_run(home, training_records(5), i, began=1.7e9 + 100 * i) for i in range(1, 9)]
    watched = Run(folders[2])
    save_last_session(home, LastSession(screen="watch", run=folders[5].name))
    monkeypatch.setattr(WatchScreen, "on_unmount", lambda self: self.follower.close())  # it is closed late
    held: list[str | None] = []
    draw = RunTable.draw

    def noted(self: RunTable) -> None:
        if self.ids:
            held.append(self.current)
        draw(self)

    monkeypatch.setattr(RunTable, "draw", noted)
    app = SpringApp(home, opening=Opening("watch", watched))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and bool(held))
        app._note_session()
        assert app.last_session.run == watched.id
        await pilot.press("space")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        assert screen.marked == [watched.id]
        assert set(held) == {watched.id}


async def test_the_key_of_comparing_is_shown_once_two_are_marked(home: Path) -> None:
    for i in range(1, 4):
        make_run(home, training_records(5), i, began=1.7e9 + 100 * i)
    app = SpringApp(home, opening=Opening("runs"))

    def shown() -> bool:
        return any(
            one.enabled and one.binding.show and one.binding.key == "B"
            for one in app.screen.active_bindings.values()
        )

    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.table.ids) == 3)
        assert not shown()
        await pilot.press("space")
        assert not shown()
        await pilot.press("down", "space")
        assert shown()
        await pilot.press("down", "space")
        assert not shown()
        await pilot.press("B")
        await until(pilot, lambda: any("3 are marked" in note.message for note in app._notifications))
        await pilot.press("space", "B")
        await until(pilot, lambda: isinstance(app.screen, ComparisonScreen))
        assert isinstance(app.screen, ComparisonScreen)
        first, second = app.screen.rows
        assert first.created < second.created


async def test_a_notice_of_a_run_says_its_name_and_an_alert_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(home, training_records(5), 1)
    write_label(folder, name="[b]mine")
    other = make_run(home, training_records(5), 2, began=1.7e9 + 50)
    async with open_runs(home) as (screen, _):
        app = screen.app
        assert isinstance(app, SpringApp)
        app.alerts.rules = (AlertRule(on="threshold", metric="loss", above=1.0, bell=False),)
        told: list[str] = []
        monkeypatch.setattr(app, "notify", lambda message, **_: told.append(message))
        warning = Note(seq=9, time=1.7e9, level="warning", text="h.1 is dead")
        for name in (folder.name, other.name):
            for loss in (0.5, 2.0):
                app.check_alerts(name, "running", {"loss": loss}, heard=1.0, warnings=[])
            app.check_alerts(name, "running", {"loss": 2.0}, heard=1.0, warnings=[warning], new=False)
        assert "[b]mine: loss is 2, above 1" in told
        assert "[b]mine: h.1 is dead" in told
        assert f"{other.name}: h.1 is dead" in told
