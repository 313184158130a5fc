"""Selects the layers of a model that are measured: one chain of them, or one a tower.

The rules of ``rules`` name the candidates, in this order: blocks, else activations, else maps. ``path`` and
``towers`` keep those that lie on the path of data and order them. Where the flow of data is not known, the order
of calls decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from . import rules
from .flow import DataFlow
from .path import Candidate, FlowOfLayers, LeftOut, Stop, bits, descendants
from .towers import Branch, best_input, named_branches, split, without_repetitions
from .trace import Call, Trace, Where

__all__ = ["Chain", "Fit", "Selection", "entering", "reached_from", "select"]

Role = Literal["block", "activation", "map", "named"]
Fit = Callable[[Call, Where], str]
"""Why a call's output ("after") or input ("before") cannot be measured, in words; "" where it can."""
_BESIDE = "runs beside the path: it is made from another input"


class _Rule(NamedTuple):
    role: Role
    find: Callable[[Sequence[Call], DataFlow | None], list[Call]]
    """Finds its layers among the calls of a pass, given the flow of data."""
    deep: int
    """Most layers in a branch that counts as one layer."""


_RULES = (
    _Rule("block", rules.blocks, 1),
    _Rule("activation", rules.activations, 3),
    _Rule("map", rules.maps, 3),
)
_MAPS_WITH_ACTIVATIONS = _Rule("map", rules.maps_with_activations, 3)


@dataclass
class Chain:
    """The layers of one tower."""

    stops: list[Stop]
    path: str = ""
    root: int | None = None
    """The operation of the flow that is its input; None where the flow is unknown."""
    has_output: bool = True
    """Whether the model's output is the end of its curve."""
    roles: dict[str, Role] = field(default_factory=dict)
    """By label of a stop, the rule that named it."""

    @property
    def starts_embedded(self) -> bool:
        """Whether what enters the first layer may be its input: of blocks and of layers that the user named."""
        return bool(self.stops) and self.roles.get(self.stops[0].label) in {"block", "named"}


@dataclass
class Selection:
    """The chains of a model, the main one first, and what is left out."""

    chains: list[Chain]
    left_out: list[LeftOut]
    by_order: str = ""
    """Why layers are in the order of calls; "" where the flow of data is known."""


def select(
    traced: Trace, fit: Fit, named: list[Call] | None, towers: Mapping[str, list[Call]] | bool | None
) -> Selection:
    """The layers to measure.

    Args:
        traced: a forward pass.
        fit: says what cannot be measured.
        named: the layers that the user named, or None.
        towers: the layers of each tower that the user named; None: towers are found; False: one chain.
    """
    by_order = "" if traced.flow is not None else traced.flow_failure or "unknown"
    if isinstance(towers, Mapping):
        chains = _named_towers(traced, fit, towers)
        return Selection(chains, [], by_order)
    if named is not None:
        chain = Chain([Stop(c.label, c, c) for c in named], roles={c.label: "named" for c in named})
        chain.root = _root_of(traced, fit, named)
        return Selection([chain], [], by_order)
    usable = [call for call in traced.calls if call.shape and not fit(call, "after")]
    if traced.flow is None:
        return Selection([_by_order(traced, usable)], [], by_order)
    found = _towers(traced, usable, fit) if towers is None else None
    return found or _one_chain(traced, usable, fit)


def _flow_of(traced: Trace, layers: Sequence[Call], fit: Fit, ends: Sequence[int], deep: int) -> FlowOfLayers:
    assert traced.flow is not None
    return FlowOfLayers(traced.flow, ends, traced.calls, layers, lambda call, where: not fit(call, where), deep)


def _by_order(traced: Trace, usable: list[Call]) -> Chain:
    """The layers of the first rule that finds any, in the order of calls."""
    for rule in _RULES:
        if calls := _without_output([Stop(c.label, c, c) for c in rule.find(usable, traced.flow)], rule, traced):
            return Chain(calls, roles={stop.label: rule.role for stop in calls})
    return Chain([])


