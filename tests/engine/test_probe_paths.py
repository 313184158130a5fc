"""Points lie on the path of data, towers have a curve each, and nothing is left out without a word."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from engine.errors import ConfigError, ProbeWarning
from engine.probe.leaves import leaves_of, tensors_in
from engine.probe.load_probe import LoadProbe
from engine.probe.points.flow import Recording
from engine.probe.scalars import OWN
from engine.runs.directory import Run
from engine.runs.records import Curve, Ended, Started

N = 40
Y = torch.arange(N) % 4
DRAW = torch.Generator().manual_seed(0)
IMAGES = torch.randn(N, 3, 16, 16, generator=DRAW)
ROWS = torch.randn(N, 8, generator=DRAW)
IDS = torch.randint(5, 60, (N, 12), generator=DRAW)


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    torch.manual_seed(0)


def probe_of(model: nn.Module, inputs: Any, labels: Any = Y, **options: Any) -> LoadProbe:
    """A probe that had nothing to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ProbeWarning)
        return LoadProbe(model, inputs, labels, **options)


def points(model: nn.Module, inputs: Any, labels: Any = Y, **options: Any) -> list[str]:
    """Names of the points between input and output of a model that is one chain."""
    probe = probe_of(model, inputs, labels, **options)
    assert probe.towers == [""]
    return [name for name in probe.layers if name not in {"input", "logits"}]


def left_out(probe: LoadProbe) -> dict[str, str]:
    return {row.name: row.reason for row in probe.describe().left_out}


def separation(features: Tensor) -> float:
    """Log Tr S_W / Tr S_B in double precision."""
    x = features.detach().double().flatten(1)
    parts = [x[c == Y] for c in Y.unique()]
    within = sum(float((z - z.mean(0)).pow(2).sum()) for z in parts)
    between = sum(len(z) * float((z.mean(0) - x.mean(0)).pow(2).sum()) for z in parts)
    return math.log(within / between)


def conv(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.BatchNorm2d(outputs), nn.ReLU())


def mlp(outputs: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, outputs))


