"""The chain of blocks and springs: the authors' numbers, exact laws, its mean field, and settings refused."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.rest import quasi_static

from engine.arrays import Floats
from engine.chain.chain import Chain
from engine.chain.ensemble import pull_cells
from engine.chain.mean_field import friction, mean_field_positions, mean_velocity, settled
from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Curve
from engine.settings.chain import ChainConfig
from engine.settings.fields import make
from engine.settings.run import RunConfig
from engine.workers.work import work

REFERENCE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "chain_first_order.json").read_text()
)
CLOSURE = 1e-3
"""What the mean field leaves out, that F itself fluctuates: at most 7e-4 in the reference cases."""


def pulled(**settings: Any) -> Chain:
    """A chain after all its steps."""
    config = ChainConfig(**settings)
    chain = Chain(config)
    chain.advance(config.steps)
    return chain


def as_config(case: dict[str, Any], replicas: int) -> ChainConfig:
    names = {"noise": "noise_bar", "target": "y"}
    same = {name: name for name in ("blocks", "mu_right", "mu_left", "eta", "k", "steps")}
    values = {name: case[source] for name, source in (names | same).items()}
    return ChainConfig(**values, replicas=min(replicas, case["replicas"]), seed=1)


def case_name(case: dict[str, Any]) -> str:
    return f"{case['blocks']} blocks, {case['mu_right']}, {case['mu_left']}, {case['noise_bar']}"


def distances(config: ChainConfig) -> Floats:
    """Evenly spaced positions: springs of equal length."""
    return config.target * np.arange(1, config.blocks + 1) / (config.blocks + 1)


@pytest.mark.parametrize("case", REFERENCE, ids=case_name)
class TestReference:
    def test_mean_and_spread(self, case: dict[str, Any]) -> None:
        """Within 4 combined s.e.; the reference has six decimals. S.e. of a s.d. from R replicas: sd/√(2R)."""
        config = as_config(case, 200)
        chain = Chain(config)
        chain.advance(config.steps)
        mean, sd, ours, theirs = np.array(case["mean"]), np.array(case["sd"]), config.replicas, case["replicas"]
        error = np.hypot(sd / math.sqrt(theirs), chain.sd() / math.sqrt(ours))
        assert (np.abs(chain.mean() - mean) <= 4 * error + 1e-6).all()
        assert (np.abs(chain.sd() - sd) <= 4 * sd * math.sqrt(0.5 / theirs + 0.5 / ours) + 1e-6).all()

    def test_mean_field(self, case: dict[str, Any]) -> None:
        error = np.array(case["sd"]) / math.sqrt(case["replicas"])
        off = np.abs(mean_field_positions(as_config(case, 1)) - np.array(case["mean"]))
        assert (off <= 4 * error + (CLOSURE if case["noise_bar"] else 1e-6)).all()


class TestExactLaws:
    @pytest.mark.parametrize("steps", [1, 50, 400, 4000])
    def test_without_friction_it_is_linear(self, steps: int) -> None:
        """x ← A x + b + η ε̄ ξ: mean and covariance follow in closed form. 4 s.e., also of variances (√(2/R))."""
        config = ChainConfig(
            blocks=5, mu_right=0.0, mu_left=0.0, noise=0.3, k=1.5, eta=0.1, steps=steps, replicas=2000, seed=2
        )
        laplace = np.diag(np.full(5, -2.0)) + np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
        a = np.eye(5) + config.eta * config.k * laplace
        b = np.array([0.0, 0.0, 0.0, 0.0, config.eta * config.k * config.target])
        mean, covariance = np.zeros(5), np.zeros((5, 5))
        for _ in range(steps):
            mean = a @ mean + b
            covariance = a @ covariance @ a.T + (config.eta * config.noise) ** 2 * np.eye(5)
        chain = Chain(config)
        chain.advance(steps)
        variance = np.diag(covariance)
        assert (np.abs(chain.mean() - mean) <= 4 * np.sqrt(variance / 2000)).all()
        found = np.cov(chain.x_RL.T)
        error = np.sqrt((covariance**2 + np.outer(variance, variance)) / 2000)
        assert (np.abs(found - covariance) <= 4 * error).all()

    def test_without_friction_and_noise_it_is_straight(self) -> None:
        chain = pulled(mu_right=0.0, mu_left=0.0, noise=0.0, replicas=1, steps=6000)
        np.testing.assert_allclose(chain.mean(), distances(chain.config), atol=1e-12)

    def test_symmetric_friction_is_straight_in_the_mean(self) -> None:
        """Within 4 s.e., each replica counted once, after 15 times the slowest relaxation."""
        chain = pulled(mu_right=0.1, mu_left=0.1, noise=0.15, replicas=300, steps=8000, eta=0.1)
        off = np.abs(chain.mean() - distances(chain.config))
        assert (off <= 4 * chain.sd() / math.sqrt(300)).all()

    @pytest.mark.parametrize(
        ("mu_right", "mu_left", "sign"), [(0.15, 0.05, 1), (0.05, 0.15, -1)], ids=["concave", "convex"]
    )
    def test_asymmetric_friction_bends(self, mu_right: float, mu_left: float, sign: int) -> None:
        """To the parabola of F*, within 4 s.e. and what the mean field leaves out."""
        chain = pulled(mu_right=mu_right, mu_left=mu_left, noise=0.15, replicas=300, steps=8000, eta=0.1)
        bend = distances(chain.config) - chain.mean()
        assert (sign * bend > 0).all()
        off = np.abs(chain.mean() - settled(chain.config))
        assert (off <= 4 * chain.sd() / math.sqrt(300) + 5 * CLOSURE).all()

    def test_twice_everything_is_twice_as_far(self) -> None:
        """Powers of two are exact in floating point, so the bits agree."""
        once = pulled(steps=500, replicas=8)
        c = once.config
        twice = pulled(
            mu_right=2 * c.mu_right, mu_left=2 * c.mu_left, noise=2 * c.noise, target=2.0, steps=500, replicas=8
        )
        assert np.array_equal(twice.x_RL, 2 * once.x_RL)

    def test_all_forces_doubled_and_half_the_step_is_the_same(self) -> None:
        once = pulled(steps=500, replicas=8)
        c = once.config
        stiff = pulled(
            mu_right=2 * c.mu_right,
            mu_left=2 * c.mu_left,
            noise=2 * c.noise,
            k=2.0,
            eta=c.eta / 2,
            steps=500,
            replicas=8,
        )
        assert np.array_equal(stiff.x_RL, once.x_RL)

    def test_strong_friction_holds(self) -> None:
        assert not pulled(mu_right=1.0, noise=0.0, steps=200, replicas=2).x_RL.any()

    def test_nothing_passes_the_ends(self) -> None:
        """Without noise blocks stay in order between wall and target."""
        chain = Chain(ChainConfig(noise=0.0, replicas=1, blocks=9))
        for _ in range(40):
            chain.advance(50)
            assert (np.diff([0.0, *chain.mean(), 1.0]) >= 0.0).all()


class TestQuasiStatic:
    @pytest.mark.parametrize(
        ("blocks", "mu_right", "mu_left", "k", "target"),
        [
            (7, 0.1, 0.1, 1.0, 1.0),
            (7, 0.03, 0.138, 1.0, 1.0),
            (7, 0.15, 0.05, 2.0, 1.0),
            (12, 0.01, 0.3, 1.0, 1.0),
            (12, 0.2, 0.07, 0.5, 3.0),
            (7, 0.3, 0.1, 1.0, -1.0),
            (1, 0.2, 0.2, 1.0, 1.0),
            (5, 2.0, 0.1, 1.0, 1.0),
            (5, 0.0, 0.1, 1.0, 1.0),
            (5, 0.1, 0.1, 1.0, 0.0),
        ],
    )
    def test_closed_form(self, blocks: int, mu_right: float, mu_left: float, k: float, target: float) -> None:
        """The slowest mode decays by 1 - η k (π/13)² a step: e^-29 after 20,000 (k = 1/2)."""
        chain = pulled(
            blocks=blocks,
            mu_right=mu_right,
            mu_left=mu_left,
            k=k,
            target=target,
            noise=0.0,
            replicas=1,
            eta=0.2 / k,
            steps=20_000,
        )
        np.testing.assert_allclose(chain.mean(), quasi_static(chain.config), atol=1e-9)
        np.testing.assert_allclose(mean_field_positions(chain.config), chain.mean(), atol=1e-9)

    def test_by_hand(self) -> None:
        """Seven blocks, F = .1: the springs that moved are .1, .2, .3 and .4 long."""
        found = quasi_static(ChainConfig(mu_right=0.1, mu_left=0.1, noise=0.0))
        np.testing.assert_allclose(found, [0, 0, 0, 0, 0.1, 0.3, 0.6], atol=1e-12)


class TestMeanField:
    @pytest.mark.parametrize(
        ("mu_right", "mu_left", "noise"),
        [(0.03, 0.138, 0.07), (0.08, 0.14, 0.06), (0.1, 0.1, 0.2), (0.0, 0.2, 0.1)],
    )
    def test_trajectory(self, mu_right: float, mu_left: float, noise: float) -> None:
        """On its way, within 4 s.e. of 200 replicas and what the mean field leaves out."""
        config = ChainConfig(mu_right=mu_right, mu_left=mu_left, noise=noise, replicas=200, eta=0.02, seed=3)
        chain = Chain(config)
        for steps in (50, 450, 1500, 4000):
            chain.advance(steps - chain.steps)
            expected = mean_field_positions(msgspec.structs.replace(config, steps=steps))
            assert (np.abs(chain.mean() - expected) <= 4 * chain.sd() / math.sqrt(200) + 2 * CLOSURE).all()

    def test_over_the_range_of_the_lab(self) -> None:
        """What docs/theory.md says: within 6e-3 of the chain's length, and mostly within 1e-3."""
        rng = np.random.default_rng(1)
        ranges = {"mu_right": (0.0, 0.2), "mu_left": (0.0, 0.2), "noise": (0.005, 0.1)}
        drawn = [{name: float(rng.uniform(*between)) for name, between in ranges.items()} for _ in range(30)]
        configs = [ChainConfig(**one, steps=4000, replicas=512) for one in drawn]
        pairs = zip(configs, pull_cells(configs), strict=True)
        off = [float(np.abs(pulled.mean_L - mean_field_positions(config)).max()) for config, pulled in pairs]
        assert max(off) < 6e-3
        assert np.median(off) < 1.5e-3

    def test_first_order_in_the_step(self) -> None:
        """Half the step at the same time, half the error."""

        def at_20(eta: float) -> Floats:
            return mean_field_positions(
                ChainConfig(mu_right=0.05, mu_left=0.1, noise=0.1, eta=eta, steps=round(20 / eta))
            )

        exact = at_20(0.0025)
        errors = [float(np.abs(at_20(eta) - exact).max()) for eta in (0.4, 0.2, 0.1)]
        orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
        assert orders == pytest.approx([1.0, 1.0], abs=0.15)

    @pytest.mark.parametrize(("mu_right", "mu_left"), [(0.03, 0.138), (0.15, 0.1), (0.1, 0.1), (0.2, 0.0)])
    def test_friction_is_the_root(self, mu_right: float, mu_left: float) -> None:
        root = friction(mu_right, mu_left)
        for noise in (0.02, 0.1, 1.0):
            assert abs(float(mean_velocity(root, mu_right, mu_left, noise))) < 1e-15
            assert float(mean_velocity(root + 0.05, mu_right, mu_left, noise)) > 0.0
            assert float(mean_velocity(root - 0.05, mu_right, mu_left, noise)) < 0.0

    @pytest.mark.parametrize(("mu_right", "mu_left"), [(0.03, 0.138), (0.15, 0.1), (0.1, 0.1)])
    def test_settles_on_the_parabola(self, mu_right: float, mu_left: float) -> None:
        """Also where the number of steps forces a larger step."""
        for steps, eta in ((20_000, 0.2), (10**9, 1e-3)):
            config = ChainConfig(mu_right=mu_right, mu_left=mu_left, noise=0.2, steps=steps, eta=eta)
            np.testing.assert_allclose(mean_field_positions(config), settled(config), atol=1e-9)

    def test_parabola_feels_the_friction(self) -> None:
        config = ChainConfig(mu_right=0.2, mu_left=0.05, k=1.7, target=2.0, blocks=9)
        forces = config.k * np.diff([0.0, *settled(config), 2.0], 2)
        np.testing.assert_allclose(forces, np.full(9, 0.075), atol=1e-12)

    def test_mirror(self) -> None:
        there = ChainConfig(mu_right=0.03, mu_left=0.12, steps=3000)
        back = ChainConfig(mu_right=0.12, mu_left=0.03, target=-1.0, steps=3000)
        np.testing.assert_allclose(mean_field_positions(there), -mean_field_positions(back), atol=1e-14)

    @pytest.mark.parametrize("force", [-0.5, -0.1, 0.0, 0.04, 0.3])
    @pytest.mark.parametrize("noise", [0.03, 0.2])
    def test_velocity_is_the_mean_over_noise(self, force: float, noise: float) -> None:
        xi, step = np.linspace(-12.0, 12.0, 480_001, retstep=True)
        z = force + noise * xi
        sigma = np.maximum(z - 0.03, 0.0) + np.minimum(z + 0.138, 0.0)
        integral = float((sigma * np.exp(-0.5 * xi * xi)).sum() * step / math.sqrt(2.0 * math.pi))
        assert float(mean_velocity(force, 0.03, 0.138, noise)) == pytest.approx(integral, abs=1e-9)

    def test_velocity_without_noise(self) -> None:
        force = np.array([-1.0, -0.138, -0.1, 0.0, 0.03, 0.5])
        expected = [-0.862, 0.0, 0.0, 0.0, 0.0, 0.47]
        np.testing.assert_allclose(mean_velocity(force, 0.03, 0.138, 0.0), expected, atol=1e-15)
        np.testing.assert_allclose(mean_velocity(force, 0.03, 0.138, 1e-9), expected, atol=1e-9)

    def test_creep_is_small_and_forward(self) -> None:
        """Eight s.d. below the threshold a block still creeps, and only the way it is pulled."""
        distance = np.linspace(2.0, 12.0, 101)
        velocity = mean_velocity(0.5 - 0.05 * distance, 0.5, 2.0, 0.05)
        assert (velocity > 0.0).all()
        assert (np.diff(velocity) < 0.0).all()


