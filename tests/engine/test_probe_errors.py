"""What a probe cannot measure is refused with an error of ours, whose remedy fits the cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError, DataError, InputError, ProbeWarning
from engine.measures.separation import separation_measures
from engine.probe.batch.groupings import group
from engine.probe.load_probe import LoadProbe

Y = torch.arange(64) % 4
X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + torch.eye(4, 16)[Y] * 2


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))


class Bare(nn.Module):
    """Calls no module."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(16, 24)), nn.Parameter(torch.randn(24, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.w) @ self.v


class Calling(nn.Module):
    """Calls a function with its layers and its input."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.net, self.function = net(), function

    def forward(self, x: Any) -> Any:
        return self.function(self.net, x)


def fails(error: Exception) -> Callable[..., Any]:
    def function(_net: nn.Module, _x: Tensor) -> Any:
        raise error

    return function


class Columns:
    """A column of a table that is turned into an array, as pandas and Arrow have."""

    def __init__(self, values: Any, dtype: Any = None) -> None:
        self.values = np.array(values, dtype=dtype)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self) -> int:
        return len(self.values)


class NAType:
    """Named as what pandas writes for a value that is missing."""


MODELS: list[tuple[str, nn.Module, Any, Any, type[Exception], str]] = [
    ("bare parameters", Bare(), X, Y, ConfigError, r"calls no module.*nn\.Identity\(\)"),
    ("text", net(), ["a", "b", "c"], Y, DataError, "inputs hold no tensor"),
    ("empty dict", net(), {}, Y, DataError, "inputs hold no tensor"),
    ("empty tuple", net(), (), Y, DataError, "inputs hold no tensor"),
    ("None", net(), None, Y, DataError, r"inputs hold no tensor \(they are a NoneType\)"),
    ("objects", net(), np.array([[1], [1, 2]] * 32, dtype=object), Y, DataError, "array of type object.*np.stack"),
    ("frame of objects", net(), Columns([["a"]] * 64), Y, DataError, "array of type .*frame.to_numpy"),
    ("two samples", net(), X[:2], Y[:2], DataError, "inputs hold 2 samples; a load curve needs at least 3"),
    ("other labels", net(), X, Y[:63], DataError, r"labels have the shape \(63,\), inputs hold 64 samples"),
    ("list of samples", net(), list(X), Y, DataError, r"list of tensors, as models for detection.*torch\.stack"),
    ("too many", net(), (X, X), Y, DataError, r"its forward takes input.*\[2, 16\] float32, \[2, 16\] float32"),
    ("names", Calling(lambda n, x: n(x)), {"y": X}, Y, DataError, r"its forward takes x: give inputs= as a tuple"),
    ("double", net(), X.double(), Y, DataError, r"its parameters are float32: .*inputs\.to\(torch\.float32\)"),
    ("whole numbers", net(), X.long(), Y, DataError, r"its parameters are float32"),
    ("shapes", net(), X[:, :5], Y, DataError, r"mat1 and mat2 shapes.*it was given \[2, 5\] float32"),
    (
        "value error",
        Calling(fails(ValueError("bad"))),
        X,
        Y,
        DataError,
        "cannot run .*ValueError: bad; give inputs=",
    ),
    ("assertion", Calling(fails(AssertionError())), X, Y, DataError, "AssertionError: no text"),
    ("key error", Calling(fails(KeyError("k"))), X, Y, DataError, "KeyError"),
    (
        "second derivatives of nothing",
        Calling(lambda n, x: torch.autograd.grad(x.detach().sum(), x)),
        X,
        Y,
        DataError,
        "takes gradients within forward, which was tried",
    ),
    (
        "no memory",
        Calling(lambda n, x: n(x) + torch.empty(1 << 55)),
        X,
        Y,
        DataError,
        "can't allocate memory.*give shorter or smaller inputs=",
    ),
]


@pytest.mark.parametrize(
    ("model", "inputs", "labels", "kind", "words"), [m[1:] for m in MODELS], ids=[m[0] for m in MODELS]
)
def test_what_cannot_be_run(model: nn.Module, inputs: Any, labels: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=f"(?s){words}"):
        LoadProbe(model, inputs, labels)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


LABELS: list[tuple[str, Any, str]] = [
    ("ragged", [[0], [1, 2]] * 32, "ragged: sample 0 has 1 of them, sample 1 has 2; give labels="),
    ("ragged array", np.array([[0], [1, 2]] * 32, dtype=object), "ragged: sample 0 has 1 of them, sample 1 has 2"),
    ("ragged tensors", [torch.zeros(1 + i % 2) for i in range(64)], "ragged: sample 0 has 1 of them"),
    ("mixup", (Y, Y.flip(0), 0.3), r"3 parts of different kinds, as of mixup \(\[64\], \[64\], 0\.3\)"),
    ("one class", torch.zeros(64), "all samples fall in one group"),
    ("every its own", torch.arange(64), "every sample is a group of its own"),
    ("not finite", torch.where(Y == 0, torch.nan, 1.5), "16 values that are not finite"),
    (
        "missing",
        [None, *Y[1:].tolist()],
        "1 labels are missing, first that of sample 0; leave these samples out",
    ),
    ("missing of pandas", Columns([*Y[:5].tolist(), NAType(), *Y[6:].tolist()], object), "first that of sample 5"),
    ("complex", Y.to(torch.cfloat), "complex64 cannot be grouped"),
    ("dates", np.arange(64).astype("datetime64[D]"), r"datetime64\[D\] cannot be grouped"),
    ("objects", [object()] * 64, "object cannot be grouped"),
    ("a dict", {"labels": Y}, "labels are a dict; give labels="),
    ("a generator", (one for one in Y), "labels are a generator"),
    ("dicts of detection", [{"boxes": 1}] * 64, "ragged|cannot be grouped"),
    ("a mask an image", torch.zeros(64, 8, 8).long(), "many classes"),
    (
        "nested",
        torch.nested.as_nested_tensor([torch.zeros(1), torch.zeros(2)] * 32, layout=torch.jagged),
        "ragged",
    ),
]


@pytest.mark.parametrize(("labels", "words"), [one[1:] for one in LABELS], ids=[one[0] for one in LABELS])
def test_what_is_no_label(labels: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        LoadProbe(net(), X, labels)


@pytest.mark.parametrize(
    "labels",
    [
        Y.to(torch.uint8),
        Y.to(torch.uint32),
        Y.numpy().astype(">i4"),
        Y.numpy().astype(np.uint64),
        Y.bfloat16(),
        Y.tolist(),
        list(Y),
        tuple(Y.tolist()),
        Columns(Y.numpy()),
        Columns([f"class {y}" for y in Y.tolist()], object),
        Columns(Y.tolist(), object),
        np.array([f"class {y}" for y in Y.tolist()]),
        nn.functional.one_hot(Y, 4).to_sparse(),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_labels_of_every_make(labels: Any) -> None:
    assert torch.equal(group(labels, 64, None, None, 10).y_M, Y)


@pytest.mark.parametrize(
    "inputs",
    [
        X.numpy(),
        X.numpy().astype(">f4"),
        Columns(X.numpy()),
        (X,),
        {"input": X},
        [X],
    ],
    ids=["array", "byte order", "table", "tuple", "dict", "list"],
)
def test_inputs_of_every_make(inputs: Any) -> None:
    model = net()
    wanted = LoadProbe(model, X, Y).curves
    assert LoadProbe(model, inputs, Y).curves == wanted


def test_a_list_of_samples_is_given_as_a_list() -> None:
    """As models for detection take it: one image a sample, of different sizes."""

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.head = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Linear(8, 4)

        def forward(self, images: list[Tensor]) -> Any:
            size = max(image.shape[-1] for image in images)
            batch = torch.stack(
                [nn.functional.pad(im, (0, size - im.shape[-1], 0, 8 - im.shape[-2])) for im in images]
            )
            return [{"boxes": row[None]} for row in self.head(self.act(self.conv(batch)).mean((2, 3)))]

    images = [torch.randn(3, 8, 6 + i % 3) + Y[i] for i in range(64)]
    model = Detector()
    probe = LoadProbe(model, images, Y, layers=["conv", "act"], reductions="spatial_mean", chunk=64)
    assert "act" in probe.layers
    seen: list[Tensor] = []
    with model.act.register_forward_hook(lambda _m, _a, out: seen.append(out)), torch.no_grad():
        model(images)
    wanted = separation_measures(seen[0].mean((2, 3)), Y)
    assert probe.curves["trace_ratio"][probe.layers.index("act")] == pytest.approx(wanted["trace_ratio"], abs=1e-5)


def test_complex_features_are_measured_by_their_real_and_imaginary_parts() -> None:
    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.act, self.b = (
                nn.Linear(16, 24, dtype=torch.cfloat),
                nn.Tanh(),
                nn.Linear(24, 8, dtype=torch.cfloat),
            )
            self.act2, self.head = nn.Tanh(), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.act2(self.b(self.act(self.a(x.to(torch.cfloat))))).abs())
            return out

    model = Complex()
    probe = LoadProbe(model, X, Y)
    assert probe.layers == ["input", "act", "act2", "logits"]
    with torch.no_grad():
        z = torch.tanh(model.a(X.to(torch.cfloat)))
    both = torch.cat([z.real, z.imag], 1)
    for name, curve in probe.curves.items():
        assert curve[1] == pytest.approx(separation_measures(both, Y)[name], abs=1e-4), name
    # of the complex numbers themselves: squared distances are those of both parts
    means = torch.stack([z[c == Y].mean(0) for c in range(4)])
    within, between = (z - means[Y]).abs().square().sum(), (means[Y] - z.mean(0)).abs().square().sum()
    assert probe.curves["trace_ratio"][1] == pytest.approx(float((within / between).log()), abs=1e-4)


def test_values_that_are_not_finite_leave_that_point_unknown() -> None:
    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: Tensor) -> Any:
            return self.net(x.nan_to_num())

    x = X.clone()
    x[3, 3] = torch.nan
    probe = LoadProbe(Filled(), x, Y)
    first, *rest = probe.curves["trace_ratio"]
    assert first != first
    assert all(value == value for value in rest)
    assert "load_probe/separation/input" not in probe.metrics()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": 3}, "layers"),
        ({"layers": [3]}, "layers"),
        ({"reductions": 3}, "reductions"),
        ({"measures": 3}, "measures"),
        ({"groups": "many"}, "groups"),
        ({"groups": 1}, "groups"),
        ({"chunk": 0}, "chunk"),
        ({"chunk": "all"}, "chunk"),
        ({"memory": -1}, "memory"),
        ({"every": 0}, "every"),
        ({"forward": 3}, "forward"),
        ({"autocast": "bfloat16"}, "autocast"),
    ],
)
def test_arguments_of_the_wrong_kind(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        LoadProbe(net(), X, X[:, 0], **options)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"health": 5}, r"health = 5 is not allowed; allowed: names of grad_norm.*\(\) for none"),
        ({"health": None}, "health = None is not allowed"),
        ({"health": True}, "health = True is not allowed"),
        ({"health": [["dead"]]}, r"health: \['dead'\] is not allowed"),
        ({"towers": {"a": 5}}, r"towers: 'a': 5 is not allowed; allowed: one or more patterns"),
        ({"towers": {"a": [5]}}, r"towers: 'a': \[5\] is not allowed"),
        ({"towers": {"a": []}}, r"towers: 'a': \[\] is not allowed"),
        ({"reductions": {1: "flatten"}}, "reductions: the pattern 1 is not allowed; allowed: text"),
        ({"reductions": {"*": []}}, r"reductions: \[\] is not allowed"),
        ({"autocast": lambda: 5}, "autocast returned a int; allowed: a dtype"),
        ({"home": 5}, "home = 5 is not allowed; allowed: the path of a directory"),
    ],
)
def test_an_argument_of_another_kind_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LoadProbe(net(), X, Y, **given)


def test_a_name_that_is_no_text_only_warns() -> None:
    with pytest.warns(
        ProbeWarning, match="name = 5 is not allowed; allowed: text. The load probe's run has no name"
    ):
        LoadProbe(net(), X, Y, name=5).close()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("split", "error", "words"),
    [
        (5, ConfigError, "split = 5 is not allowed; allowed: a function of a batch"),
        (lambda batch: batch[0], DataError, r"split= returned a Tensor; allowed: \(inputs, labels\)"),
        (lambda batch: (*batch, 1), DataError, "split= returned 3 values"),
    ],
)
def test_a_split_that_gives_no_pair(split: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        LoadProbe.from_loader(net(), [(X, Y)], split=split)


def test_a_loader_of_single_samples() -> None:
    samples = torch.utils.data.TensorDataset(X, Y)
    with pytest.raises(DataError, match=r"single numbers as labels.*give the loader a batch_size="):
        LoadProbe.from_loader(net(), torch.utils.data.DataLoader(samples, batch_size=None))
