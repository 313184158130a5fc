"""The lab screen with real workers behind it, driven as a person drives it."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from support.lab import open_lab, until

from engine.measures.load_curve import WORDS
from engine.measures.registry import PROBES
from engine.runs.directory import Run
from engine.runs.launch import launch
from engine.runs.listing import list_runs
from engine.runs.records import Acknowledged, Curve, Started
from engine.runs.status import Status
from springtui.app import SpringApp
from springtui.help.screen import HelpScreen
from springtui.lab.choice import Choice, Choices
from springtui.lab.panels import words
from springtui.lab.screen import LabScreen
from springtui.lab.session import PANELS, LabSession
from springtui.lab.settings import moved, network_settings
from springtui.lab.slider import Slider
from springtui.state.knobs import NOISE_KINDS
from springtui.state.run_state import RunState


def acknowledged(run: Run) -> list[dict[str, object]]:
    return [e.settings for e in run.events() if isinstance(e, Acknowledged)]


@pytest.mark.real_start
async def test_both_systems_live_and_follow_the_sliders(home: Path) -> None:
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: all(p in lab.states and lab.states[p].latest for p in ("train", "chain")))
        slider = lab.query_one("#nonlinearity", Slider)
        slider.focus()
        await pilot.press("home")
        train, chain = lab.session.runs["train"], lab.session.runs["chain"]
        await until(pilot, lambda: {"negative_slope": 1.0} in acknowledged(train))
        await until(pilot, lambda: any(s.get("input_share") == 1.0 for s in acknowledged(chain)))
        await until(pilot, lambda: slider.in_force == 0.0)
        await pilot.press("space")
        await until(pilot, lambda: all(s.status == "paused" for s in lab.states.values()))
        at = train.last_events(1)[0].seq
        await pilot.pause(0.5)
        assert train.last_events(1)[0].seq == at
        await pilot.press("space")
        await until(pilot, lambda: all(s.status == "running" for s in lab.states.values()))
        await pilot.press("n")
        await until(
            pilot, lambda: any("dropout" in s or "lr" in s or "data_noise" in s for s in acknowledged(train))
        )
    assert [run.status() for run in list_runs(home)] == ["stopped", "stopped"]


async def test_a_killed_worker_is_told_and_restarted(home: Path) -> None:
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: "train" in lab.states and lab.states["train"].latest is not None)
        lab.session.processes["train"].kill()
        await until(pilot, lambda: lab.states["train"].status == "crashed")
        assert "or r to restart" in lab.control.trouble["train"]
        old = lab.session.runs["train"].id
        await pilot.press("r")
        await until(pilot, lambda: "train" in lab.states and lab.states["train"].run_id != old)
        await until(pilot, lambda: lab.states["train"].latest is not None)
        assert "train" not in lab.control.trouble


def started(run: Run) -> list[Started]:
    return [event for event in run.events() if isinstance(event, Started)]


@pytest.mark.usefixtures("quick_network")
async def test_a_killed_worker_is_resumed_where_it_was_and_hears_what_was_moved_meanwhile(home: Path) -> None:
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: all(p in lab.states and lab.states[p].latest for p in PANELS), 90)
        run, chain = lab.session.runs["train"], lab.session.runs["chain"]
        await until(pilot, lambda: run.checkpoint_path.exists(), 90)
        lab.session.processes["train"].kill()
        await until(pilot, lambda: lab.states["train"].status == "crashed")
        assert f"springtui resume {run.id}" in lab.control.trouble["train"]
        lab.query_one("#nonlinearity", Slider).focus()
        await pilot.press("home")
        await pilot.press("g", "g")
        await until(pilot, lambda: lab.states["train"].status == "running", 90)
        assert not lab.control.trouble
        assert len(started(run)) == 2
        assert started(run)[-1].facts["from_step"] > 0
        await until(pilot, lambda: {"negative_slope": 1.0} in acknowledged(run), 90)
        assert lab.session.runs == {"train": run, "chain": chain}
        assert len(list_runs(home)) == 2

        lab.session.processes["train"].kill()  # and once more, resumed from elsewhere
        await until(pilot, lambda: "SIGKILL" in lab.control.trouble.get("train", ""))
        outside = launch(run)
        try:
            await until(pilot, lambda: "train" not in lab.control.trouble, 90)
            await until(pilot, lambda: lab.states["train"].status == "running")
            await pilot.press("g")
            assert len(started(run)) == 3
        finally:
            outside.terminate()
            await asyncio.to_thread(outside.wait, 60)


async def test_a_lab_opened_again_takes_up_each_panel_by_itself(home: Path) -> None:
    first: list[Any] = []
    try:
        async with open_lab(home, stop=False) as (lab, pilot):
            first += lab.session.processes.values()
            await until(pilot, lambda: all(p in lab.states and lab.states[p].latest for p in PANELS), 90)
            left = dict(lab.session.runs)
            lab.session.processes["train"].kill()
            await until(pilot, lambda: lab.states["train"].status == "crashed")
        async with open_lab(home) as (lab, pilot):
            await until(pilot, lambda: "SIGKILL" in lab.control.trouble.get("train", ""))
            await until(pilot, lambda: lab.states["chain"].latest is not None)
            assert {panel: run.id for panel, run in lab.session.runs.items()} == {
                panel: run.id for panel, run in left.items()
            }
            assert lab.states["train"].latest is not None
            assert live(home) == {left["chain"].id}
            assert len(list_runs(home)) == 2
            await pilot.press("g")
            await until(pilot, lambda: lab.states["train"].status == "running", 90)
            assert not lab.control.trouble
    finally:
        for process in first:
            process.terminate()
            process.wait(60)


async def test_sizes_and_help(home: Path) -> None:
    async with open_lab(home, (80, 24)) as (lab, pilot):
        assert lab.has_class("-tabbed")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: lab.has_class("-chain"))
        assert lab.query_one("#chain-view").display
        assert not lab.query_one("#loss").display
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        await pilot.press("escape")
        await pilot.resize_terminal(50, 12)
        await until(pilot, lambda: lab.has_class("-small"))
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: not lab.has_class("-tabbed"))
        assert lab.query_one("#loss").display


async def test_an_unwritable_home_is_said_and_the_app_stays(home: Path) -> None:
    home.write_text("in the way")
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: set(lab.control.trouble) == {"train", "chain"})
        assert "SPRINGTUI_HOME" in lab.control.trouble["train"]


@pytest.mark.usefixtures("quick_network")
async def test_probes_ruler_and_pulling_by_keys(home: Path) -> None:
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: all(p in lab.states and lab.states[p].latest for p in ("train", "chain")))
        await until(pilot, lambda: "held" in lab._words["#facts"])
        for _ in range(3):
            await pilot.press("m")
        await until(pilot, lambda: lab.states["train"].latest.linear_probes is not None)  # type: ignore[union-attr]
        await until(pilot, lambda: "linear probes" in str(lab.query_one("#network-curve").border_title))
        await pilot.press("m")
        await until(pilot, lambda: not lab.states["train"].settings["linear_probes"])
        await pilot.press("v")
        assert "folding ruler" in str(lab.query_one("#chain-view").border_title)
        old = lab.session.runs["chain"].id
        await pilot.press("p")
        await until(pilot, lambda: "chain" in lab.states and lab.states["chain"].run_id != old)
        await until(pilot, lambda: lab.states["chain"].settings.get("pulling") == "steady")
        await until(pilot, lambda: bool(lab._words.get("#facts")) and "twin F*" in lab._words["#facts"])


async def test_a_lab_of_ones_own_network_starts_at_its_settings(home: Path) -> None:
    settings = {"dataset": "digits", "depth": 5, "width": 20, "batch_size": 64, "dropout": 0.1, "epochs": 300}
    async with open_lab(home, settings=settings) as (lab, pilot):
        await until(pilot, lambda: "train" in lab.states and lab.states["train"].latest is not None)
        state = lab.states["train"]
        assert len(state.layers) == 6
        assert {k: state.settings[k] for k in ("dropout", "batch_size", "negative_slope")} == {
            "dropout": 0.1, "batch_size": 64, "negative_slope": 0.0,
        }  # fmt: skip
        assert lab.kind.key == "dropout"
        assert lab.query_one("#noise", Slider).value == 0.1


EXPLOSIVE = {
    "dataset": "digits", "batch_size": 2560, "batch_norm": False, "optimizer": "sgd", "loss": "mse",
    "init_scale": 2.0, "epochs": 5000, "early_stop": False,
}  # fmt: skip


async def test_a_network_that_diverges_is_said_to_at_which_epoch(home: Path) -> None:
    async with open_lab(home, size=(80, 24), settings=EXPLOSIVE) as (lab, pilot):
        await until(pilot, lambda: "train" in lab.states and lab.states["train"].latest is not None)
        await pilot.press("n")
        lab.query_one("#noise", Slider).focus()
        await pilot.press("end")
        await until(pilot, lambda: lab.states["train"].status == "diverged")
        await until(pilot, lambda: "diverged at epoch" in lab._words["#facts"].splitlines()[1])
        assert lab.session.runs["train"].status() == "diverged"
        await until(pilot, lambda: any(note.title == "diverged" for note in pilot.app._notifications))


async def test_advice_can_be_read_in_the_smallest_terminal_too(home: Path) -> None:
    async with open_lab(home, size=(80, 24)) as (lab, pilot):
        await until(pilot, lambda: lab._words.get("#advice") and lab.predictions.predicted)
        await pilot.press("]")
        await pilot.press("]")
        advice = lab.query_one("#advice")
        await until(pilot, lambda: lab.query_one("#controls").region.contains_region(advice.region))
        assert advice.region.height > 1


SAID = {
    "balanced": "share the load",
    "uneven, neither end lazy": "no setting is known",
    "shallow layers lazy": "The shallow layers are lazy",
    "deep layers lazy": "The deep layers are lazy",
}
"""The advice to each regime; where the curve's shape means nothing it is the reason itself."""


