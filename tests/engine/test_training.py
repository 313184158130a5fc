"""Networks and their training: shapes, initial weights, moving knobs, and runs that repeat bit for bit."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from support.training import KNOBS, dataset, train
from torch import Tensor, nn

from engine.datasets.load import Dataset, load_dataset
from engine.ensemble.trainer import trainer_for
from engine.errors import ConfigError, DivergedError, RunDirectoryError
from engine.networks.network import Activation, Dropout, Knobs, Network, build_network
from engine.networks.trainer import Trainer
from engine.settings.fields import make
from engine.settings.recipes import find_recipe
from engine.settings.train import TrainConfig

pytestmark = pytest.mark.usefixtures("one_thread")


def trainer(data: Dataset | None = None, **settings: Any) -> Trainer:
    small = {"width": 8, "depth": 4, "batch_size": 10, "early_stop": False}
    return Trainer(TrainConfig(**{**small, **settings}), dataset() if data is None else data)


def weights(run: Trainer) -> Tensor:
    return nn.utils.parameters_to_vector(run.network.parameters()).detach().clone()


def built(shape: tuple[int, ...] = (64,), classes: int = 10, **settings: Any) -> Network:
    config = TrainConfig(**settings)
    knobs = Knobs(config.negative_slope, config.dropout, torch.Generator().manual_seed(0))
    return build_network(config, shape, classes, knobs)


def linear_weights(network: Network) -> list[Tensor]:
    return [m.weight.detach() for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


class TestShapes:
    @pytest.mark.parametrize(("loss", "outputs"), [("cross_entropy", 10), ("mse", 1), ("mse_one_hot", 10)])
    def test_mlp(self, loss: str, outputs: int) -> None:
        network = built(depth=5, width=16, loss=loss)
        x = torch.randn(9, 64)
        assert [tuple(f.shape) for f in network.features(x)] == [(9, 64), *[(9, 16)] * 4, (9, outputs)]
        assert tuple(network(x).shape) == (9, outputs)
        assert network.points == ["input", "layer 1", "layer 2", "layer 3", "layer 4", "logits"]

    @pytest.mark.parametrize("side", [4, 10])
    def test_cnn(self, side: int) -> None:
        """Measured after pooling; upsampling brings the side back for the next layer."""
        network = built((3, side, side), model="cnn", depth=4, width=5)
        x = torch.randn(9, 3, side, side)
        pooled = (9, 5, side // 2, side // 2)
        assert [tuple(f.shape) for f in network.features(x)] == [(9, 3, side, side), *[pooled] * 3, (9, 10)]
        assert tuple(network(x).shape) == (9, 10)

    def test_paper_mlp(self) -> None:
        """Shi et al.: seven hidden layers of 100, BatchNorm on the input and after each hidden linear map."""
        network = built((100,))
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d)]
        assert [tuple(w.shape) for w in linear_weights(network)] == [*[(100, 100)] * 7, (10, 100)]
        assert len(norms) == 8

    @pytest.mark.parametrize("model", ["mlp", "cnn"])
    def test_last_feature_is_the_output(self, model: str) -> None:
        shape = (64,) if model == "mlp" else (1, 8, 8)
        network = built(shape, model=model, width=6).eval()
        x = torch.randn(5, *shape)
        assert torch.equal(network.features(x)[-1], network(x))

    def test_cnn_needs_an_even_side(self) -> None:
        with pytest.raises(ConfigError, match="image_size = 9 is odd"):
            built((1, 9, 9), model="cnn")


class TestInitialWeights:
    def test_orthogonal(self) -> None:
        for weight in linear_weights(built(init="orthogonal", init_scale=3.0))[1:]:
            gram = (weight @ weight.T).numpy()
            np.testing.assert_allclose(gram, 9.0 * np.eye(len(gram)), atol=1e-4)

    def test_identity(self) -> None:
        for weight in linear_weights(built(init="identity", init_scale=0.5)):
            assert torch.equal(weight, 0.5 * torch.eye(*weight.shape))

    @pytest.mark.parametrize(
        ("init", "sd"), [("kaiming", math.sqrt(2.0 / 100)), ("normal", 0.1), ("ntk", 1.0), ("default", None)]
    )
    def test_spread(self, init: str, sd: float | None) -> None:
        """PyTorch's own is uniform within 1/√(features in). S.e. of a s.d. from 10⁴ numbers: 0.7 %; 4 of them."""
        weight = linear_weights(built(init=init, init_scale=2.0))[3]
        expected = 2.0 * (0.1 / math.sqrt(3.0) if sd is None else sd)
        assert float(weight.std()) == pytest.approx(expected, rel=0.028)

    def test_ntk_is_scaled_in_forward(self) -> None:
        network = built(init="ntk", bias="off").eval()
        x = torch.randn(5, 100)
        assert isinstance(network.head, nn.Linear)
        np.testing.assert_allclose(network.head(x).detach(), (x @ network.head.weight.T / 10).detach(), atol=1e-5)

    def test_biases(self) -> None:
        linear = [m for m in built(bias="zero").modules() if isinstance(m, nn.Linear)]
        assert all(m.bias is not None and not m.bias.any() for m in linear)
        linear = [m for m in built(bias="off").modules() if isinstance(m, nn.Linear)]
        assert all(m.bias is None for m in linear)

    def test_drawn_from_the_seed_alone(self) -> None:
        torch.manual_seed(7)
        before = torch.get_rng_state()
        first = linear_weights(built(seed=3))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(8)
        assert all(torch.equal(a, b) for a, b in zip(first, linear_weights(built(seed=3)), strict=True))
        assert not torch.equal(first[0], linear_weights(built(seed=4))[0])


