"""Decides at each point which axis holds the features, and so how they become one vector a sample.

The evidence, in this order:
1. what computed the tensor, or normalises it: the output of a linear map has its features last, that of a
   convolution in axis 1; activations, dropout and pooling keep the axis of what they are given; a sum x + f(x) has
   that of x;
2. sizes: the features are as many as the last map gives, and as normalisations and the next map take;
3. where several axes have that size: one feature of the last map is changed, and the axis is the one along which
   the change stays at one index;
4. else the axis is open: that of the last map, or by the number of axes. It is then named and warned of.

Shape legend: n samples, T tokens or other positions, D features, C channels.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from .kinds import ACTIVATION, NORMALISATION, POOLING
from .looks import Looks, Samples
from .modules import passes_on
from .path import ancestors
from .trace import Call, Where

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_KINDS: tuple[tuple[Any, str, str, int, bool, bool | None], ...] = (
    (nn.Linear, "in_features", "out_features", -1, False, True),
    (nn.Bilinear, "in1_features", "out_features", -1, False, True),
    (nn.MultiheadAttention, "embed_dim", "embed_dim", -1, False, True),
    (_EMBEDDINGS, "embedding_dim", "embedding_dim", -1, False, None),
    (nn.modules.conv._ConvNd, "in_channels", "out_channels", 1, False, False),
    (nn.modules.batchnorm._NormBase, "num_features", "num_features", 1, True, None),
    (nn.GroupNorm, "num_channels", "num_channels", 1, True, None),
)
"""PyTorch's modules: what they take and give, its axis, whether they are normalisations, and ``Width.last``."""
_OTHERS = (("in_features", "out_features", True), ("in_channels", "out_channels", False), ("nx", "nf", True))
"""Attributes by which modules of other libraries say it, and ``Width.last``."""


class Width(NamedTuple):
    """Numbers of features that a module takes and gives, where it says so."""

    taken: int
    given: int
    axis: int | None
    """Axis of its features where it is certain, as -1 after a linear map; else None."""
    is_norm: bool
    last: bool | None
    """Whether a map has its features last, as a linear or recurrent one, or in axis 1; None for other modules."""
    words: tuple[str, str]
    """Names of the attributes that say what it takes and gives."""


@dataclass(frozen=True)
class Axis:
    """The axis of the features in one tensor."""

    number: int | None
    """None where there is only one number a sample."""
    why: str
    is_open: bool = False
    """Whether the evidence did not decide."""
    is_linear: bool = False
    """Whether the last map before is linear or recurrent, so that features of images are no convolution's."""


def width(module: nn.Module) -> Width | None:
    """What a module says about its number of features; None where it says nothing."""
    if isinstance(module, nn.RNNBase):
        given = (module.proj_size or module.hidden_size) * (1 + module.bidirectional)
        size = "proj_size" if module.proj_size else "hidden_size"
        words = "input_size", f"2 × {size}" if module.bidirectional else size
        return Width(module.input_size, given, -1, False, True, words)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        axis = -1 if _is_torch(module) else None  # others' kinds of it turn images of channels first
        sizes = module.normalized_shape
        return Width(sizes[0], sizes[0], axis, True, None, ("normalized_shape",) * 2) if len(sizes) == 1 else None
    for kind, taken, given_, axis_, is_norm, last in _KINDS:
        if isinstance(module, kind):
            a, b = getattr(module, taken), getattr(module, given_)
            return Width(0 if isinstance(module, _EMBEDDINGS) else a, b, axis_, is_norm, last, (taken, given_))
    for taken, given_, last in _OTHERS:
        a, b = getattr(module, taken, None), getattr(module, given_, None)
        if isinstance(b, int) and not isinstance(b, bool):
            return Width(a if isinstance(a, int) else 0, b, None, False, last, (taken, given_))
    weight = getattr(module, "weight", None)
    if NORMALISATION.search(type(module).__name__) and isinstance(weight, Tensor) and weight.ndim == 1:
        return Width(len(weight), len(weight), None, True, None, ("number of weights",) * 2)
    return None


