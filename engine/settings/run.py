"""Frozen, validated configurations: the one place that knows every setting, its range and its meaning.

A field's annotation carries its range and its description; error texts, ``--set``, ``--help`` and the
app's sliders are all derived from it.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ..errors import ConfigError
from .chain import ChainConfig as ChainConfig
from .probe import ProbeConfig

SCHEMA_VERSION = 1


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What the kinds of settings share."""

    live: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that a running worker takes on without a restart."""


class TrainConfig(_Settings, frozen=True, kw_only=True, tag="train"):
    """One network and how it is trained (Shi et al., arXiv:2407.19353, supplement)."""

    live: ClassVar[frozenset[str]] = frozenset(
        {"negative_slope", "data_noise", "lr", "dropout", "batch_size", "linear_probes"}
    )

    dataset: Annotated[
        str,
        Meta(
            description="digits, mnist, fashion-mnist, cifar10, gaussian-mixture, gaussian-classes, or the path of an .npz with X and y"
        ),
    ] = "digits"
    data_dir: Annotated[str | None, Meta(description="folder of the data set's original files")] = None
    train_size: (
        Annotated[int, Meta(ge=2, le=10_000_000, description="training samples; the rest tests")] | None
    ) = None
    image_size: (
        Annotated[int, Meta(ge=2, le=256, description="side in pixels to which images are resized")] | None
    ) = None
    mixture_mu: Annotated[
        float,
        Meta(
            ge=0.0, le=1e9, description="of gaussian-mixture: mu in X = sqrt(mu/N) y u + Omega/sqrt(F), N = 5120"
        ),
    ] = 20480.0
    mixture_features: Annotated[
        int, Meta(ge=1, le=65_536, description="of gaussian-mixture: F, the dimensions")
    ] = 100
    model: Annotated[Literal["mlp", "cnn"], Meta(description="architecture")] = "mlp"
    depth: Annotated[int, Meta(ge=2, le=256, description="linear maps, the output's included")] = 8
    width: Annotated[int, Meta(ge=1, le=65_536, description="hidden units (mlp) or channels (cnn)")] = 100
    activation: Annotated[
        Literal["leaky_relu", "tanh", "gelu"],
        Meta(
            description="what negative_slope blends with the identity; leaky_relu is the paper's, the others are ours"
        ),
    ] = "leaky_relu"
    negative_slope: Annotated[
        float,
        Meta(ge=0.0, le=1.0, description="slope for negative inputs; nonlinearity = 1 - negative_slope"),
    ] = 0.0
    batch_norm: Annotated[bool, Meta(description="BatchNorm on the input and after each hidden linear map")] = True
    bias: Annotated[
        Literal["on", "off", "zero"], Meta(description="biases: learned, absent, or started at zero")
    ] = "on"
    dropout: Annotated[float, Meta(ge=0.0, le=0.99, description="probability that an activation is dropped")] = 0.0
    optimizer: Annotated[
        Literal["adam", "sgd", "sgld", "psgld"], Meta(description="psgld is SGLD with RMS preconditioning")
    ] = "adam"
    lr: Annotated[float, Meta(gt=0.0, le=10.0, description="learning rate")] = 1e-3
    temperature: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1.0,
            description="of SGLD and psgld: variance of the noise per step is 2 x lr x temperature",
        ),
    ] = 1e-6
    batch_size: Annotated[
        int, Meta(ge=1, le=10_000_000, description="samples per step; more than train_size means full batch")
    ] = 2560
    epochs: Annotated[int, Meta(ge=1, le=100_000_000, description="passes over the training set")] = 100
    data_noise: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1.0,
            description="fraction of labels replaced, and input noise in units of the batch's pixel s.d.",
        ),
    ] = 0.0
    loss: Annotated[
        Literal["cross_entropy", "mse", "mse_one_hot"], Meta(description="mse regresses the class index")
    ] = "cross_entropy"
    init: Annotated[
        Literal["default", "orthogonal", "kaiming", "normal", "ntk", "identity"],
        Meta(description="initialisation of the weights"),
    ] = "default"
    init_scale: Annotated[
        float, Meta(gt=0.0, le=1000.0, description="constant that multiplies the initial weights")
    ] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="of everything random in the run")] = 0
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")] = (
        "cpu"
    )
    threads: Annotated[int, Meta(ge=1, le=1024, description="threads of one worker")] = 1
    early_stop: Annotated[bool, Meta(description="stop at mean loss < 1e-4 or when it changes by < 1e-10")] = True
    measure_every: Annotated[int, Meta(ge=1, le=1_000_000, description="epochs between load curves")] = 1
    measure_steps: (
        Annotated[
            int, Meta(ge=1, le=10**12, description="optimiser steps between load curves, in place of epochs")
        ]
        | None
    ) = None
    measure_test: Annotated[bool, Meta(description="load curves of the test set too")] = False
    linear_probes: Annotated[
        bool,
        Meta(description="test accuracy of a linear classifier on each layer's activations, with every curve"),
    ] = False
    hessian: Annotated[
        bool, Meta(description="trace and top eigenvalue of the loss's Hessian once training has finished")
    ] = True
    checkpoint_every: Annotated[
        float,
        Meta(ge=0.0, le=86_400.0, description="seconds between checkpoints; 0 writes one only at the end"),
    ] = 10.0


class SweepConfig(_Settings, frozen=True, kw_only=True, tag="sweep"):
    """A phase diagram: a grid of networks or chains over two axes; see ``sweep``."""

    recipe: Annotated[str, Meta(description="the diagram it began from")] = ""
    system: Annotated[Literal["network", "chain"], Meta(description="what is swept")] = "network"
    x_axis: Annotated[str, Meta(description="the setting that varies along the columns, usually a noise")] = (
        "data_noise"
    )
    x_values: Annotated[tuple[float | str, ...], Meta(description="its values, one a column")] = (0.0,)
    y_axis: Annotated[str, Meta(description="the setting that varies along the rows, usually negative_slope")] = (
        "negative_slope"
    )
    y_values: Annotated[tuple[float | str, ...], Meta(description="its values, one a row")] = (0.0,)
    x_name: Annotated[
        Literal["", "nonlinearity"],
        Meta(description="what the columns were asked for by, where not by the setting"),
    ] = ""
    y_name: Annotated[Literal["", "nonlinearity"], Meta(description="likewise of the rows")] = ""
    twin: Annotated[
        dict[str, float],
        Meta(description="of a chain over a network's knobs: the map by its numbers; empty: the shipped one"),
    ] = {}
    seeds: Annotated[int, Meta(ge=1, le=10_000, description="networks per cell")] = 3
    method: Annotated[
        Literal["mean_field", "replicas"], Meta(description="of a chain's cells: by theory, or by many copies")
    ] = "mean_field"
    threads: Annotated[
        int, Meta(ge=0, le=1024, description="networks at once; 0 lets a short measurement choose")
    ] = 0
    executor: Annotated[
        str,
        Meta(
            pattern=r"^(threads|processes|in-process|dask://\S+)$",
            description="where cells are made: threads, processes, in-process, dask://host:port, or dask:///scheduler.json",
        ),
    ] = "threads"
    settings: Annotated[
        dict[str, Any], Meta(description="what the cells share, over their system's defaults")
    ] = {}


Settings = TrainConfig | ChainConfig | SweepConfig | ProbeConfig
KINDS: dict[str, type[TrainConfig] | type[ChainConfig] | type[SweepConfig] | type[ProbeConfig]] = {
    "train": TrainConfig,
    "chain": ChainConfig,
    "sweep": SweepConfig,
    "probe": ProbeConfig,
}


def kind_of(settings: Settings) -> str:
    """train, chain, sweep or probe."""
    return next(kind for kind, cls in KINDS.items() if isinstance(settings, cls))


S = TypeVar("S", TrainConfig, ChainConfig, SweepConfig, ProbeConfig)


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What ``config.json`` holds."""

    schema: int = SCHEMA_VERSION
    id: str
    created: float
    host: str
    version: str
    origin: str = "command"
    settings: Settings


