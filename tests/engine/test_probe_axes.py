"""Which axis holds the samples and which the features, on models whose shapes alone do not tell.

Each value is compared with one measured here, by hooks and in double precision.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError, DataError, ProbeWarning
from engine.measures.registry import SEPARATIONS
from engine.probe.features import Source
from engine.probe.load_probe import LoadProbe
from engine.probe.model import ProbedModel
from engine.probe.points.axes import canonical

N = 64
Y = torch.arange(N) % 4


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def probed(model: nn.Module, inputs: Any, labels: Any = Y, **options: Any) -> ProbedModel:
    """A model as a probe sees it; it has been measured."""
    defaults: dict[str, Any] = {
        "layers": None,
        "reductions": "auto",
        "groups": 5,
        "measures": SEPARATIONS,
        "chunk": 16,
        "memory": 64,
        "autocast": None,
        "forward": None,
        "keeps": True,
    }
    found = ProbedModel(model, inputs, labels, **{**defaults, **options})
    curves = found.measure().curves
    assert all(value == value for curve in curves.values() for value in curve)
    return found


def images(*size: int) -> Tensor:
    """Images of four classes, [N, *size]."""
    return torch.randn(N, *size) + 0.7 * torch.randn(4, size[0], *[1] * (len(size) - 1))[Y]


def sequences(tokens: int, features: int) -> Tensor:
    """Sequences of four classes, [N, T, D]."""
    return torch.randn(N, tokens, features) + torch.randn(4, features)[Y][:, None]


def separation(features: Tensor, y: Tensor = Y) -> float:
    """Log Tr S_W / Tr S_B in double precision."""
    x = features.detach().double().flatten(1)
    parts = [x[y == c] for c in y.unique()]
    within = sum(float((z - z.mean(0)).pow(2).sum()) for z in parts)
    between = sum(len(z) * float((z.mean(0) - x.mean(0)).pow(2).sum()) for z in parts)
    return math.log(within / between)


def outputs(model: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """What each module returned last for the whole batch, by name."""
    got: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            got[name] = (output[0] if isinstance(output, tuple) else output).clone()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    was = model.training
    model.eval()
    with torch.no_grad():
        model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    model.train(was)
    for handle in handles:
        handle.remove()
    return got


def value(found: ProbedModel, name: str) -> float:
    """The measured separation at one point."""
    index = [point.name for point in found.points].index(name)
    return found.measure().curves["trace_ratio"][index]


def fact(found: ProbedModel, name: str) -> dict[str, Any]:
    return next(row for row in found.facts()["points"] if row["name"] == name)


class ChannelsMLP(nn.Module):
    """A depthwise convolution, then a map of each pixel's channels written with Linear, as ConvNeXt."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(c, c, 3, padding=1, groups=c)
        self.a, self.b = nn.Linear(c, 2 * c), nn.Linear(2 * c, c)

    def forward(self, x: Tensor) -> Any:
        y = self.dw(x).permute(0, 2, 3, 1)
        return x + self.b(torch.relu(self.a(y))).permute(0, 3, 1, 2)


class Gate(nn.Module):
    """Squeeze and excitation with Linear."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)
        self.squeeze, self.excite = nn.Linear(c, c // 4), nn.Linear(c // 4, c)

    def forward(self, x: Tensor) -> Any:
        y = self.conv(x)
        return x + y * torch.sigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3))))))[:, :, None, None]


class PixelAttention(nn.Module):
    """Attention over the pixels of a U-Net's level, with Linear."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.GroupNorm(4, c), nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x: Tensor) -> Any:
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).chunk(3, -1)
        y = self.out(nn.functional.scaled_dot_product_attention(q, k, v))
        return x + y.transpose(1, 2).reshape(n, c, h, w)


def image_classifier(block: type[nn.Module], c: int = 16, patch: int = 4) -> nn.Sequential:
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 4)]
    return nn.Sequential(nn.Conv2d(3, c, patch, patch), block(c), block(c), block(c), *head)


