"""The data of plots and heat maps: curves and grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Series(NamedTuple):
    """One curve; points that are not finite are left out."""

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    role: str = "accent"
    lines: bool = True
    """Whether neighbours are joined."""


@dataclass
class Grid:
    """The cells of a heat map, row by row."""

    columns: Sequence[str]
    rows: Sequence[str]
    values: Sequence[float]
    """NaN where there is none."""
    curves: Sequence[Sequence[float]]
    """Scaled from 1 to 0; empty where there is none."""
    final: Sequence[bool]
    column_title: str = ""
    row_title: str = ""
    low: float = 0.0
    high: float = 1.0
    digits: int = 2
    absent: str = ""
    """The text in place of the legend where no cell has a value."""
    unclear: Sequence[bool] = field(default_factory=list)
    """By cell, whether its load curve's shape means nothing; empty where all do."""
    texts: Sequence[str] = field(default_factory=list)
    """By cell, the text in place of its number."""