def field_range(cls: type[S], name: str) -> str:
    """The allowed values of one field, in words."""
    return _describe(_types(cls)[name])


def field_help(cls: type[S], name: str) -> str:
    """The description of one field; empty where it has none."""
    return next((m.description for m in _metas(_types(cls)[name]) if m.description), "")


def field_choices(cls: type[S], name: str) -> list[str]:
    """The values of a field that has only some, as ``--set`` takes them; empty where it is a number or text."""
    plain = _plain(_types(cls)[name])
    if get_origin(plain) is Literal:
        return [str(choice) for choice in get_args(plain)]
    return ["on", "off"] if plain is bool else list(_NAMED.get(name, ()))


_NAMED = {
    "dataset": ("digits", "mnist", "fashion-mnist", "cifar10", "gaussian-mixture", "gaussian-classes"),
    "device": ("auto", "cpu", "cuda"),
}
"""What a text setting is usually one of."""


def default_of(cls: type[S], name: str) -> Any:
    """The default value of one field."""
    return getattr(cls(), name)


def field_names(cls: type[S]) -> tuple[str, ...]:
    """The names that ``--set`` takes for this kind of run."""
    return cls.__struct_fields__


def parse_assignments(cls: type[S], pairs: Iterable[str]) -> dict[str, Any]:
    """Turn ``["lr=1e-2", …]`` into typed values.

    Raises:
        ConfigError: a pair has no ``=``, or a key or value is not allowed.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        key, sep, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not sep or not key:
            raise ConfigError(f"--set {pair!r} is not of the form key=value; for example --set seed=1")
        out[key] = parse_value(cls, key, text.strip())
    return out


def parse_value(cls: type[S], key: str, value: Any) -> Any:
    """Check one value against its field and convert it to the field's type.

    Raises:
        ConfigError: names the key, the value, the allowed range and, for an unknown key, the nearest one.
    """
    types = _types(cls)
    if key not in types:
        raise ConfigError(
            f"unknown setting {key!r}; the nearest is {_nearest(key, types)!r}. Known: {', '.join(types)}"
        )
    annotation = types[key]
    plain = _plain(annotation)
    if value is None or (isinstance(value, str) and value.lower() in {"none", "null"}):
        candidate: Any = None if type(None) in get_args(plain) else value
    else:
        candidate = _loosen(plain, value)
    try:
        converted = msgspec.convert(candidate, annotation, strict=not isinstance(candidate, str))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key} = {value!r} is not allowed; allowed: {_describe(annotation)}") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigError(f"{key} = {value!r} is not a finite number; allowed: {_describe(annotation)}")
    return converted


def make(cls: type[S], values: Mapping[str, Any], base: S | None = None) -> S:
    """A configuration from values of any origin, every one checked.

    Raises:
        ConfigError: a key or value, or their combination, is not allowed.
    """
    checked = {key: parse_value(cls, key, value) for key, value in values.items()}
    try:
        return cls(**checked) if base is None else msgspec.structs.replace(base, **checked)
    except ValueError as error:
        raise ConfigError(str(error)) from error


@functools.cache
def _types(cls: type[Any]) -> dict[str, Any]:
    """Field name to annotation, in the order of declaration."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in cls.__struct_fields__}


