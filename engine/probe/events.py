"""Words when something happens to a layer: it carries no load, collapses, dies; its gradients vanish or explode.

A condition is looked at for each layer at every measurement, against a limit of ``ProbeConfig``. It is said once
when it begins to hold, and again only after it was gone: not as soon as the limit is crossed back, but some way
beyond it, so that a value at the limit is not said over and over. Most conditions must hold at several
measurements in a row; the step that is said is that of the first. An unknown value changes nothing. Layers that
follow each other and meet the same condition are named in one sentence; all those without load in one. When a
condition that was said is gone, that is said too, as information.

Shapes: a curve is D_0 … D_L; health has one value a point, [L + 1].
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..measures.load_curve import LEAST_FALL
from ..measures.registry import DEAD, EFFECTIVE_RANK, GRAD_NORM, SATURATED, SCALE, UPDATE_RATIO
from ..settings.probe import ProbeConfig

WARNING, INFO = "warning", "info"
"""Levels of a ``Note``."""
_USUAL, _LEAST_USUAL = 20, 5
"""The usual gradient norm is the median of the last 20 measurements; known from 5 on."""
_BACK_LOAD, _BACK_RANK, _BACK_VANISHED, _BACK_EXPLODED, _BACK_FRACTION = 2.0, 1.25, 10.0, 0.25, 0.9
"""By what a limit is multiplied for the value at which a condition is gone."""
_BACK_FALL = 1.25
"""By what the fall that says that a layer separates the classes is multiplied, where a collapse is to be gone."""


class Look(NamedTuple):
    """One layer against one limit at one measurement."""

    holds: bool
    gone: bool
    value: float
    """As the sentence says it."""

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known, so that nothing changes."""
        return math.isnan(self.value) and not self.holds and not self.gone


UNKNOWN = Look(holds=False, gone=False, value=math.nan)
Looks = list[Look]


def look(value: float, holds: Callable[[float], bool], gone: Callable[[float], bool]) -> Look:
    """The look at a value; ``UNKNOWN`` where it is NaN."""
    return UNKNOWN if math.isnan(value) else Look(holds(value), gone(value), value)


def hidden_loads(curve: Sequence[float], *, logits: bool) -> list[float]:
    """d_1 … d_H of D_0 … D_L: the loads of all layers but the logits."""
    return [before - after for before, after in itertools.pairwise(curve[:-1] if logits else curve)]


def idle(curve: Sequence[float], *, logits: bool, clear: bool, limit: float) -> Looks:
    """Layers that carry no load, either way; unknown while the curve is unclear.

    Their load is less than ``limit`` of the mean load; or most layers carry next to none (``next_to_none``).

    Args:
        curve: D_0 … D_L.
        logits: whether the last point is the logits', which is left out.
        clear: whether the curve's shape means something.
        limit: fraction of the mean load of the hidden layers.
    """
    loads = hidden_loads(curve, logits=logits)
    mean = math.fsum(loads) / len(loads) if loads else math.nan
    if not clear or not mean > 0:
        return [UNKNOWN] * len(curve)
    most, still = next_to_none(loads, limit), next_to_none(loads, _BACK_LOAD * limit)
    looks = [UNKNOWN]
    for at, load in enumerate(loads, start=1):
        one = look(abs(load) / mean, lambda x: x < limit, lambda x: x >= _BACK_LOAD * limit)
        looks.append(one._replace(holds=one.holds or at in most, gone=one.gone and at not in still))
    return looks + [UNKNOWN] * (len(curve) - len(looks))


def next_to_none(loads: Sequence[float], limit: float) -> frozenset[int]:
    """Numbers, from 1, of the layers that carry next to none of the load, where these are most; else empty.

    Each carries less than ``limit`` of the largest load, either way, and all together less than ``limit`` of the
    whole load.
    """
    largest, whole = max(loads, default=0.0), math.fsum(loads)
    rest = {at: load for at, load in enumerate(loads, start=1) if abs(load) < limit * largest}
    is_most = 2 * len(rest) > len(loads) and abs(math.fsum(rest.values())) < limit * whole
    return frozenset(rest) if is_most else frozenset()


