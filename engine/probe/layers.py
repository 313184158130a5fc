"""Finds the points of a model's load curve: its layers in forward order, automatically or by pattern.

``selection`` says which layers are measured, ``left_out`` which are not (docs/probe.md describes it for users).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import ConfigError, nearest
from . import rules
from .batch import first_real
from .flow import tensors_in
from .left_out import LeftOutRow, left_out_of, rows_of
from .path import Stop
from .reductions import FLAT, REDUCTIONS
from .selection import Chain, Fit, entering, reached_from, select
from .trace import Call, Trace

INPUT, OUTPUT = "input", "logits"
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
    layer: str = ""
    """Class of the layer that it stands for; "" where that is the model."""
    role: Literal["input", "block", "activation", "map", "named", "logits"] = "input"
    note: str = ""
    """Where its features are taken, if not at the layer's output."""


@dataclass(frozen=True)
class TowerPoints:
    """The points of one tower."""

    path: str
    """Name of the tower; "" where the model has only one."""
    points: list[Point]


@dataclass
class Found:
    """What is measured of a model, and what is not."""

    towers: list[TowerPoints]
    """The main one first."""
    left_out: list[LeftOutRow]
    by_order: str = ""
    """Why the layers are in the order of calls; "" where the flow of data is known."""


@dataclass(frozen=True)
class Wanted:
    """The layers and reductions that the user gave."""

    layers: Sequence[str] | None
    reductions: str | Mapping[str, str]
    tokens: int = 0
    """T where samples are token positions, else 0."""
    towers: Mapping[str, Sequence[str]] | bool | None = None
    """Patterns of each tower's layers; None: towers are found; False: one chain."""
    grouped: Tensor | None = None
    """The token ids of the traced samples, [n, T], where groups are the tokens that follow them; else None."""


def find_points(model: nn.Module, traced: Trace, inputs: Any, n: int, wanted: Wanted) -> Found:
    """The points of each tower's load curve in forward order: input, layers, logits.

    Args:
        model: the inner model.
        traced: a forward pass of n samples.
        inputs: the arguments of the pass.
        n: samples in the pass.
        wanted: patterns and reductions.

    Raises:
        ConfigError: a pattern matches no module, or no layer was found.
    """

    def fit(call: Call, where: str) -> str:
        return _unfit(call.shape if where == "after" else call.input_shape, n, wanted.tokens)

    usable = [call for call in traced.calls if not fit(call, "after")]
    named = None if wanted.layers is None else _named(usable, wanted.layers)
    towers: Mapping[str, list[Call]] | bool | None
    if isinstance(wanted.towers, Mapping):
        towers = {name: _named(usable, own, f"towers[{name!r}]") for name, own in wanted.towers.items()}
    else:
        towers = wanted.towers
    selection = select(traced, fit, named, towers)
    found = Found([], left_out_of(model, traced, selection, fit), selection.by_order)
    for chain in selection.chains:
        if not chain.stops:
            continue
        if _reads_other_tokens(traced, chain, inputs, wanted.grouped):
            reason = "its tokens are others than those that are grouped"
            rows = rows_of(stop.layer for stop in chain.stops)
            found.left_out += [replace(row, reason=reason, is_missed=True) for row in rows]
            continue
        points = [_entry(traced, usable, chain, inputs, fit), *(_point(stop, chain) for stop in chain.stops)]
        out = traced.output
        if chain.has_output and out is not None and not _unfit(tuple(out.shape), n, wanted.tokens):
            end = Point(OUTPUT, "model", tuple(out.shape), role="logits", features_last=traced.features_last)
            points.append(replace(end, logits=True, samples_first=out.shape[0] == n))
        found.towers.append(TowerPoints(chain.path, _with_unique_names(_reduced(model, points, wanted))))
    if not found.towers:
        raise ConfigError(
            "no layer was found between input and output: name modules with layers=['fc1', 'blocks.*'], or use "
            f"modules as activations; it runs {_some(sorted({c.label for c in traced.calls})) or 'no module'}"
            f"{_listed(found.left_out)}"
        )
    return found


def _listed(rows: Sequence[LeftOutRow]) -> str:
    """What was left out and why, to end an error's text with."""
    return "".join(f"; left out: {row.name} ({row.module}): {row.reason}" for row in rows[:4])


def _with_unique_names(points: list[Point]) -> list[Point]:
    """The points with input and logits in parentheses where a module of the user's has the same name."""
    last = len(points) - points[-1].logits
    taken = {point.name for point in points[1:last]}
    ends = [points[0], *points[last:]]
    first, *end = [replace(point, name=f"({point.name})") if point.name in taken else point for point in ends]
    return [first, *points[1:last], *end]


