"""Chains and networks that are held, and chains between two hands: their motion and their workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.replays import Broken

from engine.chain.base import ChainBase
from engine.chain.build import new_chain
from engine.chain.hands import APPROACH, held_by_both
from engine.chain.mean_field import MeanField, mean_field_positions
from engine.datasets.load import load_dataset
from engine.ensemble.trainer import trainer_for
from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Acknowledged, Curve
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.train import TrainConfig
from engine.sweep.chains import pull
from engine.sweep.diagrams import make_sweep
from engine.sweep.grid import cell_settings

LAB: dict[str, Any] = {"blocks": 6, "replicas": 64, "seed": 3}
BOTH: dict[str, Any] = LAB | {"hands": "both", "noise": 0.06, "input_share": 0.3}


class TestBetweenTwoHands:
    @pytest.mark.parametrize("later", [{"input_share": 0.9}, {"input_time": 0.2, "output_time": 60.0}])
    def test_every_block_goes_straight_to_its_place(self, later: dict[str, float]) -> None:
        """Never past it, whatever the state it comes from; springs stay in their order."""
        config = ChainConfig(**{**BOTH, "noise": 0.0})
        chain = new_chain(config)
        for settings in ({}, later, {"input_share": 0.5, "output_time": 1.0}):
            config = make(ChainConfig, settings, config)
            chain.change(config)
            left = [np.sign(held_by_both(config) - chain.mean())]
            distances = []
            for _ in range(60):
                chain.advance(10)
                away = held_by_both(config) - chain.mean()
                assert (away * left[0] >= -1e-12).all()
                assert (np.diff([0.0, *chain.mean(), 1.0]) > 0).all()
                distances.append(float(np.abs(away).max()))
            assert (np.diff(distances) < 0).all()
            assert distances[-1] / distances[0] == pytest.approx(np.exp(-590 * config.eta / APPROACH), rel=0.02)

    def test_it_trembles_as_a_chain_of_springs_does(self) -> None:
        """Stationary variance of the mode with rate λ: (η ε)² / (1 - (1 - η λ)²), summed over the modes."""
        config = ChainConfig(**{**BOTH, "replicas": 4000, "noise": 0.1})
        chain = new_chain(config)
        chain.advance(2000)
        mode = np.arange(1, 7)[:, None]
        rates = 2.0 - 2.0 * np.cos(mode * np.pi / 7)
        weights = (2.0 / 7) * np.sin(mode * np.arange(1, 7) * np.pi / 7) ** 2
        wanted = np.sqrt((weights * (0.05 * 0.1) ** 2 / (1 - (1 - 0.05 * rates) ** 2)).sum(0))
        assert chain.sd() == pytest.approx(wanted, rel=5 / np.sqrt(2 * 4000))
        assert chain.mean() == pytest.approx(held_by_both(config), abs=5 * wanted.max() / np.sqrt(4000))

    def test_theory_is_the_closed_form(self) -> None:
        config = ChainConfig(**BOTH)
        assert mean_field_positions(config) == pytest.approx(held_by_both(config))
        cells = list(pull([((0, 0), config), ((1, 0), ChainConfig(**LAB))], "replicas"))
        curve = next(cell.curves["distance"] for cell in cells if cell.cell == 0)
        assert curve[1:-1] == pytest.approx(1.0 - held_by_both(config))
        assert {cell.cell for cell in cells} == {0, 1}

    @pytest.mark.parametrize("other", [{"order": 2}, {"pulling": "steady"}, {"hold": 5.0}, {"common_noise": True}])
    def test_what_it_cannot_be(self, other: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="hands = both"):
            make(ChainConfig, {**BOTH, **other})


@pytest.mark.parametrize("way", [{"pace": 1e6}, {}, {"noise": 0.0}, {"order": 2}])
class TestHeld:
    """In NumPy, compiled, without noise, and with inertia."""

    @staticmethod
    def chains(way: dict[str, Any]) -> tuple[ChainConfig, ChainBase]:
        config = ChainConfig(**{**LAB, "hold": 20.0, **way})
        return config, new_chain(config)

    def test_it_is_held_at_its_time(self, way: dict[str, Any]) -> None:
        config, chain = self.chains(way)
        chain.advance(392)
        assert not chain.is_held
        chain.advance(8)
        assert chain.is_held
        assert chain.pulled_steps * config.eta == pytest.approx(20.0)

    def test_a_force_changes_and_it_is_pulled_anew(self, way: dict[str, Any]) -> None:
        config, chain = self.chains(way)
        chain.advance(400)
        moved = make(ChainConfig, {"mu_right": 0.2}, config)
        chain.change(moved)
        assert (chain.began, chain.pulled_steps, chain.is_held) == (400, 0, False)
        assert not chain.x_RL.any()
        chain.advance(400)
        alone = MeanField(moved)
        alone.advance(400)
        if moved.order == 1:
            error = 5 * chain.sd() / 8 + 6e-3  # the mean field's own error, see docs/theory.md
            assert (np.abs(chain.mean() - alone.x_L) < error).all()

    def test_pulled_on_and_held_again(self, way: dict[str, Any]) -> None:
        """Pulling on goes on from where it is; a later hold before that time pulls anew."""
        config, chain = self.chains(way)
        chain.advance(400)
        before = chain.x_RL.copy()
        chain.change(make(ChainConfig, {"hold": 0.0}, config))
        assert (chain.x_RL == before).all()
        chain.advance(80)
        assert not chain.is_held
        chain.change(config)
        assert chain.pulled_steps == 0


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("method", ["mean_field", "replicas"])
def test_held_in_a_sweep(noise: float, method: str) -> None:
    longer = ChainConfig(**LAB, hold=20.0, steps=10_000, noise=noise)
    shorter = ChainConfig(**LAB, steps=400, noise=noise)
    one, other = (next(iter(pull([((0, 0), config)], method))) for config in (longer, shorter))
    assert one.curves == other.curves


@pytest.fixture
def begin(home: Path) -> Iterator[Any]:
    """Starts a chain's worker; none is left behind."""
    begun: list[Broken] = []

    def make_one(**settings: Any) -> Broken:
        begun.append(Broken(Run.create(open_home(home), ChainConfig(**settings))))
        begun[-1].start()
        return begun[-1]

    yield make_one
    for broken in begun:
        if broken.process is not None:
            broken.process.kill()
            broken.process.wait()


