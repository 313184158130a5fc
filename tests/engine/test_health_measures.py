"""The measures of layer health against known answers."""

from __future__ import annotations

import math
import re

import pytest
import torch
from support.paths import ROOT
from torch import Tensor, nn

from engine.measures.dead import dead_fraction
from engine.measures.effective_rank import effective_rank
from engine.measures.grad_norm import grad_norm
from engine.measures.registry import (
    EFFECTIVE_RANK,
    HEALTH,
    OF_OPTIMISER,
    HealthMeasure,
    Need,
)
from engine.measures.saturated import Ends, ends_of
from engine.measures.scale import length, root_mean_square
from engine.measures.separation_wide import GramSeparation
from engine.measures.update_ratio import update_ratio

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("measure", HEALTH.values(), ids=list(HEALTH))
def test_a_record_is_whole(measure: HealthMeasure) -> None:
    assert all(measure._replace(is_fraction=True)), "an empty field"
    assert measure.name.isidentifier()
    assert (ROOT / "engine" / "measures" / f"{measure.name}.py").exists()
    assert (Need.OPTIMISER in measure.needs) == (measure.name in OF_OPTIMISER)


def test_the_table_of_the_theory_is_the_registry() -> None:
    rows = re.findall(
        r"^\| [\w ]+ `(\w+)` \| (.+) \| (.+) \| (.+) \| (.+) \|$",
        (ROOT / "docs" / "theory.md").read_text("utf-8"),
        re.M,
    )
    assert [name for name, *_ in rows] == list(HEALTH)
    for name, formula, unit, worse, source in rows:
        one = HEALTH[name]
        assert (formula, unit, worse, source) == (one.formula, one.unit, one.worse.value, one.source)


def with_spectrum(roots: list[float], samples: int, seed: int = 0) -> Tensor:
    """Features [M, D] whose covariance has the eigenvalues ``roots`` squared, over M; their mean is not zero."""
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(samples, len(roots) + 1, generator=draw, dtype=torch.float64)
    u[:, 0] = 1.0
    u = torch.linalg.qr(u)[0][:, 1:]
    v = torch.linalg.qr(torch.randn(len(roots), len(roots), generator=draw, dtype=torch.float64))[0]
    return u * torch.tensor(roots, dtype=torch.float64) @ v.T + 3.0


class TestEffectiveRank:
    @pytest.mark.parametrize("samples", [30, 9], ids=["more samples", "more features"])
    @pytest.mark.parametrize("roots", [[1.0] * 8, [3.0, 2.0, 1.0, 0, 0, 0, 0, 0], [5.0] + [0.0] * 7])
    def test_is_the_closed_form(self, roots: list[float], samples: int) -> None:
        x = torch.cat([with_spectrum(roots, samples), torch.zeros(samples, 4, dtype=torch.float64)], 1)
        values = torch.tensor(roots) ** 2
        wanted = float(values.sum() ** 2 / (values**2).sum())
        assert effective_rank(x) == pytest.approx(wanted, rel=1e-9)
        assert effective_rank(x.float() * 1e-12) == pytest.approx(wanted, rel=1e-4), "in any unit"

    def test_of_gaussians_tends_to_their_number(self) -> None:
        """D isotropic features of M samples: D M / (D + M), for large M and D, by the Marchenko-Pastur law."""
        x = torch.randn(4000, 400, generator=torch.Generator().manual_seed(0))
        assert effective_rank(x) == pytest.approx(4000 * 400 / 4400, rel=0.01)

    def test_is_0_where_all_samples_are_alike(self) -> None:
        row = torch.randn(1, 50, generator=torch.Generator().manual_seed(0))
        assert effective_rank(row.expand(20, 50)) == 0.0
        assert effective_rank(torch.zeros(20, 50)) == 0.0
        jitter = row * (1 + 1e-7 * torch.randn(20, 50, generator=torch.Generator().manual_seed(1)))
        assert effective_rank(jitter) == 0.0, "rounding is no spread"

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_is_unknown_where_features_are_not_finite(self, value: float) -> None:
        x = torch.ones(5, 3)
        x[2, 1] = value
        assert math.isnan(effective_rank(x))
        assert math.isnan(effective_rank(torch.ones(0, 3)))

    def test_in_slices_is_the_same(self) -> None:
        x = with_spectrum([4.0, 3.0, 2.0, 1.0, 0.5, 0.1], 12).float()
        gram = GramSeparation(torch.arange(12) % 2, 2)
        for part in x.split(2, dim=1):
            gram.add(part)
        assert gram.effective_rank() == pytest.approx(effective_rank(x), rel=1e-5)
        alike = GramSeparation(torch.arange(12) % 2, 2)
        alike.add(torch.full((12, 9), 0.1))
        assert alike.effective_rank() == 0.0


