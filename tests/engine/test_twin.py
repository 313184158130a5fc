"""The mechanical twin: exact on its own curves, honest about errors, as good as promised on the authors' table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.rest import quasi_static

from engine.chain.mean_field import MeanField, predicted_asymmetry, predicted_curve
from engine.chain.mean_field_cells import mean_field_cells
from engine.errors import DataError
from engine.measures.friction import asymmetries, fit_curve, friction_error, hidden, scaled
from engine.measures.separation import separation_and_influence, separation_measures
from engine.settings.chain import ChainConfig
from engine.twin.axis import noise_coordinate
from engine.twin.fit import fit_map, predict
from engine.twin.maps import PRESETS, TwinMap

TABLE = json.loads((Path(__file__).parents[1] / "data" / "load_curves_data_noise.json").read_text())["cells"]
NONLINEARITY = [1.0 - cell["negative_slope"] for cell in TABLE]
NOISE = [cell["noise"] for cell in TABLE]
CURVES = np.array([hidden(cell["log_trace_ratio_mean"]) for cell in TABLE])


@pytest.mark.parametrize(
    ("right", "left", "noise"), [(0.03, 0.138, 0.029), (0.2, 0.05, 0.1), (0.1, 0.1, 0.0), (0.3, 0.1, 1e-3)]
)
def test_compiled_cells_follow_the_mean_field(right: float, left: float, noise: float) -> None:
    theory = MeanField(ChainConfig(mu_right=right, mu_left=left, noise=noise))
    theory.advance(2000)
    (x,) = mean_field_cells(right, left, noise, blocks=7, steps=2000)
    np.testing.assert_allclose(x, theory.x_L, atol=1e-6)


def test_without_noise_the_cells_rest_where_the_closed_form_says() -> None:
    rights = np.array([0.02, 0.05, 0.1, 0.3])
    x = mean_field_cells(rights, 0.1, 0.0, blocks=7, steps=100_000)
    for right, found in zip(rights, x, strict=True):
        np.testing.assert_allclose(found, quasi_static(ChainConfig(mu_right=float(right), mu_left=0.1)), atol=1e-8)


def test_cells_do_not_depend_on_the_number_of_threads() -> None:
    rights = np.linspace(0, 0.2, 37)
    runs = [mean_field_cells(rights, 0.1, 0.05, blocks=5, steps=300, threads=n) for n in (1, 2, 5)]
    assert all(np.array_equal(runs[0], other) for other in runs[1:])


@pytest.mark.parametrize("friction", [-0.03, 0.0, 0.025])
def test_a_parabola_gives_its_friction_back(friction: float) -> None:
    at = np.arange(8)
    curve = 2.0 - 5.0 * (at / 7 - 0.5 * friction * at * (7 - at))
    fit = fit_curve(curve)
    assert fit.effective_friction == pytest.approx(friction, abs=1e-12)
    assert fit.residual < 1e-12
    np.testing.assert_allclose(fit.curve, curve)


def test_the_uncertainty_is_the_spread_of_the_estimate() -> None:
    """Of 200 experiments: the estimates' s.d. is known to 5 %, the mean error to 2 %; 4 of that is 22 %."""
    rng = np.random.default_rng(3)
    at = np.arange(8)
    truth = 1.0 - at / 7 + 0.5 * 0.02 * at * (7 - at)
    fits = [fit_curve(truth + 0.02 * rng.standard_normal((10, 8)), resamples=200) for _ in range(200)]
    spread = np.std([fit.effective_friction for fit in fits], ddof=1)
    assert np.mean([fit.standard_error for fit in fits]) == pytest.approx(spread, rel=0.25)
    alone = [fit_curve(truth + 0.02 * rng.standard_normal(8)) for _ in range(400)]
    spread = np.std([fit.effective_friction for fit in alone], ddof=1)
    assert np.mean([fit.standard_error for fit in alone]) == pytest.approx(spread, rel=0.25)


