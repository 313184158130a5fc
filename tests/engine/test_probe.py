"""The load probe on plain models: equal to the lab, without a trace in the training, and what it writes."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.datasets.load import load_dataset
from engine.errors import ConfigError, DataError, ProbeWarning
from engine.measures.registry import SEPARATIONS
from engine.networks.trainer import Trainer
from engine.probe.load_probe import LoadProbe
from engine.runs.directory import Run
from engine.runs.records import Acknowledged, Curve, Ended, Note, Started
from engine.settings.probe import ProbeConfig
from engine.settings.train import TrainConfig
from springtui.cli import main
from springtui.state.run_state import RunState


def net() -> nn.Sequential:
    """Everything that eval mode changes."""
    return nn.Sequential(
        nn.Linear(12, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(32, 32),
        nn.Tanh(),
        nn.Linear(32, 4),
    )


@pytest.fixture
def task() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(200, 12, generator=draw)
    return x, x[:, :4].argmax(1)


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)


def train(model: nn.Module, task: tuple[Tensor, Tensor], steps: int, after: Any = None) -> list[float]:
    """A training loop that uses torch's random numbers in every step."""
    x, y = task
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    seen = []
    for _ in range(steps):
        rows = torch.randperm(len(x))[:50]
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen.append(loss.item())
        if after is not None:
            after(loss=loss)
    return seen


