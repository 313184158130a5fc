"""The networks against the paper's description, written out again here with plain functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.datasets.load import Dataset
from engine.networks.network import Knobs, Network, build_network
from engine.networks.trainer import Trainer
from engine.settings.train import TrainConfig

pytestmark = pytest.mark.usefixtures("one_thread")


def built(shape: tuple[int, ...], **settings: Any) -> Network:
    config = TrainConfig(**settings)
    knobs = Knobs(config.negative_slope, config.dropout, torch.Generator().manual_seed(0))
    return build_network(config, shape, 10, knobs)


def maps(network: Network) -> list[nn.Linear | nn.Conv2d]:
    return [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def norm(x: Tensor) -> Tensor:
    """BatchNorm in training, fresh: over all but the channels, with variance + 1e-5."""
    dims = [0, *range(2, x.ndim)]
    var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


class TestAsDescribed:
    def test_mlp(self) -> None:
        """BatchNorm on the input; seven times linear, BatchNorm, LeakyReLU; linear."""
        network, x = built((100,), negative_slope=0.3), torch.randn(64, 100)
        *hidden, last = maps(network)
        points = [norm(x)]
        for layer in hidden:
            points.append(F.leaky_relu(norm(F.linear(points[-1], layer.weight, layer.bias)), 0.3))
        points.append(F.linear(points[-1], last.weight, last.bias))
        assert len(hidden) == 7
        for ours, theirs in zip(network.features(x), points, strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)

    def test_cnn(self) -> None:
        """BatchNorm; seven times convolution, BatchNorm, LeakyReLU, max-pool (measured), upsampling; linear."""
        network = built((3, 10, 10), model="cnn", width=20, negative_slope=0.3)
        x = torch.randn(8, 3, 10, 10)
        *hidden, last = maps(network)
        points, upsampled = [norm(x)], norm(x)
        for layer in hidden:
            through = norm(F.conv2d(upsampled, layer.weight, layer.bias, padding=1))
            points.append(F.max_pool2d(F.leaky_relu(through, 0.3), 2))
            upsampled = points[-1].repeat_interleave(2, 2).repeat_interleave(2, 3)
        points.append(F.linear(upsampled.flatten(1), last.weight, last.bias))
        assert [tuple(p.shape[1:]) for p in points] == [(3, 10, 10), *[(20, 5, 5)] * 7, (10,)]
        for ours, theirs in zip(network.features(x), points, strict=True):
            torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=1e-3)

    def test_cnn_drops_single_pixels_after_upsampling(self) -> None:
        between = built((1, 4, 4), model="cnn", dropout=0.5).between
        dropped = between(torch.ones(50, 4, 5, 5))
        assert dropped.shape == (50, 4, 10, 10)
        assert dropped.unique().tolist() == [0.0, 2.0]
        blocks = dropped.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).mean(-1)
        # four pixels fall together with probability 2/16
        assert float(((blocks == 0) | (blocks == 2)).float().mean()) == pytest.approx(0.125, abs=0.02)

    def test_dropout_lies_after_measuring(self) -> None:
        """With nearly all dropped, the layer that is measured is still whole; what comes after it is not."""
        network = built((100,), dropout=0.99, batch_norm=False)
        first, second = network.features(torch.randn(200, 100))[1:3]
        assert float((first > 0).float().mean()) > 0.3
        silent = torch.relu(maps(network)[1].bias)
        assert float((second == silent).all(1).float().mean()) > 0.3

    @pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize(
        ("name", "bent"),
        [("leaky_relu", torch.relu), ("tanh", torch.tanh), ("gelu", F.gelu)],
        ids=lambda v: str(v)[:9],
    )
    def test_activations_blend_with_the_identity(self, name: str, bent: Any, slope: float) -> None:
        """LeakyReLU itself is the same blend, of ReLU: s x + (1 - s) max(x, 0)."""
        network, x = (
            built((6,), activation=name, negative_slope=slope, depth=2, batch_norm=False),
            torch.randn(9, 6),
        )
        before = F.linear(x, maps(network)[0].weight, maps(network)[0].bias)
        expected = slope * before + (1 - slope) * bent(before)
        torch.testing.assert_close(network.features(x)[1], expected)

    def test_without_batch_norm_the_input_is_itself(self) -> None:
        x = torch.randn(5, 7)
        assert torch.equal(built((7,), batch_norm=False).features(x)[0], x)


class TestInitial:
    def test_ntk_divides_by_the_root_of_the_inputs(self) -> None:
        network = built((36,), init="ntk", init_scale=2.0, batch_norm=False, bias="zero", depth=3, width=400)
        first, second, _ = maps(network)
        assert float(first.weight.detach().std()) == pytest.approx(2.0, rel=0.03)
        x = torch.randn(4, 36)
        torch.testing.assert_close(network.features(x)[1], torch.relu(x @ first.weight.T / 6))
        hidden = network.features(x)[1]
        torch.testing.assert_close(network.features(x)[2], torch.relu(hidden @ second.weight.T / 20))

    def test_ntk_of_a_convolution(self) -> None:
        """Nine pixels of each of two channels make an output; the head sees eight channels of 4 x 4."""
        network = built((2, 4, 4), init="ntk", model="cnn", width=8, bias="off", depth=2, batch_norm=False)
        first, last = maps(network)
        x = torch.randn(3, 2, 4, 4)
        assert float(first.weight.detach().std()) == pytest.approx(1.0, rel=0.25)
        torch.testing.assert_close(first(x), F.conv2d(x, first.weight, padding=1) / math.sqrt(18))
        hidden = torch.randn(3, 128)
        torch.testing.assert_close(last(hidden), hidden @ last.weight.T / math.sqrt(128))

    @pytest.mark.parametrize("init", ["default", "orthogonal", "kaiming", "normal", "identity"])
    def test_constant_multiplies_the_weights_alone(self, init: str) -> None:
        for shape, model in (((12,), "mlp"), ((2, 4, 4), "cnn")):
            plain, scaled = (built(shape, init=init, init_scale=c, model=model, width=8) for c in (1.0, 3.0))
            for a, b in zip(maps(plain), maps(scaled), strict=True):
                torch.testing.assert_close(3.0 * a.weight, b.weight)
                assert a.bias is not None
                assert b.bias is not None
                assert torch.equal(a.bias, b.bias)

    def test_identity_convolution_keeps_its_input(self) -> None:
        first = maps(built((3, 4, 4), init="identity", model="cnn", width=3, bias="off"))[0]
        x = torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(first(x), x)

    def test_normal_keeps_the_scale(self) -> None:
        weight = maps(built((400,), init="normal"))[0].weight
        assert float(weight.detach().std()) == pytest.approx(1 / math.sqrt(400), rel=0.03)

    @pytest.mark.parametrize("bias", ["on", "off", "zero"])
    def test_bias(self, bias: str) -> None:
        for shape, model in (((12,), "mlp"), ((2, 4, 4), "cnn")):
            found = [m.bias for m in maps(built(shape, bias=bias, model=model, width=8))]
            assert all((b is None) == (bias == "off") for b in found)
            assert all(b is None or bool(b.any()) == (bias == "on") for b in found)


def test_channels_last_changes_nothing_but_time() -> None:
    """The trainer lays images out channels last; a training in the plain layout gives the same network."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 10
    x = rng.normal(size=(40, 3, 6, 6)).astype(np.float32)
    data = Dataset("drawn", x, y, x, y, 10)
    config = TrainConfig(model="cnn", width=6, depth=3, optimizer="sgd", lr=0.05, early_stop=False)
    ours, plain = Trainer(config, data), Trainer(config, data)
    assert ours.x_train.is_contiguous(memory_format=torch.channels_last)
    plain.x_train = plain.x_train.contiguous()
    for trainer in (ours, plain):
        for _ in range(3):
            for _ in trainer.run_epoch():
                pass
    a, b = (nn.utils.parameters_to_vector(t.network.parameters()) for t in (ours, plain))
    torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)