def _is_torch(module: nn.Module) -> bool:
    """Whether a module's ``forward`` is PyTorch's own."""
    owner = next(cls for cls in type(module).__mro__ if "forward" in vars(cls))
    return owner.__module__.startswith("torch.nn.")


class FeatureAxes:
    """Finds the axis of the features at any place of a looked-at model.

    Args:
        looks: the passes.
        tokens: T where samples are token positions, else 0.
    """

    def __init__(self, looks: Looks, tokens: int = 0) -> None:
        self._looks, self._tokens = looks, tokens
        said = [(call, width(call.layer)) for call in looks.first.calls]
        self._sized = [(call, sizes) for call, sizes in said if sizes is not None]
        self._found: dict[tuple[str, Where], Axis] = {}
        self._moved: dict[tuple[str, Where, tuple[int, ...]], set[int]] = {}

    def find(self, call: Call, where: Where, samples: Samples) -> Axis:
        """The axis of the features in a call's input or output."""
        key = call.label, where
        if key not in self._found:
            self._found[key] = self._find(call, where, samples)
        return self._found[key]

    def _find(self, call: Call, where: Where, samples: Samples) -> Axis:
        shape = call.input_shape if where == "before" else call.shape
        last = self._last_map(call, where)
        linear = last is not None and last[1].last is True
        rest = [axis for axis in range(len(shape)) if axis != samples.axis]
        if not rest:
            return Axis(None, "one number a sample")
        if self._tokens and [shape[axis] for axis in rest] == [self._tokens] and samples.rows == 1:
            return Axis(None, f"one number for each of the {self._tokens} grouped tokens", is_linear=linear)
        if len(rest) == 1:
            return Axis(rest[0], "features: the only axis beside the samples", is_linear=linear)
        for certain in (
            self._certain(call.source if where == "before" else call),
            self._taken(call, where),
            self._of_stream(call) if where == "before" else None,
        ):
            if certain is not None and certain[0] in rest:
                return Axis(certain[0], _words(certain[0], shape, [certain[1]]), is_linear=linear)
        if len(rest) == 2 and self._tokens and [shape[axis] for axis in rest].count(self._tokens) == 1:
            other = next(axis for axis in rest if shape[axis] != self._tokens)
            why = f"features: axis {other}; the other one is that of the {self._tokens} grouped tokens"
            return Axis(other, why, is_linear=linear)
        return self._by_size(call, where, shape, rest, last, linear=linear)

    def _by_size(
        self,
        call: Call,
        where: Where,
        shape: tuple[int, ...],
        rest: list[int],
        last: tuple[Call, Width] | None,
        *,
        linear: bool,
    ) -> Axis:
        votes: dict[int, list[str]] = {axis: [] for axis in rest}
        for size, who in self._neighbours(call, where, last):
            for axis in rest:
                if shape[axis] == size:
                    votes[axis].append(who)
        most = max(len(who) for who in votes.values())
        best = [axis for axis in rest if len(votes[axis]) == most] if most else []
        if len(best) == 1:
            return Axis(best[0], _words(best[0], shape, votes[best[0]][:2]), is_linear=linear)
        open_to = set(best or rest)
        tried = [
            (near, self._moving(call, where, near) & open_to)
            for near in self._latest(call, where, {shape[axis] for axis in open_to})
        ]
        for (producer, _), moved in tried:
            if len(moved) == 1:
                axis = moved.pop()
                near = producer.label
                why = f"features: axis {axis}; a change of one feature of {near} stays at one index of it"
                return Axis(axis, why, is_linear=linear)
        axis = _usual(shape, rest, None if last is None else last[1].last)
        sizes = ", ".join(str(shape[axis]) for axis in best or rest)
        fit = "fit the modules around alike" if best else "fit no module around"
        return Axis(axis, f"open: sizes {sizes} {fit}; axis {axis} is taken for the features", True, linear)

    def _neighbours(self, call: Call, where: Where, last: tuple[Call, Width] | None) -> list[tuple[int, str]]:
        """(number of features, who has it, votes) of the maps and normalisations before and after a place."""
        at = call.began if where == "before" else call.ended
        found: list[tuple[int, str]] = []
        if last is not None:
            found.append((last[1].given, f"{last[1].words[1]} of {last[0].label}"))
        inside = call.began if call is not self._looks.first.whole else at
        norms = [(c, w) for c, w in self._sized if w.is_norm and c.ended <= at and c.began >= inside]
        if norms:
            found.append((norms[-1][1].given, f"{norms[-1][1].words[1]} of {norms[-1][0].label}"))
        after = sorted(((c, w) for c, w in self._sized if c.began >= at), key=lambda pair: pair[0].began)
        for wanted in (True, False):
            following = next(((c, w) for c, w in after if w.is_norm is wanted and w.taken), None)
            if following is not None:
                found.append((following[1].taken, f"{following[1].words[0]} of {following[0].label}"))
        return found

    def _last_map(self, call: Call, where: Where) -> tuple[Call, Width] | None:
        """The last map, recurrent layer or embedding that ended at or before a place."""
        at = call.began if where == "before" else call.ended
        before = [(c, w) for c, w in self._sized if c.ended <= at and not w.is_norm]
        return max(before, key=lambda pair: pair[0].ended, default=None)

    def _latest(self, call: Call, where: Where, sizes: set[int]) -> list[tuple[Call, Width]]:
        """The last module before a place that gives as many features as one of the sizes, and the last of those
        that give as many numbers as the place has: the first may be a gate, or lie on another branch.
        """
        at = call.began if where == "before" else call.ended
        numbers = math.prod(call.input_shape if where == "before" else call.shape)
        before = [(c, w) for c, w in self._sized if c.ended <= at and w.given in sizes and c is not call]
        before.sort(key=lambda pair: pair[0].ended)
        as_many = [pair for pair in before if math.prod(pair[0].shape) == numbers]
        return before[-1:] + [pair for pair in as_many[-1:] if pair is not before[-1]]

    def _certain(self, call: Call | None) -> tuple[int, str] | None:
        """The axis of an output's features where what computed it leaves no doubt, and what that is."""
        for _ in itertools.repeat(None, 99):
            if call is None:
                return None
            sizes = width(call.layer)
            if sizes is not None and sizes.axis is not None:
                axis = sizes.axis % len(call.shape) if call.shape else 0
                fits = call.shape and axis < len(call.shape) and call.shape[axis] == sizes.given
                return (axis, f"{sizes.words[1]} of {call.label}") if fits else None
            if call.end is not None:
                call = call.end
            elif _keeps_axes(call):
                call = call.source
            else:
                return None
        return None

    def _taken(self, call: Call, where: Where) -> tuple[int, str] | None:
        """The axis of the features where a normalisation takes the very tensor, and what that is.

        Maps are no proof: a mixer's map takes tokens for features.
        """
        source = call.source if where == "before" else call.end or call
        for taker, sizes in self._sized:
            same = taker is call if where == "before" else False
            if (
                sizes.is_norm
                and sizes.axis is not None
                and (same or (source is not None and taker.source is source))
            ):
                shape = taker.input_shape
                axis = sizes.axis % len(shape) if shape else 0
                if axis < len(shape) and shape[axis] == sizes.taken:
                    return axis, f"{sizes.words[0]} of {taker.label}"
        return None

    def _of_stream(self, call: Call) -> tuple[int, str] | None:
        """The axis of the features in a call's input that is a sum ``x + f(x)``, where it is certain for x.

        Also where x is such a sum. A normalisation says it that takes x, and a module that gives x in this shape,
        unless another axis is as long: x may have been transposed since.
        """
        flow, at, shape = self._looks.first.flow, call.entered, call.input_shape
        while flow is not None and at is not None and flow.operations[at] == "add":
            above = [(source, ancestors(flow, [source])) for source in flow.made_from[at]]
            at = next((s for s, _ in above if any(up[s] for other, up in above if other != s)), None)
            if at is None:
                return None
            for other, sizes in self._sized:
                if sizes.axis is None:
                    continue
                axis = sizes.axis % len(shape)
                if sizes.is_norm and other.entered == at and other.input_shape == shape:
                    return axis, f"{sizes.words[0]} of {other.label}, around which it is added"
                if at in other.left[:1] and other.shape == shape and shape.count(sizes.given) == 1:
                    return axis, f"{sizes.words[1]} of {other.label}, to which it is added"
        return None

    def _moving(self, call: Call, where: Where, last: tuple[Call, Width]) -> set[int]:
        """Axes along which a change of one feature of the last map stays at one index."""
        producer, sizes = last
        shape = call.input_shape if where == "before" else call.shape
        own = [axis for axis, size in enumerate(producer.shape) if size == sizes.given]
        axis = sizes.axis % len(producer.shape) if sizes.axis is not None and producer.shape else None
        if axis not in own:
            usual = {True: len(producer.shape) - 1, False: 1}.get(sizes.last)  # type: ignore[arg-type]
            axis = own[0] if len(own) == 1 else usual
        if axis not in own:
            return set()
        key = f"{call.kind} {producer.kind} {producer.shape}", where, shape  # alike blocks are alike
        if key not in self._moved:
            self._moved[key] = self._looks.followed(producer, axis, call, where)
        return self._moved[key]