def said_of(regime: str) -> str:
    regime = regime.split(" by ")[0]
    return SAID.get(regime, regime[1:])


async def test_advice_is_of_the_curve_above_it_and_goes_with_its_run(home: Path) -> None:
    async with open_lab(home) as (lab, pilot):
        said: set[str] = set()
        await until(pilot, lambda: lab._words.get("#advice"), 90)
        for measure in ("trace_ratio", "fuzziness", "inverse_fuzziness", "linear_probes"):
            assert lab.measure == measure
            for _ in range(10):
                regime = lab._words["#regime"].splitlines()[0]
                assert said_of(regime) in lab._words["#advice"], (measure, regime)
                said.add(lab._words["#advice"])
                await pilot.pause(0.1)
            await pilot.press("m")
        assert len(said) > 1
        await until(pilot, lambda: bool(lab.predictions.predicted), 90)
        await pilot.press("r")
        assert lab._words["#advice"] == ""
        assert not lab.predictions.predicted
        await until(pilot, lambda: lab._words["#advice"], 90)
        assert said_of(lab._words["#regime"].splitlines()[0]) in lab._words["#advice"]


def test_an_untrained_networks_curve_is_no_regime() -> None:
    state = RunState("a", status=Status.RUNNING)
    state.fold(Curve(at=0, step=0, scalars={}, curves={"trace_ratio": [0.0, 0.3, -0.2, 0.25, -0.003, 5.0]}))
    assert words({"train": state}, {}, "trace_ratio")[0] == "not trained yet\nCV – · asymmetry –"


