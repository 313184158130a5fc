"""Describes a probe: every point with what is measured there and why, and what is left out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from .layers import Found, Point
from .left_out import LeftOutRow

__all__ = ["Description", "PointFacts", "TowerFacts", "describe", "joins_at_first", "notes_of"]

_WIDTH = 100
"""Columns of the text."""
_FEW = 4
"""Parts that a warning names."""
_LEAST = 30
"""Least columns for the reasons."""
NOTHING = "This process measures nothing: rank 0 does, and its describe() names the points."
"""Order of the points where there are none."""


@dataclass(frozen=True)
class PointFacts:
    """One point of a load curve."""

    name: str
    path: str
    """The tower that it belongs to; "" where the model has only one."""
    module: str
    """Class of the layer that it stands for; "" at the model's input, and at what enters a layer."""
    shape: list[int]
    """Shape of its features in the traced pass, of a few samples."""
    samples_axis: int
    features_axis: int | None
    """None where all axes but that of the samples hold features."""
    reduction: str
    why: str
    """What the vectors are, and where they are taken, in words."""
    role: str
    """input, block, activation, map, named (by the user) or logits."""
    features: int
    """Numbers in the vector of one sample."""


@dataclass(frozen=True)
class TowerFacts:
    """One tower."""

    path: str
    layers: list[str]
    logits: bool
    """Whether its last point is the model's output."""
    joins: bool
    """Whether the points after the input are reduced to a class token, and the input is not."""


def joins_at_first(points: Sequence[Point]) -> bool:
    """Whether a class token takes the place of the input's reduction at the first layer."""
    return [point.reduction == "class_token" for point in points[:2]] == [False, True]


@dataclass(frozen=True)
class Description:
    """What a probe measures; ``str`` gives a table."""

    model: str
    """Class of the model."""
    towers: list[TowerFacts]
    """The main one first."""
    points: list[PointFacts]
    left_out: list[LeftOutRow]
    order: str
    """How the points were ordered, in words."""
    health: str = ""
    """Which layer health is measured beside, and what is kept for it, in words."""

    def facts(self) -> dict[str, Any]:
        """Towers, points and what is left out as plain data, for the run's first record."""
        left_out = [{"name": row.name, "module": row.module, "reason": row.reason} for row in self.left_out]
        return {
            "towers": [asdict(tower) for tower in self.towers],
            "points": [asdict(point) for point in self.points],
            "left_out": left_out,
            "order": self.order,
        }

    def __str__(self) -> str:
        lines = [f"{self.model}: {_counted(self.points, 'point')}"]
        if len(self.towers) > 1:
            lines[0] += f" in {len(self.towers)} towers: {', '.join(tower.path for tower in self.towers)}"
        lines += textwrap.wrap(self.order, _WIDTH) + textwrap.wrap(self.health, _WIDTH)
        for tower in self.towers:
            lines += ["", *([f"Tower {tower.path}"] if tower.path else [])]
            lines += _table(_HEADS, [_cells(point) for point in self.points if point.path == tower.path])
        if self.left_out:
            rows = [[row.name, row.module, row.reason] for row in self.left_out]
            lines += ["", "Left out", *_table(["part", "module", "why"], rows)]
        return "\n".join(lines)


_HEADS = ["point", "module", "shape", "role", "reduction", "D", "why"]


def _cells(point: PointFacts) -> list[str]:
    module = "" if point.role == "logits" else point.module
    shape = "×".join("N" if axis == point.samples_axis else str(size) for axis, size in enumerate(point.shape))
    return [point.name, module, shape, point.role, point.reduction, str(point.features), point.why]


def _counted(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Rows in columns below heads; the last is wrapped, and names have lines of their own where room is short."""
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads) - 1)]
    longest = max(len(row[-1]) for row in [heads, *rows])
    stacked = sum(widths) + 2 * (len(widths) + 1) + min(longest, _LEAST) > _WIDTH
    if stacked:
        widths[0] = 4
    room = max(_LEAST, _WIDTH - sum(widths) - 2 * (len(widths) + 1))
    lines = []
    for row in [heads, *rows]:
        name, *cells, last = row
        lines += [f"  {name}"] if stacked else []
        parts = [cell.ljust(width) for cell, width in zip(["" if stacked else name, *cells], widths, strict=True)]
        texts = textwrap.wrap(last, room) or [""]
        lines.append(f"  {'  '.join(parts)}  {texts[0]}".rstrip())
        lines += [" " * (sum(widths) + 2 * (len(widths) + 1)) + text for text in texts[1:]]
    return lines


def notes_of(found: Found) -> list[str]:
    """What the user is to be told once: parts with a share in the output that are not measured, and open axes."""
    notes = []
    if missed := [row for row in found.left_out if row.is_missed]:
        named = "; ".join(f"{row.name!r}, which {row.reason}" for row in missed[:_FEW])
        more = f"; and {len(missed) - _FEW} more" if len(missed) > _FEW else ""
        notes.append(f"the load probe leaves out {named}{more}. probe.describe() lists what it measures")
    if still_open := found.open:
        names = ", ".join(map(repr, still_open[:_FEW]))
        names += f" … ({len(still_open)} in all)" if len(still_open) > _FEW else ""
        notes.append(
            f"which axis holds the features is open at {names}: sizes do not tell. Check what probe.describe() "
            f"says, or choose with reductions={{{still_open[0]!r}: 'spatial_mean'}} for [N, C, …], 'token_mean' "
            f"for [N, …, D]"
        )
    return notes


def describe(model: nn.Module, found: Found, sizes: Mapping[Point, int]) -> Description:
    """The description of what was found in a model.

    Args:
        model: the inner model.
        found: its points by tower, and what is left out.
        sizes: number of features of each point.
    """
    points = [
        _facts(point, tower.path, type(model).__name__, sizes[point])
        for tower in found.towers
        for point in tower.points
    ]
    towers = [
        TowerFacts(
            tower.path,
            [point.name for point in tower.points],
            tower.points[-1].logits,
            joins_at_first(tower.points),
        )
        for tower in found.towers
    ]
    order = "Points lie on the path of data from the input to the output; each is made from the one before."
    if found.by_order:
        order = f"Points are in the order of calls: the flow of data is unknown ({found.by_order})."
    elif any(point.role == "named" for point in points):
        order = "The layers were named by you; they are in the order of their calls."
    return Description(type(model).__name__, towers, points, found.left_out, order)


def _facts(point: Point, path: str, model: str, size: int) -> PointFacts:
    return PointFacts(
        name=point.name,
        path=path,
        module="" if point.role == "input" and point.where != "after" else point.layer or model,
        shape=list(point.shape),
        samples_axis=point.samples_axis,
        features_axis=point.features_axis,
        reduction=point.reduction,
        why="; ".join(text for text in (point.note, point.why) if text),
        role=point.role,
        features=size,
    )
