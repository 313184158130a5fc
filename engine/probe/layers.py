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
from .axes import Axis, FeatureAxes, numbers_a_sample
from .looks import Looks, Samples
from .reductions import FLAT, REDUCTIONS
from .trace import Call, Trace, Where

INPUT, OUTPUT = "input", "logits"
_LOOKED_THROUGH = re.compile(r"(Stage|Stages|Encoder|Decoder|Stack|Trunk|Backbone|Group|Model)$")
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_ACTIVATION = re.compile(
    r"relu|elu|gelu|silu|swish|mish|tanh|sigmoid|softplus|softsign|hardswish|activation$", re.I
)
_NORM = re.compile(r"(BatchNorm|LayerNorm|GroupNorm|InstanceNorm|RMSNorm)", re.I)
_POOLING = re.compile(r"Pool(ing)?\d?d?$")
_MAPS = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase)


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
    samples_axis: int = 0
    features_axis: int | None = None
    """None where all numbers of a sample are taken in any order."""
    rows: int = 1
    """Rows of each sample in the samples' axis; more than 1 where another axis is folded into it."""
    interleaved: bool = False
    """Whether rows of a sample lie N apart in it, instead of side by side."""
    varying: bool = False
    """Whether the number of its features depended on which samples ran together."""
    why: str = ""
    """How the axes were told, in words."""
    logits: bool = False


@dataclass(frozen=True)
class Wanted:
    """The layers and reductions that the user gave."""

    layers: Sequence[str] | None
    reductions: str | Mapping[str, str]
    tokens: int = 0
    """T where samples are token positions, else 0."""


@dataclass
class Found:
    """The points of a model, and what was not measured."""

    points: list[Point]
    left_out: dict[str, tuple[str, str]]
    """By name, the class of a module that would have been a point, and the reason in words."""
    open: list[str]
    """Names of points where it stayed open which axis is the features'."""


def find_points(looks: Looks, batch: Tensor | None, wanted: Wanted) -> Found:
    """The points of the load curve in forward order: input, layers, logits.

    Args:
        looks: passes with different numbers of samples.
        batch: the model's floating-point input, [n, …], or None.
        wanted: patterns and reductions.

    Raises:
        ConfigError: a pattern matches no module, or no layer was found.
    """
    traced, axes = looks.first, FeatureAxes(looks, wanted.tokens)
    reasons = {call.label: _unfit(call, looks, wanted.tokens) for call in traced.calls if call.shape}
    usable = [call for call in traced.calls if reasons.get(call.label) == ""]
    blocks = _blocks(usable)
    if wanted.layers is not None:
        chosen = _named(usable, wanted.layers, reasons)
    else:
        chosen = blocks or _single_layers(usable)
    left_out = _left_out(traced, usable, reasons, wanted)
    # a layer that gives the output would be the same point twice; a last block is kept, as of a headless encoder
    chosen = [call for call in chosen if call in blocks or not _is_output(call, traced)]
    if wanted.layers is None and len(chosen) > 1 and _is_map(chosen[-1]) and _is_of_output(chosen[-1], traced):
        chosen.pop()
    if not traced.calls and not type(looks.model).__module__.startswith("torch.nn."):
        raise ConfigError(
            f"{type(looks.model).__name__} calls no module, and nothing else can be seen from outside; call an "
            f"nn.Identity() of its own on the features wherever a point should be"
        )
    if not chosen:
        raise ConfigError(
            "no layer was found between input and output: name modules with layers=['fc1', 'blocks.*'], or use "
            f"modules as activations; it runs {_some(sorted({c.label for c in traced.calls})) or 'no module'}"
        )
    first = chosen[0]
    embedded = (first in blocks or wanted.layers is not None) and (batch is None or _is_tokens(first, looks, axes))
    points = [_entry(usable, first if embedded else None, batch), *(_after(call) for call in chosen)]
    if traced.whole is not None and traced.whole.shape:
        reason = _unfit(traced.whole, looks, wanted.tokens)
        if not reason:
            points.append(Point(OUTPUT, "model", traced.whole.shape, logits=True))
        elif wanted.layers is None:
            left_out[OUTPUT] = (traced.whole.kind, reason)
    points, still_open = _reduced(_with_unique_names(points), looks, axes, wanted)
    return Found(points, left_out, still_open)


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


def _unfit(call: Call, looks: Looks, tokens: int) -> str:
    """Why a call's output cannot be measured, in words; "" where it has samples, and tokens if ``tokens`` > 0."""
    found = looks.samples(call)
    if isinstance(found, str):
        return found
    if not tokens or found.rows == tokens:
        return ""
    rest = [size for axis, size in enumerate(call.shape) if axis != found.axis]
    if (len(rest) == 2 and tokens in rest) or (len(rest) > 2 and rest[0] == tokens):
        return ""
    return f"has no axis of the {tokens} tokens that are grouped"


def _left_out(
    traced: Trace, usable: list[Call], reasons: Mapping[str, str], wanted: Wanted
) -> dict[str, tuple[str, str]]:
    """The calls that would be points if only their axes were not in the way, and the reasons."""
    if wanted.layers is not None:
        return {}
    shaped = [call for call in traced.calls if call.shape]
    would = _blocks(shaped) or _single_layers(shaped)
    return {call.label: (call.kind, reasons[call.label]) for call in would if call not in usable}


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