async def test_a_chain_has_a_spring_for_each_hidden_layer_and_thirty_frames_a_second(home: Path) -> None:
    settings = {"dataset": "digits", "depth": 6, "width": 20, "epochs": 5000, "early_stop": False}
    async with open_lab(home, settings=settings) as (lab, pilot):
        await until(pilot, lambda: all(p in lab.states and lab.states[p].latest for p in ("train", "chain")))
        train, chain = lab.states["train"], lab.states["chain"]
        assert len(chain.layers) - 1 == len(train.layers) - 2 == 5
        assert chain.settings["frames"] == 30.0


async def test_a_lab_that_is_left_while_it_starts_leaves_no_worker(home: Path) -> None:
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: bool(lab.session.processes))  # the second is still to come
        await lab.control.let_go()
        assert not lab.session.runs
        for process in lab.session.leaving:
            await asyncio.to_thread(process.wait, 120)
        await pilot.pause()
        assert not any(run.is_live() for run in list_runs(home))


def live(home: Path) -> set[str]:
    return {run.id for run in list_runs(home) if run.is_live()}


async def test_keys_while_runs_start_leave_one_worker_for_each_panel(home: Path) -> None:
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: bool(lab.control._called_off))  # begun, and hardly further
        for key in "prprp":
            await pilot.press(key)
        await until(pilot, lambda: all(p in lab.states and lab.states[p].latest for p in PANELS), 90)
        wanted = {run.id for run in lab.session.runs.values()}
        assert {state.run_id for state in lab.states.values()} == wanted
        assert lab.control.watchers.keys() == set(PANELS)
        await until(pilot, lambda: not any(p.poll() is None for p in lab.session.leaving), 90)
        await until(pilot, lambda: live(home) == wanted)


