"""Orders the layers of a model along the path that data takes through it.

A layer belongs to the path if its output is made from the model's input and the model's output is made from it. Of
such layers those make a chain of which each is made from the one before; where paths run side by side, what every
path passes through is preferred:

- a branch that is added to the path, as in ``x + f(x)``, is measured after the addition, where a module takes it;
- layers of parallel branches are measured where the branches are joined;
- a gate, which scales the path by a smaller tensor, is no layer;
- a long branch, as between the two ends of a skip connection of a U-Net, is followed layer by layer.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn

from .flow import DataFlow
from .trace import Call, Where

__all__ = ["Candidate", "FlowOfLayers", "LeftOut", "Stop", "ancestors", "bits", "descendants"]

_SHORT = 3
"""Most activations or maps in a branch that counts as one layer; blocks are followed from the second on."""
_PRODUCTS = {"mul", "bmm", "mm", "matmul", "baddbmm", "addcmul", "div"}
_JOINED = {"add": "added", "sub": "added", "cat": "concatenated", "mul": "multiplied", "stack": "stacked"}
_GATE = "is a gate: it scales the path"
MAPS = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase)


class LeftOut(NamedTuple):
    """A call that is not measured, and why."""

    call: Call
    reason: str


@dataclass(frozen=True)
class Stop:
    """A place on the path where features are measured."""

    label: str
    call: Call
    """The call at whose end or beginning the features are taken."""
    layer: Call
    """The layer that the point stands for."""
    where: Literal["before", "after"] = "after"
    note: str = ""
    """Where the features are taken, if not at the layer's output."""
    entry: int | None = None
    """The operation that the branches of joined layers begin at."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layer that may be measured."""

    call: Call
    node: int
    """The operation that its output comes from."""
    number: int
    """Its number among the candidates."""


