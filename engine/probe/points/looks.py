"""Looks at a model: passes with different numbers of samples, which show the axis of the samples.

The axis whose size follows the number of samples is theirs, wherever it stands, whatever other sizes there are.
Where several rows of a sample are folded into it ([N·T, …]), two more passes, whose samples are shifted by one,
show whether the rows of a sample lie side by side or N apart. The same passes show class tokens.

Shape legend: n, m samples of the two looks, T tokens, D features.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..batch.batch import chunk_bounds
from .modules import owners
from .trace import BySample, Call, Inspect, Trace, Where, trace, trace_flow

Run = Callable[[Any, Any], Any]
"""Runs the model on positional and named arguments and returns its output."""
Take = Callable[[int, int], tuple[Any, Any]]
"""The arguments of samples start … stop - 1 of the probe batch, anew each time."""
_FIRST, _SECOND, _FEWEST = 31, 7, 3
"""Samples of the two looks: few and prime, so that other sizes are seldom multiples of them; and the fewest of the
first one, whatever the chunk."""
_ALIKE = 1e-4
"""Share of the features' spread up to which rows count as equal; passes differ by rounding."""
_CLASS_TOKEN = re.compile(r"(^|\.)(cls_token|class_token|class_embedding|cls)$")
_MOST_TOKENS = 16
"""Most tokens that join the others at once: the class's, a teacher's, registers."""


@dataclass(frozen=True)
class Samples:
    """Where the samples are in the features of one point."""

    axis: int
    rows: int = 1
    """Rows of each sample in the axis; more than 1 where another axis is folded into it."""
    interleaved: bool = False
    """Whether rows of a sample lie N apart, so that row r is of sample r % N, instead of side by side."""
    varying: frozenset[int] = frozenset()
    """Other axes whose size depends on which samples run together."""
    why: str = ""


@dataclass
class _Content:
    """What the two shifted passes show, by label of the call and side."""

    rows: dict[tuple[str, Where], list[Tensor]] = field(default_factory=dict)
    """Of folded features, some numbers that tell rows apart, [rows, 3], of each pass."""
    first_alike: dict[tuple[str, Where], bool] = field(default_factory=dict)
    """Of features of tokens, whether the first token is the same in all samples and the last is not."""


