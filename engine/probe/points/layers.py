"""The points of a model's load curve: what is measured at each, and how its features become vectors."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from ...errors import ConfigError
from .axes import Axis, FeatureAxes, numbers_a_sample
from .left_out import LeftOutRow
from .looks import Looks, Samples
from .reductions import FLAT, REDUCTIONS
from .trace import Call, Where

INPUT, OUTPUT = "input", "logits"


@dataclass(frozen=True)
class Point:
    """One point of the load curve."""

    name: str
    where: Literal["batch", "before", "after", "model"]
    """batch: the model's input; before, after: the input or output of ``module``; model: the model's output."""
    shape: tuple[int, ...]
    """Shape of its features in the traced pass."""
    module: nn.Module | None = None
    number: int = 0
    """Number of the module's call, from 0."""
    reduction: str = "flatten"
    samples_axis: int = 0
    features_axis: int | None = None
    """None where all numbers of a sample are taken in any order."""
    rows: int = 1
    """Rows of each sample in the samples' axis; more than 1 where another axis is folded into it."""
    interleaved: bool = False
    """Whether rows of a sample lie N apart in it, instead of side by side."""
    varying: bool = False
    """Whether the number of its features depended on which samples ran together."""
    why: str = ""
    """How the axes were told, in words."""
    logits: bool = False
    layer: str = ""
    """Class of the layer that it stands for; "" where that is the model."""
    role: Literal["input", "block", "activation", "map", "named", "logits"] = "input"
    note: str = ""
    """Where its features are taken, if not at the layer's output."""


@dataclass(frozen=True)
class Wanted:
    """The layers and reductions that the user gave."""

    layers: Sequence[str] | None
    reductions: str | Mapping[str, str]
    tokens: int = 0
    """T where samples are token positions, else 0."""
    towers: Mapping[str, Sequence[str]] | bool | None = None
    """Patterns of each tower's layers; None: towers are found; False: one chain."""
    grouped: Tensor | None = None
    """The token ids of the probe batch, [N, T], where groups are the tokens that follow them; else None."""


@dataclass(frozen=True)
class TowerPoints:
    """The points of one tower."""

    path: str
    """Name of the tower; "" where the model has only one."""
    points: list[Point]


@dataclass
class Found:
    """What is measured of a model, and what is not."""

    towers: list[TowerPoints]
    """The main one first."""
    left_out: list[LeftOutRow]
    open: list[str]
    """Names of points where it stayed open which axis is the features'."""
    by_order: str = ""
    """Why the layers are in the order of calls; "" where the flow of data is known."""


def fits(label: str, pattern: str) -> bool:
    """Whether a label matches a pattern of shell wildcards between dots; ``**`` matches any number of parts.

    A label ends in ``#2`` where it is of a module's second call.
    """
    return _fit(label.split("."), pattern.split("."))