class FlowOfLayers:
    """What the layers of one traced pass are made from.

    Args:
        flow: the flow of data.
        ends: the operations that the output comes from.
        calls: all calls of the pass, in the order of their ends.
        layers: those that may be measured.
        usable: whether a call's output ("after") or its input ("before") can be measured.
        deep: most layers in a branch that counts as one layer.
    """

    def __init__(
        self,
        flow: DataFlow,
        ends: Sequence[int],
        calls: Sequence[Call],
        layers: Sequence[Call],
        usable: Callable[[Call, Where], bool],
        deep: int,
    ) -> None:
        self.flow, self.usable, self.deep = flow, usable, deep
        self.leads = ancestors(flow, ends)
        places = [(call, node) for call in layers if (node := self.node_of(call)) is not None]
        places.sort(key=lambda place: place[1])
        self.candidates = [Candidate(call, node, number) for number, (call, node) in enumerate(places)]
        self.above, self._below = self._bits()
        self.entering: dict[int | None, list[Call]] = {}
        """By operation, the calls whose input comes from it."""
        self.leaving: dict[int, list[Call]] = {}
        """By operation, the calls whose output comes from it, the innermost first."""
        self.is_of_map = bytearray(len(flow))
        """For each operation whether it is part of a linear map."""
        for call in calls:
            self.entering.setdefault(call.entered, []).append(call)
            for node in call.left[:1]:
                self.leaving.setdefault(node, []).append(call)
            if isinstance(call.layer, MAPS):
                self.is_of_map[call.opened : call.closed] = b"\1" * (call.closed - call.opened)
        self._next: list[list[int]] = [[] for _ in range(len(flow))]
        for number, made_from in enumerate(flow.made_from):
            if self.leads[number] and flow.is_real[number]:
                for source in made_from:
                    self._next[source].append(number)

    def node_of(self, call: Call) -> int | None:
        """The operation of a call's outputs that the model's output is made from; None where there is none."""
        return next((node for node in call.left if self.leads[node]), None)

    def above_of(self, node: int) -> bytearray:
        """For each operation whether an operation is made from it."""
        return ancestors(self.flow, [node])

    def leads_to(self, node: int, end: int) -> bool:
        """Whether an operation is made from another."""
        return bool(descendants(self.flow, node)[end])

    def is_made_from(self, later: Candidate, earlier: Candidate) -> bool:
        """Whether one layer's output is made from another's."""
        return bool(self.above[later.node] >> earlier.number & 1)

    def reached_from(self, source: int) -> list[Candidate]:
        """The layers that are made from an operation, in order."""
        reached = descendants(self.flow, source)
        return [candidate for candidate in self.candidates if reached[candidate.node]]

    def is_on_every_path(self, candidate: Candidate, start: int, end: int) -> bool:
        """Whether all features that flow from one operation to another pass through a layer."""
        chain = self.dominators(start, end)
        return chain is not None and candidate.node in chain[0]

    def earlier(self, candidate: Candidate) -> int:
        """The layers that one is made from, itself included, as bits by number."""
        return self.above[candidate.node]

    def later(self, candidate: Candidate) -> int:
        """The layers that are made from one, itself included, as bits by number."""
        return self._below[candidate.node]

    def common(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that are ordered with all the others."""
        every = bits(candidates)
        return [c for c in candidates if not every & ~(self.earlier(c) | self.later(c))]

    def longest_chain(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The longest chain of layers of which each is made from the one before."""
        best: list[list[Candidate]] = []
        for at, candidate in enumerate(candidates):
            chains = [best[i] for i in range(at) if self.is_made_from(candidate, candidates[i])]
            best.append([*max(chains, key=len, default=[]), candidate])
        return max(best, key=len, default=[])

    def chain(
        self, start: int, end: int, candidates: Sequence[Candidate], *, fresh: bool = True
    ) -> tuple[list[Stop], list[LeftOut]]:
        """The places to measure between two operations, in order, and what is left out.

        Args:
            start: an input of the model, or the operation of an earlier layer.
            end: the operation of the model's output, or of a later layer.
            candidates: layers made from ``start`` and leading to ``end``, in order.
            fresh: whether ``start`` is an input of the model.
        """
        walk = _Walk(self)
        stops = walk.between(start, end, list(candidates), None, fresh=fresh)
        gates = {id(left.call) for left in walk.left if left.reason == _GATE}
        others = [candidate for candidate in candidates if id(candidate.call) not in gates]
        if not stops and others:
            kept = self.longest_chain(others)
            at = {id(candidate.call) for candidate in kept}
            walk.left = [left for left in walk.left if id(left.call) not in at]
            stops = [_after(candidate) for candidate in kept]
        return stops, walk.left

    def taker(self, node: int, outside: Call | None = None) -> Call | None:
        """The first call, an outermost one, whose input comes from an operation and can be measured; or None.

        Args:
            node: the operation.
            outside: a call that it must not be part of.
        """
        takers = [
            call for call in self.entering.get(node, []) if call.opened > node and self.usable(call, "before")
        ]
        takers = [call for call in takers if outside is None or not _is_inside(call, outside)]
        outermost = [call for call in takers if not any(_is_inside(call, other) for other in takers)]
        return min(outermost, key=lambda call: call.opened, default=None)

    def only_next(self, node: int) -> int | None:
        """The one operation of features that is made from an operation's; None where there are more."""
        return self._next[node][0] if len(self._next[node]) == 1 else None

    def _bits(self) -> tuple[list[int], list[int]]:
        """For each operation the layers that it is made from, and those made from it, itself included, as bits."""
        above, below = [0] * len(self.flow), [0] * len(self.flow)
        for candidate in self.candidates:
            above[candidate.node] |= 1 << candidate.number
            below[candidate.node] |= 1 << candidate.number
        for number, made_from in enumerate(self.flow.made_from):
            for source in made_from:
                above[number] |= above[source]
        for number in range(len(self.flow) - 1, -1, -1):
            for source in self.flow.made_from[number]:
                below[source] |= below[number]
        return above, below

    def dominators(self, start: int, end: int) -> tuple[list[int], set[int]] | None:
        """The operations on every path of features from one operation to another, and those on any; None: no path.

        Masks and indices carry no features: a path ends where numbers are not real, unless there is no other.
        """
        for real in (True, False):
            found = self._paths(start, end, real)
            if found:
                break
        else:
            return None
        above = {start: start}
        depth = {start: 0}
        for node in sorted(found):
            if node == start:
                continue
            common: int | None = None
            for source in found[node]:
                common = source if common is None else _meet(common, source, above, depth)
            assert common is not None
            above[node], depth[node] = common, depth[common] + 1
        chain = [end]
        while chain[-1] != start:
            chain.append(above[chain[-1]])
        return chain[::-1], set(found)

    def _paths(self, start: int, end: int, real: bool) -> dict[int, list[int]]:
        """The operations on all paths, each with those that it is made from; empty where there is no path."""
        made_from, is_real = self.flow.made_from, self.flow.is_real
        reached: dict[int, list[int]] = {start: []}
        for node in range(start + 1, end + 1):
            if real and node != end and not is_real[node]:
                continue
            sources = [source for source in made_from[node] if source in reached]
            if sources:
                reached[node] = sources
        if end not in reached:
            return {}
        kept = {end}
        for node in range(end, start - 1, -1):
            if node in kept:
                kept.update(reached[node])
        return {node: reached[node] for node in kept}


class _Walk:
    """Follows the path between two operations; ``left`` gathers what is not measured."""

    def __init__(self, layers: FlowOfLayers) -> None:
        self._layers = layers
        self.left: list[LeftOut] = []

    def between(
        self,
        start: int,
        end: int,
        candidates: list[Candidate],
        following: Candidate | None,
        *,
        fresh: bool = False,
    ) -> list[Stop]:
        """The places between two operations.

        Args:
            start, end: operations.
            candidates: layers between them.
            following: the next layer after ``end``, if known.
            fresh: whether ``start`` is an input of the model, at which no layer has been passed.
        """
        found = self._layers.dominators(start, end)
        if found is None:
            return [_after(candidate) for candidate in self._layers.longest_chain(candidates)]
        chain, on_path = found
        places = set(chain)
        inner: dict[int, list[Candidate]] = {}
        here: dict[int, list[Candidate]] = {}
        for candidate in candidates:
            if candidate.node in places:
                here.setdefault(candidate.node, []).append(candidate)
            elif candidate.node in on_path:
                inner.setdefault(bisect.bisect(chain, candidate.node), []).append(candidate)
            else:
                self._leave([candidate], "runs beside the path from the input to the output")
        passes = sorted(here)
        stops: list[Stop] = []
        passed = not fresh
        for at, node in enumerate(chain):
            if at in inner:
                later = next((here[n][0] for n in passes if n >= node), following)
                stops += self._region(chain[at - 1], node, inner[at], later, passed)
                passed = True
            stops += [_after(candidate) for candidate in here.get(node, [])]
            passed = passed or node in here
        return stops

    def _region(
        self, entry: int, merge: int, inner: list[Candidate], following: Candidate | None, passed: bool
    ) -> list[Stop]:
        """The places between two operations on every path, where layers lie on some paths only."""
        layers, flow = self._layers, self._layers.flow
        line = layers.common(inner)
        beside = [candidate for candidate in inner if candidate not in line]
        if beside:
            longest = layers.longest_chain(inner)
            rest = [candidate for candidate in inner if candidate not in longest]
            if len(longest) > _SHORT and 3 * len(layers.longest_chain(rest)) <= len(longest):
                self._leave(rest, f"runs beside {longest[-1].call.label}")
                line, beside = longest, []
        within = bits(inner)
        branch = [s for s in flow.made_from[merge] if layers.above[s] & within]
        others = [s for s in flow.made_from[merge] if s not in branch and flow.is_real[s]]
        how = _JOINED.get(flow.operations[merge], "joined")
        if self._is_gate(merge, branch, others):
            self._leave(inner, _GATE)
            return []
        inside = following is not None and following.call.opened <= merge < following.call.closed
        most = _SHORT if beside else layers.deep
        at_once = len(line) == 1 and branch == [line[0].node] and len(others) == 1
        joins_late = how == "concatenated" and not beside and not at_once
        if len(line) <= most and not inside and not joins_late:
            stop = self._joined(entry, merge, inner, line, following, how)
            if isinstance(stop, Stop):
                replaced = [c for c in line if c.call is not stop.layer]
                self._leave(replaced, f"is in a branch that is {how}: measured with {stop.label}")
                self._leave(beside, f"is one of several branches: measured where they are {how}, as {stop.label}")
                return [stop]
            if stop is not None and (passed or beside):
                name = stop.call.label
                self._leave(line, f"is in a branch that is {how} to the path: measured with {name}")
                self._leave(beside, f"is one of several branches: measured where they are {how}, as {name}")
                return []
        if beside:
            self._leave(beside, "is one of several branches, joined where no module begins or ends")
        if not line:
            return []
        stops = [_after(line[0]), *self.between(line[0].node, merge, line[1:], following)]
        if len(line) <= most and others and not inside and not joins_late:
            last = stops[-1]
            stops[-1] = Stop(last.label, last.call, last.layer, last.where, last.note or f"a branch, {how} later")
        return stops

    def _is_gate(self, merge: int, branch: list[int], others: list[int]) -> bool:
        """Whether a branch ends in a factor that is smaller than what it scales."""
        flow = self._layers.flow
        if flow.operations[merge] not in _PRODUCTS or not branch or not others:
            return False
        return max(flow.sizes[s] for s in branch) < max(flow.sizes[s] for s in others)

    def _joined(
        self,
        entry: int,
        merge: int,
        inner: list[Candidate],
        line: list[Candidate],
        following: Candidate | None,
        how: str,
    ) -> Stop | Candidate | None:
        """Where joined branches are measured: at a module's end or beginning, or with the layer that follows."""
        layers = self._layers
        if following is not None and self._leads_straight(merge, following):
            return following
        node: int | None = merge
        while node is not None:
            for call in layers.leaving.get(node, []):
                around = call.opened > entry and all(_is_inside(c.call, call) for c in inner)
                if around and layers.usable(call, "after"):
                    return Stop(call.label, call, call, entry=entry)
            taker = layers.taker(node, None if following is None else following.call)
            if taker is not None:
                if line:
                    layer = line[-1].call
                    note = f"after its output is {how}, at the input of {taker.label}"
                    return Stop(layer.label, taker, layer, "before", note, entry)
                note = f"branches {how}, at the input of {taker.label}"
                return Stop(f"{taker.label}.in", taker, taker, "before", note, entry)
            node = layers.only_next(node)
        return None

    def _leads_straight(self, node: int, following: Candidate) -> bool:
        """Whether a layer comes next after an operation, with no other map and no branch between them."""
        at: int | None = node
        while at is not None and at < following.node:
            at = self._layers.only_next(at)
            if at is not None and self._layers.is_of_map[at]:
                return False
        return at == following.node

    def _leave(self, candidates: Iterable[Candidate], reason: str) -> None:
        self.left += [LeftOut(candidate.call, reason) for candidate in candidates]


def bits(candidates: Iterable[Candidate]) -> int:
    """Layers as bits by number."""
    found = 0
    for candidate in candidates:
        found |= 1 << candidate.number
    return found


def _after(candidate: Candidate) -> Stop:
    return Stop(candidate.call.label, candidate.call, candidate.call)


def _is_inside(call: Call, other: Call) -> bool:
    """Whether a call is part of another one."""
    return any(parent is other for parent in call.parents)


def _meet(a: int, b: int, above: dict[int, int], depth: dict[int, int]) -> int:
    """The last operation that two operations have in common above them."""
    while a != b:
        if depth[a] < depth[b]:
            a, b = b, a
        a = above[a]
    return a


def ancestors(flow: DataFlow, ends: Sequence[int]) -> bytearray:
    """For each operation whether one of ``ends`` is made from it."""
    marks = bytearray(len(flow))
    for end in ends:
        marks[end] = 1
    for number in range(len(flow) - 1, -1, -1):
        if marks[number]:
            for source in flow.made_from[number]:
                marks[source] = 1
    return marks


def descendants(flow: DataFlow, start: int) -> bytearray:
    """For each operation whether it is made from ``start``."""
    marks = bytearray(len(flow))
    marks[start] = 1
    for number in range(start + 1, len(flow)):
        marks[number] = any(marks[source] for source in flow.made_from[number])
    return marks
