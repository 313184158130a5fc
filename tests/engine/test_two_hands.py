"""The chain with two hands: its closed form against a chain stepped in time, and its maps against docs/data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.chain.hands import pulled_at_input, pulled_at_output, pulled_by_both
from engine.errors import ConfigError
from engine.measures.friction import asymmetries
from engine.twin.axis import noise_coordinate
from engine.twin.two_hands import (
    TWO_HANDS,
    TwoHandsMap,
    predicted_asymmetry,
    predicted_curve,
    two_hands_for,
)

DATA = Path(__file__).resolve().parents[2] / "docs" / "data"
FILES = {"data_noise": "data-noise", "dropout": "dropout", "lr": "learning-rate", "batch_size": "batch-size"}
Floats = NDArray[np.float64]


def recorded(axis: str) -> tuple[Floats, Floats, Floats]:
    """Nonlinearity and noise, [C], and hidden load curves, [C, 8], of the cells up to a map's last noise."""
    cells = json.loads((DATA / f"{FILES[axis]}.json").read_text())["cells"]
    known = [c for c in cells if c["load_curve"] and TWO_HANDS[axis].applies(c["x"])]
    nonlinearity = np.array([1.0 - c["y"] for c in known])
    noise = np.array([float(c["x"]) for c in known])
    return nonlinearity, noise, np.array([c["load_curve"][:-1] for c in known], float)


def scaled(curves: Floats) -> Floats:
    return (curves - curves[:, -1:]) / (curves[:, :1] - curves[:, -1:])


class TestClosedForm:
    @pytest.mark.parametrize("springs", [2, 3, 7, 12])
    def test_it_solves_the_overdamped_linear_chain(self, springs: int) -> None:
        """Against explicit Euler steps, whose error falls in proportion to the step."""
        errors = []
        for step in (0.02, 0.01):
            x = np.zeros(springs + 1)
            x[-1] = 1.0
            for _ in range(round(3.0 / step)):
                x[1:-1] += step * (x[2:] - 2 * x[1:-1] + x[:-2])
            errors.append(float(np.abs(x - pulled_at_output(3.0, springs)).max()))
        assert errors[1] < 0.003
        assert errors[1] == pytest.approx(errors[0] / 2, rel=0.05)

    def test_at_rest_and_after_a_long_time(self) -> None:
        assert pulled_at_output(0.0, 7) == pytest.approx([0.0] * 7 + [1.0], abs=1e-12)
        assert pulled_at_input(0.0, 7) == pytest.approx([0.0] + [1.0] * 7, abs=1e-12)
        line = np.arange(8) / 7
        assert pulled_by_both(0.3, 1e4, 1e4, 7) == pytest.approx(line, abs=1e-12)

    def test_the_hands_mirror_each_other(self) -> None:
        assert pulled_by_both(0.5, 2.0, 2.0, 7) == pytest.approx(1.0 - pulled_by_both(0.5, 2.0, 2.0, 7)[::-1])

    @pytest.mark.parametrize("springs", [2, 7, 30])
    def test_springs_never_cross(self, springs: int) -> None:
        rng = np.random.default_rng(0)
        share, at_input, at_output = rng.random(200), 10 ** rng.uniform(-2, 3, 200), 10 ** rng.uniform(-2, 3, 200)
        assert (np.diff(pulled_by_both(share, at_input, at_output, springs), axis=1) > -1e-12).all()

    def test_one_chain_or_many(self) -> None:
        many = pulled_by_both([0.2, 0.9], [1.0, 2.0], [3.0, 4.0], 5)
        assert many.shape == (2, 6)
        assert many[1] == pytest.approx(pulled_by_both(0.9, 2.0, 4.0, 5))