class TestKnobs:
    @pytest.mark.parametrize("name", ["leaky_relu", "tanh", "gelu"])
    def test_slope_one_is_linear(self, name: str) -> None:
        x = torch.randn(100)
        knobs = Knobs(1.0, 0.0, torch.Generator())
        np.testing.assert_allclose(Activation(name, knobs)(x), x, atol=1e-6)
        knobs.negative_slope = 0.0
        assert not torch.allclose(Activation(name, knobs)(x), x)

    def test_dropout(self) -> None:
        knobs = Knobs(0.0, 0.3, torch.Generator().manual_seed(0))
        module, ones = Dropout(knobs), torch.ones(10_000)
        dropped = module(ones)
        assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
        # s.e. of a fraction of 10⁴: √(.3 x .7 / 10⁴) = .0046; 4 of them
        assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.0184)
        assert torch.equal(module.eval()(ones), ones)

    def test_data_noise(self) -> None:
        """A fraction q of labels drawn anew, a third of them by chance as before; pixels with q s.d. of noise."""
        run = trainer(dataset(3000, d=20), data_noise=0.6)
        x, y = run._noisy(run.x_train, run.y_train)
        # 4 s.e.: of a fraction of 1800, √((2/3)(1/3)/1800) x .6; of a s.d. from 60,000 numbers, .29 %
        assert float((y != run.y_train).float().mean()) == pytest.approx(0.4, abs=4 * 0.0067)
        added = x - run.x_train
        assert float(added.std() / run.x_train.std()) == pytest.approx(0.6, rel=0.012)

    @pytest.mark.parametrize("name", KNOBS)
    def test_moved_before_the_first_step_is_as_configured(self, name: str) -> None:
        moved = trainer()
        moved.change({name: KNOBS[name]})
        configured = trainer(**{name: KNOBS[name]})
        assert train(moved, 2).state() == train(configured, 2).state()

    @pytest.mark.parametrize("name", KNOBS)
    def test_moved_between_steps_holds_from_the_next(self, name: str) -> None:
        moved, still = trainer(), trainer()
        steps = zip(moved.run_epoch(), still.run_epoch(), strict=False)
        for _ in itertools.islice(steps, 3):
            pass
        assert moved.step_count == still.step_count == 2
        assert torch.equal(weights(moved), weights(still))
        moved.change({name: KNOBS[name]})
        next(steps)
        assert moved.step_count == 3
        assert not torch.equal(weights(moved), weights(still))

    def test_learning_rate_scales_the_next_step(self) -> None:
        start, steps = weights(trainer(optimizer="sgd")), []
        for lr in (1e-3, 2e-3):
            run = trainer(optimizer="sgd")
            run.change({"lr": lr})
            epoch = run.run_epoch()
            next(epoch)
            next(epoch)
            steps.append(weights(run) - start)
        np.testing.assert_allclose(steps[1], 2 * steps[0], atol=1e-6)

    def test_batch_size_within_an_epoch(self) -> None:
        """40 samples: two batches of 10, then four of 5."""
        run = trainer()
        for i, _ in enumerate(run.run_epoch()):
            if i == 2:
                run.change({"batch_size": 5})
        assert run.step_count == 6

    @pytest.mark.parametrize("settings", [{"width": 9}, {"lr": 0.1, "depth": 3}, {"lr": -1.0}, {"dropout": 1.0}])
    def test_refused_and_nothing_changed(self, settings: dict[str, Any]) -> None:
        run = trainer()
        before = run.config
        with pytest.raises(ConfigError):
            run.change(settings)
        assert run.config == before
        assert train(run, 1).state() == train(trainer(), 1).state()


