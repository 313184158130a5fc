"""The load probe on what users' models and loops do beside the textbook."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError, DataError, ProbeWarning
from engine.probe.batch.groupings import group
from engine.probe.load_probe import LoadProbe
from engine.probe.scalars import OWN
from engine.runs.directory import Run
from engine.runs.records import Curve, Ended
from engine.settings.probe import ProbeConfig

X = torch.randn(96, 8, generator=torch.Generator().manual_seed(3))
Y = X[:, :3].argmax(1)


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def steps_of(probe: LoadProbe) -> list[int]:
    assert probe.path is not None
    return [event.step for event in Run(probe.path).events() if isinstance(event, Curve)]


def test_a_model_that_writes_over_its_input_sees_the_same_batch_each_time() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: Tensor) -> Any:
            return self.net(x.mul_(0.5).add_(1.0))

    model, given = Scaled(), X.clone()
    probe = LoadProbe(model, given, Y)
    first = probe.curves
    probe.step()
    probe.measure()
    assert probe.curves == first
    assert torch.equal(given, X)
    assert first["trace_ratio"][0] == LoadProbe(net(), X, Y).curves["trace_ratio"][0]


def test_what_a_model_keeps_of_a_measurement_in_inference_mode_can_be_trained_with() -> None:
    class Cached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.net = nn.Parameter(torch.ones(8)), net()
            self.cache: Tensor | None = None

        def forward(self, x: Tensor) -> Any:
            if self.cache is None or len(self.cache) < len(x):
                self.cache = torch.full((len(x), 1), 1.5)
            return self.net(x * self.scale * self.cache[: len(x)])

    model = Cached()
    with torch.inference_mode():
        probe = LoadProbe(model, X, Y)
    before = probe.curves
    model(X).sum().backward()
    assert model.scale.grad is not None
    probe.step()
    probe.measure()
    assert probe.curves == before


def test_buffers_made_in_inference_mode() -> None:
    model = net()
    with torch.inference_mode():
        model.register_buffer("made", torch.ones(2))
    assert len(LoadProbe(model, X, Y).curves["trace_ratio"]) == 4


def test_a_default_device_of_the_users_changes_nothing() -> None:
    model, tokens = net(), torch.randint(0, 5, (300, 9))
    language = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5))
    rows = np.eye(3)[Y.numpy()]

    def curves() -> list[dict[str, list[float]]]:
        batches = [(X, Y), (X.numpy(), Y.numpy()), (X, rows), (X, X[:, 0])]
        return [*(LoadProbe(model, *batch).curves for batch in batches), LoadProbe(language, tokens).curves]

    expected = curves()
    with torch.device("meta"):
        assert curves() == expected


def test_numbers_of_steps_may_leap_over_the_multiples() -> None:
    probe = LoadProbe(net(), X, Y, every=10)
    for step in (7, 14, 21, 28, 35, 42):
        probe.step(step=step)
    assert steps_of(probe) == [0, 14, 21, 35, 42]


def test_no_graph_is_kept_alive() -> None:
    class Alive(torch.autograd.Function):
        """Its context lives as long as the graph."""

        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.held = held = nn.Identity()
            seen.append(weakref.ref(held))
            return x.sum()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads[0]

    seen: list[weakref.ref[nn.Module]] = []
    model = net()
    probe = LoadProbe(model, X, Y)
    loss = Alive.apply(model(X))  # type: ignore[no-untyped-call]
    value = loss.item()
    probe.step(loss=loss)
    del loss
    assert seen[0]() is None
    probe.close()
    assert probe.path is not None
    last = [event for event in Run(probe.path).events() if isinstance(event, Curve)][-1]
    assert last.scalars["loss"] == value


@pytest.mark.parametrize(("code", "reason"), [(0, "finished"), (None, "finished"), (1, "failed")])
def test_a_script_that_exits_in_the_with_block(code: int | None, reason: str) -> None:
    with pytest.raises(SystemExit), LoadProbe(net(), X, Y) as probe:
        raise SystemExit(code)
    assert probe.path is not None
    last = Run(probe.path).events()[-1]
    assert isinstance(last, Ended)
    assert last.reason == reason


class Maps(nn.Module):
    """Activations are functions, and so is the end."""

    def __init__(self, outputs: int, end: Any) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head, self.end = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, outputs), end

    def forward(self, x: Tensor) -> Any:
        return self.end(self.head(torch.relu(self.fc2(torch.relu(self.fc1(x))))))


@pytest.mark.parametrize(
    ("outputs", "end"),
    [
        (1, lambda x: x.squeeze(-1)),
        (1, lambda x: x[:, 0]),
        (3, lambda x: torch.log_softmax(x, 1)),
        (3, lambda x: x),
    ],
)
def test_the_head_is_no_hidden_layer_beside_the_output(outputs: int, end: Any) -> None:
    assert LoadProbe(Maps(outputs, end), X, Y).layers == ["input", "fc1", "fc2", "logits"]


def test_modules_named_like_the_ends_of_the_curve() -> None:
    model = nn.Sequential()
    for name, part in zip(["a", "input", "b", "logits", "c"], net(), strict=True):
        model.add_module(name, part)
    probe = LoadProbe(model, X, Y)
    assert probe.layers == ["(input)", "input", "logits", "(logits)"]
    assert list(probe.loads) == ["input", "logits", "(logits)"]


def test_one_measure_by_its_name() -> None:
    assert set(LoadProbe(net(), X, Y, measures="fuzziness").curves) == {"trace_ratio", "fuzziness"}


def test_a_model_that_takes_one_size_of_batch_says_so() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: Tensor) -> Any:
            return self.net(x.view(31, 8))

    with pytest.raises(DataError, match=r"Fixed cannot run a few samples of the probe batch.*in any number"):
        LoadProbe(Fixed(), X, Y)


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
def test_a_scripted_part_is_named() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigError, match="'1' is a TorchScript module"):
        LoadProbe(nn.Sequential(nn.Linear(8, 8), scripted, nn.Linear(8, 3)), X, Y)


def test_labels_as_pandas_keeps_text_and_labels_of_no_use() -> None:
    text = np.array(["b", "a", "b", "a"], dtype=object)
    assert group(text, 4, None, None, 10).y_M.tolist() == [1, 0, 1, 0]
    with pytest.raises(DataError, match="complex64"):
        group(torch.randn(4, dtype=torch.complex64), 4, None, None, 10)


def test_a_scalar_of_the_probes_own_name_is_refused() -> None:
    probe = LoadProbe(net(), X, Y, every=1)
    with pytest.warns(ProbeWarning, match=r"does not record 'cv', 'steps'.*'my_cv'; taken are .*regime") as told:
        probe.step(loss=1.0, cv=-7.0, steps=-8.0)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe.step(loss=2.0, cv=-7.0)
    probe.close()
    *_, curve, ended = Run(probe.path).events()  # type: ignore[arg-type]
    assert isinstance(curve, Curve)
    assert isinstance(ended, Ended)
    assert curve.scalars["loss"] == ended.summary["loss"] == 2.0
    assert curve.scalars["cv"] == ended.summary["cv"]
    assert curve.scalars["cv"] != -7.0  # the probe's own, None where the curve tells no regime
    assert ended.summary["steps"] == 2
    assert set(OWN) >= (curve.scalars.keys() | ended.summary.keys()) - {"loss"}


@pytest.mark.parametrize("model", [nn.Linear(20, 4), nn.ReLU()], ids=["linear", "relu"])
def test_a_model_that_is_one_layer(model: nn.Module) -> None:
    """There is no hidden layer whose load could be measured."""
    with pytest.raises(ConfigError, match="no layer was found between input and output"):
        LoadProbe(model, torch.randn(64, 20), torch.arange(64) % 4, every=1)


@pytest.mark.parametrize(
    ("name", "said"), [("last", "'last'"), ("x" * 200, "200 characters"), ("a\nb", "cannot be")]
)
def test_a_name_that_no_verb_takes_is_refused(name: str, said: str) -> None:
    with pytest.warns(ProbeWarning, match=said):
        probe = LoadProbe(net(), X, Y, every=1, name=name)
    probe.close()
    settings = Run(probe.path).config().settings  # type: ignore[arg-type]
    assert isinstance(settings, ProbeConfig)
    assert settings.name == ""