class Looks:
    """The passes, and what they show about the samples.

    Args:
        model: the inner model.
        run: runs the model.
        take: gives samples of the probe batch.
        total: samples of the probe batch, at least 3.
        chunk: samples that may go through the model at once.
        by_sample: gives features with samples in front: ``ProbeBatch.by_sample``.
        is_whole: whether the model must run on all samples at once, as on graphs.

    Raises:
        Exception: the model's, where it runs neither few samples nor a whole chunk.
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        take: Take,
        total: int,
        chunk: int,
        by_sample: BySample,
        *,
        is_whole: bool = False,
    ) -> None:
        self.model = model
        self._call, self._take, self.by_sample, self._is_whole = run, take, by_sample, is_whole
        self.n = total if is_whole else min(total, max(chunk, _FEWEST), _FIRST)
        whole = chunk_bounds(total, chunk)[0][1]
        try:
            self.first = trace_flow(model, run, lambda: take(0, self.n), by_sample)
        except Exception:  # the model's own, of any type: it may take only batches of one size
            if whole == self.n:
                raise
            first = whole
            try:
                self.first = trace_flow(model, run, lambda: take(0, first), by_sample)
            except Exception:
                first = 0
            if not first:
                raise
            self.n = first
        self.m = _SECOND if self.n > _SECOND else self.n - 1
        self._second: Trace | None = None
        if not is_whole:
            with contextlib.suppress(Exception):  # as above
                # the last samples, since their texts may be longer than those of the first
                self._second = trace(model, lambda: self._run(total - self.m, total), by_sample=by_sample)
        self._others = {} if self._second is None else {call.label: call for call in self._second.calls}
        self._class_tokens = _owners(model)
        self._shifted: _Content | None = None
        self._scopes: dict[str, tuple[str, int, int] | None] = {}
        self._known: dict[tuple[str, Where], Samples | str] = {}

    def _run(self, start: int, stop: int) -> Any:
        """The model's output for samples start … stop - 1 of the probe batch."""
        return self._call(*self._take(start, stop))

    @property
    def are_two(self) -> bool:
        """Whether the model ran two different numbers of samples."""
        return self._second is not None

    def samples(self, call: Call, where: Where = "after") -> Samples | str:
        """Where the samples are in a call's input or output; or, in words, why it cannot be measured."""
        key = call.label, where
        if key not in self._known:
            self._known[key] = self._samples(call, where)
        return self._known[key]

    def _samples(self, call: Call, where: Where) -> Samples | str:
        shape = _shape(call, where)
        if not shape:
            return "returned no features"
        if self._second is None:
            return self._by_rule(call, shape)
        other = self._second.whole if call is self.first.whole else self._others.get(call.label)
        if other is None or not _shape(other, where):
            return "was not called in every pass"
        found = _following(shape, _shape(other, where), self.n, self.m)
        if isinstance(found, str) or found.rows == 1:
            return found
        return self._ordered(call, where, found)

    def _by_rule(self, call: Call, shape: tuple[int, ...]) -> Samples | str:
        """By the one look: the first of two axes that has n rows, or the second where a module says so."""
        axes = [axis for axis in range(min(2, len(shape))) if shape[axis] == self.n]
        if self._is_whole:
            return Samples(0) if 0 in axes else f"has rows of no sample: {_words(shape)} for {self.n} samples"
        if not axes:
            return f"has no axis of {self.n} samples, the only batch that the model ran"
        said = [
            getattr(part, "batch_first", None) for part in (call.module, getattr(call.module, "self_attn", None))
        ]
        first = False not in said
        return Samples(axes[0 if first else -1], why=f"axis by rule: the model runs batches of {self.n} only")

    def _ordered(self, call: Call, where: Where, found: Samples) -> Samples | str:
        """Folded rows with their order; in words, where a row belongs to no one sample."""
        pair = self._content().rows.get((call.label, where), [])
        if len(pair) != 2 or pair[0].shape != pair[1].shape:
            return "folds rows of several samples in an order that two passes did not show"
        before, after = pair
        spread = float((before - before.mean(0)).abs().max()) + 1e-30

        def fits(*, interleaved: bool) -> bool:
            sizes, axis = ((found.rows, self.m), 1) if interleaved else ((self.m, found.rows), 0)
            a, b = before.reshape(*sizes, -1), after.reshape(*sizes, -1)
            moved = a.narrow(axis, 1, self.m - 1) - b.narrow(axis, 0, self.m - 1)
            return float(moved.abs().max()) <= _ALIKE * spread

        for interleaved in (False, True):
            if fits(interleaved=interleaved):
                apart = "every Nth row" if interleaved else "side by side"
                why = f"{found.rows} rows a sample, {apart}"
                return Samples(found.axis, found.rows, interleaved, found.varying, why)
        return f"mixes samples: {found.rows} rows for each, none of which follows one sample alone"

    # class tokens

    def class_token(self, call: Call, where: Where) -> tuple[bool, str]:
        """Whether the first of the tokens of [N, T, D] features is a class token to measure; and why, in words.

        Only in the module that owns the parameter (or that one's parent, where its owner hands the token on), once
        the token has joined the others, and where it differs between samples.
        """
        for owner in self._class_tokens:
            at = call.began if where == "before" else call.ended
            if owner not in self._scopes:
                self._scopes[owner] = self._joined(owner)
            joined = self._scopes[owner]
            if joined is None or not _within(call.name, joined[0]) or at < joined[1]:
                continue
            shape, found = _shape(call, where), self.samples(call, where)
            if isinstance(found, str) or _tokens(shape, found) != joined[2]:
                continue
            if self._content().first_alike.get((call.label, where), False):
                return False, "the class token is alike in all samples"
            return True, "the class token has joined"
        return False, ""

    def _joined(self, owner: str) -> tuple[str, int, int] | None:
        """Where a class token belongs, when it joined, and the number of tokens with it; None if it never did."""
        alike = self._content().first_alike
        scope = owner
        own = next((call for call in self.first.calls if call.name == owner), None)
        if own is not None and alike.get((own.label, "after"), False):
            scope = owner.rpartition(".")[0]
        inside = [call for call in self.first.calls if _within(call.name, scope)]
        events = sorted(
            (
                (call.began if where == "before" else call.ended, call, where)
                for call in inside
                for where in _SIDES
            ),
            key=lambda event: event[0],
        )
        earlier: set[int] = set()
        for at, call, where in events:
            shape, found = _shape(call, where), self.samples(call, where)
            if not shape or isinstance(found, str):
                continue
            if alike.get((call.label, where), False):
                tokens = _tokens(shape, found)
                if any(0 < tokens - size <= _MOST_TOKENS for size in earlier):
                    return scope, at, tokens
            rest = [size for axis, size in enumerate(shape) if axis != found.axis]
            earlier |= {math.prod(rest) // size for size in rest if size}
        return None

    # passes whose samples are shifted by one

    def _content(self) -> _Content:
        """What two passes over samples 0 … m - 1 and 1 … m show; run once, and only where it is asked for."""
        if self._shifted is None:
            self._shifted = content = _Content()

            firsts = {call.label: call for call in [*self.first.calls, self.first.whole] if call is not None}

            def inspect(call: Call, where: Where, x: Tensor) -> None:
                if x.is_nested or not x.numel() or call.label not in firsts:
                    return
                shape = tuple(x.shape)
                found = _following(_shape(firsts[call.label], where), shape, self.n, self.m)
                if isinstance(found, str):
                    return
                key, x = (call.label, where), x.detach().movedim(found.axis, 0)
                if found.rows > 1:
                    content.rows.setdefault(key, []).append(_signs(x))
                elif self._class_tokens and x.ndim == 3 and x.shape[1] > 1:
                    content.first_alike.setdefault(key, _equal(x[:, 0]) and not _equal(x[:, -1]))

            for start in (0, 1) if self.are_two else ():
                self._pass(start, start + self.m, inspect)
        return self._shifted

    def _pass(self, start: int, stop: int, inspect: Inspect) -> None:
        """Run some samples, each time with the same random numbers, which a model may draw even in eval mode."""
        first = next(self.model.parameters(), None)
        devices = [first.device] if first is not None and first.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            trace(self.model, lambda: self._run(start, stop), inspect, by_sample=self.by_sample)

    def followed(self, producer: Call, axis: int, target: Call, where: Where) -> set[int]:
        """Axes of a target's features along which a change of one feature of a producer stays at one index.

        Args:
            producer: a call whose output has its features in ``axis``; the same index is changed in all samples.
            target, where: the features to compare, of the producer's width along the axes in question.
        """

        def passed(index: int | None, delta: float) -> Tensor | None:
            got: list[Tensor] = []

            def inspect(call: Call, side: Where, x: Tensor) -> Tensor | None:
                if call.label == target.label and side == where:
                    got.append(x.detach().clone())
                if call.label != producer.label or side != "after" or index is None:
                    return None
                x = x.detach().clone()  # the tensor itself may be a view of a weight
                x.select(axis, index).add_(delta * (1 + float(x.abs().amax())))
                return x

            self._pass(0, self.m if self.are_two else self.n, inspect)
            return got[0] if got else None

        plain = passed(None, 0.0)
        width = producer.shape[axis]
        axes: set[int] = set()
        # always as many passes, so that processes of a sharded model stay in step
        for index, delta in ((0, 10.0), (width // 2, -10.0)):
            changed = passed(index, delta)
            if plain is None or changed is None or plain.shape != changed.shape:
                continue
            differs = (plain != changed) & ~(plain.isnan() & changed.isnan())
            for side, size in enumerate(differs.shape):
                others = [other for other in range(differs.ndim) if other != side]
                if size == width and (differs.sum(others) > 0).nonzero().flatten().tolist() == [index]:
                    axes.add(side)
        return axes


_SIDES: tuple[Where, Where] = ("before", "after")


def _following(a: tuple[int, ...], b: tuple[int, ...], n: int, m: int) -> Samples | str:
    """The axis whose size follows the samples, from shapes with n and with m samples; or what is in the way."""
    if len(a) != len(b):
        return f"has {len(a)} axes with {n} samples, {len(b)} with {m}"
    changed = [axis for axis in range(len(a)) if a[axis] != b[axis]]
    rows = {axis: a[axis] // n for axis in changed if a[axis] * m == b[axis] * n and a[axis] % n == 0 and a[axis]}
    if not changed:
        return f"has no axis of samples: {_words(a)}, however many samples run"
    if not rows:
        return f"does not follow the samples: {_words(a)} with {n}, {_words(b)} with {m}"
    if len(rows) > 1:
        return f"grows with the batch: {_words(a)} with {n} samples, {_words(b)} with {m}"
    axis = next(iter(rows))
    return Samples(axis, rows[axis], varying=frozenset(changed) - {axis})


def _words(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _shape(call: Call, where: Where) -> tuple[int, ...]:
    return call.input_shape if where == "before" else call.shape


def _tokens(shape: tuple[int, ...], found: Samples) -> int:
    """T of features [N, T, D], in whatever place the samples are; 0 of other features."""
    rest = [size for axis, size in enumerate(shape) if axis != found.axis]
    return rest[0] if len(rest) == 2 and found.rows == 1 else 0


def _within(name: str, owner: str) -> bool:
    return owner == "" or name == owner or name.startswith(owner + ".")


def _owners(model: nn.Module) -> list[str]:
    """Names of the modules that own a class token."""
    return list(dict.fromkeys(owner for owner, name in owners(model) if _CLASS_TOKEN.search(name)))


def _signs(x: Tensor) -> Tensor:
    """Three numbers of each row of x [rows, …] that tell it from others, [rows, 3]."""
    flat = x.flatten(1) if x.ndim > 1 else x[:, None]
    flat = flat if flat.dtype == torch.float64 else flat.float()
    weights = torch.linspace(0.5, 1.5, flat.shape[1], dtype=flat.dtype, device=flat.device)
    return torch.stack([flat.mean(1), flat.pow(2).mean(1), (flat * weights).mean(1)], 1)


def _equal(x: Tensor) -> bool:
    """Whether the rows of x [n, D] are equal, to rounding."""
    return float((x - x[:1]).abs().max()) <= _ALIKE * float(x.abs().max())
