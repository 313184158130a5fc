"""The same function is measured at the same points, however its weights are made."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import DeQuantStub, FakeQuantize, QuantStub
from torch.nn.utils import parametrizations, prune

from engine.probe.load_probe import LoadProbe
from engine.probe.points.modules import class_name, layer_of, modules_by_name

DRAW = torch.Generator().manual_seed(1)
Y = torch.arange(64) % 4
X = torch.randn(64, 16, generator=DRAW) + torch.randn(4, 16, generator=DRAW)[Y]
Wrap = Callable[[nn.Linear], nn.Module]


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def network(wrap: Wrap = lambda linear: linear) -> nn.Sequential:
    """A multilayer perceptron with its linear maps wrapped; the weights are the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        maps = [nn.Linear(16, 24), nn.Linear(24, 24), nn.Linear(24, 24)]
        head = nn.Linear(24, 4)
        return nn.Sequential(
            wrap(maps[0]), nn.ReLU(), wrap(maps[1]), nn.ReLU(), wrap(maps[2]), nn.ReLU(), head,
        )  # fmt: skip


def measured(model: nn.Module) -> tuple[list[str], list[float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = LoadProbe(model, X, Y)
    assert probe.path is not None
    probe.close()
    return probe.layers, probe.curves["trace_ratio"]


def requires_same(model: nn.Module, plain: nn.Module | None = None) -> None:
    """The model gives the plain one's outputs, names and curve."""
    plain = plain or network()
    with torch.no_grad():
        assert torch.allclose(model.eval()(X), plain.eval()(X), atol=1e-5)
    layers, curve = measured(plain)
    assert layers == ["input", "1", "3", "5", "logits"]
    assert measured(model)[0] == layers
    assert measured(model)[1] == pytest.approx(curve, abs=1e-4)


class Lora(nn.Module):
    """An adapter as many write their own: a base layer and two maps beside it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear, self.dropout = linear, nn.Dropout(0.1)
        self.lora_A = nn.Linear(linear.in_features, 2, bias=False)
        self.lora_B = nn.Linear(2, linear.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Any:
        return self.linear(x) + self.lora_B(self.lora_A(self.dropout(x)))


class LinearWithLoRA(nn.Module):
    """The same with the adapter as one module."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.lora = Lora(nn.Linear(linear.in_features, linear.out_features))
        nn.init.zeros_(self.lora.linear.weight)
        nn.init.zeros_(self.lora.linear.bias)

    def forward(self, x: Tensor) -> Any:
        return self.linear(x) + self.lora(x)


class Factors(nn.Module):
    """An adapter that owns its weight and whose factors are parameters, as torchtune's own its weight."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_a = nn.Linear(linear.in_features, 2, bias=False)
        self.lora_b = nn.Linear(2, linear.out_features, bias=False)
        nn.init.zeros_(self.lora_b.weight)

    def forward(self, x: Tensor) -> Any:
        return nn.functional.linear(x, self.weight, self.bias) + self.lora_b(self.lora_a(x))


class Stubbed(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.quant, self.linear, self.dequant = QuantStub(), linear, DeQuantStub()

    def forward(self, x: Tensor) -> Any:
        return self.dequant(self.linear(self.quant(x)))


class DropPath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand(len(x), 1) > 0.1) / 0.9 if self.training else x


def orthogonal(linear: nn.Linear) -> nn.Module:
    return parametrizations.orthogonal(linear)


class TestParametrizations:
    def test_weight_norm(self) -> None:
        requires_same(network(parametrizations.weight_norm))

    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_old_weight_norm(self) -> None:
        requires_same(network(nn.utils.weight_norm))

    @pytest.mark.parametrize("make", [parametrizations.spectral_norm, orthogonal], ids=["spectral", "orthogonal"])
    def test_of_other_weights(self, make: Wrap) -> None:
        """These change the weights, so the plain network takes theirs."""
        model, plain = network(make).eval(), network()
        for index in (0, 2, 4):
            weight = model[index].weight
            assert isinstance(weight, Tensor)
            plain[index].weight = nn.Parameter(weight.detach().clone())
        requires_same(model, plain)

    def test_several_on_one_weight(self) -> None:
        def twice(linear: nn.Linear) -> nn.Module:
            nn.utils.parametrize.register_parametrization(linear, "weight", nn.Identity())
            return nn.utils.parametrize.register_parametrization(linear, "weight", nn.Identity())

        requires_same(network(twice))

    def test_a_parametrised_block_is_of_the_class_of_its_siblings(self) -> None:
        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale, self.linear, self.norm = (
                    nn.Parameter(torch.ones(16, 1)),
                    nn.Linear(16, 16),
                    nn.LayerNorm(16),
                )

            def forward(self, x: Tensor) -> Any:
                return x + torch.relu(self.norm(self.linear(x * self.scale[:, 0])))

        def blocks(*, normed: bool) -> nn.Module:
            torch.manual_seed(0)
            first, second = Block(), Block()
            if normed:
                parametrizations.weight_norm(first, "scale")
            return nn.Sequential(first, second, nn.Linear(16, 4))

        assert measured(blocks(normed=False))[0] == ["input", "0", "1", "logits"]
        assert measured(blocks(normed=True)) == measured(blocks(normed=False))

    def test_pruned_weights(self) -> None:
        def pruned(linear: nn.Linear) -> nn.Module:
            return prune.l1_unstructured(linear, "weight", amount=0.3)

        model, plain = network(pruned), network()
        for index in (0, 2, 4):
            weight = model[index].weight
            assert isinstance(weight, Tensor)
            plain[index].weight = nn.Parameter(weight.detach().clone())
        requires_same(model, plain)


class TestAdapters:
    @pytest.mark.parametrize("wrap", [Lora, LinearWithLoRA, Factors])
    def test_of_ones_own(self, wrap: Wrap) -> None:
        requires_same(network(wrap))

    def test_a_block_with_an_adapter_beside_its_layers_stays_a_block(self) -> None:
        class Block(nn.Module):
            def __init__(self, *, adapted: bool) -> None:
                super().__init__()
                self.query, self.out = nn.Linear(16, 16), nn.Linear(16, 16)
                self.lora_query = nn.Linear(16, 16, bias=False) if adapted else None
                if self.lora_query is not None:
                    nn.init.zeros_(self.lora_query.weight)

            def forward(self, x: Tensor) -> Any:
                query = self.query(x)
                if self.lora_query is not None:
                    query = query + self.lora_query(x)
                return x + self.out(torch.tanh(query))

        def blocks(*, adapted: bool) -> nn.Module:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                plain = nn.Sequential(Block(adapted=False), Block(adapted=False), nn.Linear(16, 4))
                model = nn.Sequential(Block(adapted=adapted), Block(adapted=adapted), nn.Linear(16, 4))
                model.load_state_dict(plain.state_dict(), strict=False)
            return model

        assert measured(blocks(adapted=True)) == measured(blocks(adapted=False))
        assert measured(blocks(adapted=True))[0] == ["input", "0", "1", "logits"]

    def test_what_an_adapter_is_put_on(self) -> None:
        linear = nn.Linear(3, 3)
        adapted = Lora(linear)
        assert layer_of(adapted) is linear
        assert class_name(adapted) == "Linear"
        assert layer_of(linear) is linear
        assert list(modules_by_name(nn.Sequential(adapted, linear))) == ["0", "1"]


class TestPeft:
    """With the real library, which brings no torch of its own."""

    @pytest.fixture
    def peft(self) -> Any:
        return pytest.importorskip("peft", reason="peft is not installed")

    @pytest.mark.parametrize("kind", ["lora", "ia3", "loha", "dora"])
    def test_a_fresh_adapter(self, peft: Any, kind: str) -> None:
        targets = ["0", "2", "4"]
        config = {
            "lora": lambda: peft.LoraConfig(r=4, target_modules=targets, lora_dropout=0.1),
            "dora": lambda: peft.LoraConfig(r=4, target_modules=targets, use_dora=True),
            "ia3": lambda: peft.IA3Config(target_modules=targets, feedforward_modules=[]),
            "loha": lambda: peft.LoHaConfig(r=4, target_modules=targets),
        }[kind]()
        requires_same(peft.get_peft_model(network(), config))

    def test_merged_and_unmerged(self, peft: Any) -> None:
        config = peft.LoraConfig(r=4, target_modules=["0", "2", "4"], init_lora_weights=False)
        model = peft.get_peft_model(network(), config)
        with model.disable_adapter():
            assert measured(model)[1] == pytest.approx(measured(network())[1], abs=1e-4)
        unmerged = measured(model)
        model.merge_adapter()
        merged = measured(model)
        model.unmerge_adapter()
        plain = measured(model.merge_and_unload())
        assert unmerged[0] == merged[0] == plain[0] == ["input", "1", "3", "5", "logits"]
        assert merged[1] == pytest.approx(plain[1], abs=1e-4)
        assert unmerged[1] == pytest.approx(plain[1], abs=1e-4)

    def test_modules_that_are_trained_whole(self, peft: Any) -> None:
        class Headed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body, self.act = nn.Linear(16, 16), nn.Tanh()
                self.head = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))

            def forward(self, x: Tensor) -> Any:
                return self.head(self.act(self.body(x)))

        torch.manual_seed(0)
        plain = Headed()
        config = peft.LoraConfig(r=2, target_modules=["body"], modules_to_save=["head"])
        model = peft.get_peft_model(copy.deepcopy(plain), config)
        assert measured(model) == measured(plain)
        assert measured(plain)[0] == ["input", "act", "head.1", "logits"]
        with model.disable_adapter():
            assert measured(model) == measured(plain)

    def test_named_layers_of_base_and_fine_tune_are_the_same(self, peft: Any) -> None:
        model = peft.get_peft_model(network(), peft.LoraConfig(r=4, target_modules=["0", "2"]))
        probe = LoadProbe(model, X, Y, layers=["0", "4"])
        assert probe.layers == LoadProbe(network(), X, Y, layers=["0", "4"]).layers


class TestWhatPassesOn:
    @pytest.mark.parametrize(
        "more",
        [(nn.Identity(),), (nn.Dropout(0.2),), (DropPath(),), (nn.Dropout(0.1), nn.Identity())],
        ids=["identity", "dropout", "drop path", "two"],
    )
    def test_a_map_with_something_that_hands_on_is_no_block(self, more: tuple[nn.Module, ...]) -> None:
        class Followed(nn.Module):
            def __init__(self, linear: nn.Linear) -> None:
                super().__init__()
                self.linear, self.more = linear, nn.ModuleList(copy.deepcopy(more))

            def forward(self, x: Tensor) -> Any:
                x = self.linear(x)
                for module in self.more:
                    x = module(x)
                return x

        requires_same(network(Followed))

    def test_stubs_and_observers_of_quantisation(self) -> None:
        requires_same(network(Stubbed))

    def test_fake_quantisation_of_weights(self) -> None:
        """The rounding changes values a little; the points are the same."""

        class Rounded(nn.Linear):
            def __init__(self, linear: nn.Linear) -> None:
                super().__init__(linear.in_features, linear.out_features)
                self.weight, self.bias = linear.weight, linear.bias
                self.weight_fake_quant, self.activation_post_process = FakeQuantize(), FakeQuantize()

            def forward(self, x: Tensor) -> Any:
                y = nn.functional.linear(x, self.weight_fake_quant(self.weight), self.bias)
                return self.activation_post_process(y)

        layers, curve = measured(network(Rounded))
        assert layers == ["input", "1", "3", "5", "logits"]
        assert curve == pytest.approx(measured(network())[1], abs=0.1)

    def test_checkpointing_wrappers(self) -> None:
        from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

        requires_same(network(checkpoint_wrapper))

    def test_averaged_model(self) -> None:
        requires_same(torch.optim.swa_utils.AveragedModel(network()))

    def test_a_normalisation_after_an_identity_still_belongs_to_the_map(self) -> None:
        class Net(nn.Module):
            def __init__(self, between: nn.Module) -> None:
                super().__init__()
                torch.manual_seed(0)
                self.fc, self.between, self.norm, self.head = (
                    nn.Linear(16, 8),
                    between,
                    nn.LayerNorm(8),
                    nn.Linear(8, 4),
                )

            def forward(self, x: Tensor) -> Any:
                return self.head(torch.relu(self.norm(self.between(self.fc(x)))))

        assert measured(Net(nn.Identity())) == measured(Net(nn.Dropout()))
        assert measured(Net(nn.Identity()))[0] == ["input", "norm", "logits"]
