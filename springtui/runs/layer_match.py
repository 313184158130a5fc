"""The layers of two runs matched by name, and their loads beside each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.measures.load_curve import loads
from engine.measures.registry import NETWORK_MEASURES
from engine.runs.records import Curve

from ..state.run_state import points_of, signed_curve
from ..state.wording import number

WRAPPERS = ("base_model.model.", "module.", "_orig_mod.")
"""What wrappers of adapters, of several processes and of compiling put in front of a layer's name."""
ALIKE = 0.01
"""Values are alike where none differs by more than this part of the largest."""
NAMED = 3
"""Layers that a verdict names at most."""
COMPILED = "_orig_mod"
"""The part of a name that a compiled module puts in anywhere."""


class TowerCurve(NamedTuple):
    """The newest curve of a tower, with the names of its points, the input's first."""

    path: str
    points: list[str]
    curve: Curve
    health: Mapping[str, Mapping[str, float]] = {}
    """By measure of layer health, the newest known value by name of a layer."""


class Pair(NamedTuple):
    """A layer of both runs, or of one of them."""

    name: str
    """As in the first run that has it, without wrappers."""
    first: float
    second: float
    """Its loads; NaN where it has none."""
    is_shifted: bool = False
    """Whether it follows another layer in one run than in the other, so that the loads are of unlike stretches."""

    @property
    def difference(self) -> float:
        """The second load minus the first."""
        return self.second - self.first


class Comparison(NamedTuple):
    """Two curves, layer by layer."""

    both: list[Pair]
    """In the first run's order."""
    only_first: list[Pair]
    only_second: list[Pair]
    words: str
    """How they were matched, in one sentence."""


def bare(name: str) -> str:
    """A layer's name without what wrappers put in front of it."""
    while wrapper := next((one for one in WRAPPERS if name.startswith(one) and len(name) > len(one)), ""):
        name = name.removeprefix(wrapper)
    parts = [part for part in name.split(".") if part != COMPILED]
    return ".".join(parts) or name


def bare_names(names: Sequence[str]) -> list[str]:
    """Names without wrappers, as far as they still differ from each other then."""
    found = [bare(name) for name in names]
    count = Counter(found)
    return [short if count[short] == 1 else name for name, short in zip(names, found, strict=True)]


def measures_of_both(first: TowerCurve, second: TowerCurve) -> list[str]:
    """The measures that both curves were taken in; a chain's is not a network's."""
    known = dict.fromkeys([*NETWORK_MEASURES, *first.curve.curves])
    return [name for name in known if points_of(first.curve, name) and points_of(second.curve, name)]


def health_of_both(first: TowerCurve, second: TowerCurve) -> list[str]:
    """The measures of layer health that some layer of each has a value of."""
    return [
        name
        for name, values in first.health.items()
        if _is_any_known(values) and _is_any_known(second.health.get(name, {}))
    ]


def _is_any_known(values: Mapping[str, float]) -> bool:
    return any(math.isfinite(value) for value in values.values())


def compare(first: TowerCurve, second: TowerCurve, measure: str, health: str = "") -> Comparison:
    """Two runs matched by the layers' names, or by place where no name is in both.

    Args:
        first, second: the two.
        measure: of separation, whose loads are compared.
        health: a measure of layer health that is compared in place of the loads; empty for none.
    """
    names, loads_of = zip(*(_layers(one, measure, health) for one in (first, second)), strict=True)
    known = {name: i for i, name in enumerate(names[1])}
    shared = [name for name in names[0] if name in known]
    if not _inner(shared) and _inner(names[0]) and _inner(names[1]):
        return _by_place(names, loads_of)
    both = []
    for i, name in enumerate(names[0]):
        if name in known:
            j = known[name]
            before = (names[0][i - 1] if i else "", names[1][j - 1] if j else "")
            both.append(Pair(name, loads_of[0][i], loads_of[1][j], not health and before[0] != before[1]))
    alone = [
        Pair(name, load, math.nan) for name, load in zip(names[0], loads_of[0], strict=True) if name not in known
    ]
    theirs = [
        Pair(name, math.nan, load)
        for name, load in zip(names[1], loads_of[1], strict=True)
        if name not in set(names[0])
    ]
    return Comparison(both, alone, theirs, _words(len(both), len(names[0]), len(names[1])))


def verdict(found: Comparison, what: str) -> str:
    """Which layers' values differ most, in a sentence; the logits do not count. Empty where nothing is matched.

    Args:
        found: the comparison.
        what: the quantity, as *load*.
    """
    known = [pair for pair in found.both if pair.name != "logits" and math.isfinite(pair.difference)]
    if not known:
        return ""
    known.sort(key=lambda pair: -abs(pair.difference))
    most = abs(known[0].difference)
    sizes = [abs(value) for pair in known for value in (pair.first, pair.second)]
    if most <= ALIKE * max(sizes):
        return f"{what}: alike, no layer moved by more than {number(most)} from A to B"
    moved = [pair for pair in known if abs(pair.difference) >= most / 2][:NAMED]
    words = ", ".join(
        f"{pair.name} ({'+' if pair.difference > 0 else ''}{number(pair.difference)})" for pair in moved
    )
    return f"{what} moved most from A to B: {words}"


def _layers(one: TowerCurve, measure: str, health: str) -> tuple[list[str], list[float]]:
    """Names of the layers without wrappers, and their loads, or values of a measure of health."""
    if health:
        known = one.health.get(health, {})
        return bare_names(list(known)), list(known.values())
    values = signed_curve(one.curve, measure)
    found = [float(load) for load in loads(values)] if len(values) > 1 else []
    names = bare_names(one.points[1 : len(found) + 1])
    return [*names, *(str(i + 1) for i in range(len(names), len(found)))], found


def _inner(names: Sequence[str]) -> list[str]:
    """Names that tell layers of one model from those of another: not that of the logits, which all have."""
    return [name for name in names if name != "logits"]


def _by_place(names: Sequence[Sequence[str]], loads_of: Sequence[Sequence[float]]) -> Comparison:
    """Matched from the input on where there are as many layers, else not at all."""
    counts = len(names[0]), len(names[1])
    but = "but the logits' " if set(names[0]) & set(names[1]) else ""
    no_name = f"no name {but}is in both"
    first = [Pair(name, load, math.nan) for name, load in zip(names[0], loads_of[0], strict=True)]
    second = [Pair(name, math.nan, load) for name, load in zip(names[1], loads_of[1], strict=True)]
    if counts[0] != counts[1]:
        words = f"none is matched: {no_name}; A has {counts[0]} layers, B {counts[1]}"
        return Comparison([], first, second, words)
    both = [a._replace(second=b.second) for a, b in zip(first, second, strict=True)]
    return Comparison(both, [], [], f"the {counts[0]} layers are matched by their place: {no_name}")


def _words(matched: int, first: int, second: int) -> str:
    if matched == first == second:
        return f"all {matched} layers are matched by name"
    return f"{matched} layers are matched by name, of {first} and {second}; the others stand below"