class TestRunning:
    def test_same_seed_same_bits(self) -> None:
        assert np.array_equal(pulled(steps=300, seed=5).x_RL, pulled(steps=300, seed=5).x_RL)
        assert not np.array_equal(pulled(steps=300, seed=5).x_RL, pulled(steps=300, seed=6).x_RL)

    def test_how_steps_are_sliced_does_not_matter(self) -> None:
        whole, sliced = pulled(steps=300), Chain(ChainConfig())
        for steps in (1, 0, 99, 200):
            sliced.advance(steps)
        assert sliced.steps == 300
        assert np.array_equal(sliced.x_RL, whole.x_RL)

    def test_replicas_are_independent(self) -> None:
        """No two of them draw the same forces."""
        x = pulled(steps=2000, replicas=50).x_RL
        assert len(np.unique(x[:, 0])) == 50

    def test_change_holds_from_the_next_step(self) -> None:
        chain = pulled(steps=500, noise=0.0, mu_right=0.1)
        before = chain.mean()
        loose = ChainConfig(noise=0.0, mu_right=0.0)
        chain.change(loose)
        assert np.array_equal(chain.mean(), before)
        chain.advance(6000)
        np.testing.assert_allclose(chain.mean(), distances(loose), atol=1e-9)

    def test_frames_come_as_often_as_asked(self, home: Path) -> None:
        """At 300 steps and 30 frames a second a frame comes every 10 steps, though a slice has 9.

        A busy machine takes longer over a slice, so that frames come after fewer steps, never after more.
        """
        run = Run.create(open_home(home), ChainConfig(replicas=2, pace=300.0, frames=30.0, steps=360))
        assert work(run).reason == "finished"
        steps = [event.step for event in run.events() if isinstance(event, Curve)]
        assert np.diff(steps).mean() < 12

    def test_one_replica_has_no_spread(self) -> None:
        assert not pulled(steps=100, replicas=1).sd().any()


