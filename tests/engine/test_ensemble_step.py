"""A step of the ensemble against PyTorch: products, gradients, moments, Adam, noise, and nothing else touched."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numba.core.dispatcher import Dispatcher
from support.ensemble_rig import Rig, small, some_data
from torch import nn

from engine import jit
from engine.ensemble import kernels as ensemble_kernels
from engine.ensemble import layers as ensemble_layers
from engine.ensemble import products as ensemble_products
from engine.ensemble import random as ensemble_random
from engine.ensemble import state as ensemble_state
from engine.ensemble.kernels import gradients, train_steps
from engine.ensemble.layers import adam
from engine.ensemble.products import few_rows, few_rows_turned
from engine.ensemble.threads import single_threaded
from engine.networks.network import Network


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """PyTorch's threads only get in each other's way at these sizes, all the more on a busy machine."""
    with single_threaded():
        yield


def masked(network: Network, x: torch.Tensor, masks: list[torch.Tensor]) -> torch.Tensor:
    """The network's output with dropout by given factors."""
    x = network.entry(x)
    for block, mask in zip(network.blocks, masks, strict=True):
        x = block(x) * mask
    return network.head(x)


@pytest.mark.parametrize(
    ("n", "batch", "width", "d", "dropout"),
    [
        (2560, 2560, 100, 100, 0.0),
        (640, 640, 100, 64, 0.2),
        (300, 300, 20, 7, 0.0),
        (300, 83, 37, 130, 0.3),
        (60, 5, 100, 100, 0.1),
        (60, 3, 20, 9, 0.0),
        (60, 10, 100, 784, 0.0),  # blocks lower than a batch of few rows
        (60, 12, 300, 100, 0.1),
        (500, 500, 250, 30, 0.0),
    ],
)
def test_gradients_are_autograds(n: int, batch: int, width: int, d: int, dropout: float) -> None:
    config = small(width=width, batch_size=batch, dropout=dropout)
    rig = Rig(config, some_data(n, d))
    rows = np.random.default_rng(1).permutation(n)[:batch]
    with single_threaded():
        loss = gradients(rig.group.plan, rig.group.data, rig.state, rig.work, rows)
    at = rows if batch < n else np.arange(n)
    x, y = torch.from_numpy(rig.group.dataset.x_train[at]), torch.from_numpy(rig.group.dataset.y_train[at])
    masks = [torch.from_numpy(m[: batch * width].reshape(batch, width)) / (1 - dropout) for m in rig.work.masks]
    if dropout == 0.0:
        masks = [torch.ones(())] * 3
    rig.network.double().train()  # PyTorch's float32 rounds too: the truth is float64
    ours = rig.as_network(rig.work.grad)
    expected = nn.functional.cross_entropy(masked(rig.network, x.double(), masks), y)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    largest = max(float(p.grad.abs().max()) for p in rig.network.parameters() if p.grad is not None)
    for mine, p in zip(ours, rig.network.parameters(), strict=True):
        assert p.grad is not None
        # An activation within rounding of the kink may fall on its other side: 1 / batch of a gradient.
        slack = 1e-5 * largest + (2e-3 * largest / batch if batch > 100 else 0.0)
        torch.testing.assert_close(mine.double(), p.grad, rtol=2e-4, atol=slack)


@pytest.mark.parametrize(("batch", "width", "d"), [(5, 100, 100), (10, 300, 100), (12, 100, 784), (25, 100, 784)])
def test_what_a_workspace_held_does_not_count(batch: int, width: int, d: int) -> None:
    """Else a member would depend on who trained before it, and a resumed run on when it was cut."""
    found = []
    for held in (0.0, np.nan):
        rig = Rig(small(width=width, batch_size=batch, dropout=0.1), some_data(60, d))
        for array in rig.work:
            array.fill(held if array.dtype == np.float32 else 0)
        with single_threaded():
            train_steps(rig.group.plan, rig.group.data, rig.state, rig.work, np.arange(60), 0, 0.0, 99)
        found.append(rig.state.weights.copy())
    assert np.isfinite(found[0]).all()
    assert np.array_equal(*found)


