"""The load probe on models of other people's libraries, against a measurement by hooks of our own in float64.

    python benchmarks/probe_models.py                 every model whose library is installed
    python benchmarks/probe_models.py resnet bert     those whose name holds one of the words
    python benchmarks/probe_models.py --write         and put the table into docs/probe.md

The models have random weights, so nothing is downloaded. For each one is written down here, by reading its code,
which of its modules are the layers on the path from input to output, and how their features become one vector a
sample. The probe is told neither. The table says whether it chose the same layers and the same axes, how far its
separations are from ours, and what a measurement costs beside the bare forward pass of the same batch.

Needed beside the project's own environment: timm, torchvision, diffusers, torch_geometric and what they import,
each installed with ``pip install --no-deps``, so that torch stays as it is.
"""

from __future__ import annotations

import argparse
import copy
import fnmatch
import importlib
import importlib.metadata
import itertools
import math
import os
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DISABLE_TELEMETRY", "YES")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from springtui import LoadProbe  # noqa: E402

N = 32
"""Samples of the probe batch."""
CLASSES = 4
CLOSE = 1e-4
"""Largest difference of a separation, a natural log, that counts as agreement: the probe computes in float32."""
TOKENS = 10
"""Size of the vocabulary that language models are given, so that every next token is one of the measured ones."""
PAGE = ROOT / "docs" / "probe.md"
MARKS = ("<!-- models: begin -->", "<!-- models: end -->")

Reduce = Callable[[Tensor], Tensor]
"""From a module's output to one vector a sample."""


def spatial(x: Tensor) -> Tensor:
    """Mean over positions of [N, C, …]."""
    return x.flatten(2).mean(2) if x.ndim > 2 else x


def channels_last(x: Tensor) -> Tensor:
    """Mean over positions of [N, …, C]."""
    return x.flatten(1, -2).mean(1) if x.ndim > 2 else x


def first_token(x: Tensor) -> Tensor:
    """The class token of [N, T, D]."""
    return x[:, 0]


def flat(x: Tensor) -> Tensor:
    """All numbers of a sample."""
    return x.flatten(1)


@dataclass
class Tried:
    """One model, its probe batch, and the layers that a person who reads its code would name."""

    model: nn.Module
    inputs: Any
    labels: Tensor | None
    layers: list[tuple[str, Reduce]]
    """Patterns of module names with the reduction of their outputs; ``#`` in a name asks for a later call."""
    rows: Tensor | None = None
    """The sample of each row, where the rows of the features are not the samples."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the probe."""
    run: Callable[[nn.Module], Any] | None = None
    """Runs the whole batch; by default ``model(inputs)``."""


@dataclass
class Outcome:
    """What was seen of one model."""

    name: str
    library: str
    parameters: int
    chosen: list[str]
    expected: list[str]
    difference: float
    ratio: float
    error: str = ""

    @property
    def same_layers(self) -> bool:
        """Whether the probe chose the layers written down here, in the same order."""
        return self.chosen == self.expected

    @property
    def right(self) -> bool:
        """Whether layers, axes and values agree."""
        return not self.error and self.same_layers and self.difference < CLOSE


MODELS: dict[tuple[str, str], Callable[[], Tried]] = {}
"""Builders by name of the library and of the model."""


def model(name: str, library: str) -> Callable[[Callable[[], Tried]], Callable[[], Tried]]:
    """Enter the function that builds a model under its name."""

    def enter(build: Callable[[], Tried]) -> Callable[[], Tried]:
        MODELS[library, name] = build
        return build

    return enter


