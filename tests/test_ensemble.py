"""The ensemble against PyTorch: gradients, Adam, randomness, independence, and what a whole training comes to."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import torch
from numba.core.dispatcher import Dispatcher
from torch import nn

from engine import (
    ensemble_jit,
    ensemble_kernels,
    ensemble_layers,
    ensemble_products,
    ensemble_random,
    ensemble_state,
)
from engine.config import TrainConfig
from engine.datasets import Dataset, load_dataset
from engine.ensemble import Group, Member, MemberResult, MemberTrainer, Progress, member_of, why_not
from engine.ensemble_kernels import gradients, train_steps
from engine.ensemble_layers import adam
from engine.ensemble_products import few_rows, few_rows_turned
from engine.ensemble_state import State, Workspace, make_workspace, store_weights
from engine.ensemble_threads import single_threaded, train_ensemble
from engine.ensemble_torch import train_stacked
from engine.errors import ConfigError, RunDirectoryError
from engine.networks import Knobs, Network, build_network
from engine.training import Measurement, Trainer

MEASURES = ("trace_ratio", "fuzziness", "inverse_fuzziness")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """PyTorch's threads only get in each other's way at these sizes, all the more on a busy machine."""
    with single_threaded():
        yield


def some_data(n: int, d: int, classes: int = 10, seed: int = 0) -> Dataset:
    """Classes that overlap, with one input that never varies, as an image's corner."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = (rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d))).astype(np.float32)
    x[:, 0] = 0.5
    return Dataset("made", x, y, x[: n // 4], y[: n // 4], classes)


def small(**settings: object) -> TrainConfig:
    return msgspec.structs.replace(TrainConfig(width=20, depth=4, negative_slope=0.2), **settings)


class Rig:
    """A member beside the torch network that it began as."""

    def __init__(self, config: TrainConfig, data: Dataset) -> None:
        self.group = Group(config, data)
        self.trainer = MemberTrainer(self.group, member_of(config))
        self.state: State = self.trainer._state
        self.work: Workspace = self.group.workspace()
        knobs = Knobs(config.negative_slope, 0.0, torch.Generator())
        self.network = build_network(config, data.x_train.shape[1:], data.n_classes, knobs)

    def as_network(self, flat: np.ndarray) -> list[torch.Tensor]:
        """Flat numbers in the order of a network's parameters."""
        copy = build_network(
            self.group.config, self.group.dataset.x_train.shape[1:], 10, Knobs(0, 0, torch.Generator())
        )
        store_weights(self.state._replace(weights=flat), copy)
        return [p.detach() for p in copy.parameters()]


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
    modules = (ensemble_jit, ensemble_kernels, ensemble_layers, ensemble_products, ensemble_random, ensemble_state)
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


def curves(result: MemberResult) -> np.ndarray:
    return np.array([result.curves[name] for name in MEASURES])


def test_members_do_not_depend_on_company() -> None:
    data = some_data(400, 30)
    config = small(epochs=8, batch_size=64)
    members = [
        Member(seed=seed, negative_slope=slope, dropout=p, data_noise=q, lr=lr)
        for seed, slope, p, q, lr in ((1, 0.0, 0.0, 0.0, 1e-3), (2, 0.5, 0.1, 0.0, 1e-2), (3, 0.2, 0.0, 0.4, 1e-3))
    ]
    together = train_ensemble(config, members, data, threads=3)
    behind = train_ensemble(config, members[::-1], data, threads=1)[::-1]
    for member, one, two in zip(members, together, behind, strict=True):
        (alone,) = train_ensemble(config, [member], data, threads=1)
        np.testing.assert_array_equal(curves(one), curves(alone))
        np.testing.assert_array_equal(curves(two), curves(alone))
        assert alone.finished
        assert alone.epochs == 8


def test_other_seeds_are_other_networks() -> None:
    data = some_data(200, 10)
    a, b, c = train_ensemble(
        small(epochs=2, data_noise=0.2), [Member(seed=0), Member(seed=1), Member(seed=0)], data, threads=2
    )
    assert a.curves == c.curves
    assert a.curves != b.curves


def test_without_noise_a_training_is_the_trainers() -> None:
    """Full batch, no noise: nothing is random but the initial weights, which are the same."""
    data = some_data(300, 30)
    config = small(epochs=10, batch_size=300)
    (ours,) = train_ensemble(config, [member_of(config)], data, threads=1)
    theirs = trained(config, data)
    for name in MEASURES:
        np.testing.assert_allclose(ours.curves[name], theirs.curves[name], rtol=0.01, atol=0.01)
    assert ours.scalar("train_loss") == pytest.approx(theirs.scalars["train_loss"], rel=1e-3)
    assert ours.scalar("test_accuracy") == pytest.approx(theirs.scalars["test_accuracy"], abs=0.03)


def trained(config: TrainConfig, data: Dataset) -> Measurement:
    trainer = Trainer(config, data)
    for _ in range(config.epochs):
        for _ in trainer.run_epoch():
            pass
    return trainer.measure()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"data_noise": 0.4, "batch_size": 2560, "epochs": 30},
        {"dropout": 0.2, "batch_size": 2560, "epochs": 30},
        {"batch_size": 20, "epochs": 2},
        {"data_noise": 0.2, "dropout": 0.1, "batch_size": 100, "epochs": 6, "negative_slope": 0.6},
    ],
    ids=str,
)
def test_means_over_seeds_are_the_trainers(settings: dict[str, float]) -> None:
    """On digits: means within four combined standard errors, for curves and accuracy."""
    config = msgspec.structs.replace(TrainConfig(dataset="digits"), **settings)
    data = load_dataset(config)
    ours = train_ensemble(
        config, [msgspec.structs.replace(member_of(config), seed=s) for s in range(100, 116)], data
    )
    with single_threaded():
        theirs = [trained(msgspec.structs.replace(config, seed=s), data) for s in range(12)]
    a = np.array([[*r.curves["trace_ratio"], *r.curves["fuzziness"], r.scalar("test_accuracy")] for r in ours])
    b = np.array([[*m.curves["trace_ratio"], *m.curves["fuzziness"], m.scalars["test_accuracy"]] for m in theirs])
    error = np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
    assert (np.abs(a.mean(0) - b.mean(0)) < 4 * error + 1e-3).all()