def collapsed(ranks: Sequence[float], curve: Sequence[float], limit: float) -> Looks:
    """Layers whose features differ in less than ``limit`` directions, and do not separate the classes.

    Where they separate the classes a low rank is what training aims at: the features of C classes that are well
    separated have an effective rank of up to C - 1, those of a regression's target 1, and the first directions in
    which a network separates classes are few.

    Args:
        ranks: effective rank of each point's features, [L + 1].
        curve: D_0 … D_L.
        limit: least effective rank.
    """
    looks = []
    for at, rank in enumerate(ranks):
        one = look(rank, lambda x: x < limit, lambda x: x >= _BACK_RANK * limit)
        if not one.is_unknown:
            holds = one.holds and not separates(curve, at, LEAST_FALL)
            one = one._replace(holds=holds, gone=one.gone or separates(curve, at, _BACK_FALL * LEAST_FALL))
        looks.append(one)
    return looks


def separates(curve: Sequence[float], at: int, fall: float) -> bool:
    """Whether the classes are separated at a point of a curve; False where this is unknown.

    They are further apart than they are wide (D < 0); or the layers up to this one have carried a load of at least
    ``fall``, of which not as much was lost again. A ``fall`` above ``LEAST_FALL`` asks for more in both cases.

    Args:
        curve: D_0 … D_L.
        at: the point.
        fall: a natural logarithm.
    """
    best = min((d for d in curve[: at + 1] if math.isfinite(d)), default=math.nan)
    has_fallen = curve[0] - curve[at] >= fall and curve[at] - best < 2 * LEAST_FALL - fall
    return curve[at] < LEAST_FALL - fall or has_fallen


def vanishing(norms: Sequence[float], limit: float) -> Looks:
    """Layers whose gradient is shorter than ``limit`` times the longest of the deeper layers."""
    looks = []
    for at, norm in enumerate(norms):
        deeper = max((other for other in norms[at + 1 :] if math.isfinite(other)), default=0.0)
        ratio = norm / deeper if deeper > 0 and math.isfinite(norm) else math.nan
        looks.append(look(ratio, lambda x: x < limit, lambda x: x >= _BACK_VANISHED * limit))
    return looks


def exploding(norms: Sequence[float], usual: Sequence[float], limit: float) -> Looks:
    """Layers whose gradient is longer than ``limit`` times its usual length; NaN where that is unknown."""
    ratios = [
        norm / before if before > 0 and math.isfinite(norm) else math.nan
        for norm, before in zip(norms, usual, strict=True)
    ]
    return [look(x, lambda x: x > limit, lambda x: x <= _BACK_EXPLODED * limit) for x in ratios]


def above(fractions: Sequence[float], limit: float) -> Looks:
    """Layers of which more than the fraction ``limit`` is dead or saturated."""
    return [look(x, lambda x: x > limit, lambda x: x <= _BACK_FRACTION * limit) for x in fractions]


def not_finite(*measures: Sequence[float]) -> Looks:
    """Layers of which any measure is infinite; NaN is no value."""
    known = [[x for x in values if not math.isnan(x)] for values in zip(*measures, strict=True)]
    return [look(max(map(abs, values), default=math.nan), math.isinf, math.isfinite) for values in known]


@dataclass
class _State:
    """One condition of one layer."""

    since: int = 0
    count: int = 0
    """Measurements in a row at which it held."""
    is_said: bool = False


class _Words(NamedTuple):
    """How a condition is said; ``{of}`` is the layers, ``{value}`` the worst of their values, also in percent."""

    one: str
    several: str
    worst: Callable[[Sequence[float]], float] = max
    shallowest: str = ""
    """Where the layers are the shallowest ones; ``{next}`` is the one after them."""
    over: tuple[str, str] = ("", "")
    """When the condition is gone, of one layer and of several."""


_WORDS = {
    "idle": _Words(
        "{of} carries no load", "{of} carry no load", over=("{of} carries load again", "{of} carry load again")
    ),
    "collapsed": _Words(
        "{of} has collapsed: effective rank {value:.2g}",
        "{of} have collapsed: effective rank {value:.2g}",
        min,
        over=("{of} is no longer collapsed", "{of} are no longer collapsed"),
    ),
    "vanishing": _Words(
        "gradients vanish in {of}",
        "gradients vanish in {of}",
        min,
        "gradients vanish below {next}",
        over=("gradients no longer vanish in {of}",) * 2,
    ),
    "exploding": _Words(
        "gradients explode in {of}: {value:.0f} times the usual norm",
        "gradients explode in {of}: up to {value:.0f} times the usual norm",
        over=("gradients no longer explode in {of}",) * 2,
    ),
    DEAD: _Words(
        "{of} is dead: {percent:.0f} % of its units do not respond",
        "{of} are dead: up to {percent:.0f} % of their units do not respond",
        over=("{of} is no longer dead", "{of} are no longer dead"),
    ),
    SATURATED: _Words(
        "{of} is saturated: {percent:.0f} % of its activations",
        "{of} are saturated: up to {percent:.0f} % of their activations",
        over=("{of} is no longer saturated", "{of} are no longer saturated"),
    ),
    "not finite": _Words(
        "{of} has values that are not finite",
        "{of} have values that are not finite",
        over=("the values of {of} are finite again",) * 2,
    ),
    "unmeasured": _Words(
        "{of} has features that are all alike, or not finite",
        "{of} have features that are all alike, or not finite",
        over=("the features of {of} differ again",) * 2,
    ),
}
"""By condition."""
_AT_ONCE = ("not finite", "unmeasured", "exploding")
"""Conditions that are said at the first measurement at which they hold."""


