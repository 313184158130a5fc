"""Members of an ensemble against single networks: independence, and what a whole training comes to."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from support.ensemble_rig import small, some_data
from support.ensembles import train_ensemble, train_stacked

from engine.datasets.load import Dataset, load_dataset
from engine.ensemble.member import Group, Member, MemberResult, MemberTrainer, member_of, why_not
from engine.ensemble.state import make_workspace
from engine.ensemble.threads import single_threaded
from engine.errors import ConfigError, RunDirectoryError
from engine.measures.registry import SEPARATIONS
from engine.networks.trainer import Measurement, Trainer
from engine.settings.train import TrainConfig


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """PyTorch's threads only get in each other's way at these sizes, all the more on a busy machine."""
    with single_threaded():
        yield


def curves(result: MemberResult) -> np.ndarray:
    return np.array([result.curves[name] for name in SEPARATIONS])


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
    for name in SEPARATIONS:
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
    config = msgspec.structs.replace(TrainConfig(dataset="digits", width=40), **settings)
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