def _unfit(shape: tuple[int, ...], n: int, tokens: int) -> str:
    """Why features of this shape cannot be measured, in words; "" where they hold n samples, and their tokens."""
    if not shape:
        return "returned no features"
    if tokens and not (len(shape) > 2 and sorted(shape[:2]) == sorted((n, tokens))):
        return f"its output has no axis of the {tokens} tokens that are grouped"
    return "" if n in shape[:2] else "its output has no axis of samples"


def _is_tokens(call: Call) -> bool:
    return len(call.input_shape) == 3 and call.features_last is not False


def _named(calls: list[Call], patterns: Sequence[str], option: str = "layers") -> list[Call]:
    """Calls whose label matches a pattern, in forward order; raises ConfigError where a pattern matches none."""
    labels = [call.label for call in calls]
    for pattern in patterns:
        if not any(fits(label, pattern) for label in labels):
            near = nearest(pattern, labels)
            raise ConfigError(
                f"{option}: {pattern!r} matches no module that runs and returns features"
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


def _entry(traced: Trace, usable: list[Call], chain: Chain, inputs: Any, fit: Fit) -> Point:
    """The point of D_0: the input of the first layer of tokens; else the tower's, after normalisation if any.

    Where the tower's input is no floating-point tensor, the first module's output.
    """
    batch, number = _batch_of(traced, chain, inputs)
    first = chain.stops[0]
    if chain.starts_embedded and (batch is None or _is_tokens(first.layer)):
        taker = entering(traced, first, fit)
        if len(taker.input_shape) > 1:
            return replace(_after(taker), name=INPUT, where="before", shape=taker.input_shape)
    innermost = next(call for call in reached_from(traced, chain.root, usable) if call.inner == 0)
    if batch is None or (rules.NORM.search(innermost.kind) and innermost.input_shape == tuple(batch.shape)):
        return replace(_after(innermost), name=INPUT)
    return Point(INPUT, "batch", tuple(batch.shape), number=number)


def _reads_other_tokens(traced: Trace, chain: Chain, inputs: Any, grouped: Tensor | None) -> bool:
    """Whether a tower's input are other token ids than those that the groups belong to."""
    if grouped is None or traced.flow is None or chain.root is None:
        return False
    own = list(tensors_in(inputs))[traced.flow.inputs.index(chain.root)]
    return not own.is_floating_point() and own.ndim == 2 and not torch.equal(own.cpu(), grouped.to(own.dtype))


def _batch_of(traced: Trace, chain: Chain, inputs: Any) -> tuple[Tensor | None, int]:
    """A tower's floating-point input, [n, …], with its number among the model's; None where it is not."""
    tensors = list(tensors_in(inputs))
    if traced.flow is None or chain.root is None:
        given = next((tensor for tensor in tensors if tensor.ndim), None)
        return (None if given is not None and not given.is_floating_point() else first_real(inputs)), 0
    at = traced.flow.inputs.index(chain.root)
    real = [tensor.is_floating_point() for tensor in tensors]
    return (tensors[at], sum(real[:at])) if real[at] and tensors[at].ndim else (None, 0)


def _point(stop: Stop, chain: Chain) -> Point:
    """The point of a place on the path."""
    where, call = stop.where, stop.call
    point = replace(_after(call), name=stop.label, where=where, layer=stop.layer.kind, note=stop.note)
    shape = call.shape if where == "after" else call.input_shape
    last = stop.layer.features_last
    return replace(point, shape=shape, role=chain.roles.get(stop.label, "named"), features_last=last)


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
        layer=call.kind,
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
    for how in [reductions] if isinstance(reductions, str) else reductions.values():
        if how not in REDUCTIONS:
            raise ConfigError(f"reductions: {how!r} is not allowed; allowed: {', '.join(REDUCTIONS)}")


def _size(shape: tuple[int, ...]) -> int:
    """Numbers a sample in features of a shape."""
    size = 1
    for length in shape[1:]:
        size *= length
    return size


def checked_towers(
    towers: Mapping[str, str | Sequence[str]] | bool | None, layers: object
) -> Mapping[str, Sequence[str]] | bool | None:
    """The towers that the user named, each with a list of patterns; True counts as None, to find them.

    Raises:
        ConfigError: it is no mapping of names to patterns, or layers are named too.
    """
    if towers is None or isinstance(towers, bool):
        return False if towers is False else None
    if layers is not None:
        raise ConfigError("layers and towers are both given; allowed: one of them, towers={'name': [patterns]}")
    if not isinstance(towers, Mapping) or not towers:
        raise ConfigError(f"towers = {towers!r} is not allowed; allowed: {{'name': [patterns]}}, None or False")
    for name in towers:
        if not isinstance(name, str) or not name or "/" in name:
            raise ConfigError(f"towers: the name {name!r} is not allowed; allowed: text without '/'")
    return {name: [own] if isinstance(own, str) else list(own) for name, own in towers.items()}
