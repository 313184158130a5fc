"""Splits the layers of a model into towers: chains that begin at inputs and are joined after their last layers.

Towers are found where two or more chains of two or more layers run side by side from the model's inputs, as the
image and the text encoder of CLIP or the members of an ensemble; and where a decoder with an input of its own
reads all of an encoder. The same modules called on several inputs are one tower, measured on the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .path import Candidate, FlowOfLayers, LeftOut, bits
from .trace import Call

__all__ = ["Branch", "best_input", "named_branches", "split", "without_repetitions"]

MOST = 16
"""Most towers that are found by themselves."""


@dataclass(frozen=True)
class Branch:
    """The layers of one tower."""

    layers: list[Candidate]
    after: list[Candidate]
    """Layers that follow after this tower was joined with the others."""
    has_output: bool
    """Whether the model's output is the end of its curve."""


def best_input(layers: FlowOfLayers, candidates: Sequence[Candidate], end: int | None = None) -> int | None:
    """The model's input that the path of some layers begins at; None where they are made from none.

    It is the one that most of the layers are made from; of several, the one whose every path passes through most
    of them, so that a mask that enters every layer is not taken for the features.
    """
    best, most = None, (0, -1, False)
    flow = layers.flow
    for source in flow.inputs:
        reached = {c.number for c in layers.reached_from(source)}
        count = sum(c.number in reached for c in candidates)
        if not count or count < most[0]:
            continue
        target = max(c.node for c in candidates if c.number in reached) if end is None else end
        chain = layers.dominators(source, target)
        places = set(chain[0]) if chain else set()
        rank = (count, sum(c.node in places for c in candidates), flow.is_real[source])
        if rank > most:
            best, most = source, rank
    return best


def without_repetitions(layers: FlowOfLayers) -> tuple[list[Candidate], list[LeftOut]]:
    """The layers without those of the same modules' calls on further inputs, and these."""
    groups = _side_by_side(layers, layers.candidates)
    aside = bits(c for group in groups for c in group)
    kept, left = [c for c in layers.candidates if not aside >> c.number & 1], []
    seen: list[tuple[frozenset[int], list[Candidate]]] = []
    fed = _modules_of(layers, groups)
    for modules, group in zip(fed, groups, strict=True):
        first = next((g for m, g in seen if m == modules and m), None)
        if first is None:
            seen.append((modules, group))
            kept += group
        else:
            reason = "is another call of the same modules: they are measured on their first input"
            left += [LeftOut(candidate.call, reason) for candidate in group]
    return sorted(kept, key=lambda c: (c.node, c.number)), left


def split(layers: FlowOfLayers, candidates: Sequence[Candidate], output: int) -> list[Branch]:
    """The towers among some layers, in the order of their first layers; empty where there is one chain.

    Args:
        layers: what they are made from.
        candidates: the layers.
        output: the operation of the model's measured output: towers that do not lead to it, as of a teacher, come
            last.
    """
    candidates = _without_side_heads(layers, candidates)
    groups = _side_by_side(layers, candidates)
    towers = [group for group in groups if len(layers.longest_chain(group)) > 1]
    if 2 <= len(towers) <= MOST:
        aside, members = bits(c for group in groups for c in group), bits(c for tower in towers for c in tower)
        rest = [c for c in candidates if not aside >> c.number & 1]
        if not any(members & ~layers.earlier(c) for c in rest):
            made_from = layers.above_of(output)
            towers.sort(key=lambda tower: not made_from[max(c.node for c in tower)])
            return [Branch(group, rest if i == 0 else [], i == 0) for i, group in enumerate(towers)]
        return []
    return _encoder_and_decoder(layers, candidates)


def _without_side_heads(layers: FlowOfLayers, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The layers without those that lead to none and branch off where others follow, as a pooler."""

    every = bits(candidates)

    def is_side_head(candidate: Candidate) -> bool:
        own = 1 << candidate.number
        before = layers.earlier(candidate) & every & ~own
        if layers.later(candidate) & every != own or not before:
            return False
        last = max((c for c in candidates if before >> c.number & 1), key=lambda c: c.node)
        return bool(layers.later(last) & every & ~layers.earlier(candidate))

    return [candidate for candidate in candidates if not is_side_head(candidate)]


def _encoder_and_decoder(layers: FlowOfLayers, candidates: Sequence[Candidate]) -> list[Branch]:
    """Encoder and decoder: an input reaches the later layers only, and several of these read the earlier ones."""
    for source in layers.flow.inputs:
        reached = {c.number for c in layers.reached_from(source)}
        decoder = [c for c in candidates if c.number in reached]
        encoder = [c for c in candidates if c.number not in reached]
        if len(encoder) < 2 or len(decoder) < 2 or best_input(layers, encoder) is None:
            continue
        first, last = decoder[0], max(decoder, key=lambda c: c.node)
        reads_all = not bits(encoder) & ~layers.earlier(last)
        own = reads_all and layers.is_on_every_path(first, source, last.node)
        if own and not layers.is_on_every_path(first, encoder[-1].node, last.node):
            return [Branch(encoder, [], False), Branch(decoder, [], True)]
    return []


def _side_by_side(layers: FlowOfLayers, candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Layers that run beside others, in groups of which no two are ordered; empty where all are ordered."""
    common = bits(layers.common(candidates))
    aside = [c for c in candidates if not common >> c.number & 1]
    found: list[int] = []
    for candidate in aside:
        merged = 1 << candidate.number
        ordered = layers.earlier(candidate) | layers.later(candidate)
        for group in [group for group in found if group & ordered]:
            found.remove(group)
            merged |= group
        found.append(merged)
    groups = [[c for c in aside if group >> c.number & 1] for group in found]
    return sorted(groups, key=lambda group: group[0].node)


def _modules_of(layers: FlowOfLayers, groups: list[list[Candidate]]) -> list[frozenset[int]]:
    """For each group the modules with parameters that lead to it and not to all groups."""
    leading = [layers.above_of(max(c.node for c in group)) for group in groups]
    found = []
    for marks in leading:
        own = set()
        for node, calls in layers.leaving.items():
            if marks[node] and not all(other[node] for other in leading):
                own |= {id(call.module) for call in calls if _has_parameters(call)}
        found.append(frozenset(own))
    return found


def _has_parameters(call: Call) -> bool:
    return call.inner == 0 and next(call.module.parameters(), None) is not None


def named_branches(labels: list[list[str]]) -> list[str]:
    """A name for each tower, from the names of its layers: what differs first, as ``encoder`` and ``decoder``."""
    shared = [_common([label.split("#")[0].split(".") for label in tower]) for tower in labels]
    depth = 0
    while all(len(parts) > depth for parts in shared) and len({parts[depth] for parts in shared}) == 1:
        depth += 1
    if all(len(parts) > depth for parts in shared):
        names = [parts[depth] for parts in shared]
        if depth and any(name.isdigit() for name in names):
            names = [f"{parts[depth - 1]}.{parts[depth]}" for parts in shared]
        if len(set(names)) == len(names):
            return names
    parts = [[label.split(".")[depth] for label in tower if label.count(".") >= depth] for tower in labels]
    names = ["".join(_common([list(part) for part in own])).rstrip("_0123456789") for own in parts]
    if all(names) and len(set(names)) == len(names):
        return names
    return [f"tower{i + 1}" for i in range(len(labels))]


def _common(lists: list[list[str]]) -> list[str]:
    """The parts that all lists begin with."""
    common = []
    for parts in zip(*lists, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return common