@pytest.mark.parametrize("axis", list(TWO_HANDS))
class TestMaps:
    def test_errors_with_the_length_measured(self, axis: str) -> None:
        """The share is the linear network's separation at the same noise over the network's own."""
        made = TWO_HANDS[axis]
        nonlinearity, noise, curves = recorded(axis)
        total = curves[:, 0] - curves[:, -1]
        linear = {x: total[(noise == x) & (nonlinearity == 0.0)][0] for x in np.unique(noise)}
        predicted = np.array(
            [
                predicted_curve(nu, axis, x, 7, linear[x] / whole)
                for nu, x, whole in zip(nonlinearity, noise, total, strict=True)
            ]
        )
        self.check(made, predicted, curves, made.rms, made.asymmetry_correlation)

    def test_errors_without_it(self, axis: str) -> None:
        made = TWO_HANDS[axis]
        nonlinearity, noise, curves = recorded(axis)
        predicted = np.array([predicted_curve(nu, axis, x, 7) for nu, x in zip(nonlinearity, noise, strict=True)])
        self.check(made, predicted, curves, made.slider_rms, made.slider_correlation)

    @staticmethod
    def check(made: TwoHandsMap, predicted: Floats, curves: Floats, rms: float, correlation: float) -> None:
        assert len(curves) == made.cells
        wanted = scaled(curves)
        assert np.sqrt(np.mean((predicted - wanted) ** 2)) == pytest.approx(rms, abs=6e-4)
        found = np.corrcoef(asymmetries(predicted), asymmetries(wanted))[0, 1]
        assert found == pytest.approx(correlation, abs=6e-4)

    def test_the_numbers_of_the_length_are_least_squares(self, axis: str) -> None:
        from scipy.optimize import least_squares

        made = TWO_HANDS[axis]
        nonlinearity, noise, curves = recorded(axis)
        times = np.array([made.times(nu, x) for nu, x in zip(nonlinearity, noise, strict=True)])
        z = np.array([noise_coordinate(axis, x) for x in noise])

        def misfit(numbers: Floats) -> Floats:
            a, b, c = numbers
            share = 1.0 / (1.0 + nonlinearity * (a + b * z + c * z * z))
            return (1.0 - pulled_by_both(share, times[:, 0], times[:, 1], 7) - scaled(curves)).ravel()

        fitted = least_squares(misfit, [2.0, -1.0, 0.0])
        assert fitted.x == pytest.approx(made.length, abs=2e-3)

    def test_noise_makes_deep_layers_lazy_and_nonlinearity_shallow_ones(self, axis: str) -> None:
        made = TWO_HANDS[axis]
        assert predicted_asymmetry(1.0, axis, made.calm) < -0.15
        assert predicted_asymmetry(0.5, axis, made.last) > 0.1
        assert predicted_asymmetry(0.0, axis, made.calm) > predicted_asymmetry(1.0, axis, made.calm)

    def test_it_applies_up_to_its_last_noise(self, axis: str) -> None:
        made = TWO_HANDS[axis]
        assert made.applies(made.calm)
        assert made.applies(made.last)
        assert not made.applies(made.last / 2 if axis == "batch_size" else made.last * 1.5)

    def test_any_slider_gives_a_chain(self, axis: str) -> None:
        """Beyond the last noise, at the ends of sliders, and at settings that no diagram has."""
        for noise in (1e-9, 1e-4, 0.5, 1.0, 10.0, 1e7):
            for nonlinearity in (0.0, 0.5, 1.0):
                state = TWO_HANDS[axis].state(nonlinearity, noise, 3)
                assert 0.0 < state.input_share <= 1.0
                assert 0.0 < min(state.input_time, state.output_time) < 1e5


def test_a_deeper_network_keeps_the_shape() -> None:
    """Times grow with the square of the depth, as diffusion over a longer chain does."""
    for layers in (14, 28):
        deep = predicted_curve(0.8, "data_noise", 0.2, layers)[:: layers // 7]
        assert deep == pytest.approx(predicted_curve(0.8, "data_noise", 0.2, 7), abs=0.01)


def test_asymmetry_leaves_an_odd_middle_out() -> None:
    assert asymmetries(np.array([[1.0, 0.6, 0.5, 0.0]]))[0] == pytest.approx(0.4 - 0.5)


def test_no_map_for_other_noise() -> None:
    with pytest.raises(ConfigError, match="'depth'; for these: data_noise"):
        two_hands_for("depth")