def images(size: int, labels_in_colour: float = 1.0, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Random images whose class shifts their colour, [N, C, size, size], and the classes, [N]."""
    y = torch.arange(N) % CLASSES
    x = torch.randn(N, channels, size, size)
    x[:, :1] += labels_in_colour * y[:, None, None, None].float()
    return x, y


def tokens(length: int) -> Tensor:
    """Random token numbers [N, length] below ``TOKENS``, in which a token makes the next larger one likely."""
    ids = torch.randint(TOKENS, (N, length))
    for t in range(1, length):
        follow = torch.rand(N) < 0.6
        ids[follow, t] = (ids[follow, t - 1] + 1) % TOKENS
    return ids


def separation(x: Tensor, y: Tensor) -> float:
    """The natural log of Tr S_W / Tr S_B in float64 (Shi et al., arXiv:2407.19353)."""
    x = x.detach().double()
    within = between = 0.0
    mean = x.mean(0)
    for c in y.unique():
        z = x[y == c]
        within += float((z - z.mean(0)).pow(2).sum())
        between += len(z) * float((z.mean(0) - mean).pow(2).sum())
    return math.log(within / between) if within > 0 and between > 0 else math.nan


def tensor_of(value: Any) -> Tensor:
    """The features in a module's output: itself, or the first tensor of real numbers in it."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    return next(tensor for part in value if isinstance(tensor := tensor_of(part), Tensor))


def ours(tried: Tried) -> dict[str, float]:
    """Our separation by layer, in the order in which the layers end; in float64 throughout."""
    model = copy.deepcopy(tried.model).double().eval()
    names = dict(model.named_modules())
    calls: dict[str, int] = {}
    got: dict[str, float] = {}
    y, at = tried.labels, None
    if y is None:
        ids = tried.inputs["input_ids"] if isinstance(tried.inputs, dict) else tried.inputs
        y, at = ids[:, 1:].reshape(-1), ids.shape[1] - 1
        y = torch.unique(y, return_inverse=True)[1]

    def vectors(x: Tensor, how: Reduce) -> Tensor:
        if at is not None:
            return x[:, :at].reshape(-1, x.shape[-1])
        if tried.rows is not None:
            count = int(tried.rows.max()) + 1
            sums = torch.zeros(count, x.shape[-1], dtype=x.dtype).index_add_(0, tried.rows, x)
            return sums / torch.bincount(tried.rows)[:, None]
        return how(x)

    def hook(name: str, how: Reduce) -> Callable[..., None]:
        def seen(_module: nn.Module, _args: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            label = name if calls[name] == 1 else f"{name}#{calls[name]}"
            got[label] = separation(vectors(tensor_of(output), how), y)

        return seen

    taken: set[str] = set()
    for pattern, how in tried.layers:
        hits = [n for n in names if _fits(n, pattern) and n not in taken]
        assert hits, f"no module {pattern}"
        taken.update(hits)
        for n in hits:
            names[n].register_forward_hook(hook(n, how))
    with torch.no_grad():
        run(tried, model)
    return got


def _fits(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def run(tried: Tried, model: nn.Module) -> Any:
    """One forward pass of the whole batch, real numbers in the model's precision."""
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())

    def part(x: Any) -> Any:
        return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x

    if isinstance(tried.inputs, dict):
        return model(**{k: part(v) for k, v in tried.inputs.items()})
    if isinstance(tried.inputs, tuple):
        return model(*map(part, tried.inputs))
    return model(part(tried.inputs))


# torchvision


def _torchvision() -> Any:
    """torchvision; the registry's builds do not load beside a CPU build of torch, but for these two operators."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        return importlib.import_module("torchvision")


def _vision(name: str, size: int, *layers: tuple[str, Reduce], **options: Any) -> Tried:
    models = _torchvision().models
    x, y = images(size)
    return Tried(getattr(models, name)(num_classes=CLASSES, **options), x, y, list(layers))


model("resnet18", "torchvision")(lambda: _vision("resnet18", 64, ("layer?.?", spatial)))
model("resnext50", "torchvision")(lambda: _vision("resnext50_32x4d", 64, ("layer?.?", spatial)))
model("densenet121", "torchvision")(
    lambda: _vision("densenet121", 64, ("features.denseblock?.denselayer*", spatial))
)
model("mobilenet_v3_small", "torchvision")(
    lambda: _vision("mobilenet_v3_small", 96, ("features.[1-9]", spatial), ("features.1[01]", spatial))
)
model("efficientnet_b0", "torchvision")(lambda: _vision("efficientnet_b0", 64, ("features.[1-7].?", spatial)))
model("convnext_tiny", "torchvision")(lambda: _vision("convnext_tiny", 64, ("features.[1357].*", spatial)))
model("regnet_y_400mf", "torchvision")(
    lambda: _vision("regnet_y_400mf", 64, ("trunk_output.block?.block?-?", spatial))
)
model("shufflenet_v2", "torchvision")(lambda: _vision("shufflenet_v2_x0_5", 96, ("stage?.?", spatial)))
model("swin_t", "torchvision")(
    lambda: _vision("swin_t", 64, ("features.[1357].?", channels_last), ("features.[246]", channels_last))
)
model("vgg11_bn", "torchvision")(
    lambda: _vision(
        "vgg11_bn",
        64,
        *[(f"features.{i}", spatial) for i in (3, 7, 10, 14, 17, 21, 24, 28)],
        ("classifier.[14]", flat),
    )
)


@model("squeezenet1_1", "torchvision")
def _squeezenet() -> Tried:
    fires = [(f"features.{i}", spatial) for i in (3, 4, 6, 7, 9, 10, 11, 12)]
    return _vision("squeezenet1_1", 64, *fires)


@model("vit", "torchvision")
def _vit() -> Tried:
    vit = _torchvision().models.VisionTransformer
    network = vit(image_size=32, patch_size=8, num_layers=6, num_heads=4, hidden_dim=64, mlp_dim=128,
                  num_classes=CLASSES)  # fmt: skip
    nn.init.normal_(network.heads.head.weight, std=0.02)  # zeros at first
    x, y = images(32)
    return Tried(network, x, y, [("encoder.layers.encoder_layer_*", first_token)])


# timm


def _timm(name: str, size: int, *layers: tuple[str, Reduce], **options: Any) -> Tried:
    _torchvision()
    timm = importlib.import_module("timm")
    x, y = images(size)
    return Tried(timm.create_model(name, pretrained=False, num_classes=CLASSES, **options), x, y, list(layers))


model("vit_tiny", "timm")(
    lambda: _timm("vit_tiny_patch16_224", 64, ("blocks.*", first_token), img_size=64, depth=6)
)
model("deit_tiny_distilled", "timm")(
    lambda: _timm("deit_tiny_distilled_patch16_224", 64, ("blocks.*", first_token), img_size=64, depth=6)
)
model("vit_gap (no class token)", "timm")(
    lambda: _timm(
        "vit_small_patch16_18x2_224",
        64,
        ("blocks.*", channels_last),
        img_size=64,
        depth=4,
        class_token=False,
        global_pool="avg",
    )
)
model("convnext_atto", "timm")(lambda: _timm("convnext_atto", 64, ("stages.?.blocks.*", spatial)))
model("swin_tiny", "timm")(
    lambda: _timm(
        "swin_tiny_patch4_window7_224",
        64,
        ("layers.?.blocks.*", channels_last),
        ("layers.[1-3].downsample", channels_last),
        img_size=64,
        window_size=4,
    )
)
model("mixer_s32", "timm")(lambda: _timm("mixer_s32_224", 64, ("blocks.*", channels_last), img_size=64))
model("resmlp_12", "timm")(lambda: _timm("resmlp_12_224", 64, ("blocks.*", channels_last), img_size=64))
model("poolformer_s12", "timm")(lambda: _timm("poolformer_s12", 64, ("stages.?.blocks.*", spatial)))
model("seresnet26d", "timm")(lambda: _timm("seresnext26d_32x4d", 64, ("layer?.?", spatial)))
model("xcit_nano", "timm")(
    lambda: _timm("xcit_nano_12_p16_224", 64, ("blocks.*", channels_last), ("cls_attn_blocks.*", first_token))
)
model("nfnet_f0 (narrow)", "timm")(lambda: _timm("eca_nfnet_l0", 64, ("stages.?.?", spatial)))
model("mobilevit_xxs", "timm")(
    lambda: _timm("mobilevit_xxs", 64, ("stem", spatial), ("stages.?.?", spatial), ("final_conv", spatial))
)


# transformers


def _bert_inputs(length: int = 12) -> dict[str, Tensor]:
    ids = tokens(length)
    mask = torch.ones_like(ids)
    for row in range(N):
        mask[row, length - row % 5 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def _masked_mean(mask: Tensor) -> Reduce:
    weights = mask.double()[..., None]
    return lambda x: (x * weights).sum(1) / weights.sum(1)


def _transformer(kind: str, settings: str, options: dict[str, Any]) -> nn.Module:
    transformers = importlib.import_module("transformers")
    built: nn.Module = getattr(transformers, kind)(getattr(transformers, settings)(**options))
    return built


_SMALL = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96}


def _encoder(kind: str, settings: str, pattern: str, **options: Any) -> Tried:
    network = _transformer(kind, settings, {**_SMALL, "vocab_size": 64, "num_labels": CLASSES, **options})
    inputs = _bert_inputs()
    y = inputs["input_ids"][:, 0] % CLASSES
    return Tried(network, inputs, y, [(pattern, _masked_mean(inputs["attention_mask"]))])


model("bert", "transformers")(
    lambda: _encoder("BertForSequenceClassification", "BertConfig", "bert.encoder.layer.*")
)
model("distilbert", "transformers")(
    lambda: _encoder(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        "distilbert.transformer.layer.*",
        dim=48,
        hidden_dim=96,
        n_layers=4,
        n_heads=4,
    )
)
model("modernbert", "transformers")(
    lambda: _encoder(
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        "model.layers.*",
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=3,
        sep_token_id=4,
    )
)


def _language(kind: str, settings: str, pattern: str, **options: Any) -> Tried:
    network = _transformer(kind, settings, {**_SMALL, "vocab_size": 64, **options})
    return Tried(network, {"input_ids": tokens(12)}, None, [(pattern, flat)])


model("gpt2", "transformers")(
    lambda: _language("GPT2LMHeadModel", "GPT2Config", "transformer.h.*", n_embd=48, n_layer=4, n_head=4)
)
model("llama", "transformers")(
    lambda: _language("LlamaForCausalLM", "LlamaConfig", "model.layers.*", num_key_value_heads=2)
)
model("qwen3_moe", "transformers")(
    lambda: _language(
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        "model.layers.*",
        num_key_value_heads=2,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        head_dim=12,
        experts_implementation="eager",
    )
)
model("mamba", "transformers")(
    lambda: _language("MambaForCausalLM", "MambaConfig", "backbone.layers.*", state_size=8)
)
model("gpt_neox", "transformers")(lambda: _language("GPTNeoXForCausalLM", "GPTNeoXConfig", "gpt_neox.layers.*"))


@model("vit", "transformers")
def _hf_vit() -> Tried:
    options = {**_SMALL, "image_size": 32, "patch_size": 8, "num_labels": CLASSES}
    network = _transformer("ViTForImageClassification", "ViTConfig", options)
    x, y = images(32)
    return Tried(network, {"pixel_values": x}, y, [("vit.layers.*", first_token)])


@model("wav2vec2", "transformers")
def _wav2vec2() -> Tried:
    options = {**_SMALL, "num_labels": CLASSES, "conv_dim": (32,) * 3, "conv_stride": (5, 4, 2),
               "conv_kernel": (10, 8, 3), "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16,
               "num_conv_pos_embedding_groups": 4, "classifier_proj_size": 32}  # fmt: skip
    network = _transformer("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", options)
    y = torch.arange(N) % CLASSES
    x = torch.randn(N, 1000) * (1 + y[:, None])
    return Tried(network, {"input_values": x}, y, [("wav2vec2.feature_extractor.conv_layers.*", spatial),
                                                   ("wav2vec2.encoder.layers.*", channels_last)])  # fmt: skip


@model("segformer", "transformers")
def _segformer() -> Tried:
    options = {"num_labels": CLASSES, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1],
               "num_attention_heads": [1, 2, 4, 4]}  # fmt: skip
    network = _transformer("SegformerForImageClassification", "SegformerConfig", options)
    x, y = images(64)
    return Tried(
        network,
        {"pixel_values": x},
        y,
        [("segformer.stages.?.patch_embeddings", channels_last), ("segformer.stages.?.blocks.*", channels_last)],
    )


# diffusers


@model("unet2d", "diffusers")
def _unet() -> Tried:
    diffusers = importlib.import_module("diffusers")
    network = diffusers.UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, block_out_channels=(16, 32), layers_per_block=1,
        norm_num_groups=8, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    x, y = images(16)
    layers = [(f"{part}.{inner}.?", spatial) for part in ("down_blocks.?", "mid_block", "up_blocks.?")
              for inner in ("resnets", "attentions")]  # fmt: skip
    return Tried(network, {"sample": x, "timestep": torch.full((N,), 10)}, y, layers)


@model("dit", "diffusers")
def _dit() -> Tried:
    diffusers = importlib.import_module("diffusers")
    network = diffusers.DiTTransformer2DModel(
        sample_size=8, num_layers=4, num_attention_heads=4, attention_head_dim=12, in_channels=4, patch_size=2,
        num_embeds_ada_norm=1000,
    )  # fmt: skip
    x, y = images(8, channels=4)
    inputs = {
        "hidden_states": x,
        "timestep": torch.full((N,), 10),
        "class_labels": torch.zeros(N, dtype=torch.long),
    }
    return Tried(network, inputs, y, [("transformer_blocks.*", channels_last)])


# PyTorch Geometric


def _graph_ends(nodes: int, edges: int) -> Tensor:
    return torch.randint(nodes, (2, edges))


class _Graphs(nn.Module):
    """Three message-passing layers with ReLU modules, and a mean over each graph where there are graphs."""

    def __init__(self, convolution: str, pooled: bool) -> None:
        super().__init__()
        geometric = importlib.import_module("torch_geometric.nn")
        make = getattr(geometric, convolution)
        widths = [8, 24, 24, 24]
        self.pooled = pooled
        if convolution == "GINConv":
            self.convs = nn.ModuleList(make(nn.Linear(a, b)) for a, b in itertools.pairwise(widths))
        else:
            self.convs = nn.ModuleList(make(a, b) for a, b in itertools.pairwise(widths))
        self.acts = nn.ModuleList(nn.ReLU() for _ in self.convs)
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        """Logits of each node, or of each graph."""
        for conv, act in zip(self.convs, self.acts, strict=True):
            x = act(conv(x, edge_index))
        if self.pooled and batch is not None:
            pool = importlib.import_module("torch_geometric.nn").global_mean_pool
            x = pool(x, batch)
        return self.head(x)  # type: ignore[no-any-return]


def _nodes(convolution: str) -> Tried:
    y = torch.arange(4 * N) % CLASSES
    x = torch.randn(4 * N, 8)
    x[:, 0] += y.float()
    inputs = {"x": x, "edge_index": _graph_ends(4 * N, 6 * N)}
    return Tried(_Graphs(convolution, False), inputs, y, [("convs.*", flat)], options={"samples": "nodes"})


def _pooled(convolution: str) -> Tried:
    batch = torch.arange(N).repeat_interleave(5)
    y = torch.arange(N) % CLASSES
    x = torch.randn(len(batch), 8)
    x[:, 0] += y[batch].float()
    within = torch.randint(5, (2, 4 * N)) + 5 * torch.randint(N, (1, 4 * N))
    inputs = {"x": x, "edge_index": within, "batch": batch}
    options = {"samples": batch}
    return Tried(_Graphs(convolution, True), inputs, y, [("convs.*", flat)], rows=batch, options=options)


model("GCN, nodes", "torch_geometric")(lambda: _nodes("GCNConv"))
model("GAT, nodes", "torch_geometric")(lambda: _nodes("GATConv"))
model("GIN, graphs", "torch_geometric")(lambda: _pooled("GINConv"))
model("GraphSAGE, graphs", "torch_geometric")(lambda: _pooled("SAGEConv"))


def tried(name: str, library: str, build: Callable[[], Tried], home: Path) -> Outcome:
    """The outcome of one model."""
    torch.manual_seed(0)
    it = build()
    it.model.eval()
    own = ours(it)
    parameters = sum(p.numel() for p in it.model.parameters())
    before = {key: value.clone() for key, value in it.model.state_dict().items()}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            probe = LoadProbe(it.model, it.inputs, it.labels, home=home, measures=["trace_ratio"], **it.options)
    except Exception as error:
        return Outcome(
            name, library, parameters, [], list(own), math.nan, math.nan, f"{type(error).__name__}: {error}"
        )
    failed = [str(w.message) for w in caught if "failed" in str(w.message)]
    after = it.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), f"{name} was changed"
    curve = dict(zip(probe.layers, probe.curves.get("trace_ratio", []), strict=False))
    chosen = [layer for layer in probe.layers if layer not in {"input", "logits"}]
    shared = [layer for layer in chosen if layer in own and layer in curve]
    difference = max((abs(curve[layer] - own[layer]) for layer in shared), default=math.nan)
    return Outcome(
        name, library, parameters, chosen, list(own), difference, _ratio(it, probe), failed[0] if failed else ""
    )


def _ratio(it: Tried, probe: LoadProbe, repeats: int = 3) -> float:
    """Processor time of a measurement by that of a bare forward pass; the median of pairs."""
    ratios = []
    for step in range(repeats):
        began = time.process_time()
        with torch.no_grad():
            run(it, it.model)
        bare = time.process_time() - began
        probe.step(step=10**6 + step)
        began = time.process_time()
        probe.measure()
        ratios.append((time.process_time() - began) / max(bare, 1e-9))
    return statistics.median(ratios)


def outcomes(words: list[str]) -> Iterator[Outcome]:
    """What was seen, model by model; models whose library is missing are told and left out."""
    with tempfile.TemporaryDirectory() as folder:
        for (library, name), build in MODELS.items():
            label = f"{library} {name}"
            if words and not any(word in label for word in words):
                continue
            try:
                yield tried(name, library, build, Path(folder))
            except ImportError as missing:
                print(f"{label}: left out, {missing}", file=sys.stderr)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}" if count >= 1e5 else f"{count / 1e6:.2f}"


def row(outcome: Outcome) -> str:
    """A row of the table."""
    layers = (
        f"{len(outcome.expected)}" if outcome.same_layers else f"{len(outcome.chosen)} for {len(outcome.expected)}"
    )
    agreement = "-" if math.isnan(outcome.difference) else f"{outcome.difference:.0e}"
    cost = "-" if math.isnan(outcome.ratio) else f"{outcome.ratio:.1f}"
    library = f"{outcome.library} {importlib.metadata.version(outcome.library)}"
    cells = [library, outcome.name, _millions(outcome.parameters), layers, agreement, cost]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| library | model | million parameters | layers | largest difference | cost |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def main() -> int:
    """Print the table; 1 where a model was not measured rightly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", help="parts of the names of the models to try")
    parser.add_argument("--write", action="store_true", help="put the table into docs/probe.md")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, wrong = [], 0
    print(HEAD, flush=True)
    for outcome in outcomes(asked.words):
        rows.append(row(outcome))
        print(rows[-1], flush=True)
        if not outcome.right:
            wrong += 1
            if outcome.error:
                print(f"    {outcome.error}", file=sys.stderr)
            if not outcome.same_layers:
                print(f"    chosen   {outcome.chosen}\n    expected {outcome.expected}", file=sys.stderr)
    print(f"{len(rows) - wrong} of {len(rows)} as written down", file=sys.stderr)
    if asked.write:
        text = PAGE.read_text(encoding="utf-8")
        inside = f"{MARKS[0]}\n{HEAD}\n" + "\n".join(rows) + f"\n{MARKS[1]}"
        PAGE.write_text(re.sub(f"{MARKS[0]}.*{MARKS[1]}", lambda _: inside, text, flags=re.S), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