def _words(axis: int, shape: tuple[int, ...], sizes: list[str]) -> str:
    """Why an axis of a shape is that of the features: its size, and which modules say it."""
    return f"features: axis {axis}, {shape[axis]} = {' = '.join(sizes)}"


def _usual(shape: tuple[int, ...], rest: list[int], last: bool | None) -> int:
    """The axis that features have where nothing tells: that of the last map; before any, the last one of tokens
    and the first of images. Where no convolution came last, the one that is no side of square images.
    """
    counts = Counter(shape[axis] for axis in rest)
    if last is not False and len(rest) > 2 and sorted(counts.values()) == [1, len(rest) - 1]:
        return next(axis for axis in rest if counts[shape[axis]] == 1)
    return rest[-1] if last or (last is None and len(rest) == 2) else rest[0]


def _keeps_axes(call: Call) -> bool:
    """Whether a module computes element by element, or pools positions, so that its axes are its input's."""
    has_weights = next(call.module.parameters(), None) is not None and not isinstance(call.layer, nn.PReLU)
    if call.inner or has_weights:
        return False
    if ACTIVATION.search(call.kind) or passes_on(call.module):
        return call.shape == call.input_shape
    return bool(POOLING.search(call.kind)) and len(call.shape) == len(call.input_shape)


def canonical(
    x: Tensor, samples_axis: int, features_axis: int | None, rows: int, interleaved: bool, how: str
) -> Tensor:
    """Features with samples first: [n, T, …, D] for means over tokens, [n, C, …] for means over positions.

    Args:
        x: features as a module gave them.
        samples_axis, features_axis: their axes in x; features None where their place does not matter.
        rows, interleaved: as ``Samples``.
        how: the reduction that follows.
    """
    samples, features = samples_axis, features_axis
    if rows > 1:
        sizes = (rows, -1) if interleaved else (-1, rows)
        x = x.reshape(*x.shape[:samples], *sizes, *x.shape[samples + 1 :])
        if features is not None and features > samples:
            features += 1
        samples += interleaved
    if features is not None and features < samples:
        features += 1
    x = x.movedim(samples, 0) if samples else x
    if features is None or how == "flatten":
        return x
    target = 1 if how == "spatial_mean" else x.ndim - 1
    return x if features == target else x.movedim(features, target)


def numbers_a_sample(shape: tuple[int, ...], samples: Samples) -> int:
    """How many numbers features of a shape have for each sample."""
    return math.prod(size for axis, size in enumerate(shape) if axis != samples.axis) * samples.rows