class Event(NamedTuple):
    """What happened to layers."""

    text: str
    """One sentence."""
    level: str = WARNING
    """``warning`` where a condition began to hold, ``info`` where one is gone."""


@dataclass
class Events:
    """The conditions of one tower's layers over a training.

    Args:
        layers: names of the points, input first.
        limits: the settings of the probe.
        logits: whether the last point is the logits'.
        path: name of the tower; empty for one.
    """

    layers: Sequence[str]
    limits: ProbeConfig
    logits: bool
    path: str = ""
    _states: dict[tuple[str, int], _State] = field(default_factory=dict)
    _norms: dict[int, deque[float]] = field(default_factory=dict)

    def see(
        self, step: int, curve: Sequence[float], *, clear: bool, health: Mapping[str, Sequence[float]]
    ) -> list[Event]:
        """One sentence for each condition that begins to hold, or is gone, at this measurement, and its layers.

        Args:
            step: of the measurement.
            curve: D_0 … D_L of the trace ratio.
            clear: whether the curve's shape means something.
            health: values by measure of layer health, as far as they were taken.
        """
        events: list[Event] = []
        for kind, looks in self._looks(curve, clear=clear, health=health).items():
            patience = self._patience(kind)
            new, over = {}, []
            for at, one in enumerate(looks):
                was_said = self._states.setdefault((kind, at), _State()).is_said
                since = self._begun(kind, at, one, step, patience)
                if since is not None:
                    new[at] = (since, one.value)
                if was_said and not self._states[kind, at].is_said:
                    over.append(at)
            known = [at for at, one in enumerate(looks) if not one.is_unknown]
            if over:
                events.append(Event(self._over(kind, over, known, step), INFO))
            if kind == "idle":
                events += [Event(self._without_load(curve, looks, known))] if new else []
            else:
                events += [Event(self._sentence(kind, run, new, known)) for run in _runs(new, known)]
        self._remember(health)
        return events

    def _looks(
        self, curve: Sequence[float], *, clear: bool, health: Mapping[str, Sequence[float]]
    ) -> dict[str, Looks]:
        limits, unknown = self.limits, [math.nan] * len(self.layers)
        norms, ranks = health.get(GRAD_NORM, unknown), health.get(EFFECTIVE_RANK, unknown)
        finite = not_finite(*(health.get(name, unknown) for name in (SCALE, GRAD_NORM, UPDATE_RATIO)))
        unmeasured = [
            UNKNOWN if one.holds or not math.isnan(rank) else Look(math.isnan(d), not math.isnan(d), d)
            for d, one, rank in zip(curve, finite, ranks, strict=True)
        ]
        return {
            "not finite": finite,
            "unmeasured": self._hidden(unmeasured),
            "idle": idle(curve, logits=self.logits, clear=clear, limit=limits.idle_load),
            "collapsed": self._hidden(collapsed(ranks, curve, limits.collapsed_rank)),
            "vanishing": vanishing(norms, limits.vanishing_gradient),
            "exploding": exploding(norms, self._usual(), limits.exploding_gradient),
            DEAD: above(health.get(DEAD, unknown), limits.dead_units),
            SATURATED: above(health.get(SATURATED, unknown), limits.saturated_activations),
        }

    def _patience(self, kind: str) -> int:
        """Measurements in a row at which a condition must hold before it is said."""
        if kind in _AT_ONCE:
            return 1
        return self.limits.idle_measurements if kind == "idle" else self.limits.note_measurements

    def _hidden(self, looks: Looks) -> Looks:
        """The looks without those at the input and the logits."""
        last = len(looks) - self.logits
        return [one if 0 < at < last else UNKNOWN for at, one in enumerate(looks)]

    def _begun(self, kind: str, at: int, one: Look, step: int, patience: int) -> int | None:
        """The step since which a condition holds, where it is to be said now; else None."""
        state = self._states[kind, at]
        if one.is_unknown:
            return None
        if not one.holds:
            state.count = 0
            state.is_said = state.is_said and not one.gone
            return None
        if state.count == 0:
            state.since = step
        state.count += 1
        if state.is_said or state.count < patience:
            return None
        state.is_said = True
        return state.since

    def _sentence(
        self, kind: str, run: Sequence[int], new: Mapping[int, tuple[int, float]], known: Sequence[int]
    ) -> str:
        """The sentence of some of the ``known`` layers; ``new`` has the step since when, and the value."""
        words, names = _WORDS[kind], [self.layers[at] for at in run]
        form = words.one if len(run) == 1 else words.several
        shallower = [self._states[kind, at].is_said for at in known if at < run[0]]
        following = next((joined([self.layers[at]]) for at in known if at > run[-1]), "")
        if words.shallowest and following and all(shallower):
            form = words.shallowest
        worst = words.worst([new[at][1] for at in run])
        text = form.format(of=joined(names), next=following, value=worst, percent=100 * worst)
        return self._said(text, max(new[at][0] for at in run))

    def _without_load(self, curve: Sequence[float], looks: Looks, known: Sequence[int]) -> str:
        """The sentence of all layers that carry no load, those that were said before among them."""
        run = [at for at in known if looks[at].holds and self._states["idle", at].is_said]
        loads = hidden_loads(curve, logits=self.logits)
        groups = [joined([self.layers[at] for at in group]) for group in _runs(run, known)]
        text = _WORDS["idle"].one if len(run) == 1 else _WORDS["idle"].several
        if set(run) == next_to_none(loads, self.limits.idle_load):
            loaded = _runs(set(known) - set(run), known)
            where = enumerated([joined([self.layers[at] for at in group]) for group in loaded])
            text = f"all the load is in {where}; {{of}} {'carries' if len(run) == 1 else 'carry'} next to none"
        since = max(self._states["idle", at].since for at in run)
        return self._said(text.format(of=enumerated(groups)), since)

    def _over(self, kind: str, run: Sequence[int], known: Sequence[int], step: int) -> str:
        """The sentence of all layers of which a condition is gone."""
        groups = [joined([self.layers[at] for at in group]) for group in _runs(run, known)]
        return self._said(_WORDS[kind].over[len(run) > 1].format(of=enumerated(groups)), step)

    def _said(self, text: str, since: int) -> str:
        """A sentence with the tower's name and the step since when."""
        return f"{self.path + ': ' if self.path else ''}{text} since step {since}"

    def _usual(self) -> list[float]:
        kept = [self._norms.get(at, ()) for at in range(len(self.layers))]
        return [statistics.median(norms) if len(norms) >= _LEAST_USUAL else math.nan for norms in kept]

    def _remember(self, health: Mapping[str, Sequence[float]]) -> None:
        """Keep gradient norms for the usual one, but not those of an explosion."""
        for at, norm in enumerate(health.get(GRAD_NORM, ())):
            if math.isfinite(norm) and not self._states[("exploding", at)].is_said:
                self._norms.setdefault(at, deque(maxlen=_USUAL)).append(norm)


def _runs(chosen: Collection[int], known: Sequence[int]) -> Iterator[list[int]]:
    """The chosen ones of the known numbers, in groups that follow each other without a gap."""
    for is_chosen, group in itertools.groupby(known, chosen.__contains__):
        if is_chosen:
            yield list(group)


def joined(names: Sequence[str]) -> str:
    """Layers that follow each other: ``blocks 9 and 10``, ``blocks 9 to 12``, ``layers 1 to 7``, ``a to d``."""
    first, last = names[0], names[-1]
    if len(names) == 1:
        return f"layer {first}" if first.isdecimal() else first
    word = "and" if len(names) == 2 else "to"
    (before, _, number), (same, _, end) = first.rpartition("."), last.rpartition(".")
    if before == same and number.isdecimal() and end.isdecimal():
        return f"{before or 'layers'} {number} {word} {end}"
    return f"{first} {word} {last}"


def enumerated(groups: Sequence[str]) -> str:
    """Groups of layers in a sentence: ``conv1, blocks 2 to 5 and fc``; ``blocks 2 and 3, and fc``."""
    *most, last = groups
    comma = "," if any(" and " in group for group in most) else ""
    return f"{', '.join(most)}{comma} and {last}" if most else last