@pytest.mark.parametrize("keys", ["rp", "pr", "ppp"])
async def test_keys_at_once_in_a_lab_at_work_leave_one_worker_for_each_panel(home: Path, keys: str) -> None:
    """Those called off end as stopped, and leaving knows of every one that goes on."""
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: all(p in lab.states and lab.states[p].latest for p in PANELS), 90)
        first = lab.session.runs["chain"].id
        await pilot.press(*keys)
        await until(pilot, lambda: "chain" in lab.states and lab.states["chain"].latest is not None, 90)
        await until(pilot, lambda: "train" in lab.states and lab.states["train"].latest is not None, 90)
        wanted = {run.id for run in lab.session.runs.values()}
        assert first not in wanted
        await until(pilot, lambda: not any(p.poll() is None for p in lab.session.leaving), 90)
        await until(pilot, lambda: live(home) == wanted)
        assert lab.session.going() == 2
        await lab.control.let_go()
        await until(pilot, lambda: not any(p.poll() is None for p in lab.session.leaving), 90)
    assert {run.status() for run in list_runs(home)} == {"stopped"}


def test_a_start_called_off_begins_nothing_and_a_second_one_takes_the_place_of_the_first(home: Path) -> None:
    session, off = LabSession(home), threading.Event()
    try:
        session.start("chain", {"blocks": 3}, off)
        first, process = session.runs["chain"], session.processes["chain"]
        session.start("chain", {"blocks": 4}, off)
        second = session.runs["chain"]
        assert second.id != first.id
        process.wait(60)
        off.set()
        session.start("chain", {"blocks": 5}, off)
        assert session.runs["chain"] is second
        assert len(list_runs(home)) == 2
        assert not session.reattach("chain", off)
    finally:
        session.stop("chain")
        for left in session.leaving:
            left.wait(60)


def test_a_chain_that_was_left_is_taken_up_though_its_network_has_ended(home: Path) -> None:
    earlier, off = LabSession(home), threading.Event()
    earlier.start("chain", {"blocks": 3, "steps": 10**9}, off)
    run, process = earlier.runs["chain"], earlier.processes["chain"]
    later = LabSession(home)
    try:
        while not run.is_live():
            assert process.poll() is None
        later.network = {**later.network, "epochs": 1}
        later.start("train", {}, off)
        assert later.reattach("chain", off)
        assert later.runs["chain"].id == run.id
    finally:
        later.stop("chain")
        later.stop("train")
        for left in [process, *later.leaving]:
            left.wait(60)


