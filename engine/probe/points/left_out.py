"""Names what is not measured, and why: each module once, modules of one kind together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from . import rules
from .flow import DataFlow
from .modules import modules_by_name
from .path import ancestors
from .selection import Fit, Selection
from .trace import Call, Trace

__all__ = ["LeftOutRow", "left_out_of", "rows_of"]

_SIZES = re.compile(r"(?<=: )\d+×[\d×, a-z]+$")
"""Sizes at the end of a reason, which differ between modules that are left out for the same one."""


@dataclass(frozen=True)
class LeftOutRow:
    """A module, or several of a class with like names, that is not measured."""

    name: str
    """The module's name; of several, with ``*`` where their names differ, and their number."""
    module: str
    """Name of the class."""
    reason: str
    is_missed: bool = False
    """Whether it has parameters, depends on the input and leads to the output."""


def left_out_of(model: nn.Module, traced: Trace, selection: Selection, fit: Fit) -> list[LeftOutRow]:
    """What a selection does not measure: off the path, without samples, and never called.

    What is inside a measured layer, or lies on the path between two, is no part of it: its share is in the load of
    the layer that follows.
    """
    stops = [stop for chain in selection.chains for stop in chain.stops]
    measured = {id(call) for stop in stops for call in (stop.layer, stop.call)}
    listed = {id(left.call) for left in selection.left_out}
    missed = _Missed(traced, measured)
    found: list[tuple[str, str, str, bool]] = [
        (left.call.label, left.call.kind, left.reason, False) for left in selection.left_out
    ]
    for call in _without_samples(traced, fit):
        if id(call) not in listed and missed.is_outside(call) and missed.depends(call):
            listed.add(id(call))
            found.append((call.label, call.kind, fit(call, "after"), missed.leads(call)))
    off = _off_the_path(traced, missed, listed)
    found += [(call.label, call.kind, missed.reason(call), False) for call in off]
    inside = {stop.layer.name for stop in stops}
    for name, module in _never_called(model, traced):
        if not any(name == own or name.startswith(f"{own}.") for own in inside):
            found.append((name, type(module).__name__, "was never called", False))
    return _grouped(found)


class _Missed:
    """Says of calls that are not measured where they stand to the path."""

    def __init__(self, traced: Trace, measured: set[int]) -> None:
        self._measured = measured
        flow = traced.flow or DataFlow()
        self._known = traced.flow is not None
        ends = {node for call in traced.calls if id(call) in measured for node in call.left}
        self._main = ancestors(flow, [*traced.left[:1], *ends] if self._known else ())
        self._any = ancestors(flow, traced.left if self._known else ())
        self._around = {id(parent) for call in traced.calls if id(call) in measured for parent in call.parents}

    def is_outside(self, call: Call) -> bool:
        """Whether a call is no measured one, nor part of one, nor holds one."""
        own = {id(call)} | {id(parent) for parent in call.parents}
        return not own & self._measured and id(call) not in self._around

    def depends(self, call: Call) -> bool:
        """Whether a call's output is made from the model's input, as far as is known."""
        return not self._known or bool(call.left)

    def leads(self, call: Call) -> bool:
        """Whether the model's output is made from a call's, as far as is known."""
        return not self._known or any(self._main[node] for node in call.left)

    def is_off(self, call: Call) -> bool:
        """Whether it is known that a call depends on the input, but the measured output not on it."""
        return self._known and bool(call.left) and not self.leads(call)

    def reason(self, call: Call) -> str:
        """Why a call off the path is not measured."""
        other = any(self._any[node] for node in call.left)
        return "leads to another output than the one measured" if other else "leads to no output"


def _without_samples(traced: Trace, fit: Fit) -> list[Call]:
    """Calls that would be layers if their outputs could be measured, the outermost ones."""
    shaped = [call for call in traced.calls if call.shape]
    found: list[Call] = []
    for rule in (rules.blocks, rules.activations, rules.maps):
        inside = {id(call) for call in found}
        for call in rule(shaped, traced.flow):
            outside = not any(id(parent) in inside for parent in call.parents) and id(call) not in inside
            if outside and fit(call, "after"):
                found.append(call)
    within = {_holder(call) for call in found if not rules.is_map(call)}
    return [call for call in found if not rules.is_map(call) or _holder(call) not in within]


def _holder(call: Call) -> int | None:
    """What the call of the module around a call is known by; None for the model's own."""
    return id(call.parents[-1]) if call.parents else None


def _off_the_path(traced: Trace, missed: _Missed, listed: set[int]) -> Iterable[Call]:
    """Outermost calls with parameters that have no part in the measured output."""
    off = {id(call) for call in traced.calls if missed.is_off(call)}
    for call in traced.calls:
        if id(call) not in off or id(call) in listed or not missed.is_outside(call):
            continue
        if any(id(parent) in off | listed for parent in call.parents):
            continue
        if next(call.module.parameters(), None) is not None:
            yield call


def _never_called(model: nn.Module, traced: Trace) -> Iterable[tuple[str, nn.Module]]:
    """Outermost modules with parameters of which none was called and no parameter read."""
    called = {call.name for call in traced.calls}
    found: list[str] = []
    for name, module in modules_by_name(model).items():
        if any(name.startswith(f"{outer}.") for outer in found):
            continue
        own = {id(parameter) for parameter in module.parameters()}
        if not own or any(c == name or c.startswith(f"{name}.") for c in called):
            continue
        if traced.flow is None or own <= traced.idle:
            found.append(name)
            yield name, module


def rows_of(calls: Iterable[Call]) -> list[LeftOutRow]:
    """One row for the calls of one class and likeness of names, without a reason."""
    return _grouped([(call.label, call.kind, "", False) for call in calls])


def _grouped(found: list[tuple[str, str, str, bool]]) -> list[LeftOutRow]:
    """One row for the modules of one class, reason and likeness of names."""
    groups: dict[tuple[str, str, str], tuple[str, dict[str, bool]]] = {}
    for name, kind, reason, missed in found:
        alike = re.sub(r"\d+", "*", name), kind, _SIZES.sub("", reason)
        groups.setdefault(alike, (reason, {}))[1][name] = missed
    return [
        LeftOutRow(_pattern(list(names)), kind, reason, any(names.values()))
        for (_, kind, _), (reason, names) in groups.items()
    ]


def _pattern(names: list[str]) -> str:
    """One name, or a pattern of several that differ in numbers only, with their count: ``layers.*.fc (6)``."""
    if len(names) == 1:
        return names[0]
    parts = zip(*(re.split(r"(\d+)", name) for name in names), strict=True)
    return f"{''.join(own[0] if len(set(own)) == 1 else '*' for own in parts)} ({len(names)})"