def _one_chain(traced: Trace, usable: list[Call], fit: Fit) -> Selection:
    """The layers on the path from the main input to the output.

    Blocks that leave one place to measure, as the experts of one layer that stand side by side, do not count where
    another rule finds more. Activations do not count where the path has more than twice as many maps, as where
    functions are the activations of most layers.
    """
    best: Selection | None = None
    for rule in _RULES:
        found = _chain_by_rule(traced, usable, fit, rule)
        if found is not None and (best is None or _length(found) > _length(best)):
            best = found
        if best is None or (_length(best) < 2 and rule.role == "block"):
            continue
        if rule.role == "activation":
            every = _chain_by_rule(traced, usable, fit, _MAPS_WITH_ACTIVATIONS)
            best = every if every is not None and _length(every) > 2 * _length(best) else best
        break
    return best or Selection([Chain([])], [])


def _length(selection: Selection) -> int:
    """Number of layers of the main chain."""
    return len(selection.chains[0].stops)


def _chain_by_rule(traced: Trace, usable: list[Call], fit: Fit, rule: _Rule) -> Selection | None:
    """The layers of one rule on the path from the main input to the output; None where there are none."""
    layers = _flow_of(traced, rule.find(usable, traced.flow), fit, traced.left[:1], rule.deep)
    kept, left = without_repetitions(layers)
    root = best_input(layers, kept, traced.left[0])
    if root is None:
        return None
    reached = {c.number for c in layers.reached_from(root)}
    left += [LeftOut(c.call, _BESIDE) for c in kept if c.number not in reached]
    stops, more = layers.chain(root, traced.left[0], [c for c in kept if c.number in reached])
    stops = _without_output(stops, rule, traced)
    if not stops:
        return None
    roles: dict[str, Role] = {s.label: "map" if rules.is_recurrent(s.layer) else rule.role for s in stops}
    return Selection([Chain(stops, root=root, roles=roles)], left + more)


def _towers(traced: Trace, usable: list[Call], fit: Fit) -> Selection | None:
    """The towers of a model; None where it is one chain.

    Where a tower has no blocks its activations count, and where it has none of these its maps.
    """
    everything = [(rule, call) for rule in _RULES for call in rule.find(usable, traced.flow)]
    every = _flow_of(traced, [call for _, call in everything], fit, traced.left, 1)
    roles = {(call.label, rule.role) for rule, call in everything}
    chosen: list[Candidate] = []
    role_of: dict[str, Role] = {}
    for rule in _RULES:
        taken = bits(chosen)
        beside = [
            c
            for c in every.candidates
            if (c.call.label, rule.role) in roles and not (every.earlier(c) | every.later(c)) & taken
        ]
        role_of |= {c.call.label: rule.role for c in beside}
        chosen += beside
    pure = [rule for rule in _RULES if any((c.call.label, rule.role) in roles for c in every.candidates)][:1]
    layers = _flow_of(traced, [c.call for c in sorted(chosen, key=lambda c: c.node)], fit, traced.left, 1)
    kept, left = without_repetitions(layers)
    branches = split(layers, kept, traced.left[0])
    if not branches or not pure:
        return None
    chains = []
    measured: set[int] = set()
    for branch in branches:
        found = _chain_of(layers, branch, traced, role_of)
        if found is None:
            return None
        chain, more = found
        chains.append(chain)
        left += more
        measured |= {c.number for c in (*branch.layers, *branch.after)}
    left += [LeftOut(c.call, "runs beside the towers") for c in kept if c.number not in measured]
    after = {id(c.call) for branch in branches for c in branch.after}
    own = [[stop.label for stop in chain.stops if id(stop.layer) not in after] for chain in chains]
    names = named_branches(own)
    for chain, name in zip(chains, names, strict=True):
        chain.path = name
    return Selection(chains, left)