class TestDead:
    def test_units_that_do_not_change(self) -> None:
        low = torch.tensor([0.0, -1.0, 2.0, 0.3, -1e-9])
        high = torch.tensor([0.0, 1.0, 2.0, 0.3000001, 1e-9])
        assert dead_fraction(low, high) == 4 / 5

    def test_a_unit_of_little_range_is_alive(self) -> None:
        assert dead_fraction(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.001, 1e-3, 1e3])) == 0.0

    def test_all_zero_is_all_dead(self) -> None:
        assert dead_fraction(torch.zeros(4), torch.zeros(4)) == 1.0

    def test_is_unknown_without_units_or_finite_activations(self) -> None:
        assert math.isnan(dead_fraction(torch.zeros(0), torch.zeros(0)))
        assert math.isnan(dead_fraction(torch.tensor([0.0, math.nan]), torch.ones(2)))
        assert math.isnan(dead_fraction(torch.zeros(2), torch.tensor([1.0, math.inf])))


class TestSaturated:
    @pytest.mark.parametrize(
        ("module", "values", "count"),
        [
            (nn.Tanh(), [-0.99, -0.97, 0.0, 0.97, 0.99], 2),
            (nn.Sigmoid(), [0.005, 0.02, 0.5, 0.98, 0.995], 2),
            (nn.Softsign(), [-0.99, 0.5], 1),
            (nn.Hardsigmoid(), [0.0, 0.5, 1.0], 2),
            (nn.Hardtanh(-2.0, 4.0), [-2.0, -1.93, 0.0, 3.93, 4.0], 2),
            (nn.ReLU6(), [0.0, 0.0, 3.0, 6.0], 1),
            (nn.RNN(2, 2), [-0.99, 0.0], 1),
        ],
        ids=lambda one: type(one).__name__,
    )
    def test_counts_what_is_at_an_end(self, module: nn.Module, values: list[float], count: int) -> None:
        ends = ends_of(module)
        assert ends is not None
        assert int(ends.count(torch.tensor(values))) == count

    @pytest.mark.parametrize(
        "module",
        [nn.ReLU(), nn.GELU(), nn.Linear(2, 2), nn.LSTM(2, 2), nn.GRU(2, 2), nn.RNN(2, 2, nonlinearity="relu")],
    )
    def test_functions_without_bounds_have_no_ends(self, module: nn.Module) -> None:
        assert ends_of(module) is None

    @pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid])
    def test_at_the_ends_the_slope_is_below_4_percent_of_the_steepest(self, function: object) -> None:
        z = torch.linspace(-6, 6, 10001, requires_grad=True)
        x = function(z)  # type: ignore[operator]
        (slope,) = torch.autograd.grad(x.sum(), z)
        x, slope = x.detach(), slope.detach()
        bounds = Ends(-1.0, 1.0) if float(x.min()) < 0 else Ends(0.0, 1.0)
        is_saturated = (x <= bounds.low) | (x >= bounds.high)
        assert (
            float(slope[is_saturated].max() / slope.max())
            < 0.04
            < float(slope[~is_saturated].min() / slope.max()) * 1.02
        )


class TestLengths:
    def test_of_parts_add_up(self) -> None:
        x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        lengths = [float(length(part)) for part in x.split(2)]
        assert root_mean_square(lengths, x.numel()) == pytest.approx(float(x.square().mean().sqrt()), rel=1e-12)
        assert grad_norm(lengths) == pytest.approx(float(x.norm()), rel=1e-12)

    def test_of_half_precision_do_not_overflow(self) -> None:
        x = torch.full((1000,), 3e4, dtype=torch.float16)
        assert float(length(x)) == pytest.approx(3e4 * 1000**0.5, rel=1e-2)

    def test_of_sparse_gradients(self) -> None:
        rows = torch.sparse_coo_tensor(torch.tensor([[1, 1, 3]]), torch.ones(3, 2), (5, 2), check_invariants=True)
        assert float(length(rows)) == pytest.approx(float(rows.to_dense().norm()))

    def test_infinite_where_not_finite(self) -> None:
        for value in (math.nan, math.inf):
            assert grad_norm([1.0, value]) == math.inf
            assert root_mean_square([1.0, value], 3) == math.inf
            assert update_ratio([value], [1.0]) == math.inf

    def test_unknown_where_there_is_nothing(self) -> None:
        assert math.isnan(grad_norm([]))
        assert math.isnan(root_mean_square([], 0))
        assert math.isnan(update_ratio([], []))
        assert math.isnan(update_ratio([1.0], [0.0])), "from weights of zero nothing is relative"

    def test_update_ratio(self) -> None:
        assert update_ratio([3e-3, 4e-3], [3.0, 4.0]) == pytest.approx(1e-3)


def test_the_names_are_those_that_users_give() -> None:
    assert list(HEALTH) == ["grad_norm", "update_ratio", "dead", "saturated", "scale", "effective_rank"]
    assert EFFECTIVE_RANK == "effective_rank"