class TestEpoch:
    @pytest.mark.parametrize("model", ["mlp", "cnn"])
    @pytest.mark.parametrize(
        ("batch_size", "batch_norm", "steps"),
        [
            (10, True, 4),
            (13, True, 3),  # 13, 13, and 14: BatchNorm has no variance over one sample
            (39, True, 1),
            (3, True, 13),
            (1, True, 20),
            (13, False, 4),
            (1, False, 40),
            (100, True, 1),
        ],
    )
    def test_uses_every_sample_once(self, model: str, batch_size: int, batch_norm: bool, steps: int) -> None:
        run = trainer(dataset(images=model == "cnn"), model=model, batch_size=batch_size, batch_norm=batch_norm)
        seen: list[int] = []
        loss = run._loss
        run._loss = lambda out, y_B: seen.append(len(y_B)) or loss(out, y_B)  # type: ignore
        train(run, 1)
        assert (sum(seen), len(seen), run.step_count, run.epoch) == (40, steps, steps, 1)

    def test_shuffled_anew(self) -> None:
        run = trainer()
        noisy, seen = run._noisy, list[float]()
        run._noisy = lambda x, y: seen.extend(x[:, 0].tolist()) or noisy(x, y)  # type: ignore
        train(run, 2)
        assert sorted(seen[:40]) == sorted(seen[40:]) == sorted(run.x_train[:, 0].tolist())
        assert seen[:40] != seen[40:]

    def test_measuring_leaves_no_trace(self) -> None:
        run = train(trainer(dropout=0.2, data_noise=0.3), 1)
        before = run.state()
        run.measure()
        assert run.state() == before
        assert run.network.training

    def test_measures_what_the_curve_names(self) -> None:
        run = trainer(measure_test=True)
        found = run.measure()
        assert {len(curve) for curve in found.curves.values()} == {len(run.network.points)} == {5}
        assert {name for name in found.curves if name.startswith("test_")} == {
            "test_trace_ratio", "test_fuzziness", "test_inverse_fuzziness",
        }  # fmt: skip
        assert found.scalars["train_loss"] == pytest.approx(math.log(3), rel=0.5)