def test_the_error_over_samples_is_that_of_a_bootstrap() -> None:
    """300 resamples give a s.d. to 4 %; 3 of that, and some for what is not linear."""
    rng = np.random.default_rng(5)
    y = torch.arange(600) % 4
    centres, noise = rng.normal(size=(4, 12)), rng.normal(size=(600, 12))
    layers = [
        torch.tensor(c * centres[y] + noise * rng.normal(1.0, 0.2, (600, 1))) for c in (0.3, 0.5, 0.9, 1.2, 2.0)
    ]
    found = [separation_and_influence(x, y) for x in layers]
    curve = [measures["trace_ratio"] for measures, _ in found]
    error = friction_error(curve, [influence.numpy() for _, influence in found if influence is not None])
    frictions = []
    for _ in range(300):
        rows = torch.tensor(rng.integers(0, 600, 600))
        again = [separation_measures(x[rows], y[rows])["trace_ratio"] for x in layers]
        frictions.append(fit_curve(again).effective_friction)
    assert error == pytest.approx(np.std(frictions, ddof=1), rel=0.2)
    fit = fit_curve(curve, error=error)
    assert (fit.standard_error, fit.over) == (error, "samples")
    assert fit_curve(curve).over == "points"
    assert fit_curve([curve, curve]).over == "seeds"
    assert math.isnan(friction_error(curve[::-1], np.zeros((5, 600))))


@pytest.mark.parametrize("curve", [[1.0, 2.0, 3.0], [1.0, math.nan, 0.0], [1.0, 0.0]])
def test_a_curve_that_cannot_be_fitted_is_refused(curve: list[float]) -> None:
    with pytest.raises(DataError):
        fit_curve(curve)


def test_a_planted_map_is_found_again() -> None:
    """Not its numbers, of which some trade off against others, but its curves."""
    planted = TwinMap(
        friction=0.04, friction_per_nonlinearity=0.08, mu_left=0.12, noise=0.03, noise_per_noise=0.06
    )
    alpha, q = (axis.ravel() for axis in np.meshgrid([0.0, 0.5, 1.0], [0.0, 0.3, 0.6, 0.9]))
    curves = predict(planted, alpha, q, 7)
    found = fit_map(alpha, q, 3.0 * curves - 2.0, restarts=1, leave_out=False)
    assert found.rms < 2e-3
    np.testing.assert_allclose(predict(found, alpha, q, 7), curves, atol=8e-3)


def test_the_map_reproduces_the_authors_diagram() -> None:
    found = fit_map(NONLINEARITY, NOISE, CURVES, restarts=2)
    assert found.converged
    assert found.rms <= 0.04
    assert found.asymmetry_correlation >= 0.93
    assert found.rms < found.left_out_rms <= 0.06


def test_the_shipped_map_is_as_good_as_it_says() -> None:
    preset = PRESETS["data_noise"]
    predicted, wanted = predict(preset, NONLINEARITY, NOISE, 7), scaled(CURVES)
    assert np.sqrt(np.mean((predicted - wanted) ** 2)) == pytest.approx(preset.rms, abs=5e-4)
    correlation = np.corrcoef(asymmetries(predicted), asymmetries(wanted))[0, 1]
    assert correlation == pytest.approx(preset.asymmetry_correlation, abs=5e-3)


def test_frictions_cell_by_cell_fit_better_than_the_map() -> None:
    residuals = [fit_curve(curve).residual for curve in CURVES]
    assert np.sqrt(np.mean(np.square(residuals))) == pytest.approx(0.019, abs=1e-3)


def test_the_quick_asymmetry_is_that_of_the_map() -> None:
    preset = PRESETS["data_noise"]
    for alpha, q in [(0.0, 0.0), (1.0, 0.0), (0.5, 0.4), (1.0, 0.8)]:
        right, left, noise = (float(v) for v in preset.chain(alpha, q))
        (exact,) = asymmetries(predict(preset, [alpha], [q], 7))
        assert predicted_asymmetry(right, left, noise) == pytest.approx(exact, abs=0.01)
        np.testing.assert_allclose(
            predicted_curve(right, left, noise, 7), predict(preset, [alpha], [q], 7)[0], atol=5e-3
        )


def test_coordinates_of_the_axes_run_from_calm_to_noisy() -> None:
    assert noise_coordinate("batch_size", 2560) == pytest.approx(0.0)
    assert noise_coordinate("batch_size", 5) == pytest.approx(1.0)
    assert noise_coordinate("lr", 0.5) == pytest.approx(1.0)
    assert noise_coordinate("data_noise", 0.4) == pytest.approx(0.4)