def step(broken: Broken) -> int:
    """Step of the newest curve; -1 before there is one."""
    return max((curve.step for curve in broken.all(Curve)), default=-1)


class TestWorker:
    def test_held_moved_killed_and_resumed(self, begin: Any) -> None:
        """It takes no step while it is held, is pulled anew by a move, and a kill in that pull loses nothing."""
        broken = begin(**LAB, hold=40.0, pace=4000.0, frames=60.0, steps=10**9)
        broken.until(lambda: step(broken) == 800)
        broken.run.ask("set", mu_right=0.2, noise=0.05)
        broken.until(lambda: broken.all(Acknowledged))
        assert broken.all(Acknowledged)[0].step == 800
        broken.until(lambda: step(broken) > 1000)
        broken.kill()
        broken.start()
        broken.until(lambda: step(broken) == 1600)
        broken.run.ask("set", hold=0.0)
        broken.until(lambda: step(broken) > 1700)
        broken.run.ask("stop")
        assert broken.process is not None
        broken.process.wait(30)
        curves = {curve.step: curve for curve in broken.all(Curve)}
        assert [curve.step for curve in broken.all(Curve)] == sorted(curves)
        assert curves[800].scalars["time"] == pytest.approx(40.0)
        assert curves[1600].scalars["time"] == pytest.approx(40.0)
        unbroken = new_chain(ChainConfig(**LAB, hold=40.0, pace=4000.0))
        unbroken.advance(800)
        unbroken.change(make(ChainConfig, {"mu_right": 0.2, "noise": 0.05}, unbroken.config))
        unbroken.advance(800)
        assert curves[1600].positions == unbroken.x_RL[0].tolist()

    def test_two_hands_killed_and_resumed(self, begin: Any) -> None:
        broken = begin(**BOTH, pace=3000.0, frames=60.0, steps=10**9)
        broken.until(lambda: len(broken.all(Curve)) > 5)
        broken.run.ask("set", input_share=0.8, noise=0.02)
        broken.until(lambda: broken.all(Acknowledged))
        at = broken.all(Acknowledged)[0].step
        broken.until(lambda: broken.all(Curve)[-1].step > at + 300)
        broken.kill()
        known = broken.all(Curve)[-1].step
        broken.start()
        broken.until(lambda: broken.all(Curve)[-1].step > known + 300)
        broken.run.ask("stop")
        assert broken.process is not None
        broken.process.wait(30)
        last = broken.all(Curve)[-1]
        chain = new_chain(ChainConfig(**BOTH))
        chain.advance(at)
        chain.change(make(ChainConfig, {"input_share": 0.8, "noise": 0.02}, chain.config))
        chain.advance(last.step - at)
        assert last.positions == chain.x_RL[0].tolist()
        assert "friction" not in last.scalars

    def test_without_a_pace_it_finishes_where_it_is_held(self, begin: Any) -> None:
        ended = begin(**LAB, hold=20.0, steps=10**9).finish()
        assert (ended.reason, ended.summary["steps"]) == ("finished", 400)
        assert ended.summary["friction"] == pytest.approx((0.03 - 0.138) / 2)


def test_a_network_held_moved_killed_and_resumed(home: Path) -> None:
    """Its worker takes no step while it is held; a move begins anew; a kill in the new training loses nothing."""
    settings: dict[str, Any] = {"width": 16, "depth": 4, "batch_size": 2560, "early_stop": False, "seed": 2}
    config = TrainConfig(**settings, hold=300, epochs=10**6, checkpoint_every=0.2, measure_every=10)
    broken = Broken(Run.create(open_home(home), config, origin="lab"))
    broken.start()
    try:
        broken.until(lambda: step(broken) == 300)
        broken.run.ask("set", negative_slope=0.5)
        broken.until(lambda: step(broken) > 350)
        broken.kill()
        broken.start()
        broken.until(lambda: step(broken) == 600)
        broken.run.ask("stop")
        assert broken.finish().at == 600
    finally:
        broken.kill()
    assert broken.all(Acknowledged)[0].step == 300
    last = broken.all(Curve)[-1]
    assert last.scalars["epochs"] == 300
    alone = trainer_for(TrainConfig(**settings, negative_slope=0.5), load_dataset(config))
    for _ in range(300):
        for _ in alone.run_epoch():
            pass
    assert last.curves["trace_ratio"] == alone.measure().curves["trace_ratio"]


def test_a_sweep_ends_where_the_lab_holds(home: Path) -> None:
    sweep = make_sweep("data-noise", {"dataset": "digits", "hold": 30})
    cell = cell_settings(sweep, 0)
    assert isinstance(cell, TrainConfig)
    assert (cell.epochs, cell.hold) == (30, 0)


def test_where_nobody_moves_a_slider_a_held_training_ends(home: Path) -> None:
    config = TrainConfig(width=16, depth=4, batch_size=2560, hold=3, epochs=10)
    broken = Broken(Run.create(open_home(home), config))
    broken.start()
    ended = broken.finish()
    assert (ended.reason, ended.at) == ("finished", 3)
    assert "held after 3 epochs" in ended.text