class TestOptimisers:
    def test_sgld_without_temperature_is_sgd(self) -> None:
        cold = train(trainer(optimizer="sgld", temperature=0.0, lr=0.05), 2)
        assert torch.equal(weights(cold), weights(train(trainer(optimizer="sgd", lr=0.05), 2)))

    def test_sgld_noise(self) -> None:
        """One step off SGD's by N(0, 2 lr T); 4 s.e. of a s.d. from n numbers: 4/√(2n)."""
        warm = trainer(optimizer="sgld", temperature=1e-2, lr=1e-2, width=60, batch_size=40)
        cold = trainer(optimizer="sgd", lr=1e-2, width=60, batch_size=40)
        off = weights(train(warm, 1)) - weights(train(cold, 1))
        assert float(off.std()) == pytest.approx(math.sqrt(2e-4), rel=4 / math.sqrt(2 * len(off)))

    @pytest.mark.parametrize("optimizer", ["adam", "sgd", "sgld", "psgld"])
    @pytest.mark.parametrize("loss", ["cross_entropy", "mse", "mse_one_hot"])
    def test_learns(self, optimizer: str, loss: str) -> None:
        run = trainer(optimizer=optimizer, loss=loss, lr=1e-3 if optimizer == "psgld" else 1e-2)
        before = run.measure().scalars["train_loss"]
        assert train(run, 10).measure().scalars["train_loss"] < 0.9 * before


class TestRepeats:
    @pytest.mark.parametrize("model", ["mlp", "cnn"])
    def test_same_seed_same_bits(self, model: str) -> None:
        def curves(seed: int) -> list[dict[str, list[float]]]:
            data = dataset(images=model == "cnn")
            run = trainer(data, model=model, dropout=0.2, data_noise=0.3, seed=seed)
            return [train(run, 1).measure().curves for _ in range(4)]

        torch.manual_seed(1)
        first = curves(5)
        torch.manual_seed(2)
        assert curves(5) == first
        assert curves(6) != first

    @pytest.mark.parametrize("optimizer", ["adam", "sgd", "sgld", "psgld"])
    @pytest.mark.parametrize("model", ["mlp", "cnn"])
    @pytest.mark.parametrize("moved", [False, True], ids=["still", "moved"])
    def test_resumed_is_uninterrupted(self, optimizer: str, model: str, moved: bool) -> None:
        settings = {"model": model, "optimizer": optimizer, "dropout": 0.1, "data_noise": 0.2, "early_stop": True}
        data = dataset(images=model == "cnn")
        whole = train(trainer(data, **settings), 2)
        if moved:
            whole.change(KNOBS)
            train(whole, 1)
        resumed = trainer(data, **settings)
        resumed.load_state(whole.state())
        assert resumed.state() == whole.state()
        for _ in range(2):
            assert train(resumed, 1).measure() == train(whole, 1).measure()
        assert resumed.state() == whole.state()
        assert (resumed.epoch, resumed.step_count) == (whole.epoch, whole.step_count)
        assert resumed.config == whole.config

    def test_resumed_converged_stays_so(self) -> None:
        whole = train(trainer(lr=1e-30, batch_size=40, early_stop=True), 2)
        resumed = trainer(lr=1e-30, batch_size=40, early_stop=True)
        resumed.load_state(whole.state())
        assert (whole.converged, resumed.converged) == (True, True)

    @pytest.mark.parametrize("damage", ["empty", "torn", "short", "text", "foreign"])
    def test_damaged_checkpoint(self, damage: str) -> None:
        whole = train(trainer(), 1).state()
        data = {
            "empty": b"",
            "torn": whole[:-1],
            "short": whole[:40],
            "text": b"no checkpoint at all\n",
            "foreign": train(trainer(width=9), 1).state(),
        }[damage]
        with pytest.raises(RunDirectoryError, match="checkpoint"):
            trainer().load_state(data)


class TestEnds:
    def test_loss_below_the_floor(self) -> None:
        run = trainer(lr=0.1, early_stop=True, batch_size=40)
        while not run.converged and run.epoch < 300:
            train(run, 1)
        assert run.converged
        assert run._last_loss is not None
        assert run._last_loss < 1e-4

    def test_loss_that_no_longer_changes(self) -> None:
        run = trainer(lr=1e-30, early_stop=True, batch_size=40)
        assert not train(run, 1).converged
        assert train(run, 1).converged

    def test_a_moved_knob_goes_on(self) -> None:
        run = train(trainer(lr=1e-30, early_stop=True, batch_size=40), 2)
        run.change({"lr": 0.01})
        assert not run.converged
        assert not train(run, 1).converged

    def test_never_where_switched_off(self) -> None:
        assert not train(trainer(lr=1e-30, batch_size=40), 3).converged

    def test_divergence(self) -> None:
        run = trainer(optimizer="sgd", lr=10.0, batch_norm=False, loss="mse", init_scale=100.0)
        with pytest.raises(DivergedError, match=r"diverged at epoch \d+: the loss is .*smaller lr \(now 10\)"):
            train(run, 20)
        assert run.epoch < 20

    def test_divergence_seen_in_measuring(self) -> None:
        run = trainer()
        with torch.no_grad():
            next(run.network.parameters()).fill_(math.inf)
        with pytest.raises(DivergedError, match="diverged at epoch 0"):
            run.measure()