class TestFeatures:
    @pytest.mark.parametrize("block", [ChannelsMLP, Gate, PixelAttention])
    @pytest.mark.parametrize("c", [16, 8])
    def test_channels_first_after_a_linear_map(self, block: type[nn.Module], c: int) -> None:
        """With 8 channels the features are 8 x 8 x 8: no size tells."""
        model, x = image_classifier(block, c), images(3, 32, 32)
        found, own = probed(model, x), outputs(model, x)
        for name in ("1", "2", "3"):
            row = fact(found, name)
            assert (row["samples_axis"], row["features_axis"], row["reduction"]) == (0, 1, "spatial_mean"), row
            assert value(found, name) == pytest.approx(separation(own[name].mean((2, 3))), abs=1e-4)
        assert found.notes == []

    def test_rows_and_channels_are_the_same_number_but_the_layout_is_the_other(self) -> None:
        class LastBlock(ChannelsMLP):
            def forward(self, x: Tensor) -> Any:
                y = self.dw(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
                return x + self.b(torch.relu(self.a(y)))

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stem, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 4)
                self.blocks = nn.Sequential(LastBlock(8), LastBlock(8))

            def forward(self, x: Tensor) -> Any:
                return self.head(self.blocks(self.stem(x).permute(0, 2, 3, 1)).mean((1, 2)))

        model, x = Model(), images(3, 32, 32)
        found, own = probed(model, x), outputs(model, x)
        assert fact(found, "blocks.0")["features_axis"] == 3
        for name in ("blocks.0", "blocks.1"):
            assert value(found, name) == pytest.approx(separation(own[name].mean((1, 2))), abs=1e-4)

    def test_plain_convolutions_are_flattened_as_ever(self) -> None:
        class Plain(nn.Module):
            def __init__(self, c: int) -> None:
                super().__init__()
                self.a, self.b = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

            def forward(self, x: Tensor) -> Any:
                return x + self.b(torch.relu(self.a(x)))

        model, x = image_classifier(Plain), images(3, 32, 32)
        found, own = probed(model, x), outputs(model, x)
        assert [p.reduction for p in found.points] == ["flatten"] * 5
        assert value(found, "2") == pytest.approx(separation(own["2"]), abs=1e-4)
        assert "no layer has more than 4096" in fact(found, "2")["why"]

    def test_tokens_after_a_convolution(self) -> None:
        """[N, T, D], though the last map is a convolution over the tokens; T = D too."""

        class Block(nn.Module):
            def __init__(self, d: int) -> None:
                super().__init__()
                self.norm, self.mlp = nn.LayerNorm(d), nn.Linear(d, d)
                self.conv = nn.Conv1d(d, d, 3, padding=1)

            def forward(self, x: Tensor) -> Any:
                x = x + torch.relu(self.mlp(self.norm(x)))
                return x + self.conv(x.transpose(1, 2)).transpose(1, 2)

        class Model(nn.Module):
            def __init__(self, d: int) -> None:
                super().__init__()
                self.blocks, self.head = nn.Sequential(Block(d), Block(d)), nn.Linear(d, 4)

            def forward(self, x: Tensor) -> Any:
                return self.head(self.blocks(x).mean(1))

        for tokens in (10, 16):
            model, x = Model(16), sequences(tokens, 16)
            found, own = probed(model, x), outputs(model, x)
            for name in ("blocks.0", "blocks.1"):
                assert fact(found, name)["features_axis"] == 2, tokens
                assert value(found, name) == pytest.approx(separation(own[name].mean(1)), abs=1e-4)

    def test_mixers_map_tokens_and_channels_in_turn(self) -> None:
        class Mix(nn.Module):
            def __init__(self, d: int, inner: nn.Module) -> None:
                super().__init__()
                self.norm, self.inner = nn.LayerNorm(d), inner

            def forward(self, x: Tensor) -> Any:
                return x + self.inner(self.norm(x))

        def channels(d: int) -> nn.Module:
            return nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

        def tokens(t: int) -> nn.Module:
            return nn.Sequential(nn.Conv1d(t, 2 * t, 1), nn.GELU(), nn.Conv1d(2 * t, t, 1))

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                parts = [tokens(10), channels(16), tokens(10), channels(16)]
                self.blocks = nn.Sequential(*[Mix(16, part) for part in parts])
                self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

            def forward(self, x: Tensor) -> Any:
                return self.head(self.norm(self.blocks(x)).mean(1))

        model, x = Model(), sequences(10, 16)
        found, own = probed(model, x), outputs(model, x)
        for i in range(4):
            row = fact(found, f"blocks.{i}")
            assert (row["features_axis"], row["reduction"]) == (2, "token_mean"), row
            assert value(found, f"blocks.{i}") == pytest.approx(separation(own[f"blocks.{i}"].mean(1)), abs=1e-4)

    def test_what_a_normalisation_takes(self) -> None:
        """8 x 8 images, to which each layer adds 8 channels: the last map's width is that of rows and columns."""

        class Dense(nn.Module):
            def __init__(self, c: int) -> None:
                super().__init__()
                self.norm, self.conv = nn.BatchNorm2d(c), nn.Conv2d(c, 8, 3, padding=1)

            def forward(self, x: Tensor) -> Any:
                return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)

        blocks = nn.Sequential(Dense(72), Dense(80), nn.BatchNorm2d(88))
        model = nn.Sequential(
            nn.Conv2d(3, 72, 4, 4), blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(88, 4)
        )
        x = images(3, 32, 32)
        found, own = probed(model, x, layers=["1.?"]), outputs(model, x)
        for name in ("1.0", "1.1"):
            assert fact(found, name)["features_axis"] == 1
            norm = {"1.0": "1.1.norm", "1.1": "1.2"}[name]
            size = fact(found, name)["shape"][1]
            assert fact(found, name)["why"] == f"features: axis 1, {size} = num_features of {norm}"
            assert value(found, name) == pytest.approx(separation(own[name].mean((2, 3))), abs=1e-4)

    def test_a_model_that_draws_random_numbers_in_eval_mode(self) -> None:
        class Noisy(ChannelsMLP):
            def forward(self, x: Tensor) -> Any:
                return super().forward(x + 0.01 * torch.randn_like(x))

        found = probed(image_classifier(Noisy, 8), images(3, 32, 32))
        assert [fact(found, name)["features_axis"] for name in ("1", "2", "3")] == [1, 1, 1]
        assert found.notes == []

    @pytest.mark.parametrize("layout", ["channels first", "sequence first"])
    @pytest.mark.parametrize("tokens", [12, 16])
    def test_token_positions_in_any_layout(self, layout: str, tokens: int) -> None:
        """Language models on [N, D, T] and [T, N, D], with as many tokens as features too."""

        class Language(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.head = nn.Embedding(64, 16), nn.Linear(16, 64)
                wide = layout == "channels first"
                self.map: nn.Module = nn.Conv1d(16, 16, 3, padding=1) if wide else nn.LSTM(16, 16)
                self.act = nn.Tanh()

            def forward(self, ids: Tensor) -> Any:
                x = self.embedding(ids)
                if layout == "channels first":
                    return self.head(self.act(self.map(x.transpose(1, 2))).transpose(1, 2))
                return self.head(self.act(self.map(x.transpose(0, 1))[0]).transpose(0, 1))

        model, ids = Language(), torch.randint(5, 20, (N, tokens))
        found = probed(model, ids, None)
        rows, cols = found.groups.positions  # type: ignore[misc]
        own = outputs(model, ids)["act"]
        own = own.transpose(1, 2) if layout == "channels first" else own.transpose(0, 1)
        assert value(found, "act") == pytest.approx(separation(own[rows, cols], found.groups.y_M), abs=1e-4)

    def test_what_stays_open_is_said_once_and_can_be_chosen(self, home: Any) -> None:
        class Maps(nn.Module):
            """Weights without a module: no size to go by."""

            def __init__(self) -> None:
                super().__init__()
                self.a = nn.Parameter(torch.randn(6, 6) / 3)
                self.act = nn.ReLU()
                self.inner = nn.Sequential(nn.Identity(), nn.Identity())

            def forward(self, x: Tensor) -> Any:
                return self.inner(x + self.act(torch.einsum("ij,njt->nit", self.a, x)))

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.blocks, self.head = nn.Sequential(Maps(), Maps()), nn.Linear(6 * 6, 4)

            def forward(self, x: Tensor) -> Any:
                return self.head(self.blocks(x).flatten(1))

        model, x = Model(), torch.randn(N, 6, 6) + torch.randn(4, 6, 1)[Y]
        with pytest.warns(ProbeWarning, match=r"open at 'input', 'blocks\.0', 'blocks\.1'.*reductions=") as told:
            probe = LoadProbe(model, x, Y)
        assert len(told) == 1
        assert told[0].filename == __file__
        assert "open" in probe._probed.facts()["points"][1]["why"]  # type: ignore[union-attr]
        found = probed(model, x, reductions="spatial_mean")
        assert found.notes == []
        assert value(found, "blocks.0") == pytest.approx(
            separation(outputs(model, x)["blocks.0"].mean(2)), abs=1e-4
        )
        assert fact(found, "blocks.0")["why"] == "given by reductions="


class SequenceFirst(nn.Module):
    """A block on [T, N, D] that calls its attention ``attn``."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.norm = nn.MultiheadAttention(16, 2), nn.LayerNorm(16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Any:
        z = self.norm(x)
        x = x + self.attn(z, z, z)[0]
        return x + self.mlp(x)


class SequenceFirstModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.head = nn.Sequential(SequenceFirst(), SequenceFirst()), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.blocks(x.transpose(0, 1)).mean(0))


class TestSamples:
    @pytest.mark.parametrize("tokens", [10, 16, 31, 64])
    def test_sequence_first(self, tokens: int) -> None:
        """Also where there are as many tokens as features, as samples of the first look, or as samples in all."""
        model, x = SequenceFirstModel(), sequences(tokens, 16)
        found, own = probed(model, x), outputs(model, x)
        assert [p.reduction for p in found.points] == ["token_mean"] * 3 + ["flatten"]
        assert (fact(found, "blocks.0")["samples_axis"], fact(found, "blocks.0")["features_axis"]) == (1, 2)
        for name in ("blocks.0", "blocks.1"):
            assert value(found, name) == pytest.approx(separation(own[name].mean(0)), abs=1e-4)
        assert value(found, "input") == pytest.approx(separation(x.mean(1)), abs=1e-4)

    @pytest.mark.parametrize("tokens", [7, 30, 31, 40])
    def test_learned_positions(self, tokens: int) -> None:
        class Text(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.position, self.token = nn.Embedding(tokens, 16), nn.Embedding(64, 16)
                self.a, self.act, self.head = nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)

            def forward(self, ids: Tensor) -> Any:
                h = self.position(torch.arange(ids.shape[1])) + self.token(ids)
                return self.head(self.act(self.a(h)).mean(1))

        model, ids = Text(), torch.randint(5, 60, (N, tokens))
        found, own = probed(model, ids), outputs(model, ids)
        assert value(found, "act") == pytest.approx(separation(own["act"].mean(1)), abs=1e-4)
        assert value(found, "input") == pytest.approx(separation(own["token"].mean(1)), abs=1e-4)
        with pytest.raises(ConfigError, match=r"'position' matches 'position'.*has no axis of samples"):
            probed(model, ids, layers=["position"])

    def test_few_samples(self) -> None:
        model = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4))
        for n, chunk in ((3, 128), (4, 1), (5, 2)):
            found = probed(model, torch.randn(n, 9), torch.arange(n) % 2, chunk=chunk)
            assert [p.name for p in found.points] == ["input", "1", "logits"]

    def test_a_model_of_one_batch_size(self) -> None:
        class Fixed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))

            def forward(self, x: Tensor) -> Any:
                return self.net(x.reshape(N, 10, 16).mean(1))

        model, x = Fixed(), sequences(10, 16)
        found, own = probed(model, x, chunk=N), outputs(model, x)
        assert value(found, "net.1") == pytest.approx(separation(own["net.1"]), abs=1e-4)
        assert "batches of 64 only" in fact(found, "net.1")["why"]
        with pytest.raises(DataError, match="in any number"):
            probed(model, x, chunk=40)


class Video(nn.Module):
    """Frames of a video in the batch of a convolutional network, sample by sample or frame by frame."""

    def __init__(self, *, frames_first: bool) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(8, 12), nn.ReLU(),
        )  # fmt: skip
        self.fc, self.act, self.head = nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)
        self.frames_first = frames_first

    def forward(self, x: Tensor) -> Any:
        n, t = x.shape[:2]
        if self.frames_first:
            z = self.cnn(x.transpose(0, 1).flatten(0, 1)).view(t, n, -1).mean(0)
        else:
            z = self.cnn(x.flatten(0, 1)).view(n, t, -1).mean(1)
        return self.head(self.act(self.fc(z)))


class TestFolded:
    @pytest.mark.parametrize("frames_first", [False, True])
    @pytest.mark.parametrize("frames", [5, 7])
    def test_frames_in_the_batch(self, frames_first: bool, frames: int) -> None:
        """7 frames are as many as the samples of the second look."""
        model, x = Video(frames_first=frames_first), images(frames, 3, 16, 16)
        x = x + torch.randn(4, 1, 3, 1, 1)[Y]
        found, own = probed(model, x), outputs(model, x)
        assert [p.name for p in found.points] == ["input", "cnn.1", "cnn.4", "cnn.7", "act", "logits"]

        def unfolded(name: str) -> Tensor:
            z = own[name]
            if frames_first:
                return z.unflatten(0, (frames, N)).transpose(0, 1)  # type: ignore[no-untyped-call, no-any-return]
            return z.unflatten(0, (N, frames))  # type: ignore[no-untyped-call, no-any-return]

        assert value(found, "cnn.1") == pytest.approx(separation(unfolded("cnn.1")), abs=1e-4)
        assert value(found, "cnn.7") == pytest.approx(separation(unfolded("cnn.7").mean(1)), abs=1e-4)
        assert value(found, "act") == pytest.approx(separation(own["act"]), abs=1e-4)
        assert fact(found, "cnn.1")["features"] == frames * 8 * 49
        assert f"{frames} rows a sample" in fact(found, "cnn.7")["why"]
        assert ("every Nth row" in fact(found, "cnn.7")["why"]) is frames_first

    def test_language_models_that_fold_positions(self) -> None:
        class Folded(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.a, self.act = nn.Embedding(64, 16), nn.Linear(16, 12), nn.ReLU()
                self.head = nn.Linear(12, 64)

            def forward(self, ids: Tensor) -> Any:
                z = self.act(self.a(self.embedding(ids).flatten(0, 1)))
                return self.head(z).view(*ids.shape, 64)

        model, ids = Folded(), torch.randint(5, 20, (N, 12))
        found = probed(model, ids, None)
        assert [(p.name, p.reduction) for p in found.points] == [
            ("input", "position"), ("act", "position"), ("logits", "position"),
        ]  # fmt: skip
        rows, cols = found.groups.positions  # type: ignore[misc]
        own = outputs(model, ids)["act"].view(N, 12, -1)[rows, cols]
        assert value(found, "act") == pytest.approx(separation(own, found.groups.y_M), abs=1e-4)

    def test_rows_that_follow_no_one_sample_are_left_out(self) -> None:
        class Mixing(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.act, self.b, self.act2 = nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()
                self.head = nn.Linear(16, 4)

            def forward(self, x: Tensor) -> Any:
                z = self.act(self.a(x))
                pairs = torch.cat([z + z.flip(0), z - z.mean(0)])
                return self.head(z + self.act2(self.b(pairs))[: len(x)])

        found = probed(Mixing(), torch.randn(N, 16))
        assert [p.name for p in found.points] == ["input", "act", "logits"]
        (row,) = found.found.left_out
        assert (row.name, row.module) == ("act2", "ReLU")
        assert "mixes samples: 2 rows for each" in row.reason
        assert "'act2'" in found.notes[0]

    def test_canonical(self) -> None:
        x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # N, T, C, L
        assert torch.equal(canonical(x.flatten(0, 1), 0, 1, 3, False, "spatial_mean"), x.transpose(1, 2))
        turned = x.transpose(0, 1).flatten(0, 1)
        assert torch.equal(canonical(turned, 0, 1, 3, True, "token_mean"), x.movedim(2, 3))
        assert torch.equal(canonical(x.movedim(0, 3), 3, 1, 1, False, "spatial_mean"), x.transpose(1, 2))
        assert torch.equal(canonical(x.movedim(0, 2), 2, 3, 1, False, "flatten"), x)


class TestWidths:
    def test_logits_between_samples_are_left_out_and_named(self, home: Any) -> None:
        class Contrastive(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8))

            def forward(self, x: Tensor) -> Any:
                z = nn.functional.normalize(self.net(x), dim=1)
                return {"logits": 10 * z @ z.T}

        with pytest.warns(ProbeWarning, match=r"leaves out 'logits', which grows with the batch: 31×31 with 31"):
            probe = LoadProbe(Contrastive(), torch.randn(N, 16), Y)
        assert probe.layers == ["input", "net.1"]
        (row,) = probe._probed.facts()["left_out"]  # type: ignore[union-attr]
        assert (row["name"], row["module"]) == ("logits", "Contrastive")
        assert "7×7 with 7" in row["reason"]

    class Trimmed(nn.Module):
        """Cuts padding off, chunk by chunk."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.conv = nn.Embedding(64, 8), nn.Conv1d(8, 8, 3, padding=1)
            self.act, self.head = nn.ReLU(), nn.Linear(8, 4)

        def forward(self, ids: Tensor) -> Any:
            ids = ids[:, : int((ids != 0).sum(1).max())]
            return self.head(self.act(self.conv(self.embedding(ids).transpose(1, 2))).mean(2))

    @pytest.mark.parametrize("longest", [63, 35], ids=["seen by the looks", "seen by no look"])
    def test_as_wide_as_the_longest_text_of_the_whole_batch(self, longest: int) -> None:
        ids = torch.randint(5, 60, (N, 12))
        ids[:, 3], ids[:, 6:] = 5 + Y, 0
        ids[longest] = 9
        model = self.Trimmed()
        found = probed(model, ids, reductions="flatten", chunk=128)
        own = outputs(model, ids)["act"]
        assert own.shape == (N, 8, 12)
        assert value(found, "act") == pytest.approx(separation(own), abs=1e-4)
        assert fact(found, "act")["features"] == 96

    def test_features_that_differ_between_chunks_are_never_cut(self) -> None:
        ids = torch.randint(5, 60, (N, 12))
        ids[:48, 6:] = 0
        with pytest.raises(ConfigError, match=r"'input' has 48 or 96 features, depending on which samples"):
            probed(self.Trimmed(), ids, reductions="flatten")
        with pytest.raises(ConfigError, match=r"'act' has 48 or 96 features.*token_mean"):
            probed(self.Trimmed(), ids, reductions={"input": "token_mean", "act": "flatten"})
        found = probed(self.Trimmed(), ids)
        assert [p.reduction for p in found.points] == ["token_mean", "spatial_mean", "flatten"]
        ids[48:, 6:] = 0
        ids[35] = 9  # in the midst of the batch, where no look sees it
        with pytest.raises(ConfigError, match=r"'input' has 48, 96 features, depending on which samples"):
            probed(self.Trimmed(), ids, reductions="flatten")


class Encoder(nn.Module):
    """A vision transformer with a class token; ``late`` lets it join after the first block."""

    def __init__(self, *, late: bool = False, zero: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 16))
        layers = [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(3)]
        self.blocks, self.late = nn.ModuleList(layers), late
        if zero:
            for layer in layers:
                nn.init.zeros_(layer.self_attn.out_proj.weight)

    def forward(self, x: Tensor) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for i, block in enumerate(self.blocks):
            if i == int(self.late):
                x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
            x = block(x)
        return x[:, 0]


