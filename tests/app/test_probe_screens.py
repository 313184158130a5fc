"""A user's own training on the app's screens: followed while it trains, replayed, and listed beside other runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.lab import until
from torch import nn

from engine.probe.load_probe import LoadProbe
from engine.runs.directory import Run
from springtui.app import Opening, SpringApp
from springtui.runs.screen import RunsScreen
from springtui.watch.screen import WatchScreen
from springtui.widgets.load_bars import LoadBars


@pytest.fixture
def probe(home: Path) -> LoadProbe:
    model = nn.Sequential()
    for index in range(3):
        model.add_module(f"a_long_name_of_layer_{index}", nn.Linear(8, 8))
        model.add_module(f"activation_{index}", nn.Tanh())
    model.add_module("head", nn.Linear(8, 3))
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    return LoadProbe(model, x, x[:, :3].argmax(1), every=1, layers=["a_long_name*"], name="mine")


async def test_watch_follows_names_layers_and_replays(probe: LoadProbe, home: Path) -> None:
    assert probe.path is not None
    probe.step(loss=2.0)
    app = SpringApp(home, opening=Opening("watch", Run(probe.path), False))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, WatchScreen)
        await until(pilot, lambda: screen.view.state.at == 1)
        for loss in (1.5, 1.0):
            probe.step(loss=loss, learning_rate=0.1)
        await until(pilot, lambda: screen.view.state.at == 3)
        assert screen.view.state.layers == probe.layers
        assert screen.view.state.latest is not None
        assert screen.view.state.latest.scalars["loss"] == 1.0
        bars = screen.query_one(LoadBars)
        await until(pilot, lambda: "of_layer_2" in "".join(bars.render_line(2).text))
        probe.close()
        await until(pilot, lambda: screen.view.state.status == "finished")
        await pilot.press("home")
        await until(pilot, lambda: screen.view.state.at == 0)


async def test_it_is_listed_with_its_loss(probe: LoadProbe, home: Path) -> None:
    probe.step(loss=0.1305)
    app = SpringApp(home, opening=Opening("runs", None, False))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await until(pilot, lambda: "probe" in app.export_screenshot())
        runs = app.screen
        assert isinstance(runs, RunsScreen)
        runs.sort_by("loss", reverse=False)
        await until(pilot, lambda: "0.13" in runs.table.render_line(1).text)
        assert [row.loss for row in runs.catalogue.rows.values()] == [0.1305]
    probe.close()
