"""Finds the points of a model's load curve: its layers in forward order, automatically or by pattern.

The rules, in this order (docs/probe.md describes them for users):
1. blocks: composite modules of a class that is called at least twice, the outermost ones (residual blocks,
   transformer layers); stages and encoders do not count as blocks, what is in them does;
2. else activations: every activation module, or the pooling right after it, as in the authors' networks;
3. else every linear, convolution or recurrent module, or the normalisation right after it.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from ..errors import ConfigError, nearest
from .reductions import FLAT, REDUCTIONS
from .trace import Call, Trace

INPUT, OUTPUT = "input", "logits"
_LOOKED_THROUGH = re.compile(r"(Stage|Stages|Encoder|Decoder|Stack|Trunk|Backbone|Group|Model)$")
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_ACTIVATION = re.compile(
    r"relu|elu|gelu|silu|swish|mish|tanh|sigmoid|softplus|softsign|hardswish|activation$", re.I
)
_NORM = re.compile(r"(BatchNorm|LayerNorm|GroupNorm|InstanceNorm|RMSNorm)", re.I)
_POOLING = re.compile(r"Pool(ing)?\d?d?$")
_MAPS = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase)
_CLASS_TOKEN = re.compile(r"(^|\.)(cls_token|class_token|class_embedding|cls)$")


@dataclass(frozen=True)
class Point:
    """One point of the load curve."""

    name: str
    where: Literal["batch", "before", "after", "model"]
    """batch: the model's input; before, after: the input or output of ``module``; model: the model's output."""
    shape: tuple[int, ...]
    """Shape of its features in the traced pass."""
    module: nn.Module | None = None
    number: int = 0
    """Number of the module's call, from 0."""
    reduction: str = "flatten"
    samples_first: bool = True
    features_last: bool | None = None
    logits: bool = False


@dataclass(frozen=True)
class Wanted:
    """The layers and reductions that the user gave."""

    layers: Sequence[str] | None
    reductions: str | Mapping[str, str]
    tokens: int = 0
    """T where samples are token positions, else 0."""


def find_points(model: nn.Module, traced: Trace, batch: Tensor | None, n: int, wanted: Wanted) -> list[Point]:
    """The points of the load curve in forward order: input, layers, logits.

    Args:
        model: the inner model.
        traced: a forward pass of n samples.
        batch: the model's floating-point input, [n, …], or None.
        n: samples in the pass.
        wanted: patterns and reductions.

    Raises:
        ConfigError: a pattern matches no module, or no layer was found.
    """
    usable = [call for call in traced.calls if _holds(call.shape, n, wanted.tokens)]
    blocks = _blocks(usable)
    chosen = _named(usable, wanted.layers) if wanted.layers is not None else blocks or _single_layers(usable)
    # a layer that gives the output would be the same point twice; a last block is kept, as of a headless encoder
    chosen = [call for call in chosen if call in blocks or not _is_output(call, traced)]
    if wanted.layers is None and len(chosen) > 1 and _is_map(chosen[-1]) and _is_of_output(chosen[-1], traced):
        chosen.pop()
    if not traced.calls:
        raise ConfigError(
            f"{type(model).__name__} calls no module, and nothing else can be seen from outside; call an "
            f"nn.Identity() of its own on the features wherever a point should be"
        )
    if not chosen:
        raise ConfigError(
            "no layer was found between input and output: name modules with layers=['fc1', 'blocks.*'], or use "
            f"modules as activations; it runs {_some(sorted({c.label for c in traced.calls})) or 'no module'}"
        )
    first = chosen[0]
    embedded = (first in blocks or wanted.layers is not None) and (batch is None or _is_tokens(first))
    points = [_entry(usable, first if embedded else None, batch), *(_after(call) for call in chosen)]
    out = traced.output
    if out is not None and _holds(tuple(out.shape), n, wanted.tokens):
        end = Point(OUTPUT, "model", tuple(out.shape), logits=True, features_last=traced.features_last)
        points.append(replace(end, samples_first=out.shape[0] == n))
    return _with_unique_names(_reduced(model, points, wanted))