def test_a_run_of_an_older_version_is_asked_only_for_what_it_has() -> None:
    """A worker of 0.1.0 refuses a request that names a setting that it does not know, the rest of it included."""
    kind = NOISE_KINDS[0]
    asked = network_settings({"epochs": 150}, 0.5, kind, 0.3, probes=False, going_on=False)
    old = {"negative_slope": 0.2, "data_noise": 0.2, "lr": 1e-3, "dropout": 0.0, "batch_size": 128, PROBES: False}
    assert moved(asked, old) == {"negative_slope": 0.5, "data_noise": 0.3, "batch_size": 2560}


@pytest.mark.usefixtures("quick_network")
async def test_a_paused_network_is_not_judged_by_a_curve_from_before(home: Path) -> None:
    """While it is paused another kind of noise is chosen: nothing is said of settings that were never trained."""
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: "train" in lab.states and lab.states["train"].is_held)
        assert lab._words["#regime"].startswith(tuple(WORDS.values()))
        await pilot.press("space")
        await until(pilot, lambda: lab.states["train"].status == "paused")
        slider = lab.query_one("#nonlinearity", Slider)
        slider.focus()
        await pilot.press("home")
        await until(pilot, lambda: slider.in_force == 0.0)
        await until(pilot, lambda: lab._words["#regime"] == "no curve at these settings yet: paused")
        assert lab._words["#advice"] == ""
        await pilot.press("space")
        await until(pilot, lambda: lab._words["#regime"].startswith(tuple(WORDS.values())))


@pytest.mark.usefixtures("quick_network")
async def test_both_are_held_go_on_and_begin_anew(home: Path) -> None:
    """O lets both go on beyond the time of the map, and begins anew; beyond the maps no chain applies."""
    async with open_lab(home) as (lab, pilot):
        await until(pilot, lambda: "train" in lab.states and lab.states["train"].is_held)
        await until(pilot, lambda: "epoch 150/150 · held" in lab._words["#facts"])
        assert "two hands" in lab._words["#facts"]
        await pilot.press("C")
        await until(pilot, lambda: "held at 200: O pulls on" in lab._words["#facts"])
        assert lab.states["chain"].latest.scalars["time"] == pytest.approx(200.0)  # type: ignore[union-attr]
        await pilot.press("O")
        await until(pilot, lambda: "past 200 the map says nothing" in lab._words["#facts"])
        await until(pilot, lambda: re.search(r"epoch (1[6-9]|[2-9]\d)\d+\b(?!/)", lab._words["#facts"]))
        await pilot.press("O")
        await until(pilot, lambda: lab.states["train"].at <= 150)
        await until(pilot, lambda: lab.states["train"].is_held)
        assert next(iter(lab.states["train"].history["train_loss"].x)) < 5  # of the present training alone
        await pilot.press("n")
        lab.query_one("#noise", Slider).focus()
        await pilot.press("end")
        words = "learning rate above 0.2: layers mix the classes again, no chain applies"
        await until(pilot, lambda: words in lab._words["#facts"])


async def test_one_kind_of_noise_is_chosen_whatever_the_keys(home: Path) -> None:
    """Space on the chosen one and n for the next, in the same moment."""
    app = SpringApp(home, begin_runs=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        lab = app.screen
        assert isinstance(lab, LabScreen)
        lab.query_one(Choices).focus()
        chance = random.Random(1)
        for _ in range(20):
            lab.query_one(Choices).action_toggle_button()
            lab.action_next_noise()
            if chance.random() < 0.5:
                lab.query_one(Choices).action_toggle_button()
            await pilot.pause()
        chosen = [choice for choice in lab.query(Choice) if choice.value]
        assert len(chosen) == 1
        before = lab.kind
        await pilot.press("n")
        await until(pilot, lambda: lab.kind is not before)
