"""Curvature from Hessian-vector products, against Hessians written out in full."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.datasets.load import Dataset
from engine.measures.hessian import curvature, hessian_product, hutchinson_trace, top_eigenvalue
from engine.networks.trainer import Trainer
from engine.runs.directory import Run
from engine.runs.listing import open_home
from engine.runs.records import Curve, Ended
from engine.settings.train import TrainConfig
from engine.workers.work import work

pytestmark = pytest.mark.usefixtures("one_thread")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def matrix(values: list[float]) -> Tensor:
    """A symmetric matrix with these eigenvalues, in a drawn basis."""
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator(), dtype=torch.float64))
    return (basis * torch.tensor(values, dtype=torch.float64) @ basis.T).float()


def tiny(images: bool = False, **settings: Any) -> Trainer:
    """A network of a few dozen parameters, trained a little so that no BatchNorm is as it began."""
    rng = np.random.default_rng(0)
    y = np.arange(36) % 3
    shape = (1, 4, 4) if images else (4,)
    x = (rng.normal(size=(3, *shape))[y] + rng.normal(size=(36, *shape))).astype(np.float32)
    small: dict[str, Any] = {"width": 3, "depth": 3, "batch_size": 36, "early_stop": False, "lr": 0.02}
    config = TrainConfig(**{**small, **settings})
    trainer = Trainer(config, Dataset("tiny", x[:30], y[:30], x[30:], y[30:], 3))
    for _ in range(10):
        for _ in trainer.run_epoch():
            pass
    return trainer


def written_out(trainer: Trainer) -> Tensor:
    """The exact Hessian of the mean training loss in float64, [P, P]."""
    network = trainer.network.double().eval()
    names = [name for name, _ in network.named_parameters()]
    shapes = [p.shape for p in network.parameters()]

    def loss(flat_P: Tensor) -> Tensor:
        parts = torch.split(flat_P, [math.prod(shape) for shape in shapes])
        values = {n: part.reshape(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        out = torch.func.functional_call(network, values, (trainer.x_train.double(),))
        return trainer._loss(out, trainer.y_train)

    flat_P = nn.utils.parameters_to_vector(network.parameters()).detach()
    hessian: Tensor = torch.autograd.functional.hessian(loss, flat_P)
    return hessian


NETWORKS: dict[str, dict[str, Any]] = {
    "leaky": {"negative_slope": 0.2},
    "tanh": {"activation": "tanh"},
    "gelu": {"activation": "gelu", "negative_slope": 0.5},
    "bare": {"batch_norm": False, "bias": "off"},
    "ntk": {"init": "ntk"},
    "mse": {"loss": "mse"},
    "one hot": {"loss": "mse_one_hot", "dropout": 0.3},
    "cnn": {"model": "cnn", "images": True},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_against_the_exact_hessian(name: str) -> None:
    trainer = tiny(**NETWORKS[name])
    before = trainer.state()
    found = trainer.curvature()
    assert trainer.state() == before
    assert trainer.network.training
    assert found is not None
    eigenvalues = torch.linalg.eigvalsh(written_out(trainer))
    exact = float(eigenvalues.sum())
    assert found.top == pytest.approx(float(eigenvalues[-1]), rel=2e-3)
    assert abs(found.trace - exact) <= 4 * found.trace_error + 1e-3 * abs(exact)
    assert found.trace_error < 0.5 * abs(exact)


class TestRun:
    """What a worker records."""

    def work(self, home: Path, **settings: Any) -> tuple[Ended, list[Curve]]:
        run = Run.create(open_home(home), TrainConfig(width=4, depth=3, train_size=64, epochs=2, **settings))
        ended = work(run)
        return ended, [event for event in run.events() if isinstance(event, Curve)]

    def test_at_the_end_by_default(self, home: Path) -> None:
        ended, _ = self.work(home)
        assert set(ended.summary["hessian"]) == {"trace", "trace_error", "top", "top_error", "products"}
        assert all(math.isfinite(value) for value in ended.summary["hessian"].values())

    def test_not_where_switched_off(self, home: Path) -> None:
        assert self.work(home, hessian=False)[0].summary["hessian"] is None

    def test_probes_and_test_curves_on_request(self, home: Path) -> None:
        ended, curves = self.work(home, linear_probes=True, measure_test=True, hessian=False)
        assert [len(curve.linear_probes or []) for curve in curves] == [4, 4, 4]
        assert ended.summary["linear_probes"] == curves[-1].linear_probes
        assert len(curves[-1].curves["test_trace_ratio"]) == 4
        ended, curves = self.work(home, hessian=False)
        assert {curve.linear_probes for curve in curves} == {None}
        assert not [name for name in curves[-1].curves if name.startswith("test_")]


def test_product_is_exact() -> None:
    trainer = tiny(negative_slope=0.3)
    trainer.network.eval()
    parameters = list(trainer.network.parameters())
    whole = [functools.partial(trainer._part_of_loss, slice(0, 30))]
    halves = [functools.partial(trainer._part_of_loss, rows) for rows in (slice(0, 13), slice(13, 30))]
    v_P = torch.randn(sum(p.numel() for p in parameters), generator=generator())
    once, parts = hessian_product(whole, parameters), hessian_product(halves, parameters)
    first = once(v_P)
    assert torch.equal(once(v_P), first)
    torch.testing.assert_close(parts(v_P), first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((written_out(trainer) @ v_P.double()).float(), first, rtol=1e-3, atol=1e-4)


def test_linear_loss_has_no_curvature() -> None:
    weight = nn.Parameter(torch.ones(5))
    product = hessian_product([lambda: weight.sum()], [weight])
    found = curvature(product, 5, generator())
    assert found is not None
    assert (found.trace, found.top) == (0.0, 0.0)


@pytest.mark.parametrize(
    "values",
    [[3.0], [5.0, -50.0, 1.0], [-1.0, -2.0, -4.0], [1.0] * 6, [10.0, 9.99, *np.linspace(-3, 3, 200).tolist()]],
    ids=["one", "indefinite", "negative", "equal", "close"],
)
def test_top_eigenvalue(values: list[float]) -> None:
    """The algebraically largest, not the largest in size."""
    h_PP = matrix(values)
    top, residual = top_eigenvalue(lambda v_P: h_PP @ v_P, len(values), generator())
    assert top == pytest.approx(max(values), rel=2e-3)
    assert residual <= 1e-2 * abs(top)


def test_top_eigenvalue_restarts_where_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.measures.hessian._BASIS", 4)
    h_PP = matrix([4.0, *np.linspace(-2, 3, 60).tolist()])
    assert top_eigenvalue(lambda v_P: h_PP @ v_P, 61, generator())[0] == pytest.approx(4.0, rel=2e-3)


def test_trace_is_unbiased_and_its_error_honest() -> None:
    """400 estimates: their mean is off by less than 4 s.e., their spread is what each said of itself."""
    h_PP = matrix([20.0, *np.linspace(-1, 1, 30).tolist()])
    draw = generator()
    found = [hutchinson_trace(lambda v_P: h_PP @ v_P, 31, draw) for _ in range(400)]
    values, errors = (np.array(column) for column in zip(*found, strict=True))
    assert abs(values.mean() - 20.0) < 4 * values.std() / 20
    assert values.std() == pytest.approx(np.sqrt((errors**2).mean()), rel=0.3)


def test_diagonal_hessian_needs_no_luck() -> None:
    """vᵀHv is the trace itself for random signs where H is diagonal."""
    diagonal_P = torch.linspace(-1, 5, 40)
    trace, error = hutchinson_trace(lambda v_P: diagonal_P * v_P, 40, generator())
    assert trace == pytest.approx(80.0, rel=1e-5)
    assert error == pytest.approx(0.0, abs=1e-4)


def test_given_up() -> None:
    asked: list[int] = []

    def going() -> bool:
        asked.append(1)
        return len(asked) < 4

    assert curvature(lambda v_P: v_P, 5, generator(), going) is None
    assert len(asked) == 4


def test_out_of_patience() -> None:
    h_PP = matrix([20.0, *np.linspace(-1, 1, 300).tolist()])
    found = curvature(lambda v_P: h_PP @ v_P, 301, generator(), patience=0.0)
    patient = curvature(lambda v_P: h_PP @ v_P, 301, generator())
    assert found is not None
    assert patient is not None
    assert found.products < patient.products


def product_of(value: float) -> Callable[[Tensor], Tensor]:
    return lambda v_P: v_P * value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_not_finite(value: float) -> None:
    found = curvature(product_of(value), 7, generator())
    assert found is not None
    assert not math.isfinite(found.trace)
    assert math.isnan(found.top)