def test_divergence_is_marked_and_the_others_go_on() -> None:
    data = some_data(200, 10)
    data.x_train[0, 1] = 1e30
    fine = some_data(200, 10)
    broken = train_ensemble(small(epochs=3, batch_size=50), [Member(), Member(seed=1)], data, threads=1)
    assert all("diverged" in result.diverged for result in broken)
    assert all(result.curves == {} and math.isnan(result.scalar("test_accuracy")) for result in broken)
    (good,) = train_ensemble(small(epochs=3), [Member()], fine, threads=1)
    assert good.diverged == ""


def test_training_stops_early() -> None:
    data = some_data(64, 40)
    config = small(epochs=3000, lr=0.02, width=50)
    members = [member_of(config)]
    (result,) = train_ensemble(config, members, data, threads=1)
    assert result.converged
    assert result.epochs < 3000
    longer = msgspec.structs.replace(config, early_stop=False, epochs=result.epochs + 5)
    assert train_ensemble(longer, members, data, threads=1)[0].epochs == result.epochs + 5


def test_progress_is_reported_and_stop_obeyed() -> None:
    data = some_data(100, 10)
    seen: list[Progress] = []
    results = train_ensemble(
        small(epochs=6),
        [Member(seed=s) for s in range(3)],
        data,
        threads=2,
        measure_every=2,
        on_progress=seen.append,
    )
    assert len(seen) == 18
    assert [p.epoch for p in seen if p.member == 1] == [1, 2, 3, 4, 5, 6]
    assert [p.epoch for p in seen if p.member == 1 and p.measurement] == [2, 4, 6]
    assert [epoch for epoch, _ in results[0].history] == [2, 4, 6]
    enough = threading.Event()
    stopped = train_ensemble(
        small(epochs=10**6, early_stop=False),
        [Member(seed=s) for s in range(4)],
        data,
        threads=2,
        on_progress=lambda p: enough.set() if p.epoch >= 3 else None,
        stop=enough.is_set,
    )
    assert not any(result.finished for result in stopped)
    assert stopped[0].curves
    assert stopped[3].epochs == 0