def _fit(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_fit(parts[i:], patterns[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _fit(parts[1:], patterns[1:])


def reduced(points: list[Point], looks: Looks, axes: FeatureAxes, wanted: Wanted) -> tuple[list[Point], list[str]]:
    """The points with axes and reductions, the user's or by the axes; and names of those that stayed open.

    Raises:
        ConfigError: a point has no axis of samples.
    """
    calls = {(call.module, call.number): call for call in looks.first.calls}
    told: list[tuple[Point, Samples, Axis, Call | None]] = []
    for point in points:
        call = looks.first.whole if point.where == "model" else calls.get((point.module, point.number))  # type: ignore[arg-type]
        where: Where = "before" if point.where == "before" else "after"
        found = Samples(0) if call is None or point.where == "batch" else looks.samples(call, where)
        if isinstance(found, str):
            raise ConfigError(f"layer {point.name!r} cannot be measured: it {found}; leave it out with layers=")
        axis = Axis(None, "all numbers of the model's input") if call is None else axes.find(call, where, found)
        told.append((point, found, axis, call))
    images = [(p, found, axis) for p, found, axis, call in told if call and _is_image(p, found, axis)]
    small = all(
        numbers_a_sample(p.shape, found) <= FLAT and not axis.is_linear and not found.varying
        for p, found, axis in images
    )
    told_how, still_open = [], []
    for point, found, axis, call in told:
        how, why = _given_reduction(point.name, wanted.reductions), axis.why
        number = axis.number
        if how != "auto":
            number, why = _given_axis(point, found, how), "given by reductions="
        elif wanted.tokens:
            how = "position"
        elif call is None:
            how = "flatten"
        else:
            how, more = _choice(point, found, axis, looks, call, small=small)
            why = f"{why}; {more}" if more else why
        if axis.is_open and why.startswith("open") and how != "flatten":
            still_open.append(point.name)
        why = f"samples: {found.why}; {why}" if found.why else why
        told_how.append(
            replace(
                point,
                reduction=how,
                samples_axis=found.axis,
                features_axis=number,
                rows=found.rows,
                interleaved=found.interleaved,
                varying=bool(found.varying),
                why=why,
            )
        )
    return told_how, still_open


def _axes_of_a_sample(point: Point, found: Samples) -> int:
    return len(point.shape) - 1 + (found.rows > 1)


def _is_last(point: Point, found: Samples, number: int | None) -> bool:
    """Whether an axis is the last one but for the samples'."""
    last = len(point.shape) - 1
    return number == (last if found.axis != last else last - 1)


def _is_image(point: Point, found: Samples, axis: Axis) -> bool:
    """Whether features are [N, C, …] with several axes of positions."""
    return _axes_of_a_sample(point, found) > 2 and not _is_last(point, found, axis.number)


def _choice(point: Point, found: Samples, axis: Axis, looks: Looks, call: Call, *, small: bool) -> tuple[str, str]:
    """A reduction by the axes, and what else decided it, in words."""
    where: Where = "before" if point.where == "before" else "after"
    if _axes_of_a_sample(point, found) < 2:
        return "flatten", ""
    if _is_image(point, found, axis):
        if small:
            return "flatten", f"flattened: no layer has more than {FLAT} numbers a sample"
        return "spatial_mean", ""
    if not _is_last(point, found, axis.number):
        return "spatial_mean", ""
    if len(point.shape) == 3 and found.rows == 1:
        ranked, more = looks.class_token(call, where)
        return ("class_token" if ranked else "token_mean"), more
    return "token_mean", ""


def _given_axis(point: Point, found: Samples, how: str) -> int | None:
    """The axis of the features as the user's reduction has it: [N, C, …], or [N, …, D]; None where it has none."""
    rest = [axis for axis in range(len(point.shape)) if axis != found.axis]
    if how == "flatten" or not rest:
        return None
    return rest[0] if how == "spatial_mean" else rest[-1]


def _given_reduction(name: str, reductions: str | Mapping[str, str]) -> str:
    if isinstance(reductions, str):
        return reductions if name != INPUT or reductions != "class_token" else "auto"
    return next((how for pattern, how in reductions.items() if fits(name, pattern)), "auto")


def check_reductions(reductions: str | Mapping[str, str]) -> None:
    """Check the names of reductions, one for all points or by pattern.

    Raises:
        ConfigError: a name is unknown.
    """
    if not isinstance(reductions, str | Mapping):
        raise ConfigError(f"reductions = {reductions!r} is not allowed; allowed: one name, or names by pattern")
    for pattern in [] if isinstance(reductions, str) else reductions:
        if not isinstance(pattern, str):
            raise ConfigError(f"reductions: the pattern {pattern!r} is not allowed; allowed: text, as 'blocks.*'")
    for how in [reductions] if isinstance(reductions, str) else reductions.values():
        if how not in REDUCTIONS:
            raise ConfigError(f"reductions: {how!r} is not allowed; allowed: {', '.join(REDUCTIONS)}")


def checked_towers(
    towers: Mapping[str, str | Sequence[str]] | bool | None, layers: object
) -> Mapping[str, Sequence[str]] | bool | None:
    """The towers that the user named, each with a list of patterns; True counts as None, to find them.

    Raises:
        ConfigError: it is no mapping of names to patterns, or layers are named too.
    """
    if towers is None or isinstance(towers, bool):
        return False if towers is False else None
    if layers is not None:
        raise ConfigError("layers and towers are both given; allowed: one of them, towers={'name': [patterns]}")
    if not isinstance(towers, Mapping) or not towers:
        raise ConfigError(f"towers = {towers!r} is not allowed; allowed: {{'name': [patterns]}}, None or False")
    for name in towers:
        if not isinstance(name, str) or not name or "/" in name:
            raise ConfigError(f"towers: the name {name!r} is not allowed; allowed: text without '/'")
    for name, own in towers.items():
        patterns = [own] if isinstance(own, str) else own
        is_sequence = isinstance(patterns, Sequence) and len(patterns) > 0
        if not is_sequence or not all(isinstance(pattern, str) for pattern in patterns):
            raise ConfigError(
                f"towers: {name!r}: {own!r} is not allowed; allowed: one or more patterns, as ['blocks.*']"
            )
    return {name: [own] if isinstance(own, str) else list(own) for name, own in towers.items()}