def _is_output(call: Call, traced: Trace) -> bool:
    """Whether the call's output is the model's output, or a tensor that the model's output is a view of."""
    tensor = None if call.output is None else call.output()
    return tensor is not None and any(tensor is end for end in [traced.output, *traced.ends])


def _is_of_output(call: Call, traced: Trace) -> bool:
    """Whether the call's output has the shape of the model's, as where only ``log_softmax`` comes after it."""
    return traced.output is not None and call.shape == tuple(traced.output.shape)


def _with_unique_names(points: list[Point]) -> list[Point]:
    """The points with input and logits in parentheses where a module of the user's has the same name."""
    last = len(points) - points[-1].logits
    taken = {point.name for point in points[1:last]}
    ends = [points[0], *points[last:]]
    first, *end = [replace(point, name=f"({point.name})") if point.name in taken else point for point in ends]
    return [first, *points[1:last], *end]


def _holds(shape: tuple[int, ...], n: int, tokens: int) -> bool:
    """Whether features of this shape have a dimension of n samples, and one of their tokens if ``tokens`` > 0."""
    if tokens:
        return len(shape) > 2 and sorted(shape[:2]) == sorted((n, tokens))
    return n in shape[:2]


def _single_layers(calls: list[Call]) -> list[Call]:
    """Activations with pooling after them; where there are none, maps with normalisation after them."""
    return _with_next(calls, _is_activation, _POOLING) or _with_next(calls, _is_map, _NORM)


def _blocks(calls: list[Call]) -> list[Call]:
    """Outermost composite modules whose class is called more than once."""
    counts = Counter(call.kind for call in calls if _is_composite(call))

    def is_block(call: Call) -> bool:
        return _is_composite(call) and counts[call.kind] > 1

    return [call for call in calls if is_block(call) and not any(is_block(parent) for parent in call.parents)]


def _is_composite(call: Call) -> bool:
    if call.inner < 2 or isinstance(call.module, _CONTAINERS) or _LOOKED_THROUGH.search(call.kind):
        return False
    return next(call.module.parameters(), None) is not None


def _with_next(calls: list[Call], wanted: Callable[[Call], bool], extension: re.Pattern[str]) -> list[Call]:
    """Innermost calls of a kind; where a call of the extending kind comes right after one, that call instead."""
    innermost = [call for call in calls if call.inner == 0]
    chosen = []
    for call, following in itertools.zip_longest(innermost, innermost[1:]):
        if wanted(call):
            extends = following is not None and extension.search(following.kind) and len(following.shape) > 1
            chosen.append(following if extends and following is not None else call)
    return chosen


def _is_activation(call: Call) -> bool:
    plain = next(call.module.parameters(), None) is None or isinstance(call.module, nn.PReLU)
    return plain and bool(_ACTIVATION.search(call.kind))


def _is_map(call: Call) -> bool:
    return isinstance(call.module, _MAPS)


def _is_tokens(call: Call) -> bool:
    return len(call.input_shape) == 3 and call.features_last is not False


def _named(calls: list[Call], patterns: Sequence[str]) -> list[Call]:
    """Calls whose label matches a pattern, in forward order; raises ConfigError where a pattern matches none."""
    labels = [call.label for call in calls]
    for pattern in patterns:
        if not any(fits(label, pattern) for label in labels):
            near = nearest(pattern, labels)
            raise ConfigError(
                f"layers: {pattern!r} matches no module that runs and returns features"
                f"{f'; the nearest is {near!r}' if near else ''}. Known: {_some(labels)}"
            )
    return [call for call in calls if any(fits(call.label, pattern) for pattern in patterns)]