def test_an_error_in_a_report_ends_training() -> None:
    def fail(_progress: Progress) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        train_ensemble(
            small(epochs=10**6), [Member(seed=s) for s in range(3)], some_data(50, 5), threads=2, on_progress=fail
        )


def test_a_checkpoint_goes_on_bit_for_bit() -> None:
    data = some_data(120, 10)
    group = Group(small(epochs=6, batch_size=32), data)
    member = Member(seed=4, dropout=0.1, data_noise=0.2)
    work = group.workspace()
    first = MemberTrainer(group, member)
    with single_threaded():
        for _ in range(3):
            first.run_epoch(work)
        second = MemberTrainer(group, member)
        second.load_state(first.state())
        for trainer in (first, second):
            for _ in range(3):
                trainer.run_epoch(work)
        assert first.finished
        assert second.finished
        assert first.measure() == second.measure()
    other = MemberTrainer(Group(small(width=21), data), member)
    with pytest.raises(RunDirectoryError, match="another network"):
        other.load_state(first.state())
    with pytest.raises(RunDirectoryError, match="damaged"):
        other.load_state(b"nonsense")


def test_knobs_turn_between_epochs() -> None:
    group = Group(small(batch_size=50), some_data(100, 10))
    trainer = MemberTrainer(group, Member())
    work = group.workspace()
    before = trainer._state.weights.copy()
    trainer.change({"lr": 1e-9, "negative_slope": 0.7})
    trainer.run_epoch(work)
    assert np.abs(trainer._state.weights - before).max() < 1e-6
    assert trainer.step_count == 2
    with pytest.raises(ConfigError, match="cannot change"):
        trainer.change({"seed": 3})


def test_what_it_cannot_train_is_refused() -> None:
    assert why_not(TrainConfig()) == ""
    for settings in (
        {"model": "cnn"},
        {"optimizer": "sgd"},
        {"batch_norm": False},
        {"loss": "mse"},
        {"init": "ntk"},
    ):
        config = msgspec.structs.replace(TrainConfig(), **settings)
        (name,) = settings
        assert name in why_not(config)
        with pytest.raises(ConfigError, match=name):
            train_ensemble(config, [Member()], some_data(20, 5))
    with pytest.raises(ConfigError, match="dropout"):
        train_ensemble(TrainConfig(), [Member(dropout=1.5)], some_data(20, 5), threads=1)


def test_a_workspace_stays_small() -> None:
    group = Group(TrainConfig(), some_data(2560, 100))
    size = sum(np.asarray(part).nbytes for part in make_workspace(group.plan))
    assert size < 32 << 20


# stacked, for accelerators


@pytest.mark.parametrize(
    "settings",
    [{"batch_size": 200, "epochs": 6}, {"batch_size": 64, "epochs": 2, "data_noise": 0.3, "dropout": 0.2}],
    ids=str,
)
def test_a_stacked_member_is_the_trainers_network(settings: dict[str, float]) -> None:
    """It draws what ``Trainer`` draws, so that even noisy curves are the same."""
    data = some_data(200, 20)
    config = small(**settings)
    members = [member_of(config), Member(seed=7, dropout=0.1), Member(seed=8, data_noise=0.2, lr=1e-2)]
    results = train_stacked(config, members, data, "cpu")
    for member, result in zip(members, results, strict=True):
        theirs = trained(msgspec.structs.replace(config, **msgspec.structs.asdict(member)), data)
        for name in ("trace_ratio", "fuzziness"):
            np.testing.assert_allclose(result.curves[name], theirs.curves[name], rtol=0.02, atol=0.02)
        (alone,) = train_stacked(config, [member], data, "cpu", memory=1)
        np.testing.assert_allclose(result.curves["trace_ratio"], alone.curves["trace_ratio"], atol=5e-3)


def test_a_stacked_member_stops_alone() -> None:
    data = some_data(64, 40)
    config = small(epochs=250, lr=0.02, width=50)
    quick, slow, wild = train_stacked(config, [Member(lr=0.02), Member(lr=1e-5), Member(lr=10.0)], data, "cpu")
    assert quick.converged
    assert quick.epochs < 250
    assert slow.epochs == 250
    assert not slow.converged
    assert wild.finished
    data.x_train[0, 1] = 1e30
    assert all(r.diverged for r in train_stacked(small(epochs=2), [Member(), Member()], data, "cpu"))


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