class TestClassTokens:
    def test_only_once_it_has_joined(self) -> None:
        model, x = nn.Sequential(Encoder(late=True), nn.Linear(16, 4)), images(3, 32, 32)
        found, own = probed(model, x), outputs(model, x)
        assert [p.reduction for p in found.points] == [
            "token_mean", "token_mean", "class_token", "class_token", "flatten",
        ]  # fmt: skip
        assert value(found, "0.blocks.0") == pytest.approx(separation(own["0.blocks.0"].mean(1)), abs=1e-4)
        assert value(found, "0.blocks.1") == pytest.approx(separation(own["0.blocks.1"][:, 0]), abs=1e-4)
        assert "has joined" in fact(found, "0.blocks.1")["why"]

    def test_alike_in_all_samples(self) -> None:
        """Attention that gives nothing yet: the token knows no sample."""
        model, x = nn.Sequential(Encoder(zero=True), nn.Linear(16, 4)), images(3, 32, 32)
        with torch.no_grad():
            model[0].blocks[2].self_attn.out_proj.weight.normal_()  # type: ignore[union-attr, index, operator]
        found, own = probed(model, x), outputs(model, x)
        assert [p.reduction for p in found.points][1:4] == ["token_mean", "token_mean", "class_token"]
        assert "alike in all samples" in fact(found, "0.blocks.1")["why"]
        assert value(found, "0.blocks.1") == pytest.approx(separation(own["0.blocks.1"].mean(1)), abs=1e-4)

    @pytest.mark.parametrize("nested", [True, False])
    def test_one_tower_does_not_rank_the_other(self, nested: bool) -> None:
        class Towers(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.vision, self.embedding = Encoder(), nn.Embedding(64, 16)
                if not nested:  # the token belongs to the whole
                    self.cls_token = self.vision.cls_token
                    del self.vision.cls_token
                    object.__setattr__(self.vision, "cls_token", self.cls_token)
                self.text = nn.ModuleList(
                    [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)]
                )
                self.head = nn.Linear(16, 4)

            def forward(self, x: Tensor, ids: Tensor) -> Any:
                seen, z = self.vision(x), self.embedding(ids)
                for layer in self.text:
                    z = layer(z)
                return self.head(seen + z.mean(1))

        ids = torch.randint(5, 60, (N, 12))
        ids[:, 0] = 1  # every text begins alike
        found = probed(Towers(), (images(3, 32, 32), ids))
        reductions = {p.name: p.reduction for p in found.points}
        assert {how for name, how in reductions.items() if "vision.blocks" in name} == {"class_token"}
        assert {how for name, how in reductions.items() if name.startswith("text")} == {"token_mean"}

    def test_an_owner_that_hands_the_token_on(self) -> None:
        class Embeddings(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.patches, self.class_token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.randn(1, 1, 16))
                self.registers = nn.Parameter(torch.randn(1, 4, 16))

            def forward(self, x: Tensor) -> Any:
                x = self.patches(x).flatten(2).transpose(1, 2)
                n = len(x)
                return torch.cat([self.class_token.expand(n, -1, -1), self.registers.expand(n, -1, -1), x], 1)

        class Vision(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embeddings = Embeddings()
                self.layers = nn.ModuleList(
                    [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)]
                )

            def forward(self, x: Tensor) -> Any:
                x = self.embeddings(x)
                for layer in self.layers:
                    x = layer(x)
                return x[:, 0]

        found = probed(nn.Sequential(Vision(), nn.Linear(16, 4)), images(3, 32, 32))
        assert [p.reduction for p in found.points] == ["token_mean", "class_token", "class_token", "flatten"]

    def test_convolutions_before_the_token(self) -> None:
        """A hybrid: the images of the first blocks have no tokens."""

        class Hybrid(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stem = nn.Sequential(nn.Conv2d(3, 16, 4, 4), Gate(16), Gate(16))
                self.encoder = Encoder()
                self.encoder.patches = nn.Conv2d(16, 16, 2, 2)
                self.head = nn.Linear(16, 4)

            def forward(self, x: Tensor) -> Any:
                return self.head(self.encoder(self.stem(x)))

        model, x = Hybrid(), images(3, 32, 32)
        found, own = probed(model, x), outputs(model, x)
        assert [p.reduction for p in found.points][1:] == [
            "spatial_mean", "spatial_mean", "class_token", "class_token", "class_token", "flatten",
        ]  # fmt: skip
        assert value(found, "stem.2") == pytest.approx(separation(own["stem.2"].mean((2, 3))), abs=1e-4)


def test_two_points_at_one_call_are_both_taken() -> None:
    model = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4))
    found = probed(model, torch.randn(N, 9))
    twice = [found.points[0], found.points[1], replace(found.points[1], name="again")]
    source = Source(twice, found.batch, found.groups, found.device, found.dtype)
    assert source.count(found._run) == [{9}, {8}, {8}]