def test_no_step_function_returns_an_array() -> None:
    """Nobody counts references to it."""
    modules = (jit, ensemble_kernels, ensemble_layers, ensemble_products, ensemble_random, ensemble_state)
    compiled = {one for module in modules for one in vars(module).values() if isinstance(one, Dispatcher)}
    uncounted = [one.py_func for one in compiled if one.targetoptions.get("_nrt") is False]
    numbers = {"None", "int", "float", "tuple[int, int]", "tuple[int, float]"}
    assert len(uncounted) > 40
    float32 = {"_back_bend", "_exponential", "_minus_two_log", "dot"}
    said = {f.__name__: f.__annotations__["return"] for f in uncounted}
    assert {name: kind for name, kind in said.items() if kind not in numbers and name not in float32} == {}


def test_running_moments_are_torchs() -> None:
    rig = Rig(small(batch_size=128), some_data(640, 30))
    order = np.arange(640)
    train_steps(
        rig.group.plan,
        rig.group.data,
        rig.state._replace(knobs=np.array([0.2, 0.0, 1e-30, 0.0])),
        rig.work,
        order,
        0,
        0.0,
        5,
    )
    rig.network.train()
    for rows in torch.from_numpy(order).split(128):
        rig.network(torch.from_numpy(rig.group.dataset.x_train)[rows])
    ours = rig.trainer.network()
    for (name, mine), theirs in zip(ours.named_buffers(), rig.network.buffers(), strict=True):
        if "running" in name:
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_adam_is_torchs() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=1000).astype(np.float32)
    p = torch.nn.Parameter(torch.from_numpy(w.copy()))
    optimiser = torch.optim.Adam([p], lr=0.01)
    first, second = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, 30):
        g = (rng.normal(size=1000) * 10.0 ** rng.integers(-9, 2, 1000)).astype(np.float32)
        g[:10] = 0.0
        adam(w, g, first, second, 0.01, step)
        p.grad = torch.from_numpy(g)
        optimiser.step()
    torch.testing.assert_close(torch.from_numpy(w), p.detach(), rtol=1e-5, atol=2e-6)


def test_data_noise_is_the_papers() -> None:
    """Labels: round(q B) positions drawn uniformly; inputs: s.d. q x the batch's pixel s.d."""
    data = some_data(4000, 50)
    rig = Rig(small(data_noise=0.4, batch_size=4000), data)
    gradients(rig.group.plan, rig.group.data, rig.state, rig.work, np.arange(4000))
    added = rig.work.x.reshape(4000, 50) - data.x_train
    assert added.std() == pytest.approx(0.4 * data.x_train.std(ddof=1), rel=0.01)
    changed = (rig.work.labels != data.y_train).mean()
    assert changed == pytest.approx(0.4 * 0.9, abs=5 * math.sqrt(0.4 * 0.09 / 4000))


# members


@pytest.mark.parametrize("m", [1, 2, 4, 5, 6, 10, 12])
@pytest.mark.parametrize(("n", "k"), [(100, 100), (7, 3), (10, 64), (33, 101)])
def test_products_of_few_rows_are_products(m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m)
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    bound = 4.0 * k * np.finfo(np.float32).eps * (np.abs(a) @ np.abs(b))  # of any order of summation
    flat_a, flat_b, flat_turned = (np.ravel(each).astype(np.float32) for each in (a, b, b.T))
    c = np.full(m * n, np.nan, np.float32)
    few_rows(flat_a, flat_b, c, m, n, k)
    assert np.all(np.abs(c.reshape(m, n) - a @ b) < bound)
    c[:] = np.nan
    few_rows_turned(flat_a, flat_turned, c, m, n, k)
    assert np.all(np.abs(c.reshape(m, n) - a @ b) < bound)