_MEANT = {
    "learning_rate": "lr",
    "alpha": "negative_slope",
    "slope": "negative_slope",
    "nonlinearity": "negative_slope",
    "layers": "depth",
    "label_noise": "data_noise",
    "friction": "mu_right",
    "stiffness": "k",
    "epsilon": "noise",
}
"""What people write for a setting; only ever suggested, so that one concept keeps one name."""


def _nearest(key: str, names: Iterable[str]) -> str:
    known = list(names)
    meant = {word: name for word, name in _MEANT.items() if name in known}
    near = difflib.get_close_matches(key, [*known, *meant], n=1, cutoff=0.0)[0]
    return meant.get(near, near)


def _metas(annotation: Any) -> list[Meta]:
    found = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Meta)]
    for inner in get_args(annotation):
        found += _metas(inner)
    return found


def _plain(annotation: Any) -> Any:
    """The annotation without its metadata, at the top and in a union."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    return annotation


def _loosen(plain: Any, value: Any) -> Any:
    """Accept ``1e3`` for a whole number, ``.5`` for a number, and on/off, yes/no for a switch."""
    if isinstance(value, str) and plain is bool:
        words = {
            "on": True,
            "yes": True,
            "true": True,
            "1": True,
            "off": False,
            "no": False,
            "false": False,
            "0": False,
        }
        return words.get(value.lower(), value)
    whole = plain is int or any(_plain(a) is int for a in get_args(plain))
    if whole and isinstance(value, (str, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            return value
        if number.is_integer():
            return int(value) if isinstance(value, str) and value.lstrip("+-").isdigit() else int(number)
    elif isinstance(value, str) and (plain is float or any(_plain(a) is float for a in get_args(plain))):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _describe(annotation: Any) -> str:
    plain = _plain(annotation)
    if get_origin(plain) is Literal:
        return ", ".join(str(a) for a in get_args(plain))
    options = [a for a in get_args(plain) if a is not type(None)]
    if options:
        return f"{_describe(options[0])}, or none"
    if plain is bool:
        return "on or off"
    metas = _metas(annotation)
    if plain is str:
        return next((m.description for m in metas if m.description), "text")
    bounds = [
        f"{sign} {limit:g}" if isinstance(limit, float) else f"{sign} {limit}"
        for m in metas
        for sign, limit in ((">=", m.ge), (">", m.gt), ("<=", m.le), ("<", m.lt))
        if limit is not None
    ]
    noun = "a whole number" if plain is int else "a number"
    return f"{noun} {' and '.join(bounds)}".rstrip()