class Net(nn.Module):
    """A model of some modules and a function that calls them."""

    def __init__(self, run: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


class Attention(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(size, size) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None) -> Any:
        memory = x if memory is None else memory
        mixed = functional.scaled_dot_product_attention(self.q(x), self.k(memory), self.v(memory), attn_mask=mask)
        return self.o(mixed)


class Feed(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.a, self.act, self.b = nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size)

    def forward(self, x: Tensor) -> Any:
        return self.b(self.act(self.a(x)))


class EncoderLayer(nn.Module):
    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(size), Attention(size)
        self.norm2, self.feed = nn.LayerNorm(size), Feed(size)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:
        x = x + self.attention(self.norm1(x), mask=mask)
        return x + self.feed(self.norm2(x))


class DecoderLayer(EncoderLayer):
    def __init__(self, size: int = 8) -> None:
        super().__init__(size)
        self.norm3, self.cross = nn.LayerNorm(size), Attention(size)

    def forward(self, x: Tensor, memory: Tensor) -> Any:  # type: ignore[override]
        x = x + self.attention(self.norm1(x))
        x = x + self.cross(self.norm3(x), memory)
        return x + self.feed(self.norm2(x))


def layers(kind: Callable[[], nn.Module], count: int = 2) -> nn.ModuleList:
    return nn.ModuleList(kind() for _ in range(count))


def additive(mask: Tensor) -> Tensor:
    """A mask [N, T] as attention adds it, [N, T, T]."""
    return torch.where(mask[:, None, :] > 0, 0.0, -1e9).expand(-1, mask.shape[1], -1)


class TestBranches:
    """Parallel branches are no consecutive layers; where they are joined, they are measured."""

    @staticmethod
    def inception() -> nn.Module:
        def run(net: Any, x: Tensor) -> Any:
            x = net.stem(x)
            x = torch.cat([net.a(x), net.b(x), functional.max_pool2d(x, 3, 1, 1)], 1)
            return net.head(net.last(x).mean((2, 3)))

        deep = nn.Sequential(conv(8, 4, 1), conv(4, 4))
        return Net(run, stem=conv(3, 8), a=conv(8, 4, 1), b=deep, last=conv(16, 8), head=nn.Linear(8, 4))

    def test_inception_without_a_module_of_its_own(self) -> None:
        model = self.inception()
        probe = probe_of(model, IMAGES)
        assert probe.layers == ["input", "stem.2", "last.in", "last.2", "logits"]
        model.eval()
        got: list[Tensor] = []
        model.last.register_forward_pre_hook(lambda _m, args: got.append(args[0]))
        with torch.no_grad():
            model(IMAGES)
        assert probe.curves["trace_ratio"][2] == pytest.approx(separation(got[0]), abs=1e-4)
        assert left_out(probe) == dict.fromkeys(
            ["a.2", "b.*.2 (2)"], "is one of several branches: measured where they are concatenated, as last.in"
        )

    def test_one_inception_module(self) -> None:
        def joined(net: Any, x: Tensor) -> Any:
            return torch.cat([net.a(x), net.b(x)], 1)

        block = Net(joined, a=conv(8, 4, 1), b=nn.Sequential(conv(8, 4, 1), conv(4, 4)))
        model = nn.Sequential(
            conv(3, 8), block, conv(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
        )
        assert points(model, IMAGES) == ["0.2", "1", "3"]

    def test_added_branches_with_nothing_between_are_measured_with_what_follows(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = net.stem(x)
            return net.head(net.last(net.a(x) + net.b(x)).mean((2, 3)))

        last = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU())
        model = Net(run, stem=conv(3, 8), a=conv(8, 8), b=conv(8, 8), last=last, head=nn.Linear(8, 4))
        probe = probe_of(model, IMAGES)
        assert probe.layers == ["input", "stem.2", "last.1", "logits"]
        assert left_out(probe)["a.2"] == "is one of several branches: measured where they are added, as last.1"

    @pytest.mark.parametrize("sparse", [False, True])
    def test_mixture_of_experts(self, sparse: bool) -> None:
        def mixed(net: Any, x: Tensor) -> Any:
            weights = net.gate(x).softmax(-1)
            if not sparse:
                return sum(weights[:, i : i + 1] * expert(x) for i, expert in enumerate(net.experts))
            out, chosen = torch.zeros_like(x), weights.argmax(-1)
            for i, expert in enumerate(net.experts):
                rows = (chosen == i).nonzero()[:, 0]
                out.index_add_(0, rows, expert(x[rows]))
            return x + out

        moe = Net(mixed, gate=nn.Linear(16, 3), experts=layers(lambda: Feed(16), 3))
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), moe, nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        if not sparse:
            assert points(model, ROWS) == ["1", "2", "4"]
            return
        with pytest.warns(ProbeWarning, match=r"leaves out '2\.experts\.\S+( \(\d\))?', which ") as told:
            probe = LoadProbe(model, ROWS, Y)
        assert len(told) == 1
        assert probe.layers == ["input", "1", "4", "logits"]
        assert all(name.startswith("2.experts.") for name in left_out(probe))

    def test_a_wide_part_beside_a_deep_one(self) -> None:
        model = Net(lambda net, x: net.wide(x) + net.deep(x), wide=nn.Linear(8, 4), deep=mlp())
        assert points(model, ROWS) == ["deep.1", "deep.3"]


class TestGates:
    def test_squeeze_and_excite_is_no_layer(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = net.body(x)
            x = x * net.gate(x.mean((2, 3)))[:, :, None, None]
            return net.head(net.last(x).mean((2, 3)))

        gate = nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 8), nn.Sigmoid())
        probe = probe_of(Net(run, body=conv(3, 8), gate=gate, last=conv(8, 8), head=nn.Linear(8, 4)), IMAGES)
        assert probe.layers == ["input", "body.2", "last.2", "logits"]
        assert left_out(probe) == dict.fromkeys(["gate.1", "gate.3"], "is a gate: it scales the path")

    def test_attention_pooling(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = net.body(x)
            return net.head((x * net.score(x).softmax(1)).sum(1))

        score = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
        body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        model = Net(run, body=body, score=score, head=nn.Linear(16, 4))
        assert points(model, torch.randn(N, 6, 8)) == ["body.1", "body.3"]

    def test_gated_linear_units_are_measured_as_products(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            for a, b, act in zip(net.a, net.b, net.act, strict=True):
                x = act(a(x)) * b(x)
            return net.head(x)

        linear = lambda: nn.Linear(8, 8)  # noqa: E731
        model = Net(run, a=layers(linear, 3), b=layers(linear, 3), act=layers(nn.SiLU, 3), head=nn.Linear(8, 4))
        probe = probe_of(model, ROWS)
        assert probe.layers == ["input", "act.0", "act.1", "act.2", "logits"]
        with torch.no_grad():
            product = model.act[0](model.a[0](ROWS)) * model.b[0](ROWS)  # type: ignore[index,operator]
        assert probe.curves["trace_ratio"][1] == pytest.approx(separation(product), abs=1e-4)

    def test_blocks_with_gates_inside(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            y = net.b(net.a(x))
            return functional.relu(x + y * net.gate(y.mean((2, 3)))[:, :, None, None])

        class Block(Net):
            def __init__(self) -> None:
                gate = nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 8), nn.Sigmoid())
                super().__init__(run, a=conv(8, 8), b=conv(8, 8), gate=gate)

        model = nn.Sequential(conv(3, 8), Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
        assert points(model, IMAGES) == ["1", "2"]


class TestSkips:
    def test_residual_stream_of_a_flat_transformer(self) -> None:
        def run(net: Any, input_ids: Tensor, attention_mask: Tensor) -> Any:
            x, mask = net.embed(input_ids), additive(attention_mask)
            for i in range(2):
                x = x + net.attention[i](net.norm1[i](x), mask=mask)
                x = x + net.feed[i](net.norm2[i](x))
            return net.head(net.norm(x).mean(1))

        norm = lambda: nn.LayerNorm(8)  # noqa: E731
        model = Net(
            run, embed=nn.Embedding(64, 8), attention=layers(lambda: Attention(8)), feed=layers(lambda: Feed(8)),
            norm1=layers(norm), norm2=layers(norm), norm=norm(), head=nn.Linear(8, 4),
        )  # fmt: skip
        probe = probe_of(model, {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)})
        assert probe.layers == ["input", "attention.0", "feed.0", "attention.1", "feed.1", "logits"]
        stream: list[Tensor] = []
        for module in (model.norm1[0], model.norm2[0], model.norm1[1], model.norm2[1], model.norm):  # type: ignore[index]
            module.register_forward_pre_hook(lambda _m, args: stream.append(args[0].mean(1)))  # type: ignore[union-attr]
        with torch.no_grad():
            model(IDS, torch.ones_like(IDS))
        assert probe.curves["trace_ratio"][:5] == pytest.approx([separation(x) for x in stream], abs=1e-4)
        why = {point.name: point.why for point in probe.describe().points}
        assert why["attention.0"].startswith("after its output is added, at the input of norm2.0")

    def test_flat_residual_network_keeps_the_stream(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = net.act0(net.stem(x))
            x = net.act2(x + net.c2(net.act1(net.c1(x))))
            x = net.act4(x + net.c4(net.act3(net.c3(x))))
            return net.head(x.mean((2, 3)))

        convs = {f"c{i}": nn.Conv2d(8, 8, 3, padding=1) for i in range(1, 5)}
        acts = {f"act{i}": nn.ReLU() for i in range(5)}
        probe = probe_of(Net(run, stem=nn.Conv2d(3, 8, 3), **convs, **acts, head=nn.Linear(8, 4)), IMAGES)
        assert probe.layers == ["input", "act0", "act2", "act4", "logits"]
        assert left_out(probe)["act1"] == "is in a branch that is added to the path: measured with act2"

    @pytest.mark.parametrize("dense", [False, True])
    def test_one_map_a_branch(self, dense: bool) -> None:
        def run(net: Any, x: Tensor) -> Any:
            for fc, act in zip(net.fc, net.act, strict=True):
                x = torch.cat([x, act(fc(x))], 1) if dense else x + act(fc(x))
            return net.head(x)

        maps = nn.ModuleList(nn.Linear(8 * (i if dense else 1), 8) for i in range(1, 4))
        model = Net(run, fc=maps, act=layers(nn.ReLU, 3), head=nn.Linear(32 if dense else 8, 4))
        probe = probe_of(model, ROWS)
        assert probe.layers == ["input", "act.0", "act.1", "act.2", "logits"]
        features = [point.features for point in probe.describe().points]
        assert features == ([8, 16, 24, 32, 4] if dense else [8, 8, 8, 8, 4])

    @pytest.mark.parametrize("with_blocks", [True, False])
    def test_both_ends_of_a_u_net(self, with_blocks: bool) -> None:
        def run(net: Any, x: Tensor) -> Any:
            up = lambda t: functional.interpolate(t, scale_factor=2)  # noqa: E731
            a = net.down1(x)
            b = net.down2(functional.max_pool2d(a, 2))
            y = net.middle(functional.max_pool2d(b, 2))
            y = net.up2(torch.cat([up(y), b], 1))
            return net.head(net.up1(torch.cat([up(y), a], 1)))

        class Double(nn.Sequential):
            """Its own class, so no container."""

        class Block(Net):
            def __init__(self, inputs: int, outputs: int) -> None:
                body = Double(*conv(inputs, outputs), *conv(outputs, outputs))
                super().__init__(lambda net, x: net.body(x), body=body)

        part = Block if with_blocks else conv
        sizes = {"down1": (3, 4), "down2": (4, 8), "middle": (8, 8), "up2": (16, 8), "up1": (12, 4)}
        model = Net(run, **{name: part(*own) for name, own in sizes.items()}, head=nn.Conv2d(4, 1, 1))
        assert points(model, IMAGES) == [name if with_blocks else f"{name}.2" for name in sizes]

    def test_a_skip_from_the_raw_input_leaves_the_layers(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            h = net.act1(net.a(x))
            return net.head(net.act2(net.b(h) + net.skip(x)))

        linear = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(8, 16)
        model = Net(
            run, a=linear[0], act1=nn.ReLU(), b=linear[1], skip=linear[2], act2=nn.ReLU(), head=nn.Linear(16, 4)
        )
        assert points(model, ROWS) == ["act1", "act2"]


class TestBlocks:
    class ResBlock(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(size, size, 3, padding=1), nn.BatchNorm2d(size)

        def forward(self, x: Tensor) -> Any:
            return functional.relu(x + self.norm(self.conv(x)))

    class DownBlock(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs)

        def forward(self, x: Tensor) -> Any:
            return functional.relu(self.norm(self.conv(x)))

    class Transition(DownBlock):
        """Its name ends in another word than the blocks' names."""

    @pytest.mark.parametrize(
        ("kind", "first", "last", "expected"),
        [
            (DownBlock, 2, 1, ["1", "2", "3", "4"]),
            (Transition, 2, 1, ["1", "2", "3", "4"]),
            (DownBlock, 2, 0, ["1", "2", "3"]),
            (Transition, 2, 0, ["1", "2"]),
        ],
    )
    def test_a_single_block_beside_siblings(
        self, kind: type[DownBlock], first: int, last: int, expected: list[str]
    ) -> None:
        blocks = [*(self.ResBlock(4) for _ in range(first)), kind(4, 8), *(self.ResBlock(8) for _ in range(last))]
        model = nn.Sequential(conv(3, 4), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
        assert points(model, IMAGES) == expected

    def test_embedding_and_head_beside_blocks_are_none(self) -> None:
        class PatchEmbedding(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.map, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)

            def forward(self, x: Tensor) -> Any:
                return self.norm(self.map(x).flatten(2).transpose(1, 2))

        class Head(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 4)

            def forward(self, x: Tensor) -> Any:
                return self.fc(self.norm(x.mean(1)))

        model = nn.Sequential(PatchEmbedding(), EncoderLayer(), EncoderLayer(), Head())
        assert points(model, IMAGES) == ["1", "2"]

    def test_a_recurrent_layer_of_which_the_last_state_is_used(self) -> None:
        class Classifier(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed, self.head = nn.Embedding(64, 8), nn.Linear(8, 4)
                self.first, self.second = (nn.LSTM(8, 8, batch_first=True) for _ in range(2))

            def forward(self, x: Tensor) -> Any:
                x, _ = self.first(self.embed(x))
                _, (state, _) = self.second(x)
                return self.head(state[-1])

        assert points(Classifier(), IDS) == ["first", "second"]


class TestOtherOutputs:
    def test_an_auxiliary_head_is_named(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            a = net.body1(x)
            return {"aux": net.aux(a.mean((2, 3))), "logits": net.head(net.body2(a).mean((2, 3)))}

        model = Net(
            run, body1=conv(3, 4), body2=conv(4, 4), aux=nn.Sequential(nn.Linear(4, 8), nn.ReLU()),
            head=nn.Linear(4, 4), spare=nn.Linear(3, 3),
        )  # fmt: skip
        probe = probe_of(model, IMAGES)
        assert probe.layers == ["input", "body1.2", "body2.2", "logits"]
        assert left_out(probe) == {
            "aux": "leads to another output than the one measured", "spare": "was never called",
        }  # fmt: skip

    def test_of_several_outputs_the_first_is_measured(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = net.trunk(x)
            return net.a(x), net.b(x)

        head = lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))  # noqa: E731
        probe = probe_of(Net(run, trunk=mlp(), a=head(), b=head()), ROWS)
        assert probe.layers == ["input", "trunk.1", "trunk.3", "a.1", "logits"]
        assert left_out(probe) == {"b": "leads to another output than the one measured"}


def clip(*, outputs: str = "logits") -> nn.Module:
    """Image and text encoder, which are joined in the end only."""

    def run(net: Any, pixels: Tensor, ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        x = net.patches(pixels).flatten(2).transpose(1, 2)
        for layer in net.vision:
            x = layer(x)
        y, mask = net.words(ids), None if attention_mask is None else additive(attention_mask)
        for layer in net.text:
            y = layer(y, mask)
        a, b = net.to_a(x.mean(1)), net.to_b(y.mean(1))
        return net.head(torch.cat([a, b], 1)) if outputs == "logits" else (a, b)

    return Net(
        run, patches=nn.Conv2d(3, 8, 4, 4), vision=layers(EncoderLayer), words=nn.Embedding(64, 8),
        text=layers(EncoderLayer, 3), to_a=nn.Linear(8, 8), to_b=nn.Linear(8, 8), head=nn.Linear(16, 4),
    )  # fmt: skip


def translator() -> nn.Module:
    """Encoder and decoder with cross attention, as T5."""

    def run(net: Any, input_ids: Tensor, decoder_input_ids: Tensor) -> Any:
        x = net.embed(input_ids)
        for layer in net.encoder:
            x = layer(x)
        y = net.embed(decoder_input_ids)
        for layer in net.decoder:
            y = layer(y, x)
        return net.head(y)

    parts = {"encoder": layers(EncoderLayer), "decoder": layers(DecoderLayer)}
    return Net(run, embed=nn.Embedding(64, 8), **parts, head=nn.Linear(8, 64))


def ensemble(count: int = 3) -> nn.Module:
    return Net(
        lambda net, x: torch.stack([member(x) for member in net.members]).mean(0), members=layers(mlp, count)
    )


class TestTowers:
    @pytest.mark.parametrize("outputs", ["logits", "both"])
    def test_image_and_text(self, outputs: str) -> None:
        inputs = {"pixels": IMAGES, "ids": IDS, "attention_mask": torch.ones_like(IDS)}
        probe = probe_of(clip(outputs=outputs), inputs)
        assert probe.towers == ["vision", "text"]
        assert probe.layers == probe.tower("vision").layers == ["input", "vision.0", "vision.1", "logits"]
        assert probe.tower("text").layers == ["input", "text.0", "text.1", "text.2"]
        assert not probe.tower("text").has_logits

    @pytest.mark.parametrize("outputs", ["product", "both"])
    def test_a_class_that_runs_side_by_side_is_looked_into(self, outputs: str) -> None:
        """Whatever the class is called: neither of its calls is made from the other."""

        class Side(nn.Module):
            def __init__(self, inputs: int, depth: int) -> None:
                super().__init__()
                self.first, self.blocks = nn.Linear(inputs, 8), layers(EncoderLayer, depth)
                self.last = nn.Linear(8, 4)

            def forward(self, x: Tensor) -> Tensor:
                x = self.first(x)[:, None]
                for block in self.blocks:
                    x = block(x)
                return self.last(x[:, 0])

        def run(net: Any, x: Tensor, other: Tensor) -> Any:
            a, b = net.a(x), net.b(other)
            return a * b if outputs == "product" else (a, b)

        model = Net(run, a=Side(8, 3), b=Side(48, 2))
        probe = probe_of(model, (ROWS, IMAGES.flatten(1)[:, :48]))
        assert probe.towers == ["a", "b"]
        assert probe.layers == ["input", "a.blocks.0", "a.blocks.1", "a.blocks.2", "logits"]
        assert probe.tower("b").layers == ["input", "b.blocks.0", "b.blocks.1"]
        assert {point.role for point in probe.describe().points[1:4]} == {"block"}

    def test_the_tower_of_the_measured_output_is_the_main_one(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            other = net.teacher(x)
            return net.student(x), other

        probe = probe_of(Net(run, teacher=mlp(), student=mlp()), ROWS)
        assert probe.towers == ["student", "teacher"]
        assert probe.layers == ["input", "student.1", "student.3", "logits"]
        assert not probe.tower("teacher").has_logits

    def test_towers_of_different_make_and_a_part_after_them(self) -> None:
        def run(net: Any, pixels: Tensor, ids: Tensor) -> Any:
            y = net.words(ids)
            for layer in net.text:
                y = layer(y)
            return net.head(torch.cat([net.image(pixels), y.mean(1)], 1))

        image = nn.Sequential(*conv(3, 8), *conv(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        head = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
        model = Net(run, image=image, words=nn.Embedding(64, 8), text=layers(EncoderLayer), head=head)
        probe = probe_of(model, (IMAGES, IDS))
        assert probe.towers == ["text", "image"]
        assert probe.tower("image").layers == ["input", "image.2", "image.6"]
        assert probe.layers == ["input", "text.0", "text.1", "logits"]

    def test_layers_after_the_towers_belong_to_the_first(self) -> None:
        def run(net: Any, x: Tensor, other: Tensor) -> Any:
            return net.top(torch.cat([net.left(x), net.right(other)], 1))

        top = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
        probe = probe_of(Net(run, left=mlp(8), right=mlp(8), top=top), (ROWS, ROWS.flip(0)))
        assert probe.towers == ["left", "right"]
        assert probe.layers == ["input", "left.1", "left.3", "top.1", "top.3", "logits"]
        assert probe.tower("right").layers == ["input", "right.1", "right.3"]
        with torch.no_grad():
            own = separation(ROWS.flip(0))
        assert probe.tower("right").curves["trace_ratio"][0] == pytest.approx(own, abs=1e-4)

    def test_the_members_of_an_ensemble_have_their_own_values(self) -> None:
        model = ensemble()
        probe = probe_of(model, ROWS)
        assert probe.towers == ["members.0", "members.1", "members.2"]
        for number, tower in enumerate(map(probe.tower, probe.towers)):
            assert tower.layers[:3] == ["input", f"members.{number}.1", f"members.{number}.3"]
            own = model.members[number]  # type: ignore[index]
            with torch.no_grad():
                expected = [separation(x) for x in (ROWS, own[:2](ROWS), own[:4](ROWS))]  # type: ignore[index,operator]
            assert tower.curves["trace_ratio"][:3] == pytest.approx(expected, abs=1e-4)
        assert [probe.tower(name).has_logits for name in probe.towers] == [True, False, False]

    def test_encoder_and_decoder(self) -> None:
        inputs = {"input_ids": IDS, "decoder_input_ids": IDS[:, :5]}
        probe = probe_of(translator(), inputs)
        assert probe.towers == ["encoder", "decoder"]
        assert probe.layers == ["input", "encoder.0", "encoder.1"]
        assert probe.tower("decoder").layers == ["input", "decoder.0", "decoder.1", "logits"]

    def test_torchs_own_transformer(self) -> None:
        def run(net: Any, source: Tensor, target: Tensor) -> Any:
            return net.head(net.transformer(net.embed(source), net.embed(target)).mean(1))

        transformer = nn.Transformer(8, 2, 2, 2, 16, batch_first=True)
        model = Net(run, embed=nn.Embedding(64, 8), transformer=transformer, head=nn.Linear(8, 4))
        assert probe_of(model, (IDS, IDS[:, :5])).towers == ["encoder", "decoder"]

    def test_recurrent_encoder_and_decoder_joined_by_their_states(self) -> None:
        class Recurrent(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed, self.head = nn.Embedding(64, 8), nn.Linear(8, 4)
                self.reader, self.writer = (layers(lambda: nn.LSTM(8, 8, batch_first=True)) for _ in range(2))

            def forward(self, source: Tensor, target: Tensor) -> Any:
                x, y, states = self.embed(source), self.embed(target), []
                for layer in self.reader:
                    x, state = layer(x)
                    states.append(state)
                for layer, state in zip(self.writer, states, strict=True):
                    y, _ = layer(y, state)
                return self.head(y.mean(1))

        probe = probe_of(Recurrent(), (IDS, IDS[:, :5]))
        assert probe.towers == ["reader", "writer"]
        assert probe.tower("writer").layers == ["input", "writer.0", "writer.1", "logits"]

    @pytest.mark.parametrize("length", [5, 12])
    def test_a_decoder_whose_tokens_are_not_grouped_is_named(self, length: int) -> None:
        inputs = {"input_ids": IDS, "decoder_input_ids": IDS.flip(1)[:, :length]}
        with pytest.warns(ProbeWarning, match=r"leaves out 'decoder\.\* \(2\)', which ") as told:
            probe = LoadProbe(translator(), inputs)
        assert len(told) == 1
        assert probe.towers == ["encoder" if length == 12 else ""]
        assert probe.layers == ["input", "encoder.0", "encoder.1"]
        assert "tokens" in left_out(probe)["decoder.* (2)"]
        assert probe.path is not None
        started = Run(probe.path).events()[0]
        assert isinstance(started, Started)
        assert {"name", "module", "reason"} == set(started.facts["left_out"][0])

    def test_further_inputs_on_the_way_are_no_towers(self) -> None:
        def run(net: Any, x: Tensor, more: Tensor) -> Any:
            return net.b(torch.cat([net.a(x), more], 1))

        a = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        b = nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        assert points(Net(run, a=a, b=b), (ROWS, ROWS.flip(0))) == ["a.1", "a.3", "b.1", "b.3"]

    def test_a_siamese_network_is_one_tower_on_its_first_input(self) -> None:
        def run(net: Any, x: Tensor, other: Tensor) -> Any:
            return net.head((net.body(x) - net.body(other)).abs())

        head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
        model = Net(run, body=mlp(8), head=head)
        probe = probe_of(model, (ROWS, ROWS.flip(0)))
        assert probe.towers == [""]
        assert probe.layers == ["input", "body.1", "body.3", "head.1", "logits"]
        reason = "is another call of the same modules: they are measured on their first input"
        assert left_out(probe) == {"body.*#2 (2)": reason}
        named = probe_of(model, (ROWS, ROWS.flip(0)), towers={"one": "body.[13]", "other": ["body.[13]#2"]})
        assert named.tower("other").layers == ["input", "body.1#2", "body.3#2"]
        with torch.no_grad():
            assert named.tower("other").curves["trace_ratio"][0] == pytest.approx(
                separation(ROWS.flip(0)), abs=1e-4
            )

    def test_named_by_the_user_or_refused(self) -> None:
        model = ensemble(2)
        probe = probe_of(model, ROWS, towers={"first": ["members.0.*"], "second": "members.1.1"})
        assert probe.towers == ["first", "second"]
        assert probe.layers == ["input", *(f"members.0.{i}" for i in range(5)), "logits"]
        assert {point.role for point in probe.describe().points} == {"input", "named", "logits"}
        assert points(model, ROWS, towers=False) == ["members.0.1", "members.0.3"]
        with pytest.raises(ConfigError, match=r"no tower 'third'; allowed: 'first', 'second'"):
            probe.tower("third")
        with pytest.raises(ConfigError, match=r"towers\['a'\]: 'member\.0' matches no module"):
            LoadProbe(model, ROWS, Y, towers={"a": ["member.0"]})
        with pytest.raises(ConfigError, match="layers and towers are both given"):
            LoadProbe(model, ROWS, Y, layers="members.0.1", towers={"a": "members.1.1"})
        for wrong in ({}, {"a/b": "members.0.1"}, {"": "members.0.1"}, ["members.0"]):
            with pytest.raises(ConfigError, match="towers"):
                LoadProbe(model, ROWS, Y, towers=wrong)  # type: ignore[arg-type]

    def test_what_is_written(self) -> None:
        with probe_of(ensemble(2), ROWS, every=1, chunk=10) as probe:
            probe.step(loss=1.0)
        numbers = probe.metrics("")
        assert numbers["separation/members.0.1"] == probe.curves["trace_ratio"][1]
        assert numbers["members.1/load/members.1.3"] == probe.tower("members.1").loads["members.1.3"]
        assert probe.path is not None
        started, *events, ended = Run(probe.path).events()
        assert isinstance(started, Started)
        assert isinstance(ended, Ended)
        curves = [event for event in events if isinstance(event, Curve)]
        assert [(c.step, c.path) for c in curves] == [(s, p) for s in (0, 1) for p in probe.towers]
        assert curves[-1].curves["trace_ratio"] == probe.tower("members.1").curves["trace_ratio"]
        assert ended.summary["load_curve"]["trace_ratio"] == probe.curves["trace_ratio"]
        assert ended.summary["towers"]["members.1"]["regime"] == probe.tower("members.1").regime
        assert set(OWN) >= ended.summary.keys() - {"loss"}
        assert started.facts["towers"] == [
            {"path": "members.0", "layers": probe.layers, "logits": True, "joins": False},
            {"path": "members.1", "layers": probe.tower("members.1").layers, "logits": False, "joins": False},
        ]
        assert {point["path"] for point in started.facts["points"]} == set(probe.towers)

    def test_all_towers_share_the_forward_passes(self) -> None:
        model, calls = ensemble(3), [0]

        def count(*_args: Any) -> None:
            calls[0] += 1

        probe = probe_of(model, ROWS, chunk=10)
        model.register_forward_pre_hook(count)
        probe.measure()
        assert calls == [0]  # it was measured at this step
        probe.step()
        probe.measure()
        assert calls == [4]


class TestUnseenData:
    """Where data leaves PyTorch, and what then tells the order."""

    class Unseen(nn.Module):
        """Computes in NumPy, which no dispatcher sees."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(16))

        def forward(self, x: Tensor) -> Any:
            return torch.from_numpy(x.numpy() * self.weight.numpy())

    def test_a_module_is_a_link_of_the_path(self) -> None:
        model = nn.Sequential(
            nn.Linear(8, 16), nn.ReLU(), self.Unseen(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
        )
        probe = probe_of(model, ROWS)
        assert probe.layers == ["input", "1", "4", "logits"]
        assert "lie on the path" in probe.describe().order

    def test_a_function_between_modules_leaves_the_order_of_calls(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            return net.head(torch.from_numpy(net.body(x).numpy() + 1))

        probe = probe_of(Net(run, body=mlp(8), head=nn.Linear(8, 4)), ROWS)
        assert probe.layers == ["input", "body.1", "body.3", "logits"]
        assert "order of calls" in probe.describe().order
        assert "order of calls" in str(probe.describe())

    def test_an_error_of_the_model_is_its_own(self) -> None:
        def run(_net: Any, _x: Tensor) -> Any:
            raise RuntimeError("no such thing")

        with pytest.raises(Exception, match="no such thing"):
            LoadProbe(Net(run, body=mlp()), ROWS, Y)


@dataclass
class Pair:
    first: Tensor
    others: dict[str, Any]


class TestFlow:
    """What an operation is made from."""

    def test_inputs_and_flow_go_through_containers_in_one_order(self) -> None:
        """So that an input's place among the leaves is its place among the inputs of the flow."""
        packed = pack_sequence([ROWS[:3], ROWS[:2]])
        value = [Pair(ROWS, {"a": (IMAGES, 5), "b": packed}), None, IDS]
        leaves = list(leaves_of(value))
        assert [type(leaf) for leaf in leaves] == [Tensor, Tensor, PackedSequence, Tensor]
        assert [t.data_ptr() for t in tensors_in(value)] == [leaf.data.data_ptr() for leaf in leaves]
        assert len(Recording(value).flow.inputs) == len(leaves)

    @staticmethod
    def numbers(run: Callable[[Tensor, Tensor], Tensor]) -> set[int]:
        """Which of two inputs, 0 and 1, a result is made from."""
        x, y = torch.ones(4, 4), torch.ones(4, 4)
        with torch.no_grad(), Recording((x, y)) as recording:
            out = run(x, y)
        assert recording.failure is None
        flow, found = recording.flow, set()
        waiting = [recording.number_of(out)]
        while waiting:
            if (node := waiting.pop()) is not None:
                found |= {flow.inputs.index(node)} if node in flow.inputs else set()
                waiting += flow.made_from[node]
        return found

    @pytest.mark.parametrize(
        ("run", "expected"),
        [
            (lambda x, y: x + y, {0, 1}),
            (lambda x, y: x.t()[1:].reshape(-1), {0}),
            (lambda x, y: x.clone().add_(y), {0, 1}),
            (lambda x, y: torch.zeros(4, 4).copy_(y), {1}),
            (lambda x, y: torch.zeros_like(x) + torch.ones(1), set()),
            (lambda x, y: x.new_ones(3), set()),
            (lambda x, y: torch.cat([x, x.split(2)[1] * 2]), {0}),
            (lambda x, y: torch.add(x, 1, out=torch.empty(4, 4)), {0}),
            (lambda x, y: torch.where(y > 0, torch.ones(1), torch.zeros(1)), {1}),
            (lambda x, y: nn.functional.linear(x, torch.ones(2, 4)), {0}),
        ],
    )
    def test_sources(self, run: Callable[[Tensor, Tensor], Tensor], expected: set[int]) -> None:
        assert self.numbers(run) == expected

    def test_a_view_sees_what_was_written_to_its_base(self) -> None:
        def run(x: Tensor, y: Tensor) -> Tensor:
            whole = torch.zeros(4, 4)
            part = whole[:2]
            whole[:2] = x[:2]
            whole[2:] = y[2:]
            return part.sum()

        assert self.numbers(run) == {0, 1}  # memory is followed as a whole

    def test_memory_that_is_used_again_is_new(self) -> None:
        def run(x: Tensor, y: Tensor) -> Tensor:
            for _ in range(50):
                (x * 2).sum()
                fresh = torch.full((4, 4), 2.0)
            return fresh + y

        assert self.numbers(run) == {1}


class TestDescription:
    def test_a_table_of_a_hundred_columns(self) -> None:
        inputs = {"pixels": IMAGES, "ids": IDS}
        description = probe_of(clip(), inputs).describe()
        text = str(description)
        assert max(map(len, text.splitlines())) <= 100
        assert "Tower vision" in text
        assert "Tower text" in text
        for point in description.points:
            assert point.name in text
        assert json.loads(json.dumps(description.facts())) == description.facts()

    def test_long_names_have_lines_of_their_own(self) -> None:
        inner = Net(lambda net, x: net.the_layers_of_the_encoder(x), the_layers_of_the_encoder=mlp())
        outer = Net(lambda net, x: net.an_encoder_with_quite_a_name(x), an_encoder_with_quite_a_name=inner)
        model = Net(lambda net, x: net.another_wrapper_around_it(x), another_wrapper_around_it=outer)
        text = str(probe_of(model, ROWS).describe())
        assert max(map(len, text.splitlines())) <= 100
        assert "another_wrapper_around_it.an_encoder_with_quite_a_name.the_layers_of_the_encoder.1\n" in text

    def test_facts_of_a_point(self) -> None:
        first = dict(probe_of(self.model(), IMAGES).describe().facts()["points"][1])
        assert first.pop("why")
        assert first == {
            "name": "1", "path": "", "module": "AdaptiveAvgPool2d", "shape": [31, 8, 1, 1], "samples_axis": 0,
            "features_axis": 1, "reduction": "flatten", "role": "activation", "features": 8,
        }  # fmt: skip

    @staticmethod
    def model() -> nn.Module:
        return nn.Sequential(conv(3, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

    def test_an_error_lists_what_was_left_out(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            net.act(net.mix(x.sum(0)))
            return net.head(x)

        model = Net(run, head=nn.Linear(8, 4), mix=nn.Linear(8, 8), act=nn.ReLU())
        with pytest.raises(
            ConfigError, match=r"no layer was found.*left out: act \(ReLU\): has no axis of samples"
        ):
            LoadProbe(model, ROWS, Y)

    def test_words_say_which_axis_holds_the_features_and_why(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = net.first(x).flatten(2).transpose(1, 2)
            for block in net.blocks:
                x = block(x)
            return net.head(x.mean(1))

        model = Net(run, first=nn.Conv2d(3, 8, 4, 4), blocks=layers(EncoderLayer), head=nn.Linear(8, 4))
        first, block, _, logits = probe_of(model, IMAGES).describe().points
        assert first.name == "input"
        assert first.module == ""
        assert first.why.split("; ") == [
            "what enters blocks.0",
            "features: axis 2, 8 = out_channels of first = normalized_shape of blocks.0.norm1",
        ]
        assert block.module == "EncoderLayer"
        assert block.why == "features: axis 2, 8 = normalized_shape of blocks.1.norm1"
        assert logits.why == "features: the only axis beside the samples"

    def test_a_model_of_one_chain_has_one_tower_without_a_name(self) -> None:
        probe = probe_of(self.model(), IMAGES)
        assert probe.towers == [""]
        assert probe.tower() is probe.tower(probe.towers[0])
        assert probe.tower().layers == probe.layers

    def test_after_the_end_it_can_still_be_read(self) -> None:
        probe = probe_of(self.model(), IMAGES)
        probe.close()
        assert str(probe.describe()).startswith("Sequential: 3 points")


class TestFewActivations:
    """An activation module of the head, or a gate, stands for no layers whose activations are functions."""

    def test_convolutions_before_a_head_with_an_activation(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            for conv in net.convs:
                x = torch.relu(conv(x))
            return net.head(x.mean((2, 3)))

        convs = nn.ModuleList(nn.Conv2d(i, 8, 3) for i in (3, 8, 8))
        head = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        found = points(Net(run, convs=convs, head=head), IMAGES)
        assert found == ["convs.0", "convs.1", "convs.2", "head.1"]

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_recurrent_layers_before_a_head_with_an_activation(self, count: int) -> None:
        def run(net: Any, ids: Tensor) -> Any:
            x = net.embedding(ids)
            for layer in net.recurrent:
                x, _ = layer(x)
            return net.head(x[:, -1])

        recurrent = nn.ModuleList(nn.GRU(8, 8, batch_first=True) for _ in range(count))
        head = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        probe = probe_of(Net(run, embedding=nn.Embedding(60, 8), recurrent=recurrent, head=head), IDS)
        assert probe.layers == ["input", *(f"recurrent.{i}" for i in range(count)), "head.1", "logits"]
        assert [point.role for point in probe.describe().points][1] == "map"

    def test_a_gate_that_is_the_only_activation(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = torch.relu(net.a(x))
            x = x * net.sigmoid(net.gate(x))
            return net.head(torch.relu(net.b(x)))

        parts = {"a": nn.Linear(8, 16), "b": nn.Linear(16, 16), "gate": nn.Linear(16, 1), "sigmoid": nn.Sigmoid()}
        probe = probe_of(Net(run, **parts, head=nn.Linear(16, 4)), ROWS)
        assert probe.layers == ["input", "a", "b", "logits"]
        assert left_out(probe)["gate"] == "is a gate: it scales the path"

    def test_a_score_that_selects_tokens_and_scales_them(self) -> None:
        def run(net: Any, x: Tensor) -> Any:
            x = torch.relu(net.a(x))
            score = net.tanh(net.score(x))
            best = score.topk(3, dim=1).indices
            x = x.gather(1, best.expand(-1, -1, 16)) * score.gather(1, best)
            return net.head(torch.relu(net.b(x)).mean(1))

        parts = {"a": nn.Linear(8, 16), "b": nn.Linear(16, 16), "score": nn.Linear(16, 1), "tanh": nn.Tanh()}
        probe = probe_of(Net(run, **parts, head=nn.Linear(16, 4)), torch.randn(N, 6, 8, generator=DRAW))
        assert probe.layers == ["input", "a", "b", "logits"]
        assert left_out(probe)["score"] == "is a gate: it scales the path"


class TestOtherTokens:
    """By next token, layers are measured that hold the grouped tokens; those of other tokens are named."""

    OTHER = "reads other tokens than those that are grouped"
    OTHERS = torch.randint(5, 60, (N, 12), generator=torch.Generator().manual_seed(1))

    @staticmethod
    def run(net: Any, source: Tensor, target: Tensor) -> Any:
        _, state = net.encoder(net.embedding(source))
        out, _ = net.decoder(net.embedding(target), state)
        return net.head(out)

    def model(self) -> Net:
        parts = {name: nn.GRU(8, 8, 2, batch_first=True) for name in ("encoder", "decoder")}
        return Net(self.run, embedding=nn.Embedding(60, 8), **parts, head=nn.Linear(8, 60))

    @pytest.mark.parametrize("same", [False, True])
    def test_a_decoder_of_as_many_tokens(self, same: bool) -> None:
        target = IDS.clone() if same else self.OTHERS
        with pytest.warns(ProbeWarning, match="'decoder', which reads other tokens"):
            probe = LoadProbe(self.model(), (IDS, target))
        assert probe.layers == ["input", "encoder"]
        assert left_out(probe) == {"decoder": self.OTHER, "logits": self.OTHER}

    def test_ids_that_join_before_the_first_layer(self) -> None:
        def run(net: Any, ids: Tensor, types: Tensor) -> Any:
            out, _ = net.a(net.embedding(ids) + net.types(types))
            return net.head(net.b(out)[0])

        parts = {name: nn.GRU(8, 8, batch_first=True) for name in "ab"}
        embeddings = {"embedding": nn.Embedding(60, 8), "types": nn.Embedding(2, 8)}
        probe = probe_of(Net(run, **embeddings, **parts, head=nn.Linear(8, 60)), (IDS, IDS % 2), None)
        assert probe.layers == ["input", "a", "b", "logits"]

    def test_a_head_of_one_number_a_token(self) -> None:
        def run(net: Any, ids: Tensor) -> Any:
            return net.head(net.b(net.a(net.embedding(ids))[0])[0]).squeeze(-1)

        parts = {name: nn.GRU(8, 8, batch_first=True) for name in "ab"}
        model = Net(run, embedding=nn.Embedding(60, 8), **parts, head=nn.Linear(8, 1))
        probe = probe_of(model, IDS, IDS % 3)
        assert probe.layers == ["input", "a", "b", "logits"]
        assert math.isfinite(probe.curves["trace_ratio"][-1])
        assert probe.describe().points[-1].features == 1

    @pytest.mark.parametrize("pattern", ["nope*", "act"])
    def test_a_reduction_for_no_point_is_refused(self, pattern: str) -> None:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        with pytest.raises(
            ConfigError, match=f"reductions: {re.escape(repr(pattern))} matches no point.* Known: input, 1"
        ):
            LoadProbe(model, ROWS, Y, reductions={pattern: "flatten"})
        assert points(model, ROWS, reductions={"1": "flatten", "logits": "flatten"}) == ["1"]