def fits(label: str, pattern: str) -> bool:
    """Whether a label matches a pattern of shell wildcards between dots; ``**`` matches any number of parts.

    A label ends in ``#2`` where it is of a module's second call.
    """
    return _fit(label.split("."), pattern.split("."))


def _fit(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_fit(parts[i:], patterns[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _fit(parts[1:], patterns[1:])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" … ({len(names)} in all)" if len(names) > 12 else "")


def _entry(calls: list[Call], first: Call | None, batch: Tensor | None) -> Point:
    """The point of D_0: the input of the ``first`` layer of tokens; else the model's, after normalisation if any.

    Where the model's input is no floating-point tensor, the first module's output.
    """
    if first is not None and len(first.input_shape) > 1:
        return replace(_after(first), name=INPUT, where="before", shape=first.input_shape)
    innermost = next(call for call in calls if call.inner == 0)
    if batch is None or (_NORM.search(innermost.kind) and innermost.input_shape == tuple(batch.shape)):
        return replace(_after(innermost), name=INPUT)
    return Point(INPUT, "batch", tuple(batch.shape))


def _after(call: Call) -> Point:
    """The point of a call's output."""
    return Point(
        call.label,
        "after",
        call.shape,
        call.module,
        call.number,
        samples_first=_samples_first(call.module),
        features_last=call.features_last,
    )


def _samples_first(module: nn.Module) -> bool:
    """Whether samples are the first dimension: not where a recurrent or attention module puts tokens first."""
    for part in (module, getattr(module, "self_attn", None)):
        if isinstance(getattr(part, "batch_first", None), bool):
            return bool(part.batch_first)  # type: ignore[union-attr]
    return True


def _reduced(model: nn.Module, points: list[Point], wanted: Wanted) -> list[Point]:
    """The points with their reductions: the user's, or by the shape of the features."""
    has_class_token = any(_CLASS_TOKEN.search(name) for name, _ in model.named_parameters())
    images = [p for p in points if p.where != "batch" and len(p.shape) > 3 and not p.features_last]
    small = all(_size(p.shape) <= FLAT for p in images)
    reduced = []
    for point in points:
        how = _given_reduction(point.name, wanted.reductions)
        if how == "auto":
            how = _choice(point, small, has_class_token, bool(wanted.tokens))
        reduced.append(replace(point, reduction=how))
    return reduced


def _choice(point: Point, small: bool, has_class_token: bool, by_position: bool) -> str:
    """A reduction by the shape of the features; never class_token at the input, where all samples share it."""
    if by_position:
        return "position"
    if point.where == "batch" or len(point.shape) < 3:
        return "flatten"
    if len(point.shape) > 3 and not point.features_last:
        return "flatten" if small else "spatial_mean"
    if point.features_last is False:
        return "spatial_mean"
    ranked = has_class_token and point.name != INPUT and len(point.shape) == 3
    return "class_token" if ranked else "token_mean"


def _given_reduction(name: str, reductions: str | Mapping[str, str]) -> str:
    if isinstance(reductions, str):
        return reductions if name != INPUT or reductions != "class_token" else "auto"
    return next((how for pattern, how in reductions.items() if fits(name, pattern)), "auto")


def check_reductions(reductions: str | Mapping[str, str]) -> None:
    """Check the names of reductions, one for all points or by pattern.

    Raises:
        ConfigError: a name is unknown.
    """
    if not isinstance(reductions, str | Mapping):
        raise ConfigError(f"reductions = {reductions!r} is not allowed; allowed: one name, or names by pattern")
    for how in [reductions] if isinstance(reductions, str) else reductions.values():
        if how not in REDUCTIONS:
            raise ConfigError(f"reductions: {how!r} is not allowed; allowed: {', '.join(REDUCTIONS)}")


def _size(shape: tuple[int, ...]) -> int:
    """Numbers a sample in features of a shape."""
    size = 1
    for length in shape[1:]:
        size *= length
    return size