def test_digits_recipe() -> None:
    config = make(TrainConfig, find_recipe("digits").settings)
    run = Trainer(config, load_dataset(config))
    while run.epoch < config.epochs and not run.converged:
        train(run, 1)
    found = run.measure()
    assert found.scalars["test_accuracy"] >= 0.95
    curve = found.curves["trace_ratio"]
    assert curve[-2] < curve[0] - 1.0


class TestHeld:
    """A network that waits at an epoch, and is trained anew from its initial weights when a setting changes."""

    SMALL: ClassVar[dict[str, Any]] = {
        "width": 16, "depth": 4, "batch_size": 64, "early_stop": False, "hold": 3, "dropout": 0.1, "seed": 7,
    }  # fmt: skip
    KINDS = pytest.mark.parametrize("kind", ["compiled", "torch"])

    @staticmethod
    def epochs(trainer: Trainer, count: int) -> list[float]:
        for _ in range(count):
            for _ in trainer.run_epoch():
                pass
        return trainer.measure().curves["trace_ratio"]

    def new(self, kind: str, **settings: Any) -> Trainer:
        config = TrainConfig(**{**self.SMALL, **settings})
        return trainer_for(config, load_dataset(config), kind)

    @KINDS
    def test_anew_equals_a_network_that_never_had_other_settings(self, kind: str) -> None:
        trainer = self.new(kind)
        self.epochs(trainer, 2)
        assert not trainer.is_held
        self.epochs(trainer, 1)
        assert trainer.is_held
        trainer.change({"negative_slope": 0.5, "batch_size": 100})
        assert (trainer.is_held, trainer.began, trainer.epoch) == (False, 3, 3)
        again = self.epochs(trainer, 3)
        assert trainer.is_held
        assert again == self.epochs(self.new(kind, negative_slope=0.5, batch_size=100), 3)

    @KINDS
    def test_within_an_epoch(self, kind: str) -> None:
        trainer = self.new(kind)
        self.epochs(trainer, 1)
        running = trainer.run_epoch(lambda: 1)
        for _ in range(5):
            next(running)
        trainer.change({"data_noise": 0.3})
        for _ in running:
            pass
        assert (trainer.began, trainer.epoch) == (1, 2)
        assert self.epochs(trainer, 2) == self.epochs(self.new(kind, data_noise=0.3), 3)

    @KINDS
    def test_what_is_no_knob_begins_nothing_anew(self, kind: str) -> None:
        """Also not the setting that it has already; a hold before the present epoch does."""
        trainer = self.new(kind)
        self.epochs(trainer, 3)
        trainer.change({"linear_probes": True, "dropout": 0.1, "hold": 0})
        assert not trainer.is_held
        trainer.change({"linear_probes": False})
        assert self.epochs(trainer, 2) == self.epochs(self.new(kind, hold=0), 5)
        assert trainer.began == 0
        trainer.change({"hold": 4})
        assert trainer.began == 5

    @KINDS
    def test_from_a_checkpoint(self, kind: str) -> None:
        trainer = self.new(kind)
        self.epochs(trainer, 3)
        trainer.change({"lr": 0.01})
        self.epochs(trainer, 1)
        state = trainer.state()
        resumed = self.new(kind)
        resumed.load_state(state)
        assert (resumed.began, resumed.config.hold, resumed.config.lr) == (3, 3, 0.01)
        assert self.epochs(resumed, 2) == self.epochs(trainer, 2)
        assert resumed.is_held