def _is_tokens(call: Call, looks: Looks, axes: FeatureAxes) -> bool:
    """Whether a call takes [N, T, D], in whatever place the samples are."""
    found = looks.samples(call, "before")
    if isinstance(found, str) or len(call.input_shape) != 3 or found.rows > 1:
        return False
    return axes.find(call, "before", found).number == (1 if found.axis == 2 else 2)


def _named(calls: list[Call], patterns: Sequence[str], reasons: Mapping[str, str]) -> list[Call]:
    """Calls whose label matches a pattern, in forward order; raises ConfigError where a pattern matches none.

    Args:
        calls: those that can be measured.
        patterns: of the user.
        reasons: by label, why others cannot.
    """
    labels = [call.label for call in calls]
    for pattern in patterns:
        if not any(fits(label, pattern) for label in labels):
            unfit = next((label for label, why in reasons.items() if why and fits(label, pattern)), None)
            if unfit is not None:
                raise ConfigError(
                    f"layers: {pattern!r} matches {unfit!r}, which cannot be measured: it {reasons[unfit]}. "
                    f"Known: {_some(labels)}"
                )
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
    return Point(call.label, "after", call.shape, call.module, call.number)


def _reduced(
    points: list[Point], looks: Looks, axes: FeatureAxes, wanted: Wanted
) -> tuple[list[Point], list[str]]:
    """The points with axes and reductions, the user's or by the axes; and names of those that stayed open."""
    calls = {(call.module, call.number): call for call in looks.first.calls}
    told: list[tuple[Point, Samples, Axis, Call | None]] = []
    for point in points:
        call = looks.first.whole if point.where == "model" else calls.get((point.module, point.number))  # type: ignore[arg-type]
        where: Where = "before" if point.where == "before" else "after"
        found = Samples(0) if call is None or point.where == "batch" else looks.samples(call, where)
        if isinstance(found, str):
            raise ConfigError(f"layer {point.name!r} cannot be measured: it {found}; leave it out with layers=")
        axis = Axis(None, "the model's input, whole") if call is None else axes.find(call, where, found)
        told.append((point, found, axis, call))
    images = [(p, found, axis) for p, found, axis, call in told if call and _is_image(p, found, axis)]
    small = all(
        numbers_a_sample(p.shape, found) <= FLAT and not axis.is_linear and not found.varying
        for p, found, axis in images
    )
    reduced, still_open = [], []
    for point, found, axis, call in told:
        how, why = _given_reduction(point.name, wanted.reductions), axis.why
        number = axis.number
        if how != "auto":
            number, why = _given_axis(point, found, how), "given by reductions="
        elif wanted.tokens:
            how = "position"
        elif call is None:
            how = "flatten"
        else:
            how, more = _choice(point, found, axis, looks, call, small=small)
            why = f"{why}; {more}" if more else why
        if axis.is_open and why.startswith("open") and how != "flatten":
            still_open.append(point.name)
        why = f"samples: {found.why}; {why}" if found.why else why
        reduced.append(
            replace(
                point,
                reduction=how,
                samples_axis=found.axis,
                features_axis=number,
                rows=found.rows,
                interleaved=found.interleaved,
                varying=bool(found.varying),
                why=why,
            )
        )
    return reduced, still_open


def _axes_of_a_sample(point: Point, found: Samples) -> int:
    return len(point.shape) - 1 + (found.rows > 1)


def _is_last(point: Point, found: Samples, number: int | None) -> bool:
    """Whether an axis is the last one but for the samples'."""
    last = len(point.shape) - 1
    return number == (last if found.axis != last else last - 1)


def _is_image(point: Point, found: Samples, axis: Axis) -> bool:
    """Whether features are [N, C, …] with several axes of positions."""
    return _axes_of_a_sample(point, found) > 2 and not _is_last(point, found, axis.number)


def _choice(point: Point, found: Samples, axis: Axis, looks: Looks, call: Call, *, small: bool) -> tuple[str, str]:
    """A reduction by the axes, and what else decided it, in words."""
    where: Where = "before" if point.where == "before" else "after"
    if _axes_of_a_sample(point, found) < 2:
        return "flatten", ""
    if _is_image(point, found, axis):
        return ("flatten", f"no layer has more than {FLAT} numbers") if small else ("spatial_mean", "")
    if not _is_last(point, found, axis.number):
        return "spatial_mean", ""
    if len(point.shape) == 3 and found.rows == 1:
        ranked, more = looks.class_token(call, where)
        return ("class_token" if ranked else "token_mean"), more
    return "token_mean", ""


def _given_axis(point: Point, found: Samples, how: str) -> int | None:
    """The axis of the features as the user's reduction has it: [N, C, …], or [N, …, D]; None where it has none."""
    rest = [axis for axis in range(len(point.shape)) if axis != found.axis]
    if how == "flatten" or not rest:
        return None
    return rest[0] if how == "spatial_mean" else rest[-1]


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
