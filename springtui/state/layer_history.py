"""Measures of every layer over steps in bounded memory, as a heat map shows them."""

from __future__ import annotations

import bisect
import copy
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

COLUMNS = 512
"""A history holds no more steps than this and the newest; a heat map is at most some 200 cells wide."""


class Column(NamedTuple):
    """The layers at one step."""

    step: int
    measures: Mapping[str, Sequence[float | None]]
    """By measure, a value for each layer."""


class LayerHistory:
    """Values of each layer by measure at steps that do not decrease; where there are too many, every second goes.

    The first and the newest step are always kept. Where the layers change, the history begins anew.
    """

    def __init__(self) -> None:
        self.layers: list[str] = []
        self.seen = 0
        """Steps taken in."""
        self.stride = 1
        """One of so many is kept."""
        self._columns: list[Column] = []
        self._newest: Column | None = None

    def is_due(self) -> bool:
        """Whether the next step is kept for good; else only until a newer one comes."""
        return self.seen % self.stride == 0

    def add(self, step: int, layers: Sequence[str], measures: Mapping[str, Sequence[float | None]]) -> None:
        """Add a step, with a value for each layer by measure."""
        if list(layers) != self.layers:
            self.__init__()  # type: ignore[misc]
            self.layers = list(layers)
        column = Column(step, measures)
        if self.is_due():
            self._columns.append(column)
        self._newest = column
        self.seen += 1
        if len(self._columns) > COLUMNS:
            del self._columns[1::2]
            self.stride *= 2

    def set_newest(self, step: int, measures: Mapping[str, Sequence[float | None]]) -> None:
        """Set the newest step, which was skipped, to its values."""
        self._newest = Column(step, measures)

    def skip(self) -> None:
        """Count a step that is not due and was not read."""
        self.seen += 1

    @property
    def columns(self) -> list[Column]:
        """The steps that are kept, in order, the newest included."""
        newest = self._newest
        if newest is None or (self._columns and self._columns[-1].step >= newest.step):
            return list(self._columns)
        return [*self._columns, newest]

    @property
    def measures(self) -> list[str]:
        """The measures that some step has, in the order in which they came."""
        return list(dict.fromkeys(name for column in self.columns for name in column.measures))

    def is_known(self, measure: str) -> bool:
        """Whether some layer has a value of a measure at some step."""
        return any(
            value is not None and not math.isnan(value)
            for column in reversed(self.columns)
            for value in column.measures.get(measure, ())
        )

    def table(self, measure: str) -> tuple[list[int], list[list[float]]]:
        """The steps, and at each step the values of the layers; NaN where a layer has none.

        Steps without the measure are left out.
        """
        found = [(column.step, column.measures[measure]) for column in self.columns if measure in column.measures]
        return [step for step, _ in found], [
            [math.nan if value is None else value for value in values] for _, values in found
        ]

    def until(self, step: float = math.inf) -> LayerHistory:
        """A copy of the part up to a step, which stays as it is when this history grows."""
        part = copy.copy(self)
        columns = self.columns
        part._columns = columns[: bisect.bisect_right(columns, step, key=lambda column: column.step)]
        part._newest = part._columns[-1] if part._columns else None
        return part
