"""A quantity of every layer over steps, as a heat map shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats
from engine.measures.registry import rises

from .layer_history import Column, LayerHistory
from .layers import LOGITS, layer_names
from .run_state import RunState
from .wording import measure_label, measure_unit

LOAD = "load"
"""The quantity that every run with curves has; the others are the measures of layer health that were recorded."""


@dataclass(frozen=True, eq=False)
class LayerTimes:
    """One quantity of the layers of a tower."""

    quantity: str
    title: str
    unit: str
    layers: list[str]
    """The shallowest first, L of them."""
    steps: Floats
    """Not decreasing, [T]."""
    values: Floats
    """[L, T]; NaN where a value is not known."""
    stride: int = 1
    """One of so many recorded steps is among these, and the newest; memory is bounded."""
    is_signed: bool = False
    """Whether values have a sign and 0 a meaning, as of a load."""
    has_logits: bool = False
    """Whether the last layer is the logits, whose values set no scale."""

    def of_layer(self, name: str) -> Floats:
        """The values of a layer, [T]; NaN where there is no such layer."""
        if name not in self.layers:
            return np.full(len(self.steps), np.nan)
        found: Floats = self.values[self.layers.index(name)]
        return found


def quantities_of(state: RunState, path: str) -> list[str]:
    """What a heat map can show of a tower: the load, and the measures of health with a value at some layer."""
    history = state.health.get(path)
    return (
        [LOAD, *(name for name in history.measures if history.is_known(name))] if history is not None else [LOAD]
    )


class LayerTables:
    """Makes the tables of heat maps; rows of steps that were there before are not made again."""

    def __init__(self) -> None:
        self._about: object = None
        self._rows: dict[int, tuple[Column, Floats]] = {}
        """By identity of a step's values, these and their numbers, [points]."""

    def of(self, state: RunState, path: str, quantity: str, measure: str) -> LayerTimes | None:
        """A quantity of a tower over the steps that a run's state holds; None where there is none.

        Args:
            state: the run's.
            path: of the tower.
            quantity: ``LOAD``, or the name of a measure of health.
            measure: that loads are of.
        """
        histories = state.separations if quantity == LOAD else state.health
        history = histories.get(path)
        key = measure if quantity == LOAD else quantity
        if (path, quantity, measure) != self._about:
            self._about, self._rows = (path, quantity, measure), {}
        found = self._table(history, key) if history is not None else None
        if found is None or history is None:
            return None
        (steps, table), stride = found, history.stride
        if quantity != LOAD:
            return LayerTimes(
                quantity, measure_label(quantity), measure_unit(quantity), history.layers, steps, table.T, stride
            )
        values = np.diff(table, axis=1) * (1.0 if rises(measure) else -1.0)
        names = history.layers[1 : 1 + values.shape[1]] or layer_names(state, values.shape[1])
        return LayerTimes(
            LOAD, f"load · {measure_label(measure)}", measure_unit(measure), names, steps, values.T, stride,
            is_signed=True,
            has_logits=names[-1:] in LOGITS,
        )  # fmt: skip

    def _table(self, history: LayerHistory, measure: str) -> tuple[Floats, Floats] | None:
        """Steps, [T], and values, [T, points], of the steps that have the measure for every point."""
        known, rows, steps = self._rows, [], []
        kept: dict[int, tuple[Column, Floats]] = {}
        for column in history.columns:
            values = column.measures.get(measure)
            if values is None or len(values) != len(history.layers):
                continue
            one = known.get(id(column))
            if one is None or one[0] is not column:
                one = column, _numbers(values)
            kept[id(column)] = one
            rows.append(one[1])
            steps.append(float(column.step))
        self._rows = kept
        return (np.array(steps), np.stack(rows)) if rows and history.layers else None


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)  # None becomes NaN
