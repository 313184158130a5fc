"""The chain with inertia: against the authors' numbers, exact sticking, its step-size error, and known limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.chain.chain import Chain
from engine.chain.ensemble import ChainEnsemble
from engine.chain.mean_field import friction, mean_field_positions, settled
from engine.errors import ConfigError
from engine.settings.chain import ChainConfig
from engine.settings.fields import make

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "chain_second_order.json").read_text())


def config_of(case: dict[str, Any], replicas: int) -> ChainConfig:
    return ChainConfig(
        order=2, blocks=case["blocks"], mass=case["m"], gamma=case["gamma"], k=case["k"], noise=case["eps"],
        noise_decay=case["lambda_decay"], eta=case["dt"], mu_right=case["mu_right"], mu_left=case["mu_left"],
        common_noise=case["common_noise"], replicas=replicas, steps=case["step_index"][-1],
    )  # fmt: skip


def authors_chain(case: dict[str, Any], dt: float, replicas: int, times: list[float]) -> list[np.ndarray]:
    """The authors' integrator, [R, L] at each time.

    sdeint's Itô SRK2 (Rößler 2010) is Heun's rule for the drift where the noise does not depend on the state.
    Their friction is explicit: -μ→ while v > 0, +μ← while v < 0.
    """
    rng = np.random.default_rng(11)
    blocks, k, gamma, mass = case["blocks"], case["k"], case["gamma"], case["m"]
    p_RL, v_RL = np.zeros((replicas, blocks + 2)), np.zeros((replicas, blocks))
    p_RL[:, -1] = 1.0

    def acceleration(x_RL: np.ndarray, v_RL: np.ndarray) -> np.ndarray:
        p_RL[:, 1:-1] = x_RL
        pull = k * (p_RL[:, 2:] - 2.0 * p_RL[:, 1:-1] + p_RL[:, :-2])
        held = -np.clip(pull, -case["mu_left"], case["mu_right"])
        friction = np.where(v_RL > 0, -case["mu_right"], np.where(v_RL < 0, case["mu_left"], held))
        return (pull - gamma * v_RL + friction) / mass

    x_RL, step, seen = np.zeros((replicas, blocks)), 0, []
    for time in times:
        while step < round(time / dt):
            sd = case["eps"] * math.sqrt(dt * (blocks if case["common_noise"] else 1))
            sd *= math.exp(-case["lambda_decay"] * step * dt)
            kick_RL = sd * rng.standard_normal((replicas, 1 if case["common_noise"] else blocks)) / mass
            first = acceleration(x_RL, v_RL)
            ahead = v_RL + dt * first
            second = acceleration(x_RL + dt * v_RL, ahead)
            x_RL, v_RL = x_RL + 0.5 * dt * (v_RL + ahead), v_RL + 0.5 * dt * (first + second) + kick_RL
            step += 1
        seen.append(x_RL.copy())
    return seen


def name(case: dict[str, Any]) -> str:
    return f"{case['mu_right']}-{case['mu_left']}-{case['eps']}-{'common' if case['common_noise'] else 'own'}"


@pytest.mark.parametrize("case", REFERENCE, ids=name)
def test_the_authors_numbers_are_understood(case: dict[str, Any]) -> None:
    """Their integrator, written anew here, gives their means within 4 standard errors, at all three times."""
    times = [index * case["dt"] for index in case["step_index"]]
    for ours_RL, mean in zip(authors_chain(case, case["dt"], 60, times), case["mean"], strict=True):
        error = ours_RL.std(0, ddof=1) * math.sqrt(1 / 60 + 1 / case["replicas"])
        assert (np.abs(ours_RL.mean(0) - mean) <= 4 * error).all()


@pytest.mark.parametrize("case", [c for c in REFERENCE if c["eps"] > 0.001], ids=name)
def test_agrees_with_the_authors_within_four_standard_errors(case: dict[str, Any]) -> None:
    """Where a step's noise outweighs a step's friction, their friction crosses zero as ours does."""
    ours = ChainEnsemble(config_of(case, 1024))
    for index, mean in zip(case["step_index"], case["mean"], strict=True):
        ours.advance(index - ours.steps)
        error = ours.sd() * math.sqrt(1 / case["replicas"] + 1 / 1024)
        assert (np.abs(ours.mean() - mean) <= 4 * error).all(), index


@pytest.mark.parametrize("case", [c for c in REFERENCE if c["eps"] < 0.001], ids=name)
def test_agrees_with_the_authors_but_for_their_chatter(case: dict[str, Any]) -> None:
    """Where a step's friction outweighs its noise, their blocks chatter about v = 0, where ours stick.

    The chatter is an error of their step: with a step 8 times smaller, their integrator and ours agree within 4
    standard errors and ours' own step error (what halving our step changes), and the distance between theirs and
    ours at the authors' step is the allowance that their table needs.
    """
    time = 100.0
    (fine_RL,) = authors_chain(case, case["dt"] / 8, 60, [time])
    ends = {}
    for part in (1, 4, 8):
        ours = ChainEnsemble(make(ChainConfig, {"eta": case["dt"] / part}, config_of(case, 1024)))
        ours.advance(round(time * part / case["dt"]))
        ends[part] = ours.mean()
    error = fine_RL.std(0, ddof=1) * math.sqrt(1 / 60 + 1 / 1024)
    step_error = np.abs(ends[8] - ends[4])
    assert (np.abs(fine_RL.mean(0) - ends[8]) <= 4 * error + step_error).all()
    (coarse_RL,) = authors_chain(case, case["dt"], 60, [time])
    chatter = np.abs(coarse_RL.mean(0) - fine_RL.mean(0)) + np.abs(ends[1] - ends[8])
    wide = fine_RL.std(0, ddof=1) * math.sqrt(1 / case["replicas"] + 3 / 60)
    assert (np.abs(ends[1] - case["mean"][0]) <= 4 * wide + chatter).all()


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_compiled_and_plain_chains_agree(order: int, common: bool) -> None:
    """Different streams, one law: means within 4 combined standard errors, s.d. within 4 of theirs."""
    settings = {"order": order, "common_noise": common, "noise_decay": 0.01, "replicas": 1024, "pulling": "jerky",
                "pull_time": 20.0, "noise": 0.05, "mu_right": 0.05, "eta": 0.1}  # fmt: skip
    config = make(ChainConfig, settings)
    plain, compiled = Chain(config), ChainEnsemble(config)
    for steps in (50, 350):
        plain.advance(steps)
        compiled.advance(steps)
        error = np.hypot(plain.sd(), compiled.sd()) / 32.0
        assert (np.abs(plain.mean() - compiled.mean()) <= 4 * error + 1e-5).all()
        spread = np.hypot(plain.sd(), compiled.sd()) / math.sqrt(2 * 1024)
        assert (np.abs(plain.sd() - compiled.sd()) <= 4 * spread + 1e-5).all()


@pytest.mark.parametrize("order", [1, 2])
def test_without_noise_compiled_and_plain_chains_are_the_same(order: int) -> None:
    config = ChainConfig(order=order, noise=0.0, mu_right=0.05, replicas=2)  # type: ignore[arg-type]
    plain, compiled = Chain(config), ChainEnsemble(config)
    plain.advance(3000)
    compiled.advance(3000)
    np.testing.assert_allclose(compiled.x_RL, plain.x_RL, atol=2e-5)


def test_a_block_within_the_friction_band_sticks_exactly() -> None:
    """A single block pulled by k y < μ→ never moves; one beyond it comes to rest, and its speed is then zero."""
    held = Chain(ChainConfig(order=2, blocks=1, noise=0.0, mu_right=0.3, k=1.0, target=0.25, replicas=1))
    held.advance(1000)
    assert held.x_RL[0, 0] == 0.0
    assert held.v_RL[0, 0] == 0.0
    moved = Chain(ChainConfig(order=2, blocks=1, noise=0.0, mu_right=0.1, mu_left=0.1, target=1.0, replicas=1))
    moved.advance(5000)
    place = moved.x_RL[0, 0]
    assert moved.v_RL[0, 0] == 0.0
    assert abs(1.0 - 2.0 * place) <= 0.1  # at rest anywhere inside the band
    moved.advance(1000)
    assert moved.x_RL[0, 0] == place


def test_one_block_slides_as_newton_says_and_the_error_falls_with_the_step() -> None:
    """Free sliding: v falls from v₀ by μ/m per time, so it stops after m v₀²/(2μ); first order in the step."""
    errors = []
    for eta in (0.04, 0.02, 0.01, 0.005):
        chain = Chain(ChainConfig(order=2, blocks=1, k=1e-9, gamma=0.0, noise=0.0, mu_right=0.2, mu_left=0.2,
                                  mass=2.0, eta=eta, replicas=1, target=0.0))  # fmt: skip
        chain.v_RL[:] = 1.0
        chain.advance(round(20 / eta))
        errors.append(abs(chain.x_RL[0, 0] - 2.0 * 1.0**2 / (2 * 0.2)))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (np.abs(orders - 1.0) < 0.1).all(), orders


def test_a_frictionless_block_oscillates_at_its_eigenfrequency() -> None:
    """Without friction, drag and noise, one block on two springs: x = y/2 (1 - cos ωt), ω² = 2k/m."""
    chain = Chain(ChainConfig(order=2, blocks=1, noise=0.0, mu_right=0.0, mu_left=0.0, gamma=0.0, k=0.5, mass=2.0,
                              eta=0.001, replicas=1))  # fmt: skip
    chain.advance(10_000)
    exact = 0.5 * (1.0 - math.cos(math.sqrt(0.5) * 10.0))
    assert chain.x_RL[0, 0] == pytest.approx(exact, abs=1e-3)


def test_at_high_temperature_blocks_have_equal_energy() -> None:
    """Frictionless, damped and shaken independently: m <v²> = ε²/(2γ) (fluctuation and dissipation)."""
    config = ChainConfig(order=2, mu_right=0.0, mu_left=0.0, noise=0.1, gamma=0.5, eta=0.01, replicas=2000)
    chain = Chain(config)
    chain.advance(4000)
    wanted = 0.1**2 / (2 * 0.5)
    energy = (chain.v_RL**2).mean(0)
    bias = 1.0 - config.gamma * config.eta  # implicit drag overdamps by half a step, twice
    assert (np.abs(energy / wanted - bias) <= 4 * math.sqrt(2 / 2000) + 0.01).all()


def test_noise_leads_both_orders_to_the_same_parabola() -> None:
    config = ChainConfig(order=2, noise=0.2, mu_right=0.05, mu_left=0.15, eta=0.02, replicas=4096, steps=20_000)
    chain = ChainEnsemble(config)
    chain.advance(config.steps)
    theory = mean_field_positions(config)
    assert theory is not None
    assert np.array_equal(theory, settled(config))
    error = chain.sd() / 64.0
    assert (np.abs(chain.mean() - theory) <= 4 * error + 2e-3).all()
    assert friction(0.05, 0.15) < 0
    assert mean_field_positions(ChainConfig(order=2, noise=0.0)) is None


def test_an_unstable_step_is_refused_with_its_bound() -> None:
    with pytest.raises(ConfigError, match=r"eta² x k / mass = 1 is above 0\.5"):
        make(ChainConfig, {"order": 2, "eta": 1.0})
    with pytest.raises(ConfigError, match="mass = -1"):
        make(ChainConfig, {"mass": -1})
    with pytest.raises(ConfigError, match="gamma = 'nan'"):
        make(ChainConfig, {"gamma": "nan"})
