"""Finds the points of a model's load curves: its layers in forward order, automatically or by pattern.

``selection`` says which layers are measured, ``left_out`` which are not, ``axes`` how their features are read
(docs/probe.md describes it for users).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...errors import ConfigError, nearest
from ..batch.batch import is_list_of_samples, real_leaves
from ..leaves import leaves_of, tensors_in
from .axes import FeatureAxes
from .kinds import NORMALISATION
from .layers import INPUT, OUTPUT, Found, Point, TowerPoints, Wanted, fits, reduced
from .left_out import LeftOutRow, left_out_of, rows_of
from .looks import Looks
from .path import Stop, descendants
from .selection import Chain, Fit, entering, reached_from, select
from .trace import Call, Trace, Where

__all__ = ["find_points"]

_OTHER_TOKENS = "reads other tokens than those that are grouped"


def find_points(looks: Looks, inputs: Any, wanted: Wanted) -> Found:
    """The points of each tower's load curve in forward order: input, layers, logits.

    Args:
        looks: passes with different numbers of samples.
        inputs: the arguments of the first pass.
        wanted: patterns and reductions.

    Raises:
        ConfigError: a pattern matches no module, or no layer was found.
    """

    def fit(call: Call, where: Where) -> str:
        return _unfit(call, where, looks, wanted.tokens)

    traced, axes = looks.first, FeatureAxes(looks, wanted.tokens)
    usable = [call for call in traced.calls if call.shape and not fit(call, "after")]
    named = None if wanted.layers is None else _named(traced, usable, wanted.layers, fit, "layers")
    towers: Mapping[str, list[Call]] | bool | None
    if isinstance(wanted.towers, Mapping):
        given = wanted.towers.items()
        towers = {name: _named(traced, usable, own, fit, f"towers[{name!r}]") for name, own in given}
    else:
        towers = wanted.towers
    selection = select(traced, fit, named, towers)
    found = Found([], [], [], selection.by_order)
    found.left_out += left_out_of(looks.model, traced, selection, fit) if named is None and not towers else []
    others, is_other = _of_other_tokens(looks, selection.chains, inputs, wanted.grouped)
    for chain in selection.chains:
        if not chain.stops:
            continue
        rows = rows_of(stop.layer for stop in chain.stops if stop in others)
        found.left_out += [replace(row, reason=_OTHER_TOKENS, is_missed=True) for row in rows]
        chain.stops = [stop for stop in chain.stops if stop not in others]
        if not chain.stops:
            continue
        if chain.has_output and is_other:
            kind = type(looks.model).__name__
            found.left_out.append(LeftOutRow(OUTPUT, kind, _OTHER_TOKENS, is_missed=True))
        first = _entry(looks, axes, usable, chain, inputs, fit)
        points = [first, *(_point(stop, chain) for stop in chain.stops)]
        if chain.has_output and not is_other and traced.whole is not None and traced.whole.shape:
            if not (reason := fit(traced.whole, "after")):
                points.append(Point(OUTPUT, "model", traced.whole.shape, logits=True, role="logits"))
            elif named is None:
                found.left_out.append(LeftOutRow(OUTPUT, traced.whole.kind, reason, is_missed=True))
        points, still_open = reduced(_with_unique_names(points), looks, axes, wanted)
        found.towers.append(TowerPoints(chain.path, points))
        found.open += still_open
    if not traced.calls and not type(looks.model).__module__.startswith("torch.nn."):
        raise ConfigError(
            f"{type(looks.model).__name__} calls no module, and nothing else can be seen from outside; call an "
            f"nn.Identity() of its own on the features wherever a point should be"
        )
    if not found.towers:
        raise ConfigError(
            "no layer was found between input and output: name modules with layers=['fc1', 'blocks.*'], or use "
            f"modules as activations; it runs {_some(sorted({c.label for c in traced.calls})) or 'no module'}"
            f"{_listed(found.left_out)}"
        )
    _check_patterns(wanted.reductions, [point.name for tower in found.towers for point in tower.points])
    return found


def _check_patterns(reductions: str | Mapping[str, str], names: Sequence[str]) -> None:
    """Raise ConfigError where a pattern of ``reductions`` matches no point; input and logits may be absent."""
    for pattern in () if isinstance(reductions, str) else reductions:
        if not any(fits(name, pattern) for name in [*names, INPUT, OUTPUT]):
            near = nearest(pattern, names)
            raise ConfigError(
                f"reductions: {pattern!r} matches no point{f'; the nearest is {near!r}' if near else ''}. "
                f"Known: {_some(names)}"
            )


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


def _unfit(call: Call, where: Where, looks: Looks, tokens: int) -> str:
    """Why a call's output or input cannot be measured, in words; "" where it has samples and grouped tokens."""
    found = looks.samples(call, where)
    if isinstance(found, str):
        return found
    if not tokens or found.rows == tokens:
        return ""
    shape = call.input_shape if where == "before" else call.shape
    rest = [size for axis, size in enumerate(shape) if axis != found.axis]
    if rest == [tokens] or (len(rest) == 2 and tokens in rest) or (len(rest) > 2 and rest[0] == tokens):
        return ""
    return f"has no axis of the {tokens} tokens that are grouped"


def _is_tokens(call: Call, looks: Looks, axes: FeatureAxes) -> bool:
    """Whether a call takes [N, T, D], in whatever place the samples are."""
    found = looks.samples(call, "before")
    if isinstance(found, str) or len(call.input_shape) != 3 or found.rows > 1:
        return False
    return axes.find(call, "before", found).number == (1 if found.axis == 2 else 2)


