"""Which layers a probe finds in models of every make, and how their features become vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError, DataError
from engine.measures.registry import SEPARATIONS
from engine.measures.separation import separation_measures
from engine.probe.model import ProbedModel
from engine.probe.points.layers import fits
from engine.probe.points.reductions import Rows, feature_tensor, reduce

N = 40
Y = torch.arange(N) % 4
TOKENS = torch.randint(5, 60, (N, 12), generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(N, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TINY = {
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def probed(model: nn.Module, inputs: Any, labels: Any = Y, **options: Any) -> ProbedModel:
    """A model as a probe sees it; it has been measured, and everything was to be had."""
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
    assert all(len(curve) == len(found.points) for curve in curves.values())
    assert all(value == value for curve in curves.values() for value in curve)
    return found


def seen(found: ProbedModel) -> list[tuple[str, str]]:
    return [(point.name, point.reduction) for point in found.points]


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        return self.relu(x + self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x))))))


class TextClassifier(nn.Module):
    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first)
        self.embedding = nn.Embedding(64, 16)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=batch_first)
        self.head = nn.Linear(16, 4)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Any:
        x = self.embedding(x)
        x = self.encoder(x if self.batch_first else x.transpose(0, 1))
        return self.head(x.mean(1 if self.batch_first else 0))


class TestAutomatic:
    def test_sequential_is_measured_after_each_activation_and_pooling(self) -> None:
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.GELU(),
            nn.Flatten(), nn.Dropout(), nn.Linear(4 * 13 * 13, 4),
        )  # fmt: skip
        assert seen(probed(model, IMAGES)) == [
            ("input", "flatten"), ("2", "flatten"), ("4", "flatten"), ("logits", "flatten"),
        ]  # fmt: skip

    def test_a_last_activation_is_the_output(self) -> None:
        model = nn.Sequential(nn.BatchNorm1d(9), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 4), nn.Sigmoid())
        found = probed(model, torch.randn(N, 9))
        assert seen(found) == [("input", "flatten"), ("2", "flatten"), ("logits", "flatten")]
        assert found.points[0].where == "after"

    def test_residual_blocks_with_stem_and_stages(self) -> None:
        stages = nn.Sequential(Residual(32), Residual(32))
        model = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.ReLU(), stages, Residual(32), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(32, 4),
        )  # fmt: skip
        assert seen(probed(model, IMAGES)) == [
            ("input", "flatten"), ("2.0", "spatial_mean"), ("2.1", "spatial_mean"), ("3", "spatial_mean"),
            ("logits", "flatten"),
        ]  # fmt: skip

    @pytest.mark.parametrize("batch_first", [True, False])
    def test_text_transformer_of_torch(self, batch_first: bool) -> None:
        found = probed(TextClassifier(batch_first=batch_first), TOKENS)
        assert seen(found) == [
            ("input", "token_mean"), ("encoder.layers.0", "token_mean"), ("encoder.layers.1", "token_mean"),
            ("logits", "flatten"),
        ]  # fmt: skip
        assert (found.points[1].samples_axis == 0) is batch_first

    def test_functional_activations_leave_the_maps_or_their_norms(self) -> None:
        class Plain(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc1, self.norm, self.fc2 = nn.Linear(9, 16), nn.BatchNorm1d(16), nn.Linear(16, 16)
                self.out = nn.Linear(16, 4)

            def forward(self, x: Tensor) -> Any:
                x = torch.relu(self.norm(self.fc1(x)))
                x = torch.relu(self.fc2(torch.relu(self.fc2(x))))
                return {"aux": [x.long(), None], "logits": self.out(x)}

        found = probed(Plain(), torch.randn(N, 9))
        assert [name for name, _ in seen(found)] == ["input", "norm", "fc2", "fc2#2", "logits"]
        named = probed(Plain(), torch.randn(N, 9), layers=["fc2*"])
        assert [name for name, _ in seen(named)] == ["input", "fc2", "fc2#2", "logits"]

    def test_one_dimensional_convolutions(self) -> None:
        model = nn.Sequential(
            nn.Conv1d(3, 8, 3), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
        )
        assert [how for _, how in seen(probed(model, torch.randn(N, 3, 12)))] == [
            "flatten", "spatial_mean", "spatial_mean", "flatten",
        ]  # fmt: skip

    def test_recurrent_language_model_by_next_token(self) -> None:
        class Recurrent(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.out = nn.Embedding(64, 8), nn.Linear(8, 64)
                self.lstm1, self.lstm2 = nn.LSTM(8, 8, batch_first=True), nn.LSTM(8, 8, batch_first=True)

            def forward(self, x: Tensor) -> Any:
                return self.out(self.lstm2(self.lstm1(self.embedding(x))[0])[0])

        found = probed(Recurrent(), TOKENS, None)
        assert seen(found) == [(n, "position") for n in ("input", "lstm1", "lstm2", "logits")]
        assert found.facts()["features"] == [8, 8, 8, 5]

    def test_nothing_to_find(self) -> None:
        with pytest.raises(ConfigError, match=r"no layer was found.*layers="):
            probed(nn.Sequential(nn.Flatten(), nn.Linear(9, 4)), torch.randn(N, 9))


class TestHuggingFace:
    """Models of the library itself, from small configurations."""

    @pytest.fixture(scope="class")
    def hub(self) -> Any:
        return pytest.importorskip("transformers")

    def test_bert(self, hub: Any) -> None:
        mask = torch.ones_like(TOKENS)
        mask[::2, 8:] = 0
        model = hub.BertForSequenceClassification(hub.BertConfig(**TINY, num_labels=4))
        found = probed(model, {"input_ids": TOKENS, "attention_mask": mask})
        assert [name for name, _ in seen(found)] == [
            "input", "bert.encoder.layer.0", "bert.encoder.layer.1", "logits",
        ]  # fmt: skip
        longer = TOKENS.clone()
        longer[::2, 8:] = 7  # what is masked does not count
        again = probed(model, {"input_ids": longer, "attention_mask": mask}).measure().curves
        assert again["trace_ratio"][1] == pytest.approx(found.measure().curves["trace_ratio"][1], abs=1e-5)

    def test_gpt_by_next_token(self, hub: Any) -> None:
        config = hub.GPT2Config(
            vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0
        )
        model = hub.GPT2LMHeadModel(config)
        found = probed(model, {"input_ids": TOKENS, "labels": TOKENS}, None)
        assert seen(found) == [(n, "position") for n in ("input", "transformer.h.0", "transformer.h.1", "logits")]
        assert found.groups.how == "next token, 5 most frequent"

    def test_one_layer_called_many_times(self, hub: Any) -> None:
        config = hub.AlbertConfig(**TINY, embedding_size=8, num_labels=4)
        names = [
            name for name, _ in seen(probed(hub.AlbertForSequenceClassification(config), {"input_ids": TOKENS}))
        ]
        layer = "albert.encoder.albert_layer_groups.0.albert_layers.0"
        assert names == ["input", layer, f"{layer}#2", "logits"]

    def test_vision_transformer_by_class_token(self, hub: Any) -> None:
        sizes = {k: v for k, v in TINY.items() if k != "vocab_size"}
        config = hub.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=4)
        reductions = [how for _, how in seen(probed(hub.ViTForImageClassification(config), IMAGES))]
        assert reductions == ["token_mean", "class_token", "class_token", "flatten"]

    def test_resnet_looks_through_stages(self, hub: Any) -> None:
        config = hub.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="basic", num_labels=4
        )
        names = [name for name, _ in seen(probed(hub.ResNetForImageClassification(config), IMAGES))]
        assert names[2:-1] == [f"resnet.encoder.stages.{s}.layers.{b}" for s in (0, 1) for b in (0, 1)]


class TestPatterns:
    @pytest.mark.parametrize(
        ("label", "pattern", "fitting"),
        [
            ("blocks.0", "blocks.*", True),
            ("blocks.0.fc", "blocks.*", False),
            ("blocks.0.fc", "blocks.**", True),
            ("a.b.c.fc", "**.fc", True),
            ("fc", "**.fc", True),
            ("fc#2", "fc", False),
            ("fc#2", "fc#2", True),
            ("fc12", "fc?", False),
            ("layer.3", "layer.[0-3]", True),
        ],
    )
    def test_parts(self, label: str, pattern: str, fitting: bool) -> None:
        assert fits(label, pattern) is fitting

    def test_an_unknown_name_gets_the_nearest(self) -> None:
        with pytest.raises(
            ConfigError, match=r"'encoder\.layer\.0' matches no module.*nearest is 'encoder\.layers\.0'"
        ):
            probed(TextClassifier(batch_first=True), TOKENS, layers=["encoder.layer.0"])

    def test_reductions_by_pattern(self) -> None:
        found = probed(
            TextClassifier(batch_first=True),
            TOKENS,
            reductions={"encoder.layers.0": "last_token", "encoder.**": "flatten"},
        )
        assert [how for _, how in seen(found)] == ["token_mean", "last_token", "flatten", "flatten"]


class TestReductions:
    x = torch.arange(24.0).reshape(2, 3, 4)

    @pytest.mark.parametrize(
        ("how", "expected"),
        [
            ("flatten", x.reshape(2, 12)),
            ("spatial_mean", x.mean(2)),
            ("token_mean", x.mean(1)),
            ("class_token", x[:, 0]),
            ("last_token", x[:, 2]),
        ],
    )
    def test_plain(self, how: str, expected: Tensor) -> None:
        assert torch.equal(reduce(self.x, how, Rows()), expected)

    def test_masked_tokens_do_not_count(self) -> None:
        mask = torch.tensor([[True, True, False], [False, True, True]])
        assert torch.equal(reduce(self.x, "token_mean", Rows(mask))[0], self.x[0, :2].mean(0))
        assert torch.equal(reduce(self.x, "last_token", Rows(mask)), torch.stack([self.x[0, 1], self.x[1, 2]]))

    def test_features_last_in_images(self) -> None:
        x = torch.randn(2, 5, 6, 3)
        assert torch.allclose(reduce(x, "token_mean", Rows()), x.mean((1, 2)))

    def test_positions_of_other_tokens_are_refused(self) -> None:
        at = (torch.tensor([0]), torch.tensor([2]))
        assert torch.equal(reduce(self.x, "position", Rows(None, at, 3)), self.x[0, 2:3])
        with pytest.raises(ConfigError, match="do not belong to the 9 tokens"):
            reduce(self.x, "position", Rows(None, at, 9))

    def test_nested_outputs(self) -> None:
        x = torch.randn(2, 3)
        assert feature_tensor((None, [torch.ones(2, dtype=torch.long), {"deep": (x,)}])) is x
        assert feature_tensor({"loss": torch.tensor(1.0), "logits": x}) is x
        assert feature_tensor("nothing") is None


class TestInputs:
    def test_tuples_dicts_and_arrays(self) -> None:
        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4))

            def forward(self, a: Tensor, b: Tensor, *, scale: float = 1.0) -> Any:
                return self.body(a + scale * b)

        model, a, b = Two(), torch.randn(N, 9), torch.randn(N, 9)
        curves = [
            probed(model, inputs).measure().curves for inputs in ((a, b), {"a": a, "b": b}, [a.numpy(), b.numpy()])
        ]
        assert curves[0] == curves[1] == curves[2]
        by_call = probed(model, (a, b), forward=lambda m, p, q: m(p, q, scale=2.0)).measure().curves
        assert by_call["trace_ratio"][-1] != curves[0]["trace_ratio"][-1]

    def test_the_batch_is_a_copy(self) -> None:
        x = torch.randn(N, 9)
        found = probed(nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4)), x)
        before = found.measure().curves
        x.zero_()
        assert found.measure().curves == before

    def test_half_precision_model(self) -> None:
        model = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4)).to(torch.bfloat16)
        assert probed(model, torch.randn(N, 9)).facts()["features"] == [9, 8, 4]

    @pytest.mark.parametrize("inputs", ["text", 3, {"a": "b"}, torch.randn(2, 9)])
    def test_wrong(self, inputs: Any) -> None:
        with pytest.raises(DataError, match="inputs hold"):
            probed(nn.Linear(9, 4), inputs)


class TestMemory:
    """Curves do not depend on chunks or on memory, and no more than the memory is kept."""

    def test_slices_and_passes(self) -> None:
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12544, 4)
        )
        whole = probed(model, IMAGES, reductions="flatten", memory=64)
        small = probed(model, IMAGES, reductions="flatten", memory=1, chunk=7)
        assert whole.facts()["features"] == [3072, 14400, 12544, 4]
        for name in SEPARATIONS:
            assert small.measure().curves[name] == pytest.approx(whole.measure().curves[name], abs=1e-4), name

    def test_no_pass_keeps_more(self) -> None:
        from engine.probe.measurer import plan_passes

        sizes = [100, 5000, 700, 20, 700, 12345]
        passes = plan_passes(sizes, samples=256, memory=1 << 20)
        assert all(sum(table.width for table in tables) * 256 * 4 <= 1 << 20 for tables in passes)
        covered = {i: sum(t.width for tables in passes for t in tables if t.point == i) for i in range(6)}
        assert list(covered.values()) == sizes

    @pytest.mark.parametrize("features", [5, 300])
    def test_gram_matrix_gives_the_same(self, features: int, tmp_path: Path) -> None:
        from engine.measures.separation_wide import GramSeparation

        draw = torch.Generator().manual_seed(3)
        y = torch.arange(90) % 5
        x = torch.randn(5, features, generator=draw)[y] + torch.randn(90, features, generator=draw)
        gram = GramSeparation(y, 5)
        for part in x.split(37, 1):
            gram.add(part)
        assert gram.measures() == pytest.approx(separation_measures(x, y, 5), abs=1e-4)

    @pytest.mark.parametrize("case", ["nothing varies", "no spread", "equal means"])
    def test_degenerate(self, case: str) -> None:
        from engine.measures.separation_wide import GramSeparation

        y = torch.arange(8) % 2
        x = torch.ones(8, 6) * {"nothing varies": 0, "no spread": 1, "equal means": 0}[case] * y[:, None]
        if case == "equal means":
            x[:4, 0], x[4:, 0] = 1.0, -1.0
        gram = GramSeparation(y, 2)
        gram.add(x[:, :3])
        gram.add(x[:, 3:])
        assert gram.measures() == pytest.approx(separation_measures(x, y, 2), nan_ok=True)