class TestEqualToTheLab:
    """On the authors' networks the probe finds the lab's layers and gives the lab's curves to float rounding."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"dropout": 0.1, "negative_slope": 0.2, "train_size": 500},
            {"model": "cnn", "depth": 4, "width": 8, "image_size": 8, "train_size": 300},
        ],
        ids=["mlp", "cnn"],
    )
    def test_curves(self, settings: dict[str, Any]) -> None:
        config = TrainConfig(epochs=3, batch_size=100, **settings)
        trainer = Trainer(config, load_dataset(config))
        probe = LoadProbe(trainer.network, trainer.x_train, trainer.y_train, every=1, chunk=97)
        assert len(probe.layers) == len(trainer.network.points)
        assert probe.layers[0] == "input"
        assert probe.layers[-1] == "logits"
        for _ in range(3):
            for _ in trainer.run_epoch():
                pass
            probe.step()
            wanted = trainer.measure().curves
            for name in SEPARATIONS:
                assert probe.curves[name] == pytest.approx(wanted[name], abs=2e-5), name

    def test_in_one_chunk_all_bits_are_the_same(self) -> None:
        config = TrainConfig(epochs=1, train_size=300)
        trainer = Trainer(config, load_dataset(config))
        probe = LoadProbe(trainer.network, trainer.x_train, trainer.y_train, chunk=300)
        assert probe.curves == trainer.measure().curves

    def test_so_are_statistics_and_twin(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = TrainConfig(epochs=9, train_size=300, batch_size=50)
        trainer = Trainer(config, load_dataset(config))
        for _ in range(9):
            for _ in trainer.run_epoch():
                pass
        with LoadProbe(trainer.network, trainer.x_train, trainer.y_train) as probe:
            assert probe.run_id is not None
        assert main(["twin", probe.run_id, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["effective_friction"] == pytest.approx(probe.effective_friction)
        assert probe.metrics()["load_probe/effective_friction"] == pytest.approx(probe.effective_friction)
        assert probe.metrics()["load_probe/asymmetry"] == pytest.approx(probe.statistics.asymmetry)
        assert probe.regime in {"concave", "convex", "balanced", "uneven"}


class TestWhatMeansNothing:
    def test_before_training_no_number_is_told(self) -> None:
        torch.manual_seed(0)
        config = TrainConfig(train_size=300)
        trainer = Trainer(config, load_dataset(config))
        probe = LoadProbe(trainer.network, trainer.x_train, trainer.y_train)
        assert (probe.regime, probe.statistics.reason) == ("unclear", "not trained yet")
        assert probe.statistics.words == "not trained yet"
        assert probe.twin is None
        names = {name.removeprefix("load_probe/") for name in probe.metrics()}
        assert not names & {"cv", "asymmetry", "effective_friction", "friction_error"}
        assert {"seconds", "load/layer 1"} & names

    def test_a_network_whose_head_alone_learns_is_told_from_one_that_learns_nothing(self) -> None:
        """The newcomer's: a loss of 4e-5, and CV 8.6, F* 7.4 ± 6.2 of layers that separate nothing."""
        config = TrainConfig(train_size=300)
        data = load_dataset(config)
        x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
        torch.manual_seed(3)
        layers: list[nn.Module] = []
        for width in (x.shape[1], 300, 300, 300):
            linear = nn.Linear(width, 300)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            layers += [linear, nn.ReLU()]
        body, head = nn.Sequential(*layers).requires_grad_(False), nn.Linear(300, 10)
        model = nn.Sequential(*body, head)
        optimiser = torch.optim.Adam(head.parameters(), 1e-2)
        for _ in range(60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with LoadProbe(model, x, y) as probe:
            assert probe.path is not None
        assert probe.statistics.reason == "only the logits separate the classes"
        assert probe.twin is None
        assert math.isnan(probe.effective_friction)
        ended = Run(probe.path).events()[-1]
        assert isinstance(ended, Ended)
        assert ended.summary["regime_reason"] == probe.statistics.reason
        assert ended.summary["cv"] is None


class TestUndisturbed:
    def test_training_is_the_same_bit_for_bit(self, task: tuple[Tensor, Tensor]) -> None:
        def run(*, probed: bool) -> tuple[list[float], dict[str, Tensor], list[Any]]:
            torch.manual_seed(5)
            random.seed(5)
            np.random.seed(5)
            model = net()
            model[3].eval()  # the user froze the dropout
            probe = LoadProbe(model, *task, every=3) if probed else None
            losses = train(model, task, 20, probe.step if probe else None)
            assert [module.training for module in model] == [True, True, True, False, True, True, True]
            rest = [torch.rand(3).tolist(), random.random(), np.random.rand()]
            return losses, model.state_dict(), rest

        losses, weights, rest = run(probed=False)
        probed_losses, probed_weights, probed_rest = run(probed=True)
        assert probed_losses == losses
        assert probed_rest == rest
        assert all(torch.equal(weights[name], probed_weights[name]) for name in weights)

    def test_autocast_is_respected_and_its_cache_left_alone(self, task: tuple[Tensor, Tensor]) -> None:
        def run(*, probed: bool) -> list[Tensor]:
            torch.manual_seed(5)
            model = net()
            kinds = set()
            watch = model[0].register_forward_hook(
                lambda m, a, out: kinds.add(out.dtype) if not m.training else None
            )
            probe = LoadProbe(model, *task, every=1) if probed else None
            kinds.clear()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                if probe is not None:
                    probe.step()
                    assert kinds == {torch.bfloat16}
                loss = nn.functional.cross_entropy(model(task[0]), task[1])
            loss.backward()  # type: ignore[no-untyped-call]
            watch.remove()
            return [p.grad for p in model.parameters() if p.grad is not None]

        plain, probed = run(probed=False), run(probed=True)
        assert len(plain) == len(probed) == 8
        assert all(torch.equal(a, b) for a, b in zip(plain, probed, strict=True))

    def test_autocast_asked_for(self, task: tuple[Tensor, Tensor]) -> None:
        model = net()
        kinds = set()
        model[0].register_forward_hook(lambda m, a, out: kinds.add(out.dtype))
        LoadProbe(model, *task, autocast=torch.bfloat16)
        assert kinds == {torch.bfloat16}

    def test_hooks_are_gone_and_modes_back_when_the_model_raises(self, task: tuple[Tensor, Tensor]) -> None:
        class Moody(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = net()
                self.moody = False

            def forward(self, x: Tensor) -> Any:
                if self.moody and not self.training:
                    raise RuntimeError("not today")
                return self.net(x)

        model = Moody()
        probe = LoadProbe(model, *task, every=2)
        model.moody = True
        with pytest.warns(ProbeWarning, match="not today") as caught:
            train(model, task, 6, probe.step)
        assert len(caught) == 1
        assert all(module.training for module in model.modules())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        assert torch.is_grad_enabled()
        model.moody = False
        probe.step(step=8)
        assert isinstance(Run(probe.path).events()[-1], Curve)  # type: ignore[arg-type]

    def test_a_buffer_that_changes_in_eval_mode_is_put_back(self, task: tuple[Tensor, Tensor]) -> None:
        class Counting(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = net()
                self.register_buffer("calls", torch.zeros(()))
                self.register_buffer("replaced", torch.zeros(()))

            def forward(self, x: Tensor) -> Any:
                self.calls += 1
                self.replaced = self.replaced + 1
                return self.net(x)

        model = Counting()
        probe = LoadProbe(model, *task, every=1)
        probe.step()
        assert float(model.calls) == 0.0
        assert float(model.replaced) == 0.0

    def test_a_model_that_moves_is_followed(self, task: tuple[Tensor, Tensor]) -> None:
        model = net()
        probe = LoadProbe(model, *task, every=1)
        model.to(torch.bfloat16)
        before = probe.curves["trace_ratio"]
        probe.step()
        assert probe.curves["trace_ratio"] == pytest.approx(before, abs=0.1)
        assert probe.curves["trace_ratio"] != before

    def test_no_gradients_come_of_it(self, task: tuple[Tensor, Tensor]) -> None:
        model = net()
        LoadProbe(model, *task).measure()
        assert all(p.grad is None and p.requires_grad for p in model.parameters())


class TestWhatItWrites:
    def test_a_run_like_any_other(self, task: tuple[Tensor, Tensor], capsys: pytest.CaptureFixture[str]) -> None:
        model = net()
        with LoadProbe(model, *task, every=4, name="mine") as probe:
            assert Run(probe.path).observe().status == "running"  # type: ignore[arg-type]
            train(model, task, 10, probe.step)
        run = Run(probe.path)  # type: ignore[arg-type]
        settings = run.config().settings
        assert isinstance(settings, ProbeConfig)
        assert (settings.name, settings.model, settings.samples, settings.classes) == (
            "mine",
            "Sequential",
            200,
            4,
        )
        assert settings.layers == tuple(probe.layers) == ("input", "2", "5", "logits")
        events = run.events()
        assert isinstance(events[0], Started)
        assert events[0].layers == probe.layers
        curves = [event for event in events if isinstance(event, Curve)]
        assert [curve.step for curve in curves] == [0, 4, 8, 10]
        assert "loss" not in curves[0].scalars
        assert curves[1].scalars["loss"] is not None
        assert isinstance(events[-1], Ended)
        assert events[-1].reason == run.status() == "finished"
        assert events[-1].summary["load_curve"]["trace_ratio"] == curves[-1].curves["trace_ratio"]
        state = RunState(run.id)
        for event in events:
            state.fold(event)
        assert (state.status, state.at, state.total) == ("finished", 10, 0)
        assert len(state.history["loss"].y) == 3
        capsys.readouterr()
        assert main(["runs", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert (listed["kind"], listed["status"], listed["at"], listed["total"]) == ("probe", "finished", 10, 0)
        assert main(["runs"]) == 0
        assert "10/0" not in capsys.readouterr().out
        for words in (["resume", run.id], ["resume", run.id, "--detach"], ["stop", run.id, "--kill"]):
            assert main(words) == 2
            assert "your own" in capsys.readouterr().err
        assert run.status() == "finished"

    def test_metrics_are_flat_and_finite(self, task: tuple[Tensor, Tensor]) -> None:
        model = net()
        probe = LoadProbe(model, *task)
        train(model, task, 10)
        metrics = probe.measure(loss=0.5)
        assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
        curve = probe.curves["trace_ratio"]
        assert metrics["load_probe/load/2"] == pytest.approx(curve[0] - curve[1])
        assert metrics["load_probe/fuzziness/logits"] == probe.curves["fuzziness"][-1]
        assert probe.metrics(prefix="")["separation/input"] == curve[0]

    def test_fewer_measures(self, task: tuple[Tensor, Tensor]) -> None:
        assert list(LoadProbe(net(), *task, measures=["fuzziness"]).curves) == ["trace_ratio", "fuzziness"]
        with pytest.raises(ConfigError, match=r"'entropy' is not allowed; allowed: trace_ratio"):
            LoadProbe(net(), *task, measures=["entropy"])

    def test_a_scalar_that_is_no_number_costs_itself_alone(self, task: tuple[Tensor, Tensor]) -> None:
        probe = LoadProbe(net(), *task, every=1)
        with pytest.warns(ProbeWarning, match="phase = 'warm-up' is no number"):
            probe.step(loss=1.0, phase="warm-up")
        assert Run(probe.path).last_events(1)[0].scalars["loss"] == 1.0  # type: ignore

    def test_a_home_that_cannot_be_used_warns(self, task: tuple[Tensor, Tensor], tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.warns(ProbeWarning, match="home directory"):
            probe = LoadProbe(net(), *task, home=tmp_path / "file")
        assert probe.run_id is None
        assert probe.metrics()

    def test_requests(self, task: tuple[Tensor, Tensor]) -> None:
        probe = LoadProbe(net(), *task, every=1)
        run = Run(probe.path)  # type: ignore[arg-type]

        def answered(action: str, **settings: Any) -> Acknowledged:
            run.ask(action, **settings)
            assert probe._run is not None
            probe._run._next_look = 0.0
            probe.step()
            return next(e for e in reversed(run.events()) if isinstance(e, Acknowledged))

        def curves() -> int:
            return sum(isinstance(e, Curve) for e in run.events())

        assert answered("set", every=3).settings == {"every": 3}
        assert "'lr' cannot change" in answered("set", lr=3).error
        assert "every = 0" in answered("set", every=0).error
        answered("set", every=1)
        answered("pause")
        before = curves()
        probe.step()
        assert curves() == before
        answered("resume")
        assert curves() == before + 1
        answered("stop")
        assert run.status() == "stopped"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            probe.step()
            probe.close()
        assert run.status() == "stopped"

    def test_an_exception_in_the_with_block(self, task: tuple[Tensor, Tensor]) -> None:
        with pytest.raises(ZeroDivisionError), LoadProbe(net(), *task) as probe:
            _ = 1 // 0
        last = Run(probe.path).events()[-1]  # type: ignore[arg-type]
        assert isinstance(last, Ended)
        assert (last.reason, last.text) == (
            "failed",
            "the training ended by ZeroDivisionError: integer division or modulo by zero",
        )

    def test_a_probe_that_is_let_go_of_ends_its_run(self, task: tuple[Tensor, Tensor]) -> None:
        probe = LoadProbe(net(), *task)
        path = probe.path
        del probe
        assert Run(path).status() == "finished"  # type: ignore[arg-type]

    def test_the_first_failure_is_noted(self, task: tuple[Tensor, Tensor]) -> None:
        model = net()
        probe = LoadProbe(model, *task, every=1)
        model[0] = nn.Linear(12, 30)
        with pytest.warns(ProbeWarning):
            probe.step()
        assert any(isinstance(e, Note) and e.level == "warning" for e in Run(probe.path).events())  # type: ignore


class TestWrongUse:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"every": 0}, "every = 0"),
            ({"chunk": 0}, "chunk = 0"),
            ({"reductions": "mean"}, "'mean' is not allowed; allowed: auto, flatten"),
            ({"layers": ["fc1"]}, "'fc1' matches no module"),
        ],
    )
    def test_option(self, task: tuple[Tensor, Tensor], options: dict[str, Any], words: str, home: Path) -> None:
        with pytest.raises(ConfigError, match=words):
            LoadProbe(net(), *task, **options)
        assert not home.exists()

    def test_a_model_that_cannot_take_the_batch(self, task: tuple[Tensor, Tensor]) -> None:
        model = net()
        with pytest.raises(DataError, match=r"Sequential cannot run a few samples of the probe batch.*inputs="):
            LoadProbe(model, task[0][:, :5], task[1])
        assert not any(module._forward_hooks for module in model.modules())

    def test_no_module(self, task: tuple[Tensor, Tensor]) -> None:
        with pytest.raises(ConfigError, match=r"model is a function; allowed: a torch\.nn\.Module"):
            LoadProbe(lambda x: x, *task)  # type: ignore[arg-type]

    def test_lazy_and_scripted_modules(self, task: tuple[Tensor, Tensor]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lazy = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 4))
            scripted = torch.jit.script(net())
        with pytest.raises(ConfigError, match=r"'0\.weight' has no shape yet"):
            LoadProbe(lazy, *task)
        with pytest.raises(ConfigError, match="TorchScript"):
            LoadProbe(scripted, *task)