def _chain_of(
    layers: FlowOfLayers, branch: Branch, traced: Trace, roles: Mapping[str, Role]
) -> tuple[Chain, list[LeftOut]] | None:
    """A tower's layers in order, and what is left out; None where fewer than two are left."""
    last = branch.layers[-1]
    root = best_input(layers, branch.layers, last.node)
    if root is None:
        return None
    rule = next(rule for rule in _RULES if rule.role == roles[last.call.label])
    layers.deep = rule.deep
    stops, left = layers.chain(root, last.node, branch.layers)
    if branch.after and layers.leads_to(branch.after[0].node, traced.left[0]):
        after = [c for c in branch.after if layers.leads_to(c.node, traced.left[0])]
        more, more_left = layers.chain(last.node, traced.left[0], after, fresh=False)
        stops, left = stops + more, left + more_left
    if branch.has_output:
        stops = _without_output(stops, rule, traced)
    named = {stop.label: roles.get(stop.layer.label, rule.role) for stop in stops}
    return (Chain(stops, "", root, branch.has_output, named), left) if len(stops) > 1 else None


def _named_towers(traced: Trace, fit: Fit, towers: Mapping[str, list[Call]]) -> list[Chain]:
    """The towers that the user named; the output ends the first one whose last layer is before no other's."""
    chains = []
    for name, calls in towers.items():
        stops = [Stop(call.label, call, call) for call in calls]
        chain = Chain(stops, name, _root_of(traced, fit, calls), False, {call.label: "named" for call in calls})
        chains.append(chain)
    ends = list(range(len(chains)))
    if traced.flow is not None:
        lasts = [chain.stops[-1].call for chain in chains]
        layers = _flow_of(traced, lasts, fit, traced.left[:1], 1)
        order = {id(c.call): c for c in layers.candidates}
        known = [order.get(id(call)) for call in lasts]
        ends = [
            at
            for at, own in enumerate(known)
            if own and not any(o and o is not own and layers.is_made_from(o, own) for o in known)
        ]
    for at in ends[:1]:
        chains[at].has_output = True
    return chains


def _root_of(traced: Trace, fit: Fit, calls: list[Call]) -> int | None:
    """The model's input that named layers are made from."""
    if traced.flow is None:
        return None
    layers = _flow_of(traced, calls, fit, traced.left, 1)
    return best_input(layers, layers.candidates)


def _without_output(stops: list[Stop], rule: _Rule, traced: Trace) -> list[Stop]:
    """The stops without those that give the model's output, which would be the same point twice.

    A last block of several of its class is kept, as of an encoder without a head. A last map of the output's
    shape, as where only ``log_softmax`` comes after it, is not.
    """
    kinds = [stop.layer.kind for stop in stops]
    kept = [
        stop
        for stop in stops
        if stop.where == "before"
        or (rule.role == "block" and kinds.count(stop.layer.kind) > 1)
        or not _is_output(stop.call, traced)
    ]
    out = traced.output
    if len(kept) > 1 and out is not None and kept[-1].where == "after":
        last = kept[-1].call
        if rules.is_map(last) and last.shape == tuple(out.shape):
            kept.pop()
    return kept


def _is_output(call: Call, traced: Trace) -> bool:
    """Whether the call's output is the model's output, or a tensor that the model's output is a view of."""
    tensor = None if call.output is None else call.output()
    return tensor is not None and any(tensor is end for end in [traced.output, *traced.ends])


def entering(traced: Trace, stop: Stop, fit: Fit) -> Call:
    """The call whose input is what enters a layer: its own, or the first where its branches begin."""
    if stop.entry is not None:
        layers = _flow_of(traced, [], fit, traced.left, 1)
        if (taker := layers.taker(stop.entry)) is not None:
            return taker
    return stop.layer


def reached_from(traced: Trace, root: int | None, calls: list[Call]) -> list[Call]:
    """The calls whose output is made from an input; all where the flow or the input is unknown."""
    if traced.flow is None or root is None:
        return calls
    reached = descendants(traced.flow, root)
    return [call for call in calls if any(reached[node] for node in call.left)] or calls