class Positions(nn.Embedding):
    """Hands out a view of its weight."""

    def forward(self, ids: Tensor) -> Any:
        return self.weight[: ids.shape[1]]


class Placed(nn.Module):
    """Blocks on 16 tokens of 16 features, the sum of two embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(64, 16), Positions(16, 16)
        self.blocks = nn.ModuleList(
            [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True) for _ in range(2)]
        )
        self.head, self.dropout = nn.Linear(16, 4), nn.Dropout()

    def forward(self, ids: Tensor) -> Any:
        x = self.token(ids) + self.position(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.dropout(x.mean(1)))


def test_the_looks_leave_no_trace() -> None:
    """Weights, buffers and random numbers are as before, though one look changes features to see what follows."""
    batches: list[tuple[nn.Module, Tensor]] = [
        (image_classifier(ChannelsMLP, 8).insert(1, nn.BatchNorm2d(8)), images(3, 32, 32)),
        (Placed(), torch.randint(5, 60, (N, 16))),
    ]
    for model, inputs in batches:
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        state = torch.get_rng_state()
        found = probed(model, inputs)
        assert any("a change of one feature" in row["why"] for row in found.facts()["points"])
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert all(module.training for module in model.modules())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert "position" in fact(found, "input")["why"]


def test_hooks_are_gone_after_an_error() -> None:
    model = image_classifier(Gate)
    with pytest.raises(DataError):
        probed(model, images(4, 32, 32))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class TestSumOfAStream:
    """A sum x + f(x) has its features where x has them, whatever map ends f."""

    class Mixer(nn.Module):
        def __init__(self, tokens: int) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(8, 16), nn.Linear(16, 4)
            self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(2))
            self.tokens = nn.ModuleList(nn.Linear(tokens, tokens) for _ in range(2))
            self.channels = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))

        def forward(self, x: Tensor) -> Any:
            x = self.first(x)
            for norm, tokens, channels in zip(self.norms, self.tokens, self.channels, strict=True):
                x = x + tokens(norm(x).mT).mT
                x = x + channels(x)
            return self.head(x.mean(1))

    @pytest.mark.parametrize("tokens", [16, 10])
    def test_of_a_token_mixer(self, tokens: int) -> None:
        model = self.Mixer(tokens)
        x = torch.randn(len(Y), tokens, 8, generator=torch.Generator().manual_seed(0))
        found = probed(model, x)
        sums = []
        with torch.no_grad():
            at = model.first(x)
            for norm, mix, channels in zip(model.norms, model.tokens, model.channels, strict=True):
                at = at + mix(norm(at).mT).mT
                sums.append(at)
                at = at + channels(at)
        for number in (0, 1):
            assert fact(found, f"tokens.{number}")["reduction"] == "token_mean"
            assert value(found, f"tokens.{number}") == pytest.approx(separation(sums[number].mean(1)), abs=1e-4)
