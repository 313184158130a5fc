"""The rules by which calls of modules count as layers: blocks, activations, or maps."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence

from torch import nn

from .flow import DataFlow
from .kinds import ACTIVATION, NORMALISATION, POOLING
from .modules import is_adapted, passes_on
from .path import MAPS
from .trace import Call

_LOOKED_THROUGH = re.compile(r"(Stage|Stages|Encoder|Decoder|Stack|Trunk|Backbone|Group|Model)$")
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_LAST_WORD = re.compile(r"[A-Z][a-z]+$")


def blocks(calls: Sequence[Call], flow: DataFlow | None = None) -> list[Call]:
    """Outermost composite modules whose class is called one after the other, and single ones beside them.

    Args:
        calls: of one pass.
        flow: what was made from what. A class of which no call is made from another, as that of two encoders side
            by side, is looked into. Where the flow is unknown, a class that is called more than once is a block.
    """
    composite = [call for call in calls if is_composite(call)]
    if flow is None:
        counts = Counter(call.kind for call in composite)
        kinds = {kind for kind, count in counts.items() if count > 1}
    else:
        kinds = _one_after_the_other(composite, flow)
    found = _outermost([call for call in composite if call.kind in kinds])
    return _with_siblings(calls, found) if found else []


def _one_after_the_other(calls: Sequence[Call], flow: DataFlow) -> set[str]:
    """The classes of which one call's output is made from another's."""
    of_kind: dict[str, int] = {}
    above = [0] * len(flow)
    for number, call in enumerate(calls):
        of_kind[call.kind] = of_kind.get(call.kind, 0) | 1 << number
        for node in call.left:
            above[node] |= 1 << number
    for node, made_from in enumerate(flow.made_from):
        for source in made_from:
            above[node] |= above[source]
    found = set()
    for number, call in enumerate(calls):
        made_from_calls = functools.reduce(int.__or__, (above[node] for node in call.left), 0)
        if made_from_calls & of_kind[call.kind] & ~(1 << number):
            found.add(call.kind)
    return found


def _with_siblings(calls: Sequence[Call], found: list[Call]) -> list[Call]:
    """The blocks, and composite modules in the same container as blocks that stand between two of them.

    At an end of the container one counts if its class ends with the same word, as DownBlock and ResBlock.
    """
    places = {id(call): place for place, call in enumerate(calls)}
    containers: dict[str, list[Call]] = {}
    for call in found:
        containers.setdefault(_container(call), []).append(call)
    taken = {id(call) for call in found}
    around = {id(parent) for call in found for parent in call.parents}
    added = []
    for call in calls:
        siblings = containers.get(_container(call), [])
        if not siblings or id(call) in taken | around or not is_composite(call):
            continue
        if any(id(parent) in taken for parent in call.parents):
            continue
        between = places[id(siblings[0])] < places[id(call)] < places[id(siblings[-1])]
        alike = _last_word(call) in {_last_word(sibling) for sibling in siblings} - {""}
        if between or alike:
            added.append(call)
    return sorted(found + added, key=lambda call: places[id(call)])


def _container(call: Call) -> str:
    """Name of the module that holds a call's module."""
    return call.name.rpartition(".")[0]


def _last_word(call: Call) -> str:
    found = _LAST_WORD.search(call.kind)
    return found[0] if found else ""


def activations(calls: Sequence[Call], _flow: DataFlow | None = None) -> list[Call]:
    """Activations and, where there are any, recurrent modules; or the pooling right after one."""
    if not any(is_activation(call) for call in calls):
        return []
    return _with_next(calls, lambda call: is_activation(call) or is_recurrent(call), POOLING)


def maps(calls: Sequence[Call], _flow: DataFlow | None = None) -> list[Call]:
    """Linear, convolution and recurrent modules, or the normalisation right after one."""
    return _with_next(calls, is_map, NORMALISATION)


def maps_with_activations(calls: Sequence[Call], _flow: DataFlow | None = None) -> list[Call]:
    """Maps, or the last of the normalisations, activations and poolings that take a map's output one by one."""
    innermost = [call for call in calls if call.inner == 0 and not passes_on(call.module)]
    chosen = []
    for at, call in enumerate(innermost):
        if not is_map(call):
            continue
        last = call
        for following in innermost[at + 1 :]:
            kind = following.kind
            goes_on = is_activation(following) or NORMALISATION.search(kind) or POOLING.search(kind)
            if not goes_on or len(following.shape) < 2 or following.entered not in last.left:
                break
            last = following
        chosen.append(last)
    return chosen


def _outermost(calls: Sequence[Call]) -> list[Call]:
    """Those that are part of none of the others."""
    own = {id(call) for call in calls}
    return [call for call in calls if not any(id(parent) in own for parent in call.parents)]


def is_composite(call: Call) -> bool:
    """Whether a call may be a block: of several modules, with parameters, and no container of blocks."""
    if call.inner < 2 or call.hands_on or isinstance(call.layer, _CONTAINERS) or _LOOKED_THROUGH.search(call.kind):
        return False
    return next(call.module.parameters(), None) is not None


def _with_next(calls: Sequence[Call], wanted: Callable[[Call], bool], extension: re.Pattern[str]) -> list[Call]:
    """Innermost calls of a kind; where a call of the extending kind takes its output next, that call instead."""
    innermost = [call for call in calls if call.inner == 0 and not passes_on(call.module)]
    chosen = []
    for call, following in itertools.zip_longest(innermost, innermost[1:]):
        if wanted(call):
            extends = following is not None and extension.search(following.kind) and len(following.shape) > 1
            if extends and call.left and following.entered is not None:
                extends = following.entered in call.left
            chosen.append(following if extends and following is not None else call)
    return chosen


def is_activation(call: Call) -> bool:
    """Whether a call is of an activation module."""
    plain = next(call.module.parameters(), None) is None or isinstance(call.layer, nn.PReLU)
    return plain and bool(ACTIVATION.search(call.kind))


def is_map(call: Call) -> bool:
    """Whether a call is of a linear, convolution or recurrent module."""
    return isinstance(call.layer, MAPS) or is_adapted(call.layer)


def is_recurrent(call: Call) -> bool:
    """Whether a call is of a recurrent module, whose output has passed an activation."""
    return isinstance(call.layer, nn.RNNBase)