def _named(traced: Trace, usable: list[Call], patterns: Sequence[str], fit: Fit, option: str) -> list[Call]:
    """Calls whose label matches a pattern, in forward order; raises ConfigError where a pattern matches none.

    Args:
        traced: the pass.
        usable: the calls that can be measured.
        patterns: of the user.
        fit: says why others cannot.
        option: the argument that gave the patterns.
    """
    labels = [call.label for call in usable]
    for pattern in patterns:
        if any(fits(label, pattern) for label in labels):
            continue
        unfit = next((call for call in traced.calls if call.shape and fits(call.label, pattern)), None)
        if unfit is not None:
            raise ConfigError(
                f"{option}: {pattern!r} matches {unfit.label!r}, which cannot be measured: it "
                f"{fit(unfit, 'after')}. Known: {_some(labels)}"
            )
        near = nearest(pattern, labels)
        raise ConfigError(
            f"{option}: {pattern!r} matches no module that runs and returns features"
            f"{f'; the nearest is {near!r}' if near else ''}. Known: {_some(labels)}"
        )
    return [call for call in usable if any(fits(call.label, pattern) for pattern in patterns)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" … ({len(names)} in all)" if len(names) > 12 else "")


def _entry(looks: Looks, axes: FeatureAxes, usable: list[Call], chain: Chain, inputs: Any, fit: Fit) -> Point:
    """The point of D_0: the input of the first layer of tokens; else the tower's, after normalisation if any.

    Where the tower's input is no floating-point tensor, the first module's output.
    """
    traced = looks.first
    batch, number = _batch_of(looks, chain, inputs)
    first = chain.stops[0]
    if chain.starts_embedded and (batch is None or _is_tokens(first.layer, looks, axes)):
        taker = entering(traced, first, fit)
        if len(taker.input_shape) > 1:
            note = f"what enters {taker.label}"
            return replace(_after(taker), name=INPUT, where="before", shape=taker.input_shape, note=note)
    innermost = next(call for call in reached_from(traced, chain.root, usable) if call.inner == 0)
    if batch is None or (NORMALISATION.search(innermost.kind) and innermost.input_shape == tuple(batch.shape)):
        return replace(_after(innermost), name=INPUT)
    return Point(INPUT, "batch", tuple(batch.shape), number=number)


def _of_other_tokens(
    looks: Looks, chains: Sequence[Chain], inputs: Any, grouped: Tensor | None
) -> tuple[list[Stop], bool]:
    """The layers whose tokens are others than those that the groups belong to; whether the output's are too.

    Tokens are others where a layer is not made from the grouped ids, and where ids join that another layer, made
    from the grouped ones, is not made from, as those of a decoder. Ids that join before any layer, as types of
    tokens, belong to the same tokens.

    Args:
        looks: the passes.
        chains: the layers; the input of a chain is set to the grouped ids where some of its layers are of these.
        inputs: the arguments of the first pass.
        grouped: the ids of the probe batch, [N, T]; None where groups are no next tokens.
    """
    flow = looks.first.flow
    if flow is None or grouped is None or any(chain.root is None for chain in chains):
        return [], False
    given = zip(flow.inputs, tensors_in(inputs), strict=True)
    ids = [(node, x) for node, x in given if x.ndim == 2 and not x.is_floating_point() and x.dtype != torch.bool]
    own = next((n for n, x in ids if torch.equal(x.cpu(), grouped[: looks.n].to(x.dtype).cpu())), None)
    made_from = {node: descendants(flow, node) for node, _ in ids}

    def reads(nodes: Sequence[int]) -> frozenset[int]:
        """The inputs of ids that the first of some operations is made from."""
        return frozenset(node for node in made_from if any(made_from[node][at] for at in nodes[:1]))

    places = [(stop, reads(_operations_of(stop))) for chain in chains for stop in chain.stops]
    fewest = min((found for _, found in places if own in found), key=len, default=None)
    if own is None or fewest is None:
        return [], False
    others = [stop for stop, found in places if own not in found or found - fewest]
    for chain in chains:
        if any(stop not in others for stop in chain.stops):
            chain.root = own
    output = reads(looks.first.left)
    return others, own not in output or bool(output - fewest)


def _operations_of(stop: Stop) -> Sequence[int]:
    """The operations that what is measured at a place comes from."""
    if stop.where == "after":
        return stop.call.left
    return () if stop.call.entered is None else (stop.call.entered,)


def _batch_of(looks: Looks, chain: Chain, inputs: Any) -> tuple[Tensor | None, int]:
    """A tower's floating-point input, [n, …], with its number among the model's; None where it is not."""
    flow = looks.first.flow
    real = real_leaves(inputs)
    if flow is None or chain.root is None:
        leaves = [leaf for leaf in leaves_of(inputs) if looks.by_sample(leaf)[0] is not None]
        given = next((leaf for leaf in leaves if leaf.data.dim() > 1), next(iter(leaves), None))
    else:
        given = list(leaves_of(inputs))[flow.inputs.index(chain.root)]
        given = given if given.data.dim() else None
    lists = [value for value in [*inputs[0], *inputs[1].values()] if isinstance(value, list)]
    if any(is_list_of_samples(value, looks.n) and any(given is leaf for leaf in value) for value in lists):
        return None, 0
    number = next((i for i, leaf in enumerate(real) if leaf is given), None)
    return (None, 0) if number is None else (looks.by_sample(real[number])[0], number)


def _point(stop: Stop, chain: Chain) -> Point:
    """The point of a place on the path."""
    shape = stop.call.shape if stop.where == "after" else stop.call.input_shape
    role = chain.roles.get(stop.label, "named")
    point = replace(_after(stop.call), name=stop.label, where=stop.where, shape=shape)
    return replace(point, layer=stop.layer.kind, role=role, note=stop.note)


def _after(call: Call) -> Point:
    """The point of a call's output."""
    return Point(call.label, "after", call.shape, call.module, call.number, layer=call.kind)