class TestSettings:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"eta": 0.6}, ["eta x k", "0.5"]),
            ({"eta": 0.05, "k": 10.1}, ["eta x k", "eta <="]),
            ({"mu_right": -0.01}, ["mu_right", "-0.01", ">= 0"]),
            ({"mu_left": -1}, ["mu_left", "-1", ">= 0"]),
            ({"noise": -0.1}, ["noise", "-0.1", ">= 0"]),
            ({"blocks": 0}, ["blocks", "0", ">= 1"]),
            ({"blocks": 2.5}, ["blocks", "2.5", "whole number"]),
            ({"steps": 0}, ["steps", ">= 1"]),
            ({"replicas": 0}, ["replicas", ">= 1"]),
            ({"eta": 0.0}, ["eta", "> 0"]),
            ({"k": 0.0}, ["k", "> 0"]),
            ({"order": 3}, ["order", "3"]),
        ],
    )
    def test_refused(self, values: dict[str, Any], words: list[str]) -> None:
        with pytest.raises(ConfigError) as caught:
            make(ChainConfig, values)
        assert all(word in str(caught.value) for word in words)

    @pytest.mark.parametrize("name", ["mu_right", "mu_left", "noise", "k", "eta", "target", "pace", "frames"])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "-inf"])
    def test_not_finite(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigError, match=name):
            make(ChainConfig, {name: value})

    def test_a_live_change_is_checked_too(self) -> None:
        with pytest.raises(ConfigError, match="mu_left"):
            make(ChainConfig, {"mu_left": -0.1}, ChainConfig())

    @pytest.mark.parametrize("wrong", ['"eta":0.6', '"blocks":0', '"mu_right":-1.0', '"friction":1.0'])
    def test_a_file_is_checked_too(self, wrong: str) -> None:
        line = f'{{"id":"a","created":1,"host":"h","version":"0","settings":{{"kind":"chain",{wrong}}}}}'
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(line, type=RunConfig)

    def test_the_largest_step_is_taken(self) -> None:
        """At η k = 1/2 the stiffest mode just does not change sign in growing amplitude."""
        chain = pulled(eta=0.5, noise=0.0, mu_right=0.0, mu_left=0.0, steps=2000, replicas=1, blocks=20)
        np.testing.assert_allclose(chain.mean(), distances(chain.config), atol=1e-6)
